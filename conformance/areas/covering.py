"""Whether a grant covers a request (CAP-006 to CAP-009, CAP-014, CAP-015, CAP-018 to CAP-021)."""

from __future__ import annotations

from itertools import product

from conformance.checks import Budget, checks
from conformance.errors import Refused, Violation
from conformance.machines.grants import alike
from conformance.models.capabilities import KINDS, NET, PATH, POOL, Meaning, covers, host_covers, ports_within, read
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

CONNECT = "network:tcp-connect"

Row = tuple[str, str, bool]
"""A grant's scope, a request's, and whether the one covers the other."""


def _table(session: Session, budget: Budget, rule: str, kind: str, rows: tuple[Row, ...]) -> None:
    for grant, request, expected in rows:
        granted, wanted = (f"{kind}:{scope}" if scope else kind for scope in (grant, request))
        _expect(session, budget, rule, granted, wanted, covered=expected)


def _expect(session: Session, budget: Budget, rule: str, grant: str, request: str, *, covered: bool) -> None:
    try:
        found = session.security.covers(grant, request)
    except Refused as refused:
        budget.touch(rule)
        raise Violation(rule, f"{grant} and {request} cannot be compared", expected="both are read", found=str(refused)) from None
    words = {True: "covered", False: "not covered"}
    evidence = {"grant": grant, "request": request}
    budget.expect(rule, found == covered, f"{grant} against {request}", expected=words[covered], found=words[found], evidence=evidence)


@checks("CAP-006", facet=Facet.CAPABILITIES, kind="table")
def kinds_stay_apart(session: Session, budget: Budget) -> None:
    """No kind covers another, whatever their scopes, for all ordered pairs of the 19."""
    scopes = {PATH: ("/",), NET: ("", "a.com:80"), POOL: ("small",)}
    texts = [(kind, f"{kind}:{scope}" if scope else kind) for kind, (by, _) in KINDS.items() for scope in scopes.get(by, ("",))]
    for (one, grant), (other, request) in product(texts, texts):
        if one != other:
            _expect(session, budget, "CAP-006", grant, request, covered=False)


@checks("CAP-007", facet=Facet.CAPABILITIES, kind="table")
def covering_is_an_order(session: Session, budget: Budget) -> None:
    """Every capability covers itself, and what covers something covers all that this covers."""
    chains = (
        (f"{CONNECT}", f"{CONNECT}:*.a.com", f"{CONNECT}:*.x.a.com:80", f"{CONNECT}:y.x.a.com:80"),
        (f"{CONNECT}:*:1-100", f"{CONNECT}:a.com,b.org:10-20,80", f"{CONNECT}:b.org:11-12"),
        ("filesystem:read:/", "filesystem:read:/data", "filesystem:read:/data/in", "filesystem:read:/data/in/a"),
        ("torvyn:resource-allocate", "torvyn:resource-allocate:small"),
    )
    for chain in chains:
        for at, grant in enumerate(chain):
            for request in chain[at:]:
                _expect(session, budget, "CAP-007", grant, request, covered=True)

    def law(texts: tuple[str, ...]) -> None:
        meanings = [read(text) for text in texts]
        if not all(isinstance(meaning, Meaning) for meaning in meanings):
            return
        for text in texts:
            _expect(session, budget, "CAP-007", text, text, covered=True)
        one, other, third = texts
        if session.security.covers(one, other) and session.security.covers(other, third):
            _expect(session, budget, "CAP-007", one, third, covered=True)

    budget.for_all(alike(3), law, max_examples=150)


@checks("CAP-008", facet=Facet.CAPABILITIES, kind="table")
def paths_by_whole_parts(session: Session, budget: Budget) -> None:
    """A path is inside a root when the root's parts are its first parts, and not when its letters are."""
    rows: tuple[Row, ...] = (
        ("/data", "/data", True),
        ("/data", "/data/x", True),
        ("/data", "/data/x/y", True),
        ("/data", "/data2", False),
        ("/data", "/data2/x", False),
        ("/data", "/data-old", False),
        ("/data", "/data.bak", False),
        ("/data", "/dat", False),
        ("/data", "/Data", False),
        ("/data", "/other/data", False),
        ("/", "/", True),
        ("/", "/data", True),
        ("/data/in", "/data/input", False),
        ("/data/in", "/data/in/x", True),
        ("/data/in/a", "/data/in/b", False),
        ("/data/in/a/b/c", "/data/in/a/b/d", False),
        ("/data/in/a/b/c", "/data/in/a/b/c/d/e", True),
    )
    for kind in ("filesystem:read", "filesystem:write"):
        _table(session, budget, "CAP-008", kind, rows)


