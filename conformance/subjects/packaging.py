"""Facet packaging, as a check sees it: a typed client, a method per message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from conformance.subjects import protocol as p

Ask = Callable[[Any, Any], Any]


class PackagingClient:
    """Components packed, published, found again and let in. A refusal raises `Refused`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def pack(self, project: Path, output: Path, record: p.BuildRecord) -> p.PackedReply:
        """Pack a project's component."""
        reply: p.PackedReply = self._ask(p.Pack(str(project), str(output), record), p.PackedReply)
        return reply

    def unpack(self, file: Path, into: Path) -> None:
        """Unpack an artifact into a directory."""
        self._ask(p.Unpack(str(file), str(into)), p.Done)

    def inspect(self, file: Path) -> p.InspectedReply:
        """Say what an artifact holds."""
        reply: p.InspectedReply = self._ask(p.InspectArtifact(str(file)), p.InspectedReply)
        return reply

    def parse(self, text: str, kind: Literal["oci", "component"] = "oci") -> p.ReferenceReply:
        """Read a reference."""
        reply: p.ReferenceReply = self._ask(p.ParseReference(text, kind), p.ReferenceReply)
        return reply

    def publish(self, file: Path, target: str, home: Path, *, force: bool = False) -> p.PublishedReply:
        """Publish an artifact."""
        reply: p.PublishedReply = self._ask(p.Publish(str(file), target, str(home), force), p.PublishedReply)
        return reply

    def resolve(self, reference: str, project: Path, home: Path, *, offline: bool = False) -> p.ComponentReply:
        """Find a component."""
        reply: p.ComponentReply = self._ask(p.ResolveComponent(reference, str(project), str(home), offline), p.ComponentReply)
        return reply

    def forget(self, home: Path, reference: str | None = None) -> None:
        """Remove one reference from the cache, or all."""
        self._ask(p.ForgetCached(str(home), reference), p.Done)

    def sign(self, file: Path, key: bytes, key_id: str, signer: str, timestamp: str) -> p.SignedReply:
        """Sign an artifact."""
        reply: p.SignedReply = self._ask(p.Sign(str(file), key, key_id, signer, timestamp), p.SignedReply)
        return reply

    def admit(
        self,
        file: Path,
        *,
        version: str | None = None,
        policy: Literal["reject", "warn", "allow"] | None = None,
        signature: bytes | None = None,
        trusted: Mapping[str, bytes] | None = None,
    ) -> p.AdmittedReply:
        """Decide whether a component may be loaded."""
        request = p.Admit(str(file), version, policy, signature, dict(trusted or {}))
        reply: p.AdmittedReply = self._ask(request, p.AdmittedReply)
        return reply

    def write_record(self, record: p.SignatureRecord) -> p.RecordReply:
        """Write a signature record."""
        reply: p.RecordReply = self._ask(p.WriteRecord(record), p.RecordReply)
        return reply

    def read_record(self, data: bytes) -> p.RecordReply:
        """Read a signature record."""
        reply: p.RecordReply = self._ask(p.ReadRecord(data), p.RecordReply)
        return reply
