"""Facet `packaging`: components packed, published, found again and let in.

Paths are absolute and of a file system that suite and subject share: the suite writes the files, and looks itself at what became of them.
Registries are served by the suite on the loopback interface without TLS; every request that names one allows that. Nothing else is to be
asked over a network. What the subject keeps of its own (a cache, a user's settings) belongs below `home`.
"""

from __future__ import annotations

from typing import Literal

from conformance.subjects.protocol.base import U64, Message, Reply, Request


class BuildRecord(Message, frozen=True):
    """What a packer knows about the build: it goes into the provenance. Times are RFC 3339; what is None is not known.

    Attributes:
        build_type, builder: None leaves the runtime's defaults.
    """

    started_on: str
    finished_on: str
    source_repo: str | None = None
    source_ref: str | None = None
    source_digest: str | None = None
    build_type: str | None = None
    builder: str | None = None


class Pack(Request, frozen=True, tag="packaging.pack"):
    """Pack a project's component into a `.torvyn` file → `packed`; a fault says why not, and leaves no file in `output`.

    Attributes:
        project: the directory: Torvyn.toml with a table `[component]`, component.wasm, and WIT files in wit/.
        output: an empty directory for the artifact.
    """

    project: str
    output: str
    record: BuildRecord


class PackedReply(Reply, frozen=True, tag="packed"):
    """The artifact that was made.

    Attributes:
        file: its path.
        digest: of the file.
        layers: the digests of component.wasm, Torvyn.toml and provenance.json, by these names.
    """

    file: str
    digest: str
    layers: dict[str, str] = {}


class Unpack(Request, frozen=True, tag="packaging.unpack"):
    """Unpack a `.torvyn` file into a directory that is empty; a fault says why not."""

    file: str
    into: str


class InspectArtifact(Request, frozen=True, tag="packaging.inspect"):
    """Say what a `.torvyn` file holds → `inspected`."""

    file: str


class ProvenanceSummary(Message, frozen=True):
    """What a runtime shows of an artifact's provenance."""

    builder: str
    source_repo: str | None = None
    source_ref: str | None = None
    source_digest: str | None = None
    started_on: str | None = None
    finished_on: str | None = None


class InspectedReply(Reply, frozen=True, tag="inspected"):
    """What a component is and needs.

    Attributes:
        wasm_size: bytes.
        wit_files: names relative to wit/.
        deprecation: a text, when the manifest says that the component is deprecated.
    """

    name: str
    version: str
    description: str
    license: str
    contract_packages: tuple[str, ...]
    capabilities_required: tuple[str, ...]
    capabilities_optional: tuple[str, ...]
    min_torvyn_version: str
    wasi_target: str
    target_arch: tuple[str, ...]
    build_tool: str
    wasm_size: U64
    wit_files: tuple[str, ...]
    provenance: ProvenanceSummary | None = None
    deprecation: str | None = None


class ParseReference(Request, frozen=True, tag="packaging.parse"):
    """Read a reference, and look at no file and no network → `reference`; fault when it has no meaning.

    Attributes:
        kind: `oci` for a reference to an artifact in a registry, where `oci://` may be left out; `component` for what a node may name.
    """

    text: str
    kind: Literal["oci", "component"] = "oci"


class ReferenceReply(Reply, frozen=True, tag="reference"):
    """What a reference means.

    Attributes:
        form: oci, file or name.
        registry, repository, tag, digest: of an oci reference; the registry with its port. A part that is not written is None.
        rendered: an oci reference as the runtime writes it, with or without `oci://`.
        path: of a file, as written, without `file://`.
        name: of a `[[component]]`.
    """

    form: Literal["oci", "file", "name"]
    registry: str | None = None
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None
    rendered: str | None = None
    path: str | None = None
    name: str | None = None


class Publish(Request, frozen=True, tag="packaging.publish"):
    """Publish a `.torvyn` file in a registry → `published`; a fault leaves the registry's tags as they are.

    Attributes:
        target: `registry/repository`, or with a tag; without one the tag is the manifest's version.
        force: a tag that is there may be moved.
    """

    file: str
    target: str
    home: str
    force: bool = False


class PublishedReply(Reply, frozen=True, tag="published"):
    """Under which tag it was published, and the digest of its manifest."""

    tag: str
    digest: str


class ResolveComponent(Request, frozen=True, tag="packaging.resolve"):
    """Find the component that a reference of a project means, as before it is loaded → `component`.

    The signature policy is `allow`.

    Attributes:
        reference: what a node of the project would name.
        project: the directory of its Torvyn.toml.
        home: the user's home directory; the cache is where it is by default.
        offline: no registry may be asked.
    """

    reference: str
    project: str
    home: str
    offline: bool = False


class ComponentReply(Reply, frozen=True, tag="component"):
    """A component, its digest, and where it was found."""

    wasm: bytes
    digest: str
    origin: Literal["file", "local-build", "cache", "registry"]


class ForgetCached(Request, frozen=True, tag="packaging.forget"):
    """Remove an oci reference from the cache; everything, when there is none. What is not there is no fault."""

    home: str
    reference: str | None = None


class Sign(Request, frozen=True, tag="packaging.sign"):
    """Sign a `.torvyn` file with a key → `signed`.

    Attributes:
        key: 32 bytes, from which the runtime's signer makes the key that it needs.
        key_id: its name in signatures.
    """

    file: str
    key: bytes
    key_id: str
    signer_identity: str
    timestamp: str


class SignedReply(Reply, frozen=True, tag="signed"):
    """A detached signature, and what must be trusted to verify it (the key itself, when the signer shares it)."""

    signature: bytes
    verifier: bytes


class Admit(Request, frozen=True, tag="packaging.admit"):
    """Decide whether the component of a `.torvyn` file may be loaded → `admitted`; a fault says why not.

    Attributes:
        runtime_version: decide as a runtime of this version; None is the subject's own.
        policy: reject, warn or allow; None leaves the default.
        signature: a detached signature of the file, as `packaging.sign` gives it.
        trusted: verifiers by key id.
    """

    file: str
    runtime_version: str | None = None
    policy: Literal["reject", "warn", "allow"] | None = None
    signature: bytes | None = None
    trusted: dict[str, bytes] = {}


class AdmittedReply(Reply, frozen=True, tag="admitted"):
    """The component may be loaded; `warnings` is what an operator is told."""

    warnings: tuple[str, ...] = ()
    signer_identity: str | None = None


class SignatureRecord(Message, frozen=True):
    """How something was signed, by whom and when; the fields of other methods are None."""

    method: Literal["unsigned", "sigstore-keyless", "key-based"]
    signer_identity: str
    timestamp: str
    verified: bool
    oidc_issuer: str | None = None
    rekor_log_id: str | None = None
    key_id: str | None = None
    algorithm: str | None = None


class WriteRecord(Request, frozen=True, tag="packaging.write-record"):
    """Write a signature record in the runtime's own form → `record`; a fault for one whose fields are not its method's."""

    record: SignatureRecord


class ReadRecord(Request, frozen=True, tag="packaging.read-record"):
    """Read a signature record back → `record`."""

    data: bytes


class RecordReply(Reply, frozen=True, tag="record"):
    """A signature record, as bytes and as what they mean."""

    data: bytes
    record: SignatureRecord
