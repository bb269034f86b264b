"""What a component gets of what it asks for and is granted (CAP-022 to CAP-033, CAP-036, CAP-057)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from conformance.checks import Budget, checks
from conformance.machines.grants import manifests
from conformance.models.capabilities import HOT_PATH, KINDS, PATH, POOL, Expected, read, resolve, same
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

Texts = tuple[str, ...]

EXAMPLES = {kind: f"{kind}:{'/data' if by == PATH else 'small'}" if by in {PATH, POOL} else kind for kind, (by, _) in KINDS.items()}
"""Something to try of every kind."""


def configured(session: Session, declared: Texts, granted: Texts, policy: str = "deny-all", component: str = "reader") -> p.SandboxReply:
    """Configure one component on its own."""
    session.security.open()
    return session.security.configure(component, declared, granted, policy=policy)


def _show(declared: Texts, granted: Texts, reply: p.SandboxReply) -> dict[str, object]:
    return {"declared": declared, "granted": granted, "reply": reply}


def _notes(notes: Iterable[p.CapabilityNote], *kinds: str) -> list[tuple[str, str]]:
    return sorted((note.kind, note.capability) for note in notes if not kinds or note.kind in kinds)


def may(session: Session, budget: Budget, rule: str, sandbox: int, capability: str, *, allowed: bool) -> None:
    """Expect that a component may do something, or may not."""
    reply = session.security.exercise(sandbox, capability)
    found = reply.allowed == 1 and reply.denied == 0
    words = {True: "allowed", False: "denied"}
    budget.expect(rule, found == allowed, f"an attempt at {capability}", expected=words[allowed], found=words[found], evidence=reply)


def sandbox_of(budget: Budget, rule: str, declared: Texts, granted: Texts, reply: p.SandboxReply) -> int:
    """Expect that a component was admitted, and return its sandbox."""
    found = [f"{note.kind}: {note.capability}" for note in reply.errors]
    admitted = reply.sandbox is not None and not reply.errors
    message = f"a component that declares {list(declared)} and is granted {list(granted)}"
    budget.expect(rule, admitted, message, expected="admitted", found=found or "refused", evidence=_show(declared, granted, reply))
    assert reply.sandbox is not None
    return reply.sandbox


def refused_for(budget: Budget, rule: str, declared: Texts, granted: Texts, reply: p.SandboxReply, *expected: tuple[str, str]) -> None:
    """Expect that a component was refused, for exactly these reasons."""
    found = sorted((note.kind, note.capability.lstrip("?")) for note in reply.errors)
    wanted = sorted((kind, text.lstrip("?")) for kind, text in expected)
    fine = reply.sandbox is None and not reply.effective and found == wanted
    message = f"what a component that declares {list(declared)} and is granted {list(granted)} is refused for"
    budget.expect(rule, fine, message, expected=wanted, found=found, evidence=_show(declared, granted, reply))


def _effective(budget: Budget, rule: str, declared: Texts, granted: Texts, reply: p.SandboxReply, expected: Texts) -> None:
    fine = len(reply.effective) == len(expected) and all(any(same(one, other) for other in reply.effective) for one in expected)
    message = f"what a component that declares {list(declared)} and is granted {list(granted)} has"
    budget.expect(rule, fine, message, expected=list(expected), found=list(reply.effective), evidence=_show(declared, granted, reply))


@checks("CAP-022", facet=Facet.CAPABILITIES, kind="table")
def without_grants_nothing(session: Session, budget: Budget) -> None:
    """Without a grant no kind is permitted: not when it is declared, and not when it is tried."""
    sandbox = sandbox_of(budget, "CAP-022", (), (), configured(session, (), ()))
    for capability in EXAMPLES.values():
        may(session, budget, "CAP-022", sandbox, capability, allowed=False)
    for capability in EXAMPLES.values():
        reply = configured(session, (capability,), ())
        refused_for(budget, "CAP-022", (capability,), (), reply, ("missing-required", capability))


@checks("CAP-023", facet=Facet.CAPABILITIES, kind="example")
def nothing_asked_nothing_needed(session: Session, budget: Budget) -> None:
    """A component that declares nothing and is granted nothing is admitted, with nothing, under both policies."""
    for policy in ("deny-all", "allow-all"):
        reply = configured(session, (), (), policy)
        sandbox_of(budget, "CAP-023", (), (), reply)
        _effective(budget, "CAP-023", (), (), reply, ())
        budget.expect_equal("CAP-023", reply.warnings, (), "the warnings")


@checks("CAP-024", facet=Facet.CAPABILITIES, kind="table")
def two_ways_to_be_missing(session: Session, budget: Budget) -> None:
    """A required capability without any grant of its kind is one error, without one that covers it another; both are fatal."""
    for declared, granted, kind in (
        ("clock:wall", (), "missing-required"),
        ("clock:wall", ("clock:monotonic",), "missing-required"),
        ("filesystem:write:/data", ("filesystem:read:/data",), "missing-required"),
        ("filesystem:read:/data", ("filesystem:read:/srv",), "incompatible-scope"),
        ("filesystem:read:/data", ("filesystem:read:/data/in",), "incompatible-scope"),
        ("network:udp:a.com:53", ("network:udp:a.com:80", "clock:wall"), "incompatible-scope"),
        ("network:udp", ("network:tcp-connect",), "missing-required"),
        ("torvyn:pool-access:small", ("torvyn:pool-access:large",), "incompatible-scope"),
        ("torvyn:resource-allocate", ("torvyn:resource-allocate:small",), "incompatible-scope"),
    ):
        reply = configured(session, (declared,), granted)
        refused_for(budget, "CAP-024", (declared,), granted, reply, (kind, declared))


@checks("CAP-025", facet=Facet.CAPABILITIES, kind="table")
def all_that_is_missing(session: Session, budget: Budget) -> None:
    """Every missing capability is reported, whatever its place; one is enough for nothing to be given."""
    missing = ("clock:wall", "stdio:stdout", "filesystem:read:/data")
    for declared, granted, absent in (
        (missing, (), missing),
        (missing, ("stdio:stdout",), ("clock:wall", "filesystem:read:/data")),
        (("random:crypto", *missing, "environment:read"), ("random:crypto", "environment:read"), missing),
        ((*missing, "?stdio:stderr"), ("clock:wall",), ("stdio:stdout", "filesystem:read:/data")),
    ):
        reply = configured(session, declared, granted)
        refused_for(budget, "CAP-025", declared, granted, reply, *(("missing-required", text) for text in absent))
    both, other = ("filesystem:read:/data", "clock:wall"), ("filesystem:read:/srv",)
    expected = (("incompatible-scope", "filesystem:read:/data"), ("missing-required", "clock:wall"))
    refused_for(budget, "CAP-025", both, other, configured(session, both, other), *expected)


@checks("CAP-026", facet=Facet.CAPABILITIES, kind="table")
def optional_is_optional(session: Session, budget: Budget) -> None:
    """An optional capability that is not granted, or not whole, is a warning; the component runs without it."""
    for declared, granted, effective in (
        (("?stdio:stderr",), (), ()),
        (("?stdio:stderr", "clock:wall"), ("clock:wall",), ("clock:wall",)),
        (("?stdio:stderr",), ("stdio:stderr",), ("stdio:stderr",)),
        (("?filesystem:read:/data",), ("filesystem:read:/data/in",), ()),
    ):
        reply = configured(session, declared, granted)
        sandbox = sandbox_of(budget, "CAP-026", declared, granted, reply)
        _effective(budget, "CAP-026", declared, granted, reply, effective)
        absent = [text.removeprefix("?") for text in declared if text.removeprefix("?") not in effective]
        expected = sorted(("optional-not-granted", text) for text in absent)
        found = _notes(reply.warnings, "optional-not-granted")
        budget.expect_equal(
            "CAP-026", found, expected, "the warnings about optional capabilities", evidence=_show(declared, granted, reply)
        )
        for text in absent:
            may(session, budget, "CAP-026", sandbox, text, allowed=False)


@checks("CAP-027", facet=Facet.CAPABILITIES, kind="table")
def grants_alone_give_nothing(session: Session, budget: Budget) -> None:
    """A grant that no declaration matches is a warning, and does not reach the component."""
    for declared, granted, idle in (
        ((), ("stdio:stdout",), ("stdio:stdout",)),
        (("clock:wall",), ("clock:wall", "clock:monotonic"), ("clock:monotonic",)),
        ((), ("network:tcp-connect", "filesystem:write:/"), ("network:tcp-connect", "filesystem:write:/")),
        (("?filesystem:read:/data",), ("filesystem:read:/data/in",), ("filesystem:read:/data/in",)),
    ):
        reply = configured(session, declared, granted)
        sandbox = sandbox_of(budget, "CAP-027", declared, granted, reply)
        found = _notes(reply.warnings, "unused-grant")
        expected = sorted(("unused-grant", text) for text in idle)
        budget.expect_equal("CAP-027", found, expected, "the warnings about unused grants", evidence=_show(declared, granted, reply))
        for text in idle:
            may(session, budget, "CAP-027", sandbox, text, allowed=False)


@checks("CAP-028", facet=Facet.CAPABILITIES, kind="table")
def as_asked_not_as_granted(session: Session, budget: Budget) -> None:
    """A component that asks for less than it is granted has what it asked for."""
    for declared, granted, inside, outside in (
        ("filesystem:read:/data/in", "filesystem:read:/data", "filesystem:read:/data/in/a", "filesystem:read:/data/out"),
        ("filesystem:write:/data/in", "filesystem:write:/", "filesystem:write:/data/in", "filesystem:write:/data"),
        ("network:tcp-connect:a.com:443", "network:tcp-connect", "network:tcp-connect:a.com:443", "network:tcp-connect:b.org:443"),
        ("network:tcp-connect:a.com:443", "network:tcp-connect:a.com", "network:tcp-connect:a.com:443", "network:tcp-connect:a.com:22"),
        ("network:udp:*:53", "network:udp", "network:udp:a.com:53", "network:udp:a.com:54"),
        ("torvyn:resource-allocate:small", "torvyn:resource-allocate", "torvyn:resource-allocate:small", "torvyn:resource-allocate:large"),
    ):
        reply = configured(session, (declared,), (granted,))
        sandbox = sandbox_of(budget, "CAP-028", (declared,), (granted,), reply)
        _effective(budget, "CAP-028", (declared,), (granted,), reply, (declared,))
        may(session, budget, "CAP-028", sandbox, inside, allowed=True)
        may(session, budget, "CAP-028", sandbox, outside, allowed=False)


@checks("CAP-028", facet=Facet.CAPABILITIES, kind="example")
def each_request_by_itself(session: Session, budget: Budget) -> None:
    """Several requests of one kind are answered one by one, each with its own scope and from the grant that covers it."""
    declared = ("filesystem:read:/data/in", "?filesystem:read:/srv/x", "filesystem:read:/data/out", "filesystem:read:/etc/a")
    granted = ("filesystem:read:/etc", "filesystem:read:/data", "clock:wall")
    reply = configured(session, declared, granted)
    sandbox = sandbox_of(budget, "CAP-028", declared, granted, reply)
    inside = ("filesystem:read:/data/in", "filesystem:read:/data/out", "filesystem:read:/etc/a")
    _effective(budget, "CAP-028", declared, granted, reply, inside)
    for text in inside:
        may(session, budget, "CAP-028", sandbox, f"{text}/b", allowed=True)
    for text in ("filesystem:read:/data", "filesystem:read:/data/other", "filesystem:read:/etc", "filesystem:read:/srv/x"):
        may(session, budget, "CAP-028", sandbox, text, allowed=False)


@checks("CAP-029", facet=Facet.CAPABILITIES, kind="table")
def the_first_that_covers(session: Session, budget: Budget) -> None:
    """Of several grants that cover a request the first counts as used, and the others as unused."""
    for declared, granted, used in (
        ("stdio:stdout", ("stdio:stdout", "stdio:stdout"), 0),
        ("filesystem:read:/data/in", ("filesystem:read:/data", "filesystem:read:/data/in", "filesystem:read:/"), 0),
        ("filesystem:read:/data/in", ("filesystem:read:/srv", "filesystem:read:/", "filesystem:read:/data"), 1),
        ("network:udp:a.com:53", ("network:udp:a.com:80", "network:udp:*:53", "network:udp"), 1),
    ):
        reply = configured(session, (declared,), granted)
        sandbox_of(budget, "CAP-029", (declared,), granted, reply)
        idle = sorted(("unused-grant", text) for at, text in enumerate(granted) if at != used)
        found = _notes(reply.warnings, "unused-grant")
        evidence = _show((declared,), granted, reply)
        budget.expect_equal("CAP-029", found, idle, "the grants that count as unused", evidence=evidence)
        sources = [event.details.get("granted") for event in reply.events if event.kind == "CapabilityGrantResolved"]
        budget.expect_equal("CAP-029", sources, [granted[used]], "the grant that counts as used", evidence=evidence)
    both = ("filesystem:read:/data/in", "filesystem:read:/srv/x")
    two = ("filesystem:read:/srv", "filesystem:read:/data")
    reply = configured(session, both, two)
    pairs = sorted(
        (str(event.details.get("effective")), str(event.details.get("granted")))
        for event in reply.events
        if event.kind == "CapabilityGrantResolved"
    )
    expected = sorted(zip(both, reversed(two), strict=True))
    budget.expect_equal("CAP-029", pairs, expected, "the grants used by two requests of a kind", evidence=_show(both, two, reply))


@checks("CAP-030", facet=Facet.CAPABILITIES, kind="table")
def grants_do_not_add_up(session: Session, budget: Budget) -> None:
    """What several grants cover only together is not covered."""
    for declared, granted in (
        ("network:tcp-connect:a.com,b.org", ("network:tcp-connect:a.com", "network:tcp-connect:b.org")),
        ("network:tcp-connect:a.com:80,443", ("network:tcp-connect:a.com:80", "network:tcp-connect:a.com:443")),
        ("network:tcp-connect:a.com:1-100", ("network:tcp-connect:a.com:1-50", "network:tcp-connect:a.com:51-100")),
        ("network:tcp-connect:a.com:443", ("network:tcp-connect:a.com:80", "network:tcp-connect:b.org:443")),
        ("filesystem:read:/data", ("filesystem:read:/data/a", "filesystem:read:/data/b")),
        ("torvyn:resource-allocate", ("torvyn:resource-allocate:small", "torvyn:resource-allocate:large")),
    ):
        reply = configured(session, (declared,), granted)
        refused_for(budget, "CAP-030", (declared,), granted, reply, ("incompatible-scope", declared))


@checks("CAP-031", facet=Facet.CAPABILITIES, kind="table")
def question_marks(session: Session, budget: Budget) -> None:
    """A leading question mark makes a declaration optional, one mark and in front only; every bad string is reported."""
    reply = configured(session, ("?stdio:stderr", "clock:wall"), ())
    refused_for(budget, "CAP-031", ("?stdio:stderr", "clock:wall"), (), reply, ("missing-required", "clock:wall"))
    reply = configured(session, ("?stdio:stderr", "clock:wall"), ("clock:wall",))
    sandbox_of(budget, "CAP-031", ("?stdio:stderr", "clock:wall"), ("clock:wall",), reply)
    for bad in (
        ("nocolon", "magic:x", "filesystem:read"),
        ("?nocolon", "?magic:x"),
        ("??stdio:stderr", "? clock:wall", "clock:wall?"),
        ("stdio:stderr", "Clock:Wall", "stdio:stdout", "?network:udp:a.com:99999"),
    ):
        good = tuple(text for text in bad if not isinstance(read(text.removeprefix("?")), str))
        reply = configured(session, bad, good)
        expected = [(str(kind), text.removeprefix("?")) for text in bad if isinstance(kind := read(text.removeprefix("?")), str)]
        refused_for(budget, "CAP-031", bad, good, reply, *expected)


@checks("CAP-032", facet=Facet.CAPABILITIES, kind="table")
def required_wins(session: Session, budget: Budget) -> None:
    """What is declared as required and as optional is required, in either order, and worth a warning."""
    for declared in (("clock:wall", "?clock:wall"), ("?clock:wall", "clock:wall"), ("?filesystem:read:/data", "filesystem:read:/data/")):
        required = declared[-1].removeprefix("?")
        reply = configured(session, declared, ())
        found = [(note.kind, same(note.capability, required)) for note in reply.errors]
        budget.expect_equal(
            "CAP-032", found, [("missing-required", True)], f"the errors of {list(declared)}", evidence=_show(declared, (), reply)
        )
        reply = configured(session, declared, (required,))
        sandbox_of(budget, "CAP-032", declared, (required,), reply)
        warned = any(note.kind == "declared-twice" and same(note.capability, required) for note in reply.warnings)
        budget.expect("CAP-032", warned, f"the warnings of {list(declared)}", expected="declared-twice", found=_notes(reply.warnings))


@checks("CAP-033", facet=Facet.CAPABILITIES, kind="example")
def decided_once(session: Session, budget: Budget) -> None:
    """What a component has stays as it was decided, whatever is granted to others, or to itself in another life."""
    security = session.security
    security.open()
    first = security.configure("reader", ("clock:wall",), ("clock:wall",))
    sandbox = sandbox_of(budget, "CAP-033", ("clock:wall",), ("clock:wall",), first)
    wide: Texts = ("stdio:stdout", "filesystem:read:/data", "torvyn:custom-metrics")
    for component, flow in (("writer", "main"), ("reader", "main"), ("reader", "other")):
        other = security.configure(component, wide, wide, flow=flow)
        number = sandbox_of(budget, "CAP-033", wide, wide, other)
        for capability in wide:
            may(session, budget, "CAP-033", number, capability, allowed=True)
            may(session, budget, "CAP-033", sandbox, capability, allowed=False)
        may(session, budget, "CAP-033", number, "clock:wall", allowed=False)
        security.configure("reader", ("random:crypto",), ())
        may(session, budget, "CAP-033", sandbox, "clock:wall", allowed=True)
        now = security.query(sandbox).effective
        budget.expect_equal("CAP-033", now, first.effective, f"what a running component has after {component} was configured")


@checks("CAP-036", facet=Facet.CAPABILITIES, kind="table")
def four_booleans(session: Session, budget: Budget) -> None:
    """Each of the four hot-path permissions is off, and on with its own grant alone."""
    for held in (None, *HOT_PATH):
        granted: Texts = () if held is None else (held,)
        sandbox = sandbox_of(budget, "CAP-036", granted, granted, configured(session, granted, granted))
        for kind in HOT_PATH:
            may(session, budget, "CAP-036", sandbox, kind, allowed=kind == held)


@checks("CAP-057", facet=Facet.CAPABILITIES, kind="table")
def allow_all_allows_what_was_declared(session: Session, budget: Budget) -> None:
    """Under allow-all a component has what it declares, as it declares it, and nothing else; each is a Warning in the audit log."""
    for declared, granted in (
        (("clock:wall", "filesystem:read:/data"), ()),
        (("clock:wall", "?stdio:stderr"), ("clock:wall",)),
        (("network:udp:a.com:53",), ("network:udp:a.com:80", "stdio:stdout")),
    ):
        reply = configured(session, declared, granted, "allow-all")
        sandbox = sandbox_of(budget, "CAP-057", declared, granted, reply)
        asked = tuple(text.removeprefix("?") for text in declared)
        _effective(budget, "CAP-057", declared, granted, reply, asked)
        allowed = [text for text in asked if text not in granted]
        warnings = [event for event in reply.events if event.severity == "Warning"]
        told = [text for text in allowed if any(text in str(event.details) for event in warnings)]
        evidence = _show(declared, granted, reply)
        one_for_all = any(event.component == "reader" for event in warnings)
        budget.expect("CAP-057", told == allowed or one_for_all, "the Warning events", expected=allowed, found=told, evidence=evidence)
        for text in asked:
            may(session, budget, "CAP-057", sandbox, text, allowed=True)
        for text in ("environment:read", "stdio:stdout", "filesystem:read:/", "filesystem:write:/data", "network:udp:a.com:80"):
            may(session, budget, "CAP-057", sandbox, text, allowed=False)


DRAWN = ("CAP-024", "CAP-025", "CAP-026", "CAP-027", "CAP-028", "CAP-029", "CAP-030")


@checks(*DRAWN, facet=Facet.CAPABILITIES, kind="machine")
def resolution_as_the_model(session: Session, budget: Budget) -> None:
    """Drawn manifests and grants come to what an independent model of the rules makes of them."""

    def law(drawn: tuple[Texts, Texts]) -> None:
        declared, granted = drawn
        expected = resolve(declared, granted)
        if expected is not None:
            _compare(budget, declared, granted, configured(session, declared, granted), expected)

    law((("clock:wall", "?stdio:stderr", "filesystem:read:/data/in"), ("clock:wall", "filesystem:read:/data", "filesystem:read:/")))
    law((("clock:wall", "filesystem:read:/data", "stdio:stdout"), ("filesystem:read:/data/in", "filesystem:read:/data/out")))
    budget.for_all(manifests(), law, max_examples=120)


def _compare(budget: Budget, declared: Texts, granted: Texts, reply: p.SandboxReply, expected: Expected) -> None:
    """Compare with the model, question by question; each belongs to another rule."""
    evidence = _show(declared, granted, reply)

    def ask(rule: str, found: object, wanted: object, what: str) -> None:
        budget.expect_equal(rule, found, wanted, f"{what} of {list(declared)} granted {list(granted)}", evidence=evidence)

    found_errors = Counter((note.kind, _meaning(note.capability)) for note in reply.errors)
    ask("CAP-024", reply.sandbox is None, bool(expected.errors), "the refusal")
    ask("CAP-025", found_errors, Counter((kind, _meaning(text)) for kind, text in expected.errors), "the errors")
    budget.touch("CAP-030")
    if expected.errors:
        ask("CAP-025", reply.effective, (), "what is given in spite of errors")
        return
    found = Counter((note.kind, _meaning(note.capability)) for note in reply.warnings)
    wanted = Counter((kind, _meaning(text)) for kind, text in expected.warnings)
    ask("CAP-028", sorted(map(_meaning, reply.effective)), sorted(map(_meaning, expected.effective)), "what is given")
    for rule, kind in (("CAP-026", "optional-not-granted"), ("CAP-027", "unused-grant")):
        of_kind = [{key: times for key, times in some.items() if key[0] == kind} for some in (found, wanted)]
        ask(rule, of_kind[0], of_kind[1], f"the warnings {kind}")
    sources = sorted(
        (_meaning(str(event.details.get("effective"))), _meaning(str(event.details.get("granted"))))
        for event in reply.events
        if event.kind == "CapabilityGrantResolved"
    )
    ask("CAP-029", sources, sorted((_meaning(text), _meaning(grant)) for text, grant in expected.granted_by), "the grants used")


def _meaning(text: str) -> str:
    """Return what is the same for texts that mean the same."""
    meaning = read(text)
    return text if meaning is None or isinstance(meaning, str) else repr(meaning.key)
