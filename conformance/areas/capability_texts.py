"""Capabilities as text: what is one, what is none, and what is wrong with it (CAP-001 to CAP-005, CAP-010 to CAP-013, CAP-016, CAP-017)."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.checks import Budget, checks
from conformance.errors import Refused, Violation
from conformance.machines.grants import capabilities
from conformance.models.capabilities import KINDS, MALFORMED, NET, NO_SCOPE, NOTHING, PATH, POOL, UNKNOWN, Meaning, read, same
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

SCOPES = {
    PATH: ("/", "/data", "/data/in"),
    NET: ("*", "a.com", "*.a.com:443", "a.com,b.org:1-10,80", "*:53"),
    POOL: ("small",),
    NOTHING: (),
}
"""Scopes that mean something, by what narrows a kind."""

NONE_OF_THEM = (
    "stdio:stdin",
    "process:exit",
    "filesystem:list",
    "filesystem:metadata:/data",
    "network:egress:a.com",
    "network:tcp",
    "clock:cpu",
    "random:seed",
    "environment:write",
    "torvyn:stream-ops",
    "torvyn:resource-pool",
    "wasi:filesystem/read:/data",
    "wasi:clocks/wall-clock",
    "wasi:random/random",
    "http-client:https://a.com",
    "magic:x",
    "*:*",
)
"""What stands in documents and fixtures, and other slips: no capability."""

NO_COLON = ("nocolon", "", "clock", "wall", "filesystem", "wasi-clocks", "stdout")
OTHER_SPELLINGS = (
    "Clock:Wall",
    "CLOCK:WALL",
    "clock:Wall",
    " clock:wall",
    "clock: wall",
    "clock :wall",
    "clock:wall ",
    "clock:wall\n",
    "filesystem:Read:/data",
    "network:tcp-Connect",
    "torvyn:Custom-Metrics",
)


def expect_read(session: Session, budget: Budget, rule: str, text: str, meaning: str | None = None) -> None:
    """Expect that a text is read, as what it means by the rules, or as what another text means."""
    try:
        found = session.security.parse(text)
    except Refused as refused:
        budget.touch(rule)
        raise Violation(rule, f"the capability {text!r} is refused", expected="it is read", found=str(refused), evidence=text) from None
    budget.expect(rule, same(found, meaning or text), f"{text!r} is read as something else", expected=meaning or text, found=found)


def expect_refused(session: Session, budget: Budget, rule: str, text: str, *kinds: str) -> None:
    """Expect that a text is refused, for one of these kinds of reasons, or for any."""
    found = session.security.refusal(text)
    budget.expect(
        rule,
        found is not None and (not kinds or found in kinds),
        f"the refusal of {text!r}",
        expected=" or ".join(kinds) or "a refusal",
        found=found or f"it is read, as {session.security.parse(text)!r}",
        evidence=text,
    )


@checks("CAP-001", facet=Facet.CAPABILITIES, kind="table")
def nineteen_capabilities(session: Session, budget: Budget) -> None:
    """Each of the 19 ids is read with every scope that it may have, and nothing else is."""
    for kind, (narrowed_by, required) in KINDS.items():
        if not required:
            expect_read(session, budget, "CAP-001", kind)
        for scope in SCOPES[narrowed_by]:
            expect_read(session, budget, "CAP-001", f"{kind}:{scope}")
    for text in NONE_OF_THEM:
        expect_refused(session, budget, "CAP-001", text)


@checks("CAP-002", facet=Facet.CAPABILITIES, kind="table")
def a_bad_string_says_why(session: Session, budget: Budget) -> None:
    """No colon, a missing scope, and an unknown name are three different errors."""
    for text in NO_COLON:
        expect_refused(session, budget, "CAP-002", text, MALFORMED)
    for kind, (_, required) in KINDS.items():
        if required:
            expect_refused(session, budget, "CAP-002", kind, NO_SCOPE)
    for text in NONE_OF_THEM:
        expect_refused(session, budget, "CAP-002", text, UNKNOWN)


@checks("CAP-003", facet=Facet.CAPABILITIES, kind="table")
def names_are_exact(session: Session, budget: Budget) -> None:
    """Another case, or a blank more, is another name."""
    for text in OTHER_SPELLINGS:
        expect_refused(session, budget, "CAP-003", text)


@checks("CAP-004", facet=Facet.CAPABILITIES, kind="table")
def written_and_read_again(session: Session, budget: Budget) -> None:
    """What a runtime writes it reads back as the same capability, whatever it is."""
    for kind, (narrowed_by, _) in KINDS.items():
        for scope in SCOPES[narrowed_by]:
            _survives(session, budget, f"{kind}:{scope}")
    budget.for_all(capabilities(), lambda text: _survives(session, budget, text) if isinstance(read(text), Meaning) else None)


def _survives(session: Session, budget: Budget, text: str) -> None:
    try:
        once = session.security.parse(text)
        twice = session.security.parse(once)
        both = session.security.covers(text, once) and session.security.covers(once, text)
    except Refused as refused:
        budget.touch("CAP-004")
        raise Violation("CAP-004", f"{text!r} does not survive", expected="the same capability", found=str(refused)) from None
    evidence = {"text": text, "written": once, "written again": twice}
    budget.expect("CAP-004", once == twice and same(once, text), f"what became of {text!r}", expected=text, found=twice, evidence=evidence)
    budget.expect("CAP-004", both, f"{text!r} and what was written do not cover each other", expected=text, found=once, evidence=evidence)


@checks("CAP-005", facet=Facet.CAPABILITIES, kind="table")
def no_scope_where_none_belongs(session: Session, budget: Budget) -> None:
    """A scope on a kind that takes none is refused as malformed, or means nothing at all."""
    for kind, (narrowed_by, _) in KINDS.items():
        for suffix in ("x", "/data", "a.com:80") if narrowed_by == NOTHING else ():
            text = f"{kind}:{suffix}"
            refusal = session.security.refusal(text)
            fine = refusal == MALFORMED if refusal is not None else session.security.parse(text) == kind
            budget.expect("CAP-005", fine, f"the scope of {text!r}", expected=f"{MALFORMED}, or read as {kind}", found=refusal or "read")


@checks("CAP-010", facet=Facet.CAPABILITIES, kind="table")
def trailing_slashes(session: Session, budget: Budget) -> None:
    """Slashes at the end of a path make no difference; the root keeps its own."""
    for kind in ("filesystem:read", "filesystem:write"):
        for text, meaning in (("/data/", "/data"), ("/data///", "/data"), ("/data/in/", "/data/in"), ("/", "/"), ("///", "/")):
            expect_read(session, budget, "CAP-010", f"{kind}:{text}", f"{kind}:{meaning}")
        root = session.security.parse(f"{kind}:/")
        budget.expect_equal("CAP-010", root, f"{kind}:/", "how the root is written")
        for one, other in (("/data/", "/data"), ("/data", "/data/"), ("/data/", "/data/in"), ("/", "/data/")):
            covered = session.security.covers(f"{kind}:{one}", f"{kind}:{other}")
            budget.expect("CAP-010", covered, f"{one} does not cover {other}", expected="covered", found="not covered")
        wider = session.security.covers(f"{kind}:/data/", f"{kind}:/data2")
        budget.expect("CAP-010", not wider, "/data/ covers /data2", expected="not covered", found="covered")


@checks("CAP-011", facet=Facet.CAPABILITIES, kind="table")
def paths_are_absolute(session: Session, budget: Budget) -> None:
    """An empty or a relative path is malformed."""
    for kind in ("filesystem:read", "filesystem:write"):
        for scope in ("", "rel", "./data", "../data", "data/in", "~/data", " /data"):
            expect_refused(session, budget, "CAP-011", f"{kind}:{scope}", MALFORMED)


@checks("CAP-012", facet=Facet.CAPABILITIES, kind="table")
def no_way_up(session: Session, budget: Budget) -> None:
    """Dots and double slashes are resolved before anything is compared, and nothing leads above the root."""
    kind = "filesystem:read"
    for scope, meaning in (
        ("/data/../etc", "/etc"),
        ("/data/./in", "/data/in"),
        ("/data//in", "/data/in"),
        ("/data/in/..", "/data"),
        ("/a/b/../../c", "/c"),
        ("/.", "/"),
        ("/data/...", "/data/..."),
        ("/data/..x", "/data/..x"),
    ):
        expect_read(session, budget, "CAP-012", f"{kind}:{scope}", f"{kind}:{meaning}")
    for scope in ("/..", "/../etc", "/data/../../etc", "/data/./../../", "/a/../../a"):
        expect_refused(session, budget, "CAP-012", f"{kind}:{scope}", MALFORMED)
    for request, covered in (
        ("/data/../etc", False),
        ("/data/in/../../etc", False),
        ("/data/..", False),
        ("/data/../data2", False),
        ("/srv/../data/in", True),
        ("/data/in/..", True),
    ):
        found = session.security.covers(f"{kind}:/data", f"{kind}:{request}")
        budget.expect_equal("CAP-012", found, covered, f"whether /data covers {request}")


@checks("CAP-013", facet=Facet.CAPABILITIES, kind="table")
def globs_open_nothing(session: Session, budget: Budget) -> None:
    """A glob in a path is refused, or stands for itself; it never matches."""
    for scope, inside in (("/data/*", "/data/x"), ("/data/**", "/data/x/y"), ("/data/?", "/data/x"), ("/data/[ab]", "/data/a")):
        text, within = f"filesystem:read:{scope}", f"filesystem:read:{inside}"
        refusal = session.security.refusal(text)
        if refusal is not None:
            budget.expect_equal("CAP-013", refusal, MALFORMED, f"the refusal of {text!r}")
            continue
        budget.expect_equal("CAP-013", session.security.parse(text), text, f"what {text!r} is read as")
        budget.expect(
            "CAP-013", not session.security.covers(text, within), f"{scope} opens {inside}", expected="not covered", found="covered"
        )


PORTS = (
    ("80-80", "80"),
    ("0", "0"),
    ("65535", "65535"),
    ("0-0", "0"),
    ("1-100", "1-100"),
    ("65534-65535", "65534-65535"),
    ("80,443", "80,443"),
)


@checks("CAP-016", facet=Facet.CAPABILITIES, kind="table")
def ranges_include_their_ends(session: Session, budget: Budget) -> None:
    """Both ends of a range of ports belong to it, and one port is the range of itself."""
    kind = "network:tcp-connect"
    for ports, meaning in PORTS:
        expect_read(session, budget, "CAP-016", f"{kind}:a.com:{ports}", f"{kind}:a.com:{meaning}")
    for granted, wanted, covered in (
        ("80-90", "80", True),
        ("80-90", "90", True),
        ("80-90", "80-90", True),
        ("80-90", "79", False),
        ("80-90", "91", False),
        ("80-90", "79-80", False),
        ("80-90", "90-91", False),
        ("80", "80-80", True),
        ("80-80", "80", True),
        ("80", "79-80", False),
        ("0-1", "0", True),
        ("1-65535", "0", False),
        ("65534-65535", "65535", True),
        ("1-65534", "65535", False),
    ):
        found = session.security.covers(f"{kind}:a.com:{granted}", f"{kind}:a.com:{wanted}")
        budget.expect_equal("CAP-016", found, covered, f"whether the ports {granted} cover {wanted}")
    for backwards in ("90-80", "1-0", "65535-65534"):
        expect_refused(session, budget, "CAP-016", f"{kind}:a.com:{backwards}", MALFORMED)


BAD_PORTS = (
    "65536",
    "99999",
    "4294967376",
    "90-80",
    "1-2-3",
    "-",
    "80-",
    "-80",
    "80,",
    ",80",
    "80,99999",
    "99999,80",
    "80,-",
    "1-65536",
    ",",
)


@checks("CAP-017", facet=Facet.CAPABILITIES, kind="table")
def bad_ports_spoil_everything(session: Session, budget: Budget) -> None:
    """A port that is none makes the whole capability invalid: it never opens all ports, nor the others."""
    for kind in ("network:tcp-connect", "network:udp"):
        for hosts in ("a.com", "*", "a.com,b.org"):
            for ports in BAD_PORTS:
                text = f"{kind}:{hosts}:{ports}"
                expect_refused(session, budget, "CAP-017", text, MALFORMED)
    budget.for_all(_bad_lists(), lambda ports: expect_refused(session, budget, "CAP-017", f"network:udp:a.com:{ports}", MALFORMED))


def _bad_lists() -> st.SearchStrategy[str]:
    """Draw lists of ports with at least one that is none, at any place."""
    good = st.sampled_from(("80", "1-100", "0", "65535"))
    bad = st.sampled_from(("65536", "90-80", "1-2-3", "-", "80-", "-80", ""))
    lists = st.tuples(st.lists(good, max_size=2), bad, st.lists(good, max_size=2)).map(lambda some: ",".join((*some[0], some[1], *some[2])))
    return lists.filter(bool)
