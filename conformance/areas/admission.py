"""What stands before the first call (OCI-026 to OCI-030): provenance, signatures, inspection, supported versions."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Literal

from hypothesis import strategies as st
from msgspec.structs import asdict

from conformance.areas.workshop import ENTRIES, MANIFEST, WASM, Workshop, refusal, workshop
from conformance.checks import Budget, checks
from conformance.models.artifacts import Entry, component, precedence, statement
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

COMPONENT, TOML, WORLD, _ = ENTRIES
KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
WHEN = "2026-01-02T03:04:05Z"

Policy = Literal["reject", "warn", "allow"] | None


def _artifact(place: Workshop, manifest: str = MANIFEST, *more: Entry) -> Path:
    return place.artifact((COMPONENT, Entry("Torvyn.toml", manifest.encode()), WORLD, *more))


@checks("OCI-026", facet=Facet.PACKAGING, kind="table")
def provenance_is_held_against_the_component(session: Session, budget: Budget) -> None:
    """A statement of another type, of another predicate or about another component is not believed; the right one is, and so is none."""
    other = component("another")
    subject = json.loads(statement(other))["subject"]
    shouted = [{"name": "component.wasm", "digest": {"sha256": "0" * 64}}]
    cases: dict[str, tuple[tuple[Entry, ...], bool]] = {
        "none": ((), True),
        "its own": ((Entry("provenance.json", statement(WASM)),), True),
        "that of another component": ((Entry("provenance.json", statement(other)),), False),
        "its own, about another subject": ((Entry("provenance.json", statement(WASM, subject=subject)),), False),
        "its own, about a digest of zeros": ((Entry("provenance.json", statement(WASM, subject=shouted)),), False),
        "one without a subject": ((Entry("provenance.json", statement(WASM, subject=[])),), False),
        "an older statement": ((Entry("provenance.json", statement(WASM, _type="https://in-toto.io/Statement/v0.1")),), False),
        "no statement": ((Entry("provenance.json", statement(WASM, _type="https://example.org/Statement/v1")),), False),
        "another predicate": ((Entry("provenance.json", statement(WASM, predicateType="https://slsa.dev/provenance/v0.2")),), False),
        "a predicate like it": ((Entry("provenance.json", statement(WASM, predicateType="https://slsa.dev/provenance/v1x")),), False),
    }
    for what, (more, valid) in cases.items():
        with workshop() as place:
            refused = refusal(partial(session.packaging.admit, _artifact(place, MANIFEST, *more), policy="allow"))
            found = "refused" if refused is not None else "admitted"
            evidence = {"provenance": more[0].content.decode() if more else None}
            budget.expect_equal(
                "OCI-026", found, "admitted" if valid else "refused", f"a component with {what} for provenance", evidence=evidence
            )


RECORDS = (
    p.SignatureRecord("unsigned", "nobody", WHEN, verified=False),
    p.SignatureRecord(
        "sigstore-keyless", "alice@example.org", WHEN, verified=True, oidc_issuer="https://issuer.example", rekor_log_id="24296fb24b8ad77a"
    ),
    p.SignatureRecord("key-based", "Ünïcode <team@example.org>", WHEN, verified=False, key_id="k-1", algorithm="ed25519"),
    p.SignatureRecord("key-based", "", WHEN, verified=True, key_id="Unsigned", algorithm="hmac-sha256"),
)


@checks("OCI-027", facet=Facet.PACKAGING, kind="table")
def signature_records_round_trip(session: Session, budget: Budget) -> None:
    """A record of each method is written and read back as it was; one that lacks a field of its method, or a common one, is refused."""

    def law(record: p.SignatureRecord) -> None:
        data = session.packaging.write_record(record).data
        found = session.packaging.read_record(data).record
        budget.expect_equal("OCI-027", found, record, "a record read back", evidence={"written": data.decode(errors="replace")})

    for record in RECORDS:
        law(record)
    for record in RECORDS[1:3]:
        for name, value in asdict(record).items():
            if value is None or name in {"method", "signer_identity", "timestamp", "verified"}:
                continue
            missing = p.SignatureRecord(**{**asdict(record), name: None})
            refused = refusal(partial(session.packaging.write_record, missing))
            message = f"a {record.method} record without {name} was written"
            budget.expect("OCI-027", refused, message, expected="a refusal", evidence={"record": missing})
    for data, what in _cripples(session.packaging.write_record(RECORDS[2]).data):
        refused = refusal(partial(session.packaging.read_record, data))
        evidence = {"data": data.decode(errors="replace")}
        budget.expect("OCI-027", refused, f"a record {what} was read", expected="a refusal", evidence=evidence)
    budget.for_all(_records(), law, max_examples=30)


def _cripples(data: bytes) -> list[tuple[bytes, str]]:
    """Return what no reader may take for a record; of JSON records also those that lack a field."""
    cases = [(b"", "of no bytes"), (data[: len(data) // 2], "cut in the middle"), (b"{}", "of no fields")]
    try:
        fields = json.loads(data)
    except ValueError:
        return cases
    for name in fields if isinstance(fields, dict) else ():
        rest = {key: value for key, value in fields.items() if key != name}
        cases.append((json.dumps(rest).encode(), f"without {name}"))
    return cases


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def _records(draw: st.DrawFn) -> p.SignatureRecord:
    methods: tuple[Literal["unsigned", "sigstore-keyless", "key-based"], ...] = ("unsigned", "sigstore-keyless", "key-based")
    method = draw(st.sampled_from(methods))
    names = {"unsigned": (), "sigstore-keyless": ("oidc_issuer", "rekor_log_id"), "key-based": ("key_id", "algorithm")}[method]
    details: dict[str, Any] = {name: draw(_TEXT) for name in names}
    return p.SignatureRecord(method, draw(_TEXT), WHEN, verified=draw(st.booleans()), **details)


@checks("OCI-028", facet=Facet.PACKAGING, kind="table")
def policies_decide_about_signatures(session: Session, budget: Budget) -> None:
    """Each policy with a component that is signed, unsigned, or signed wrongly: reject is the default, and warn is never silent."""
    with workshop() as place:
        file, other = _artifact(place), _artifact(place, MANIFEST, Entry("provenance.json", statement(WASM)))
        signed = session.packaging.sign(file, KEY, "k1", "alice", WHEN)
        strange = session.packaging.sign(file, OTHER_KEY, "k1", "mallory", WHEN)
        unknown = session.packaging.sign(file, OTHER_KEY, "k2", "mallory", WHEN)
        elsewhere = session.packaging.sign(other, KEY, "k1", "alice", WHEN)
        trusted = {"k1": signed.verifier}
        signatures: dict[str, tuple[bytes | None, str]] = {
            "a good signature": (signed.signature, "good"),
            "no signature": (None, "none"),
            "an empty signature": (b"", "bad"),
            "a signature with a bit flipped": (_flipped(signed.signature), "bad"),
            "a signature that is cut": (signed.signature[:-1], "bad"),
            "a signature of another artifact": (elsewhere.signature, "bad"),
            "a signature with another key of this name": (strange.signature, "bad"),
            "a signature with a key that is not trusted": (unknown.signature, "bad"),
        }
        policies: tuple[Policy, ...] = (None, "reject", "warn", "allow")
        for what, (signature, worth) in signatures.items():
            for policy in policies:
                _decide(session, budget, file, policy, signature, trusted, what, worth)
        nobody: dict[str, bytes] = {}
        _decide(session, budget, file, "reject", signed.signature, nobody, "a good signature that nobody trusts", "bad")


def _decide(
    session: Session,
    budget: Budget,
    file: Path,
    policy: Policy,
    signature: bytes | None,
    trusted: dict[str, bytes],
    what: str,
    worth: str,
) -> None:
    """Ask for one decision. What `allow` does about a bad signature is left to the runtime; `warn` must not be silent."""
    evidence = {"policy": policy or "the default", "signature": what}
    about = f"a component with {what} under {policy or 'the default policy'}"
    ask = partial(session.packaging.admit, file, policy=policy, signature=signature, trusted=trusted)
    refused = refusal(ask)
    if worth == "good":
        budget.expect("OCI-028", refused is None, f"{about} was refused", expected="admitted", found=refused, evidence=evidence)
        signer = ask().signer_identity
        budget.expect_equal("OCI-028", signer, "alice", f"the signer of {about}", evidence=evidence)
        budget.expect_equal("OCI-028", ask().warnings, (), f"the warnings about {about}", evidence=evidence)
    elif policy in {None, "reject"}:
        budget.expect("OCI-028", refused, f"{about} was admitted", expected="a refusal", evidence=evidence)
    elif worth == "none":
        budget.expect("OCI-028", refused is None, f"{about} was refused", expected="admitted", found=refused, evidence=evidence)
    if worth != "good" and refused is None and policy != "allow":
        admitted = ask()
        budget.expect("OCI-028", admitted.warnings, f"{about} was admitted silently", expected="a warning", evidence=evidence)
    if worth != "good" and refused is None:
        signer = ask().signer_identity
        budget.expect_equal("OCI-028", signer, None, f"the signer of {about}", evidence=evidence)


def _flipped(signature: bytes) -> bytes:
    """Flip a bit in the middle of the last word of a signature: its value, in every encoding that ends with it."""
    if not signature:
        return b"\x01"
    at = len(signature) - min(8, len(signature))
    return signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]


FULL = f"""{MANIFEST}
[deprecation]
deprecated-since = "1.2.0"
message = "Tidy no more."
successor = "neat"
"""
BARE = '[component]\nname = "bare"\nversion = "0.0.1"\n'


@checks("OCI-029", facet=Facet.PACKAGING, kind="example")
def inspection_shows_what_it_is(session: Session, budget: Budget) -> None:
    """Inspecting an artifact that says everything, and one that says only its name."""
    wits = (Entry("wit/deps/a/types.wit", b"package a:a;"),)
    cases: tuple[tuple[str, tuple[Entry, ...], dict[str, Any]], ...] = (
        (
            FULL,
            (*wits, Entry("provenance.json", statement(WASM))),
            {
                "name": "tidy",
                "version": "1.2.3",
                "description": "Tidies elements.",
                "license": "Apache-2.0",
                "contract_packages": ("torvyn:streaming@0.1.0", "torvyn:filtering@0.1.0"),
                "capabilities_required": ("clock:wall",),
                "capabilities_optional": ("stdio:stderr",),
                "min_torvyn_version": "0.1.0",
                "build_tool": "cargo-component",
                "wit_files": ("deps/a/types.wit", "tidy.wit"),
            },
        ),
        (
            BARE,
            (),
            {
                "name": "bare",
                "version": "0.0.1",
                "description": "",
                "license": "",
                "contract_packages": (),
                "capabilities_required": (),
                "capabilities_optional": (),
                "min_torvyn_version": "0.1.0",
                "build_tool": "unknown",
                "wit_files": ("tidy.wit",),
            },
        ),
    )
    for manifest, more, expected in cases:
        with workshop() as place:
            reply = session.packaging.inspect(_artifact(place, manifest, *more))
        found = asdict(reply)
        evidence = {"Torvyn.toml": manifest, "inspected": reply}
        both = {**expected, "wasm_size": len(WASM), "wasi_target": "preview2", "target_arch": ("wasm32",)}
        for name, value in both.items():
            got = tuple(sorted(found[name])) if name == "wit_files" else found[name]
            budget.expect_equal("OCI-029", got, value, name, evidence=evidence)
        summary = None if reply.provenance is None else reply.provenance.builder
        budget.expect_equal("OCI-029", summary, "local" if more else None, "the builder in the provenance", evidence=evidence)
        said = reply.deprecation or ""
        fits = "Tidy no more." in said if manifest == FULL else not said
        budget.expect("OCI-029", fits, "the deprecation", expected="Tidy no more." if manifest == FULL else "none", found=said)


_NUMBERS = st.lists(st.integers(0, 11).map(str), min_size=3, max_size=3).map(".".join)
_VERSIONS = _NUMBERS | st.builds("{}-{}".format, _NUMBERS, st.sampled_from(("alpha", "rc.1", "rc.2", "rc.10")))


@checks("OCI-030", facet=Facet.PACKAGING, kind="machine")
def versions_are_a_range(session: Session, budget: Budget) -> None:
    """A component is admitted exactly if min ≤ runtime ≤ max, at the edges, for numbers of two digits, and for drawn versions."""

    def law(case: tuple[str | None, str | None, str]) -> None:
        least, most, runtime = case
        bounds = {"min-torvyn-version": least, "max-torvyn-version": most}
        lines = "".join(f'{key} = "{value}"\n' for key, value in bounds.items() if value is not None)
        fits = precedence(least or "0.1.0") <= precedence(runtime) and (most is None or precedence(runtime) <= precedence(most))
        with workshop() as place:
            file = _artifact(place, f"{BARE}[compatibility]\n{lines}")
            refused = refusal(partial(session.packaging.admit, file, version=runtime, policy="allow"))
        found, expected = ("admitted" if refused is None else "refused"), ("admitted" if fits else "refused")
        budget.expect_equal("OCI-030", found, expected, f"a component for {bounds} on {runtime}", evidence={"bounds": bounds})

    for case in (
        (None, None, "0.1.0"),
        (None, None, "7.0.0"),
        ("0.2.0", None, "0.1.9"),
        ("0.2.0", None, "0.2.0"),
        ("0.2.0", None, "0.10.0"),
        ("0.2.0", "0.3.0", "0.3.0"),
        ("0.2.0", "0.3.0", "0.3.1"),
        ("0.2.0", "0.9.0", "0.10.0"),
        ("0.2.0", None, "0.2.0-rc.1"),
        ("0.2.0-rc.2", None, "0.2.0-rc.10"),
        ("0.2.0", "1.0.0", "1.0.0-rc.1"),
    ):
        law(case)
    ranges = st.tuples(st.none() | _VERSIONS, st.none() | _VERSIONS, _VERSIONS)
    budget.for_all(ranges.filter(lambda case: case[0] is not None or precedence(case[2]) >= precedence("0.1.0")), law, max_examples=40)
