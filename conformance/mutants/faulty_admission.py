"""Mutants that let components in which they should not, or say the wrong thing about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from conformance.mutants.faulty_packing import faulty
from torvyn_ref import packaging
from torvyn_ref.contract.versions import Version
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging import admission, inspection, provenance, signing
from torvyn_ref.packaging.admission import Admitted, Policy, check_compatible
from torvyn_ref.packaging.inspection import Inspection
from torvyn_ref.packaging.signing import SignatureRecord

_read = provenance.read_statement


def _told(raw: bytes, **other: Any) -> bytes:
    """Make a statement say something else."""
    try:
        return json.dumps({**json.loads(raw), **other}).encode()
    except (ValueError, TypeError):
        return raw


def _any_subject(raw: bytes, wasm: bytes, *, where: str) -> Any:
    subject = json.loads(provenance.statement(wasm, packaging.BuildRecord("", ""), {}))["subject"]
    return _read(_told(raw, subject=subject), wasm, where=where)


def _any_type(raw: bytes, wasm: bytes, *, where: str) -> Any:
    return _read(_told(raw, _type=provenance.STATEMENT_TYPE), wasm, where=where)


def _any_predicate(raw: bytes, wasm: bytes, *, where: str) -> Any:
    found = str(json.loads(raw).get("predicateType"))
    like = found.startswith(provenance.PREDICATE_TYPE)
    return _read(_told(raw, predicateType=provenance.PREDICATE_TYPE) if like else raw, wasm, where=where)


faulty("provenance-of-anything", "OCI-026", "The subject of provenance is not compared.", (admission, "read_statement", _any_subject))
faulty("statements-of-any-type", "OCI-026", "The type of a statement is not compared.", (admission, "read_statement", _any_type))
faulty(
    "predicates-that-begin-alike",
    "OCI-026",
    "A predicate that begins like SLSA's is taken for it.",
    (admission, "read_statement", _any_predicate),
)

_read_record, _write_record = signing.read_record, signing.write_record


def _verified(raw: bytes, **options: Any) -> SignatureRecord:
    return replace(_read_record(raw, **options), verified=True)


def _unlogged(record: SignatureRecord) -> bytes:
    return _write_record(replace(record, details={key: value if key != "rekor_log_id" else "" for key, value in record.details.items()}))


def _ascii(record: SignatureRecord) -> bytes:
    return _write_record(replace(record, signer_identity=record.signer_identity.encode("ascii", "replace").decode()))


def _patient(raw: bytes, **options: Any) -> SignatureRecord:
    filled = raw
    with suppress(ValueError, TypeError):
        filled = json.dumps({"signer_identity": "", "timestamp": "", "verified": False, **json.loads(raw)}).encode()
    return _read_record(filled, **options)


faulty("records-are-always-verified", "OCI-027", "Every record read back counts as verified.", (signing, "read_record", _verified))
faulty("records-lose-the-log", "OCI-027", "The id of the transparency log is not written.", (signing, "write_record", _unlogged))
faulty("signers-in-ascii", "OCI-027", "A signer's name loses its accents.", (signing, "write_record", _ascii))
faulty("records-may-lack-fields", "OCI-027", "A record without signer or time is read.", (signing, "read_record", _patient))

_admit, _verify = packaging.admit, signing.verify


def _silent(*arguments: Any, **options: Any) -> Admitted:
    return replace(_admit(*arguments, **options), warnings=())


def _allow_is_warn(*arguments: Any, policy: Policy = Policy.REJECT, **options: Any) -> Admitted:
    return _admit(*arguments, policy=Policy.REJECT if policy is Policy.WARN else policy, **options)


def _any_key(raw: bytes, digest: str, keys: Mapping[str, bytes], *, where: str) -> SignatureRecord:
    """Compare the name of the key and the digest, and no more: upstream's test signer."""
    try:
        return _verify(raw, digest, keys, where=where)
    except TorvynError as error:
        if "does not hold" not in error.message:
            raise
        return _read_record(json.dumps(json.loads(raw)["record"]).encode())


