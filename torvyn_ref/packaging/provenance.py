"""Provenance: an in-toto statement with SLSA fields, written when a component is packed and believed only about that component.

OCI-025 says what is in it, OCI-026 what a reader must compare before it believes a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from torvyn_ref.packaging.artifact import digest_mismatch, digest_of, parse_json
from torvyn_ref.packaging.errors import refused

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://torvyn.dev/build/v1"
LOCAL_BUILDER: Final = "local"

_KIND: Final = "corrupt-artifact"


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """Where a component came from, as its builder says; times are RFC 3339."""

    started_on: str
    finished_on: str
    source_repo: str | None = None
    source_ref: str | None = None
    source_digest: str | None = None
    build_type: str = BUILD_TYPE
    builder: str = LOCAL_BUILDER


@dataclass(frozen=True, slots=True)
class Provenance:
    """A statement that was read and holds for the component at hand."""

    builder: str
    build_type: str
    started_on: str | None
    finished_on: str | None
    external: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    internal: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def statement(wasm: bytes, record: BuildRecord, internal: Mapping[str, Any]) -> bytes:
    """Return the statement about a component; the same input gives the same bytes (OCI-005, OCI-025)."""
    external = {"source_repo": record.source_repo, "source_ref": record.source_ref, "source_digest": record.source_digest}
    data = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "component.wasm", "digest": {"sha256": digest_of(wasm).removeprefix("sha256:")}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": record.build_type,
                "externalParameters": external,
                "internalParameters": dict(internal),
            },
            "runDetails": {
                "builder": {"id": record.builder},
                "metadata": {"startedOn": record.started_on, "finishedOn": record.finished_on},
            },
        },
    }
    return json.dumps(data, indent=2).encode()


def read_statement(raw: bytes, wasm: bytes, *, where: str) -> Provenance:
    """Read a statement and compare it with the component that it comes with (OCI-026).

    Raises:
        TorvynError: corrupt-artifact when it is not a statement of the two types, digest-mismatch when it is about something else.
    """
    data = parse_json(raw, kind=_KIND, what="provenance.json", where=where)
    for key, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if data.get(key) != expected:
            raise refused(_KIND, f"provenance.json should have {key} {expected}, found {str(data.get(key))[:80]!r}", where=where)
    expected, found = _subject(data, where), digest_of(wasm).removeprefix("sha256:")
    if found != expected:
        raise digest_mismatch("the component that provenance.json is about", expected[:80], found, where=where)
    predicate = _table(data, "predicate", where)
    definition, run = _table(predicate, "buildDefinition", where), _table(predicate, "runDetails", where)
    metadata = _table(run, "metadata", where)
    return Provenance(
        builder=_text(_table(run, "builder", where), "id", where) or LOCAL_BUILDER,
        build_type=_text(definition, "buildType", where) or BUILD_TYPE,
        started_on=_text(metadata, "startedOn", where),
        finished_on=_text(metadata, "finishedOn", where),
        external=MappingProxyType(_table(definition, "externalParameters", where)),
        internal=MappingProxyType(_table(definition, "internalParameters", where)),
    )


def _subject(data: Mapping[str, Any], where: str) -> str:
    subjects = data.get("subject")
    first = subjects[0] if isinstance(subjects, list) and subjects else None
    digest = first.get("digest") if isinstance(first, dict) else None
    found = digest.get("sha256") if isinstance(digest, dict) else None
    if not isinstance(found, str):
        raise refused(_KIND, "provenance.json names no sha256 digest of its subject", where=where)
    return found


def _table(data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise refused(_KIND, f"provenance.json should have a table {key!r}", where=where)
    return value


def _text(data: Mapping[str, Any], key: str, where: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise refused(_KIND, f"provenance.json should have text as {key!r}", where=where)
    return value