@checks("CAP-009", facet=Facet.CAPABILITIES, kind="table")
def narrow_covers_no_broad(session: Session, budget: Budget) -> None:
    """A grant inside of what is requested does not cover it, in coverage and when a component is resolved."""
    rows: tuple[Row, ...] = (
        ("/data/input", "/data", False),
        ("/data", "/", False),
        ("/data/in/a", "/data/in", False),
        ("/data/input", "/data/output", False),
        ("/data", "/data/input", True),
    )
    _table(session, budget, "CAP-009", "filesystem:read", rows)
    for grant, request, covered in rows:
        session.security.open()
        reply = session.security.configure("reader", (f"filesystem:read:{request}",), (f"filesystem:read:{grant}",))
        found = "admitted" if reply.sandbox is not None else ", ".join(note.kind for note in reply.errors)
        expected = "admitted" if covered else "incompatible-scope"
        budget.expect_equal("CAP-009", found, expected, f"a component that wants {request} and is granted {grant}")


@checks("CAP-014", facet=Facet.CAPABILITIES, kind="table")
def hosts_by_whole_labels(session: Session, budget: Budget) -> None:
    """A host is matched whole, whatever its case; a wildcard by whole labels, the apex among them."""
    rows: tuple[Row, ...] = (
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com", True),
        ("Example.COM", "example.com", True),
        ("example.com", "www.example.com", False),
        ("example.com", "example.com.evil.org", False),
        ("example.com", "example.co", False),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "a.b.c.example.com", True),
        ("*.EXAMPLE.com", "Www.example.COM", True),
        ("*.example.com", "example.com", True),
        ("*.example.com", "notexample.com", False),
        ("*.example.com", "badexample.com", False),
        ("*.example.com", "example.com.evil.org", False),
        ("*.example.com", "www.example.org", False),
        ("*.example.com", "com", False),
        ("*.com", "example.com", True),
        ("a.com,b.org", "b.org", True),
        ("a.com,*.b.org", "x.b.org", True),
        ("a.com,b.org", "c.net", False),
        ("a.com", "a.com,b.org", False),
        ("a.com,b.org", "b.org,a.com", True),
    )
    for kind in (CONNECT, "network:http-outgoing"):
        _table(session, budget, "CAP-014", kind, rows)


@checks("CAP-015", facet=Facet.CAPABILITIES, kind="table")
def nothing_said_is_everything(session: Session, budget: Budget) -> None:
    """No host means every host and no port every port, each by itself."""
    rows: tuple[Row, ...] = (
        ("*:443", "a.com:443", True),
        ("*:443", "b.org:443", True),
        ("*:443", "a.com:80", False),
        ("*:443", "a.com", False),
        (":443", "a.com:443", True),
        (":443", "a.com:80", False),
        ("a.com", "a.com:1", True),
        ("a.com", "a.com:65535", True),
        ("a.com", "b.org:80", False),
        ("", "a.com:80", True),
        ("*", "a.com:80", True),
        ("*:*", "a.com:80", True),
        ("*:443", "*:443", True),
    )
    for kind in ("network:tcp-connect", "network:tcp-listen", "network:udp", "network:http-outgoing"):
        _table(session, budget, "CAP-015", kind, rows)


@checks("CAP-018", facet=Facet.CAPABILITIES, kind="table")
def both_axes(session: Session, budget: Budget) -> None:
    """A network grant covers a request when it does so in hosts and in ports; a request that says nothing asks for everything."""
    rows: tuple[Row, ...] = (
        ("api:443", "*:443", False),
        ("*:443", "api:443", True),
        ("api:443", "api", False),
        ("api:443", "", False),
        ("api", "", False),
        ("*:443", "", False),
        ("", "", True),
        ("api:443", "api:443", True),
        ("api:443", "api:80", False),
        ("api:443", "web:443", False),
        ("a.com,b.org:80,443", "b.org:443", True),
        ("a.com,b.org:80,443", "b.org:443,8080", False),
        ("a.com:80,443", "a.com,b.org:443", False),
        ("*.a.com:1-100", "x.a.com:100", True),
        ("*.a.com:1-100", "x.a.com:101", False),
    )
    for kind in (CONNECT, "network:udp"):
        _table(session, budget, "CAP-018", kind, rows)


@checks("CAP-019", facet=Facet.CAPABILITIES, kind="table")
def wildcards_and_wildcards(session: Session, budget: Budget) -> None:
    """A wildcard covers its apex, its subdomains and narrower wildcards; a host covers no wildcard."""
    rows: tuple[Row, ...] = (
        ("*.a", "a", True),
        ("*.a", "x.a", True),
        ("*.a", "*.x.a", True),
        ("*.a", "*.y.x.a", True),
        ("*.a", "*.a", True),
        ("*.x.a", "*.a", False),
        ("*.x.a", "a", False),
        ("*.a", "*.ba", False),
        ("*.a", "*.b", False),
        ("a", "*.a", False),
        ("x.a", "*.x.a", False),
        ("x.a", "*.a", False),
    )
    _table(session, budget, "CAP-019", CONNECT, rows)


