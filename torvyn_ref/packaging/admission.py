"""What stands between a packed component and its first call: provenance, versions, signature (OCI-026, OCI-028, OCI-030).

`resolve` holds provenance and versions against every artifact. Signatures are asked for by `admit` alone: neither the manifest nor the
command line has a place yet where an operator could say which keys are trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Final

import tomli

from torvyn_ref.contract.versions import Version
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.archive import COMPONENT, MANIFEST, PROVENANCE, archive_files
from torvyn_ref.packaging.artifact import DEFAULT_LIMITS, Limits, digest_of
from torvyn_ref.packaging.errors import refused
from torvyn_ref.packaging.files import read_bounded
from torvyn_ref.packaging.provenance import read_statement
from torvyn_ref.packaging.signing import SignatureRecord, verify

RUNTIME_VERSION: Final = version("torvyn-conformance")


class Policy(StrEnum):
    """What becomes of a component without a good signature."""

    REJECT = "reject"
    WARN = "warn"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A component that may be loaded: its bytes, who signed it, and what an operator should hear."""

    wasm: bytes
    signature: SignatureRecord | None
    warnings: tuple[str, ...] = ()


def admit(
    archive: Path,
    *,
    signature: bytes | None = None,
    keys: Mapping[str, bytes] | None = None,
    policy: Policy = Policy.REJECT,
    runtime: str = RUNTIME_VERSION,
    limits: Limits = DEFAULT_LIMITS,
) -> Admitted:
    """Read an archive and decide whether its component may be loaded.

    Args:
        archive: the file.
        signature: its detached signature, if there is one.
        keys: the keys that are trusted, by their ids.
        policy: what becomes of an artifact without a good signature.
        runtime: the version that must support it.
        limits: the most bytes to read.

    Raises:
        TorvynError: as `read_archive` and `check_inside`; unsigned, bad-signature under `reject`.
    """
    where = str(archive)
    raw = read_bounded(archive, limits.component + limits.other_blob)
    files = archive_files(raw, where=where, limits=limits)
    check_inside(files, where=where, runtime=runtime)
    found, warnings = None, []
    try:
        if signature is None:
            raise refused(
                "unsigned", "the component is not signed", where=where, hint="sign it, or set the policy to warn or allow", code="E0602"
            )
        found = verify(signature, digest_of(raw), keys or {}, where=where)
    except TorvynError as error:
        if policy is Policy.REJECT:
            raise
        if policy is Policy.WARN:
            warnings.append(str(error))
    return Admitted(files[COMPONENT], found, tuple(warnings))


def check_inside(files: Mapping[str, bytes], *, where: str, runtime: str = RUNTIME_VERSION) -> None:
    """Hold an artifact's own words against its component and this runtime.

    Raises:
        TorvynError: corrupt-artifact, digest-mismatch (OCI-026); incompatible (OCI-030).
    """
    if PROVENANCE in files:
        read_statement(files[PROVENANCE], files[COMPONENT], where=where)
    if MANIFEST in files:
        check_compatible(files[MANIFEST], runtime, where=where)


def check_compatible(manifest: bytes, runtime: str, *, where: str) -> None:
    """Refuse a component that was not made for this version: min ≤ runtime ≤ max (OCI-030).

    Only the table `[compatibility]` is read: a manifest may hold keys of versions to come.

    Raises:
        TorvynError: incompatible, corrupt-artifact.
    """
    try:
        table = tomli.loads(manifest.decode()).get("compatibility", {})
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise refused("corrupt-artifact", f"{MANIFEST} is not valid TOML: {str(error)[:120]}", where=where) from None
    mine = Version.parse(runtime)
    for key in ("min-torvyn-version", "max-torvyn-version"):
        text = table.get(key) if isinstance(table, dict) else None
        if text is None:
            continue
        try:
            bound = Version.parse(str(text))
        except TorvynError as error:
            raise refused("corrupt-artifact", f"{key}: {error.message}", where=where) from None
        if mine < bound if key.startswith("min") else bound < mine:
            raise refused("incompatible", f"{key} is {bound}, this runtime is {mine}", where=where, hint="use a runtime that it supports")