def _any_digest(raw: bytes, digest: str, keys: Mapping[str, bytes], *, where: str) -> SignatureRecord:
    """Verify a signature for whatever it was made."""
    with suppress(ValueError, KeyError, TypeError):
        digest = json.loads(raw)["digest"]
    return _verify(raw, digest, keys, where=where)


def _present(raw: bytes, digest: str, keys: Mapping[str, bytes], *, where: str) -> SignatureRecord:
    """Be content with any signature at all."""
    return _verify(raw, digest, keys, where=where) if len(raw) == 0 else SignatureRecord("Unsigned", {}, "alice", "", verified=True)


faulty("warns-by-default", "OCI-028", "The default policy is warn.", (packaging, "admit", partial(_admit, policy=Policy.WARN)))
faulty("warns-silently", "OCI-028", "Under warn nobody is told.", (packaging, "admit", _silent))
faulty("warn-rejects", "OCI-028", "Under warn an unsigned component is refused.", (packaging, "admit", _allow_is_warn))
faulty("signatures-are-not-verified", "OCI-028", "Only the key's name in a signature is looked at.", (admission, "verify", _any_key))
faulty("signatures-for-anything", "OCI-028", "A signature of another artifact is good.", (admission, "verify", _any_digest))
faulty("any-signature-will-do", "OCI-028", "Whatever stands in a signature, it is good.", (admission, "verify", _present))

_inspect, _describe = packaging.inspect, inspection.describe


def showing(change: Any) -> Any:
    """Return an inspection that is changed."""

    def look(path: Path) -> Inspection:
        found: Inspection = change(_inspect(path), path)
        return found

    return look


def _all_needs(manifest: Any, **options: Any) -> Inspection:
    needs = manifest.capabilities
    return replace(_describe(manifest, **options), capabilities_required=tuple(needs.required))


def _top(found: Inspection, _path: Path) -> Inspection:
    return replace(found, wit_files=tuple(name for name in found.wit_files if "/" not in name))


faulty("nameless-tools", "OCI-029", "A build tool that nobody named is shown as nothing.", (inspection, "UNKNOWN", ""))
faulty("shows-all-capabilities", "OCI-029", "Capabilities that are set to false are shown.", (inspection, "describe", _all_needs))
faulty(
    "the-size-of-the-file",
    "OCI-029",
    "The file's size is shown as the component's.",
    (packaging, "inspect", showing(lambda found, path: replace(found, wasm_size=path.stat().st_size))),
)
faulty("shows-wit-of-the-top", "OCI-029", "WIT files in folders are not shown.", (packaging, "inspect", showing(_top)))
faulty(
    "hides-deprecation",
    "OCI-029",
    "Nobody is told that a component is deprecated.",
    (packaging, "inspect", showing(lambda found, _path: replace(found, deprecation=None))),
)


def _bounds(manifest: bytes, runtime: str, *, where: str, **swap: Any) -> None:
    """Check the versions with another way of comparing them."""
    compare = Version.__lt__
    Version.__lt__ = swap["lt"]  # type: ignore[method-assign]
    try:
        check_compatible(manifest, runtime, where=where)
    finally:
        Version.__lt__ = compare  # type: ignore[method-assign]


_less = Version.__lt__
faulty(
    "versions-as-text",
    "OCI-030",
    "Versions are compared as text.",
    (admission, "check_compatible", partial(_bounds, lt=lambda one, other: str(one) < str(other))),
)
faulty(
    "versions-without-pre-releases",
    "OCI-030",
    "Pre-releases count as their releases.",
    (
        admission,
        "check_compatible",
        partial(_bounds, lt=lambda one, other: _less(replace(one, prerelease=()), replace(other, prerelease=()))),
    ),
)
faulty(
    "the-greatest-version-is-too-great",
    "OCI-030",
    "The greatest version itself is refused.",
    (admission, "check_compatible", partial(_bounds, lt=lambda one, other: _less(one, other) or str(one) == str(other) == "0.3.0")),
)


def _no_greatest(manifest: bytes, runtime: str, *, where: str) -> None:
    check_compatible(manifest.replace(b"max-torvyn-version", b"most"), runtime, where=where)


faulty("no-greatest-version-is-asked", "OCI-030", "A runtime may be newer than allowed.", (admission, "check_compatible", _no_greatest))