@checks("CAP-020", facet=Facet.CAPABILITIES, kind="table")
def ports_are_covered_or_not(session: Session, budget: Budget) -> None:
    """Every port that is requested is granted; whether by one range or by several together is the runtime's choice, always the same."""
    rows: tuple[Row, ...] = (
        ("a.com:1-100,200-300", "a.com:50-60", True),
        ("a.com:1-100,200-300", "a.com:50-60,250", True),
        ("a.com:1-100,200-300", "a.com:50-250", False),
        ("a.com:1-100,102-200", "a.com:50-150", False),
        ("a.com:1-100", "a.com:50-101", False),
        ("a.com:200-300,1-100", "a.com:50-60", True),
        ("a.com:1-10,5-100", "a.com:50-60", True),
        ("a.com:1-100,5-10", "a.com:50-60", True),
    )
    _table(session, budget, "CAP-020", CONNECT, rows)
    split = [(f"{CONNECT}:a.com:{ports}", f"{CONNECT}:a.com:50-150") for ports in ("1-100,101-200", "101-200,1-100", "1-120,100-200")]
    found = {session.security.covers(grant, request) for grant, request in split}
    budget.expect("CAP-020", len(found) == 1, "whether several ranges cover one together", expected="always or never", found=sorted(found))


@checks("CAP-021", facet=Facet.CAPABILITIES, kind="table")
def pools_by_name(session: Session, budget: Budget) -> None:
    """An unscoped pool grant covers every pool, a scoped one only its own, and neither is read into the other."""
    rows: tuple[Row, ...] = (
        ("", "", True),
        ("", "small", True),
        ("small", "small", True),
        ("small", "large", False),
        ("small", "", False),
        ("small", "Small", False),
        ("small", "smaller", False),
        ("small", "small:x", False),
    )
    _table(session, budget, "CAP-021", "torvyn:resource-allocate", rows)
    exact = tuple(row for row in rows if row[0] and row[1])
    _table(session, budget, "CAP-021", "torvyn:pool-access", exact)


NETWORK = ("CAP-014", "CAP-015", "CAP-016", "CAP-018", "CAP-019", "CAP-020")
FIRST = (
    ("filesystem:read:/data", "filesystem:read:/data/../data/in"),
    ("filesystem:read:/../data", "filesystem:read:/data"),
    (f"{CONNECT}:*.a.com:80", f"{CONNECT}:x.a.com:80"),
    ("torvyn:resource-allocate:small", "torvyn:resource-allocate"),
)
"""Pairs that are played before any is drawn: one for each branch of the model."""


@checks("CAP-008", "CAP-012", *NETWORK, "CAP-021", facet=Facet.CAPABILITIES, kind="machine")
def coverage_as_the_model(session: Session, budget: Budget) -> None:
    """Drawn grants and requests are covered, or refused, as an independent model of the rules says."""

    def law(pair: tuple[str, ...]) -> None:
        grant, request = (read(text) for text in pair)
        for text, meaning in zip(pair, (grant, request), strict=True):
            if isinstance(meaning, str):
                refused = session.security.refusal(text) is not None
                budget.expect("CAP-012", refused, f"{text!r} is read", expected=f"refused: {meaning}", found="it is read")
        if isinstance(grant, Meaning) and isinstance(request, Meaning):
            expected = covers(grant, request)
            if expected is not None:
                _expect(session, budget, _rule(grant, request), *pair, covered=expected)
            for rule in NETWORK if KINDS[grant.kind][0] == NET else ():
                budget.touch(rule)

    for pair in FIRST:
        law(pair)
    budget.for_all(alike(2), law, max_examples=250)


def _rule(grant: Meaning, request: Meaning) -> str:
    """Return the rule that tells most about a pair."""
    narrowed_by, _ = KINDS[grant.kind]
    if narrowed_by != NET:
        return "CAP-008" if narrowed_by == PATH else "CAP-021"
    if None in {grant.hosts, request.hosts, grant.ports, request.ports}:
        return "CAP-015"
    granted, wanted = grant.hosts or frozenset(), request.hosts or frozenset()
    if any(not any(host_covers(pattern, host) for pattern in granted) for host in wanted):
        return "CAP-019" if any(host.startswith("*") for host in wanted) else "CAP-014"
    return "CAP-018" if ports_within(request.ports, grant.ports) else "CAP-016"
