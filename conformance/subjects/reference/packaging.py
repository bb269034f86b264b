"""Facet packaging over `torvyn_ref.packaging`. The suite shares our file system, so that paths are all that has to be passed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.parts import ReferenceParts
from torvyn_ref import config, packaging
from torvyn_ref.packaging import signing
from torvyn_ref.packaging.admission import RUNTIME_VERSION, Policy
from torvyn_ref.packaging.artifact import DEFAULT_LIMITS
from torvyn_ref.packaging.files import read_bounded
from torvyn_ref.packaging.provenance import BUILD_TYPE, LOCAL_BUILDER, BuildRecord, Provenance
from torvyn_ref.packaging.reference import FileReference, NameReference, OciReference
from torvyn_ref.packaging.resolve import LOCAL_BUILDS
from torvyn_ref.packaging.signing import SignatureRecord

Method = Literal["unsigned", "sigstore-keyless", "key-based"]
METHODS: dict[Method, str] = {"unsigned": signing.UNSIGNED, "sigstore-keyless": signing.KEYLESS, "key-based": signing.KEY_BASED}
"""What the protocol calls a method, and what a record calls it."""
DETAILS = ("oidc_issuer", "rekor_log_id", "key_id", "algorithm")


class ReferencePackaging:
    """The messages `packaging.*`. Every answer is the runtime's own, through the functions that its command line and host use."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._during = parts.during

    def pack(self, request: p.Pack) -> p.PackedReply:
        """Pack a project's component."""
        given = request.record
        record = BuildRecord(
            given.started_on,
            given.finished_on,
            given.source_repo,
            given.source_ref,
            given.source_digest,
            given.build_type or BUILD_TYPE,
            given.builder or LOCAL_BUILDER,
        )
        with self._during():
            made = packaging.pack(Path(request.project), Path(request.output), record)
        return p.PackedReply(str(made.path), made.digest, dict(made.layers))

    def unpack(self, request: p.Unpack) -> p.Done:
        """Unpack an artifact."""
        with self._during():
            packaging.unpack(Path(request.file), Path(request.into))
        return p.Done()

    def inspect(self, request: p.InspectArtifact) -> p.InspectedReply:
        """Say what an artifact holds."""
        with self._during():
            found = packaging.inspect(Path(request.file))
        return p.InspectedReply(
            name=found.name,
            version=found.version,
            description=found.description,
            license=found.license,
            contract_packages=found.contract_packages,
            capabilities_required=found.capabilities_required,
            capabilities_optional=found.capabilities_optional,
            min_torvyn_version=found.min_torvyn_version,
            wasi_target=found.wasi_target,
            target_arch=(found.target_arch,),
            build_tool=found.build_tool,
            wasm_size=found.wasm_size,
            wit_files=found.wit_files,
            provenance=None if found.provenance is None else _summary(found.provenance),
            deprecation=found.deprecation,
        )

    def parse(self, request: p.ParseReference) -> p.ReferenceReply:
        """Read a reference."""
        with self._during():
            found = packaging.parse_oci(request.text) if request.kind == "oci" else packaging.parse_reference(request.text)
            rendered = found.rendered() if isinstance(found, OciReference) else None
        match found:
            case OciReference():
                return p.ReferenceReply("oci", found.registry, found.repository, found.tag, found.digest, rendered)
            case FileReference():
                return p.ReferenceReply("file", path=found.path)
            case NameReference():
                return p.ReferenceReply("name", name=found.name)
        raise Refused("invalid-reference", f"{request.text!r} is a form of this runtime's own, outside the protocol")

    def publish(self, request: p.Publish) -> p.PublishedReply:
        """Publish an artifact."""
        with self._during():
            target = packaging.parse_oci(request.target)
            done = packaging.publish(Path(request.file), target, packaging.RegistryOptions(insecure=True), force=request.force)
        return p.PublishedReply(done.tag, done.digest)

    def resolve(self, request: p.ResolveComponent) -> p.ComponentReply:
        """Find a component."""
        with self._during():
            project = config.load(request.project, environment={"HOME": request.home})
            found = packaging.resolve(
                request.reference,
                base_dir=project.root,
                components=project.component_sources(),
                cache=_cache(request.home),
                options=packaging.RegistryOptions(insecure=True),
                offline=request.offline,
            )
        origin: Literal["file", "local-build", "cache", "registry"]
        if found.artifact is not None:
            origin = "cache" if found.cached else "registry"
        else:
            origin = "local-build" if str(LOCAL_BUILDS) in str(Path(found.origin).parent) else "file"
        return p.ComponentReply(found.wasm, found.digest, origin)

    def forget(self, request: p.ForgetCached) -> p.Done:
        """Remove from the cache."""
        with self._during():
            cache = _cache(request.home)
            if request.reference is None:
                cache.clear()
            else:
                cache.remove(packaging.parse_oci(request.reference))
        return p.Done()

    def sign(self, request: p.Sign) -> p.SignedReply:
        """Sign an artifact."""
        with self._during():
            digest = packaging.digest_of(read_bounded(Path(request.file), DEFAULT_LIMITS.component))
            signature = signing.sign(digest, request.key_id, request.key, signer=request.signer_identity, timestamp=request.timestamp)
        return p.SignedReply(signature, request.key)

    def admit(self, request: p.Admit) -> p.AdmittedReply:
        """Decide whether a component may be loaded."""
        with self._during():
            decide = packaging.admit if request.policy is None else partial(packaging.admit, policy=Policy(request.policy))
            admitted = decide(
                Path(request.file),
                signature=request.signature,
                keys=request.trusted,
                runtime=request.runtime_version or RUNTIME_VERSION,
            )
        return p.AdmittedReply(admitted.warnings, None if admitted.signature is None else admitted.signature.signer_identity)

    def write_record(self, request: p.WriteRecord) -> p.RecordReply:
        """Write a signature record."""
        given = request.record
        details = {name: value for name in DETAILS if (value := getattr(given, name)) is not None}
        record = SignatureRecord(METHODS[given.method], details, given.signer_identity, given.timestamp, given.verified)
        with self._during():
            return p.RecordReply(signing.write_record(record), given)

    def read_record(self, request: p.ReadRecord) -> p.RecordReply:
        """Read a signature record."""
        with self._during():
            found = signing.read_record(request.data)
        method: Method = next(wire for wire, name in METHODS.items() if name == found.method)
        record = p.SignatureRecord(method, found.signer_identity, found.timestamp, found.verified, **dict(found.details))
        return p.RecordReply(request.data, record)


def _cache(home: str) -> packaging.Cache:
    return packaging.Cache(packaging.default_root({"HOME": home}))


def _summary(found: Provenance) -> p.ProvenanceSummary:
    external = found.external
    return p.ProvenanceSummary(
        found.builder,
        external.get("source_repo"),
        external.get("source_ref"),
        external.get("source_digest"),
        found.started_on,
        found.finished_on,
    )
