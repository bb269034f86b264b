"""Detached signatures over an artifact's digest, and the records that say how and by whom something was signed (OCI-027, OCI-028).

The signer here is a keyed hash (HMAC-SHA256): enough to hold a policy to its word, with a secret that signer and verifier share. Records
of the other methods are read and written; what they claim is not verified by this runtime, and so never counts as verified.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torvyn_ref.packaging.artifact import parse_json
from torvyn_ref.packaging.errors import refused

ALGORITHM: Final = "hmac-sha256"
UNSIGNED: Final = "Unsigned"
KEYLESS: Final = "SigstoreKeyless"
KEY_BASED: Final = "KeyBased"
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    UNSIGNED: frozenset(),
    KEYLESS: frozenset({"oidc_issuer", "rekor_log_id"}),
    KEY_BASED: frozenset({"key_id", "algorithm"}),
}
"""The methods, and what each says besides its name."""

MAX_SIGNATURE: Final = 64 * 1024
_KIND: Final = "bad-signature"
_RECORD_KEYS: Final = frozenset({"method", "signer_identity", "timestamp", "verified"})


@dataclass(frozen=True, slots=True)
class SignatureRecord:
    """How something was signed, by whom and when.

    Attributes:
        method: Unsigned, SigstoreKeyless or KeyBased.
        details: what the method says besides: oidc_issuer and rekor_log_id, or key_id and algorithm.
        signer_identity: who signed.
        timestamp: when, RFC 3339.
        verified: whether whoever wrote the record has verified the signature.
    """

    method: str
    details: Mapping[str, str]
    signer_identity: str
    timestamp: str
    verified: bool


def write_record(record: SignatureRecord) -> bytes:
    """Return a record as JSON; a method with details is a table with the method's name as its key.

    Raises:
        TorvynError: bad-signature when the details are not those of the method.
    """
    expected = _FIELDS.get(record.method)
    if expected is None or set(record.details) != expected:
        raise refused(_KIND, f"the method {record.method[:40]!r} cannot have {sorted(record.details)[:4]}", where="the signature record")
    return json.dumps(_as_dict(record)).encode()


def read_record(raw: bytes, *, where: str = "the signature record") -> SignatureRecord:
    """Read a record.

    Raises:
        TorvynError: bad-signature, naming what is missing or unknown.
    """
    return _record(_parsed(raw, where), where)


def sign(digest: str, key_id: str, key: bytes, *, signer: str, timestamp: str) -> bytes:
    """Return a detached signature over an artifact's digest: the record, the digest and the signature of both, as JSON."""
    record = SignatureRecord(KEY_BASED, {"key_id": key_id, "algorithm": ALGORITHM}, signer, timestamp, verified=False)
    return json.dumps({"record": _as_dict(record), "digest": digest, "signature": _mac(record, digest, key)}).encode()


def verify(raw: bytes, digest: str, keys: Mapping[str, bytes], *, where: str) -> SignatureRecord:
    """Return the record of a signature that holds for a digest, made with a key that is trusted.

    Raises:
        TorvynError: bad-signature.
    """
    data = _parsed(raw, where)
    if set(data) != {"record", "digest", "signature"} or not isinstance(data["record"], dict):
        raise refused(_KIND, "a signature holds record, digest and signature", where=where)
    record = _record(data["record"], where)
    if record.method != KEY_BASED or record.details["algorithm"] != ALGORITHM:
        raise refused(_KIND, f"this runtime verifies {ALGORITHM} only", where=where)
    key = keys.get(record.details["key_id"])
    if key is None:
        raise refused(_KIND, f"the key {record.details['key_id'][:40]!r} is not trusted", where=where)
    if data["digest"] != digest:
        raise refused(_KIND, f"the signature is for {str(data['digest'])[:80]}, the artifact is {digest}", where=where)
    if not isinstance(data["signature"], str) or not hmac.compare_digest(_mac(record, digest, key).encode(), data["signature"].encode()):
        raise refused(_KIND, "the signature does not hold for this artifact and record", where=where)
    return SignatureRecord(record.method, record.details, record.signer_identity, record.timestamp, verified=True)


def _mac(record: SignatureRecord, digest: str, key: bytes) -> str:
    # Who signed and when is part of what is signed; whether somebody has verified it is not.
    signed = json.dumps({**_as_dict(record), "verified": False, "digest": digest}, sort_keys=True)
    return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()


def _parsed(raw: bytes, where: str) -> dict[str, Any]:
    if len(raw) > MAX_SIGNATURE:
        raise refused("too-large", f"a signature is at most {MAX_SIGNATURE} bytes long", where=where)
    return parse_json(raw, kind=_KIND, what="the signature", where=where)


def _as_dict(record: SignatureRecord) -> dict[str, Any]:
    return {
        "method": {record.method: dict(record.details)} if record.details else record.method,
        "signer_identity": record.signer_identity,
        "timestamp": record.timestamp,
        "verified": record.verified,
    }


def _record(data: dict[str, Any], where: str) -> SignatureRecord:
    if set(data) != _RECORD_KEYS:
        odd = sorted(set(data) ^ _RECORD_KEYS)
        raise refused(_KIND, f"a record has {', '.join(sorted(_RECORD_KEYS))}; missing or unknown: {', '.join(odd)[:80]}", where=where)
    written = data["method"]
    method, details = next(iter(written.items())) if isinstance(written, dict) and len(written) == 1 else (written, {})
    expected = _FIELDS.get(method) if isinstance(method, str) else None
    if expected is None or not isinstance(details, dict) or set(details) != expected:
        raise refused(_KIND, f"the method should be one of {', '.join(_FIELDS)}, with its own fields", where=where)
    texts = (*details.values(), data["signer_identity"], data["timestamp"])
    if not all(isinstance(text, str) for text in texts) or not isinstance(data["verified"], bool):
        raise refused(_KIND, "a field of the record has the wrong type", where=where)
    return SignatureRecord(str(method), details, data["signer_identity"], data["timestamp"], data["verified"])
