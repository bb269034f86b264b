"""References (OCI-006, OCI-013, OCI-014, OCI-024): what a text means, held against a reader written from the rules."""

from __future__ import annotations

import re
import string

from hypothesis import strategies as st

from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.models.references import Meaning, is_whole, read
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

A = "a" * 64
UPPER = "ABCDEF0123456789" * 4
REGISTRY, TEAM = "registry.example:5000", "registry.example:5000/team/tidy"

GOOD = (
    "r.example/tidy",
    "localhost:5000/tidy",
    f"oci://{TEAM}",
    f"{TEAM}:1.2.3",
    f"{TEAM}:latest",
    f"{TEAM}@sha256:{A}",
    f"oci://{TEAM}:1@sha256:{A}",
    "r.example/a/b/c/d:v1_2-3.4",
    "127.0.0.1:80/x:0",
    f"r.example/x:{'t' * 128}",
)
BAD = (
    "",
    "oci://",
    "r.example",
    "r.example:5000",
    "r.example/",
    "/tidy",
    "/tidy:1",
    "oci:///tidy",
    ":5000/tidy",
    "r.example:/tidy",
    "r.example:port/tidy",
    "r.example/:1",
    "r.example/tidy:",
    "r.example/tidy@",
    "r.example/tidy:@sha256:" + A,
)
"""Texts that have no meaning by OCI-013: a part is missing, empty, or there twice."""

STRICT = (
    f"{TEAM}@sha256:{A[:-1]}",
    f"{TEAM}@sha256:{A}a",
    f"{TEAM}@sha256:{A[:-1]}g",
    f"{TEAM}@sha256:",
    f"{TEAM}@{A}",
    f"{TEAM}:1@sha256:{A[:-1]}",
    f"{TEAM}:1@latest",
    f"{TEAM}@sha256:{A}@sha256:{A}",
    f"{TEAM}@sha256:{A}:1",
    f"{TEAM}:-1",
    f"{TEAM}:.1",
    f"{TEAM}:1+2",
    f"{TEAM}:1 2",
    f"{TEAM}:{'t' * 129}",
    "r.example/tidy:1:2",
    "r.example//tidy",
    "r.example/tidy/",
    "r.example/Tidy",
    "r.example/team/TIDY:1",
    "r.example/../tidy",
    "r.example/team/../../tidy:1",
    "r.example/..",
    "r.example/./tidy",
    "r.example/a..b",
    "r.example/.hidden",
    "r.example/team/ tidy",
)
"""Texts that OCI-014 refuses: digests, tags and repositories that are not well formed."""


def meaning(session: Session, text: str) -> Meaning | None:
    """Return what a subject takes a reference for; None when it refuses it."""
    try:
        found = session.packaging.parse(text)
    except Refused:
        return None
    return Meaning((found.registry or "").lower(), found.repository or "", found.tag, found.digest)


@checks("OCI-013", facet=Facet.PACKAGING, kind="table")
def references_follow_one_grammar(session: Session, budget: Budget) -> None:
    """Directed and drawn references mean what the grammar says, those outside it are refused, and what is rendered means the same."""

    def law(text: str) -> None:
        expected = read(text)
        if expected is None and is_whole(text):
            return  # its parts are not well formed: OCI-014
        found = meaning(session, text)
        budget.expect_equal("OCI-013", found, expected, f"the meaning of {text!r}", evidence={"reference": text})
        if expected is not None:
            rendered = session.packaging.parse(text).rendered or ""
            again = read(rendered)
            wanted = (expected.registry, expected.repository, expected.digest or expected.tag or "latest")
            got = None if again is None else (again.registry, again.repository, again.digest or again.tag or "latest")
            evidence = {"reference": text, "rendered": rendered}
            budget.expect_equal("OCI-013", got, wanted, f"what {text!r} is rendered as", evidence=evidence)

    for text in (*GOOD, *BAD):
        law(text)
    budget.for_all(_texts(), law, max_examples=150)


@checks("OCI-014", facet=Facet.PACKAGING, kind="table")
def tag_and_digest_stay_apart(session: Session, budget: Budget) -> None:
    """A reference with both has both; malformed digests, tags and repositories are refused, and nothing is cut off to make them fit."""
    for text in (f"{TEAM}:1@sha256:{A}", f"oci://r.example/x:latest@sha256:{UPPER}"):
        budget.expect_equal("OCI-014", meaning(session, text), read(text), f"the meaning of {text!r}", evidence={"reference": text})
    for text in STRICT:
        found = meaning(session, text)
        message = f"{text!r} was accepted"
        budget.expect("OCI-014", found is None, message, expected="a refusal", found=found, evidence={"reference": text})

    def law(text: str) -> None:
        if not is_whole(text):
            return  # a part is missing: OCI-013
        budget.expect_equal("OCI-014", meaning(session, text), read(text), f"the meaning of {text!r}", evidence={"reference": text})

    budget.for_all(_texts(), law, max_examples=150)


@checks("OCI-006", facet=Facet.PACKAGING, kind="table")
def digests_have_one_form(session: Session, budget: Budget) -> None:
    """Upper-case digits are lowered, and other algorithms, lengths and characters refused."""
    cases = {
        f"sha256:{A}": f"sha256:{A}",
        f"sha256:{UPPER}": f"sha256:{UPPER.lower()}",
        f"sha256:{UPPER[:32]}{A[:32]}": f"sha256:{UPPER[:32].lower()}{A[:32]}",
        f"sha512:{A * 2}": None,
        f"sha512:{A}": None,
        f"sha384:{A}": None,
        f"md5:{A[:32]}": None,
        f"SHA256:{A}": None,
        f"sha256:{A[:63]}": None,
        f"sha256:{A}0": None,
        f"sha256:{'g' * 64}": None,
        f"sha256-{A}": None,
        f"sha256:{A} ": None,
        f"sha256::{A[:63]}": None,
    }
    for text, expected in cases.items():
        found = meaning(session, f"r.example/x@{text}")
        got = None if found is None else found.digest
        budget.expect_equal("OCI-006", got, expected, f"the digest {text!r}", evidence={"reference": f"r.example/x@{text}"})


@checks("OCI-024", facet=Facet.PACKAGING, kind="table")
def component_references_have_four_forms(session: Session, budget: Budget) -> None:
    """References of each of the four forms are taken for what they are; what has none of the forms is refused."""
    cases: dict[str, tuple[str, str | None]] = {
        "oci://r.example/team/tidy:1": ("oci", None),
        f"oci://r.example/tidy@sha256:{A}": ("oci", None),
        "oci://r.example/tidy.wasm:1": ("oci", None),
        "file://tidy.wasm": ("file", "tidy.wasm"),
        "file:///abs/tidy.torvyn": ("file", "/abs/tidy.torvyn"),
        "file://./build/tidy.wasm": ("file", "./build/tidy.wasm"),
        "tidy.wasm": ("file", "tidy.wasm"),
        "./tidy.torvyn": ("file", "./tidy.torvyn"),
        "build/out/tidy.wasm": ("file", "build/out/tidy.wasm"),
        "/abs/tidy.torvyn": ("file", "/abs/tidy.torvyn"),
        "tidy": ("name", "tidy"),
        "tidy-2_b": ("name", "tidy-2_b"),
        "wasm": ("name", "wasm"),
        "tidy-torvyn": ("name", "tidy-torvyn"),
    }
    for text, (form, rest) in cases.items():
        evidence = {"reference": text}
        try:
            found = session.packaging.parse(text, "component")
        except Refused as refused:
            budget.expect("OCI-024", holds=False, message=f"{text!r} was refused", expected=form, found=refused.kind, evidence=evidence)
            return
        budget.expect_equal("OCI-024", found.form, form, f"the form of {text!r}", evidence=evidence)
        if rest is not None:
            budget.expect_equal("OCI-024", _rest(found), rest, f"what {text!r} names", evidence=evidence)
    for text in (
        "",
        "two words",
        "team/tidy",
        "./tidy",
        "../tidy",
        "tidy.wat",
        "oci://",
        "file://",
        "ftp://r.example/tidy",
        "oci://r.example",
    ):
        try:
            found = session.packaging.parse(text, "component")
        except Refused:
            budget.touch("OCI-024")
            continue
        message = f"{text!r} has none of the four forms and was accepted"
        budget.expect("OCI-024", holds=False, message=message, expected="a refusal", found=found, evidence={"reference": text})


def _rest(found: p.ReferenceReply) -> str | None:
    if found.form == "name":
        return found.name
    return None if found.path is None else found.path


_WORD = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=4)
_HOSTS = st.lists(_WORD, min_size=1, max_size=3).map(".".join)
_PORTS = st.just("") | st.integers(1, 65535).map(":{}".format)
_PATHS = st.lists(st.lists(_WORD, min_size=1, max_size=2).map("-".join) | _WORD, min_size=1, max_size=3).map("/".join)
_TAGS = st.tuples(
    st.sampled_from(string.ascii_letters + string.digits + "_"), st.text(string.ascii_letters + string.digits + "._-", max_size=6)
).map("".join)


@st.composite
def _texts(draw: st.DrawFn) -> str:
    """Draw a reference that follows the grammar, or one that is a character away from it."""
    scheme = draw(st.sampled_from(("", "oci://")))
    tag = draw(st.just("") | _TAGS.map(":{}".format))
    digits = st.integers(0, 2**256 - 1).map("{:064x}".format)
    digest = draw(st.just("") | (digits | digits.map(str.upper)).map("@sha256:{}".format))
    text = f"{scheme}{draw(_HOSTS)}{draw(_PORTS)}/{draw(_PATHS)}{tag}{digest}"
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        put = draw(st.sampled_from(("", "/", ":", "@", ".", "A", " ", "..", "/../")))
        text = text[:at] + put + text[at + draw(st.integers(0, 1)) :]
    body = text.removeprefix("oci://")
    return f"{TEAM}" if _unjudged(body) else text


def _unjudged(text: str) -> bool:
    """Tell whether the rules leave open what it means: two separators in a row, hosts of another alphabet, a port that begins with 0."""
    host, _, rest = text.partition("/")
    repository = re.split("[:@]", rest)[0]
    doubled = re.search(r"[._-]{2}", host) or re.search(r"[._-]{2}", repository.replace("..", "/"))
    return bool(doubled or re.search(r"[A-Z_\[\]]|[.-](?::|$)|^[.-]|:0", host))
