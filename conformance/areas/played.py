"""What the contract promises real components in a flow: life cycle, filters, routers, aggregators, metadata (CON-003 to CON-007)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, Refused
from conformance.machines.guests import engines_of
from conformance.subjects import protocol as p
from conformance.subjects.guests import component
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session
from conformance.traces import events as e

LIFECYCLE, RENAMED = b"torvyn:streaming/lifecycle@0.1.0", b"acme:streaming-x/lifecycle@0.1.0"
"""An export, and another one of the same length: a component that exports it has no life cycle, and is the same otherwise."""

POLICIES = {"fail-fast": "Failed", "skip": "Completed", "log-and-continue": "Completed"}
"""The error policies that are tried, and how a flow ends whose middle stage fails now and then."""


def stage(name: str, role: str, what: str, config: str = "", *, bare: bool = False) -> p.GuestStage:
    """Return a stage that a component of the corpus plays; bare without its life cycle."""
    wasm = component(what)
    return p.GuestStage(name, role, wasm.replace(LIFECYCLE, RENAMED) if bare else wasm, config)


def numbers(count: int, more: str = "") -> p.GuestStage:
    """Return a source of numbered elements."""
    return stage("from", "source", "counter-source", f"count={count}{more}")


def end(name: str = "to") -> p.GuestStage:
    """Return a sink that takes everything."""
    return stage(name, "sink", "sink-ready")


def joined(*names: str) -> tuple[p.EdgeSpec, ...]:
    """Return the edges `source target` or `source:port target`."""
    found = []
    for text in names:
        source, target = text.split()
        name, _, port = source.partition(":")
        found.append(p.EdgeSpec(name, target, port or "default"))
    return tuple(found)


def _evidence(stages: Sequence[p.GuestStage], edges: Sequence[p.EdgeSpec], reply: p.FlowRunReply | None = None) -> dict[str, object]:
    shown: dict[str, object] = {
        "stages": [f"{one.name}: {one.role}, {len(one.component)} bytes, config {one.config!r}" for one in stages],
        "edges": [f"{one.source}:{one.port} -> {one.target}" for one in edges],
    }
    if reply is not None:
        shown |= {"state": reply.state, "trace": [str(event) for event in reply.trace[-40:]]}
    return shown


@dataclass(frozen=True, slots=True)
class Player:
    """One engine of a subject, which plays flows of real components."""

    session: Session
    engine: str

    def flow(self, stages: Sequence[p.GuestStage], edges: Sequence[p.EdgeSpec], *, error_policy: str = "fail-fast") -> p.FlowRunReply:
        """Run a flow."""
        return self.session.guests.flow(stages, edges, error_policy=error_policy, engine=self.engine)


def players(session: Session) -> tuple[Player, ...]:
    """Return every engine that the subject claims."""
    return tuple(Player(session, engine) for engine in engines_of(session))


def play(
    player: Player, stages: Sequence[p.GuestStage], edges: Sequence[p.EdgeSpec], *, state: str = "Completed", policy: str = "fail-fast"
) -> p.FlowRunReply:
    """Run a flow that must come to its end.

    Raises:
        Inconclusive: it does not: other rules say why.
    """
    reply = player.flow(stages, edges, error_policy=policy)
    if reply.state != state:
        raise Inconclusive(f"a flow of real components ends {reply.state}, not {state}: {_evidence(stages, edges, reply)}")
    return reply


def calls(reply: p.FlowRunReply, name: str, *functions: str) -> list[e.Called]:
    """Return the calls of a stage."""
    return [
        event for event in reply.trace if isinstance(event, e.Called) and event.stage == name and (event.fn in functions or not functions)
    ]


def answers(reply: p.FlowRunReply, name: str, function: str) -> list[e.Returned]:
    """Return a stage's answers to one function."""
    return [event for event in reply.trace if isinstance(event, e.Returned) and event.stage == name and event.fn == function]


def entered(reply: p.FlowRunReply, stream: int) -> list[e.Enqueued]:
    """Return what entered a stream."""
    return [event for event in reply.trace if isinstance(event, e.Enqueued) and event.stream == stream]


# ---- life cycle


@checks("CON-003", facet=Facet.GUESTS, kind="table", requires=("flows",))
def life_cycles_are_optional(session: Session, budget: Budget) -> None:
    """Per role a component with and one without life cycle: init once before any data and teardown once; or neither, and it works."""
    for player in players(session):
        _life_cycles_on(player, budget)


def _life_cycles_on(player: Player, budget: Budget) -> None:
    middles = {
        "processor": ("uppercase-managed", "uppercase"),
        "filter": ("number-filter", ""),
        "router": ("parity-router", ""),
        "aggregator": ("concatenator", ""),
    }
    for role, (managed, plain) in middles.items():
        for bare in (False, True):
            configs = {"router": "even=default,odd=default"} if not bare else {}
            middle = stage("through", role, plain if bare and plain else managed, configs.get(role, ""), bare=bare and not plain)
            if role == "router" and bare:  # it has no configuration to rename its ports with
                stages: tuple[p.GuestStage, ...] = (numbers(2), middle, end(), end("odd-one"))
                edges = joined("from through", "through:even to", "through:odd odd-one")
            else:
                stages, edges = (numbers(2), middle, end()), joined("from through", "through to")
            _lives(player, budget, stages, edges, {"from": True, "through": not bare, "to": True})
    for bare_source, bare_sink in ((True, False), (False, True), (True, True)):
        source = stage("from", "source", "counter-source", "" if bare_source else "count=2", bare=bare_source)
        pair = (source, stage("to", "sink", "sink-ready", bare=bare_sink))
        _lives(player, budget, pair, joined("from to"), {"from": not bare_source, "to": not bare_sink})


def _lives(
    player: Player, budget: Budget, stages: Sequence[p.GuestStage], edges: Sequence[p.EdgeSpec], managed: Mapping[str, bool]
) -> None:
    evidence = _evidence(stages, edges)
    try:
        reply = player.flow(stages, edges)
    except Refused as refused:
        budget.expect("CON-003", holds=False, message="a flow is refused", expected="it runs", found=str(refused), evidence=evidence)
        return
    evidence = _evidence(stages, edges, reply)
    budget.expect_equal("CON-003", reply.state, "Completed", "the end of a flow of components", evidence=evidence)
    data = next((at for at, event in enumerate(reply.trace) if isinstance(event, e.Called) and event.fn not in {"init", "teardown"}), 0)
    for name, has in managed.items():
        counted = Counter(call.fn for call in calls(reply, name, "init", "teardown"))
        expected = {"init": 1, "teardown": 1} if has else {}
        budget.expect_equal("CON-003", dict(counted), expected, f"the life cycle's calls of {name}", evidence=evidence)
        inits = [at for at, event in enumerate(reply.trace) if isinstance(event, e.Called) and (event.stage, event.fn) == (name, "init")]
        budget.expect("CON-003", all(at < data for at in inits), f"{name} is initialised after data has flowed", evidence=evidence)
        budget.expect("CON-003", len(calls(reply, name)) > len(inits), f"{name} is never called", evidence=evidence)


# ---- filters


def _untouched(budget: Budget, rule: str, reply: p.FlowRunReply, evidence: dict[str, object]) -> None:
    """Expect that a filter's true forwards the very element: same buffer, number and type, and no buffer is made meanwhile."""
    asked: e.Called | None = None
    made = False
    for event in reply.trace:
        if isinstance(event, e.Called) and (event.stage, event.fn) == ("through", "evaluate"):
            asked, made = event, False
        elif isinstance(event, e.BufferEvent) and event.op == "alloc":
            made = True
        elif isinstance(event, e.Enqueued) and event.stream == 1 and asked is not None:
            same = (event.buffer, event.seq, event.tag) == (asked.buffer, asked.seq, asked.tag)
            budget.expect(
                rule, same, "a filter does not forward the very element", expected=str(asked), found=str(event), evidence=evidence
            )
            budget.expect(rule, not made, "a buffer is made for an element that a filter passes", evidence=evidence)
            asked = None


@checks("CON-004", facet=Facet.GUESTS, kind="example", requires=("flows",))
def filters_forward_drop_and_fail(session: Session, budget: Budget) -> None:
    """A filter that keeps all, even, odd and no elements, then one that fails for odd ones, under three error policies."""
    for player in players(session):
        _filters_on(player, budget)


def _filters_on(player: Player, budget: Budget) -> None:
    edges = joined("from through", "through to")
    tags = [f"{number:08}" for number in range(6)]
    for keep, wanted in (("all", tags), ("even", tags[::2]), ("odd", tags[1::2]), ("none", [])):
        stages = (numbers(6), stage("through", "filter", "number-filter", f"keep={keep}"), end())
        reply = play(player, stages, edges)
        evidence = _evidence(stages, edges, reply)
        found = [(call.tag or "")[:8] for call in calls(reply, "to", "push")]
        budget.expect_equal("CON-004", found, wanted, f"what passes a filter that keeps {keep}", evidence=evidence)
        _untouched(budget, "CON-004", reply, evidence)
        types = {call.content_type for call in calls(reply, "to", "push")}
        budget.expect(
            "CON-004", types <= {"text/plain"}, "a filter changes the content type", found=sorted(map(str, types)), evidence=evidence
        )
        reported = [event for event in reply.trace if isinstance(event, (e.ErrorReported, e.Dropped))]
        budget.expect("CON-004", not reported, "what a filter drops is reported", found=list(map(str, reported)), evidence=evidence)
        made = sum(isinstance(event, e.BufferEvent) and event.op == "alloc" for event in reply.trace)
        budget.expect_equal("CON-004", (made, reply.live_buffers), (6, 0), "buffers made, and alive at the end", evidence=evidence)
        lent = {call.buffer for call in calls(reply, "through", "evaluate")}
        kept = sorted(map(str, lent - _released(reply, _first(reply, "teardown"))))
        budget.expect("CON-004", not kept, "what a filter was lent is kept until the flow is torn down", found=kept, evidence=evidence)
    for policy, state in POLICIES.items():
        stages = (numbers(4), stage("through", "filter", "picky-filter"), end())
        reply = player.flow(stages, edges, error_policy=policy)
        evidence = {**_evidence(stages, edges, reply), "policy": policy}
        budget.expect_equal("CON-004", reply.state, state, f"the end of a flow whose filter fails, under {policy}", evidence=evidence)
        passed = [(call.tag or "")[:8] for call in calls(reply, "to", "push")]
        wanted = tags[:1] if state == "Failed" else tags[:4:2]
        budget.expect_equal("CON-004", passed, wanted, f"what passes a filter that fails, under {policy}", evidence=evidence)
        told = [event.stage for event in reply.trace if isinstance(event, e.ErrorReported)]
        expected = ["through"] * (1 if state == "Failed" else 2)
        budget.expect_equal("CON-004", told, expected, f"the errors reported under {policy}", evidence=evidence)


# ---- routers


@checks("CON-005", facet=Facet.GUESTS, kind="example", requires=("flows",))
def routers_are_taken_at_their_word(session: Session, budget: Budget) -> None:
    """No port, one, two, the same one three times, and one that does not exist, under three error policies."""
    for player in players(session):
        _routers_on(player, budget)


def _routers_on(player: Player, budget: Budget) -> None:
    edges = joined("from through", "through:even evens", "through:odd odds")
    for repeat, names in ((1, "even=even,odd=odd"), (3, "even=even,odd=odd"), (1, "even=even,odd="), (0, "even=even,odd=odd")):
        stages = (numbers(12), stage("through", "router", "parity-router", f"{names},repeat={repeat}"), end("evens"), end("odds"))
        reply = play(player, stages, edges)
        evidence = _evidence(stages, edges, reply)
        odd = [number for number in range(12) if number % 2 or number % 10 == 0] if names.endswith("odd=odd") else []
        wanted = {"evens": list(range(0, 12, 2)) if repeat else [], "odds": odd if repeat else []}
        for sink, numbers_of in wanted.items():
            found = [(call.tag or "")[:8] for call in calls(reply, sink, "push")]
            budget.expect_equal(
                "CON-005",
                found,
                [f"{number:08}" for number in numbers_of],
                f"what {sink} gets, with ports named {repeat} times",
                evidence=evidence,
            )
        buffers = {call.seq: call.buffer for call in calls(reply, "through", "route")}
        for event in (*entered(reply, 1), *entered(reply, 2)):
            message = "a port gets another buffer than the router had"
            budget.expect("CON-005", event.buffer == buffers.get(event.seq), message, expected=buffers.get(event.seq), found=event.buffer)
        made = sum(isinstance(event, e.BufferEvent) and event.op == "alloc" for event in reply.trace)
        budget.expect_equal("CON-005", (made, reply.live_buffers), (12, 0), "buffers made, and alive at the end", evidence=evidence)
    for policy, state in POLICIES.items():
        stages = (numbers(2), stage("through", "router", "wrong-port"), end("evens"), end("odds"))
        try:
            reply = player.flow(stages, edges, error_policy=policy)
        except Refused:
            budget.touch("CON-005")
            continue
        evidence = {**_evidence(stages, edges, reply), "policy": policy}
        budget.expect_equal(
            "CON-005", reply.state, state, f"the end of a flow whose router names no port of it, under {policy}", evidence=evidence
        )
        told = [event.stage for event in reply.trace if isinstance(event, e.ErrorReported)]
        expected = ["through"] * (1 if state == "Failed" else 2)
        budget.expect_equal("CON-005", told, expected, f"the errors reported under {policy}", evidence=evidence)


# ---- aggregators


@checks("CON-006", facet=Facet.GUESTS, kind="example", requires=("flows",))
def aggregators_emit_at_once_and_are_flushed_once(session: Session, budget: Budget) -> None:
    """Groups of one, two and three of seven elements, with a burst at the end: when and in which order the sink gets them."""
    for player in players(session):
        _aggregators_on(player, budget)


def _aggregators_on(player: Player, budget: Budget) -> None:
    edges = joined("from through", "through to")
    for group, burst in ((3, 0), (3, 5), (2, 0), (1, 2), (10, 1)):
        stages = (numbers(7), stage("through", "aggregator", "concatenator", f"inputs={group},burst={burst}"), end())
        reply = play(player, stages, edges)
        evidence = _evidence(stages, edges, reply)
        whole, rest = divmod(7, group)
        pushed = calls(reply, "to", "push")
        firsts = [f"{number * group:08}" for number in range(whole)] + ([f"{whole * group:08}"] if rest else [])
        wanted = [*firsts, *(f"{number:08}" for number in range(burst))]
        found = [(call.tag or "")[:8] for call in pushed]
        budget.expect_equal("CON-006", found, wanted, f"what a sink gets of groups of {group} and a burst of {burst}", evidence=evidence)
        flushes = len(calls(reply, "through", "flush"))
        budget.expect_equal("CON-006", flushes, 1, "how often an aggregator is flushed", evidence=evidence)
        order = [event.fn for event in reply.trace if isinstance(event, e.Called) and event.fn in {"ingest", "flush", "complete"}]
        expected = [*["ingest"] * 7, "flush", "complete"]
        budget.expect_equal("CON-006", order, expected, "the order of an aggregator's calls and its sink's complete", evidence=evidence)
        last = max((at for at, event in enumerate(reply.trace) if event in pushed), default=-1)
        complete = next(
            (at for at, event in enumerate(reply.trace) if isinstance(event, e.Called) and event.fn == "complete"), len(reply.trace)
        )
        budget.expect("CON-006", last < complete, "an output comes after its sink was told of the end", evidence=evidence)
        _at_once(budget, reply, evidence)
        _borrowed(budget, reply, evidence)


def _first(reply: p.FlowRunReply, function: str) -> int:
    """Return where the first call of a function is in a trace; its end when there is none."""
    return next((at for at, event in enumerate(reply.trace) if isinstance(event, e.Called) and event.fn == function), len(reply.trace))


def _released(reply: p.FlowRunReply, before: int) -> set[str]:
    """Return the buffers that are released before a place in a trace."""
    return {event.buffer for event in reply.trace[:before] if isinstance(event, e.BufferEvent) and event.op == "release"}


def _at_once(budget: Budget, reply: p.FlowRunReply, evidence: dict[str, object]) -> None:
    """Expect that what an ingest emits is in its stream before the next ingest."""
    owed = 0
    for event in reply.trace:
        if isinstance(event, e.Returned) and (event.stage, event.fn, event.outcome) == ("through", "ingest", "emit"):
            owed += 1
        elif isinstance(event, e.Enqueued) and event.stream == 1:
            owed -= 1
        elif isinstance(event, e.Called) and (event.stage, event.fn) == ("through", "ingest"):
            budget.expect("CON-006", owed <= 0, "an output waits for the next input", evidence=evidence)


def _borrowed(budget: Budget, reply: p.FlowRunReply, evidence: dict[str, object]) -> None:
    """Expect that every ingested buffer is given back before the end of the flow, and before its flush."""
    lent = {call.buffer for call in calls(reply, "through", "ingest")}
    kept = sorted(map(str, lent - _released(reply, _first(reply, "flush"))))
    budget.expect("CON-006", not kept, "what an aggregator was lent is kept for it", found=kept, evidence=evidence)
    budget.expect_equal("CON-006", reply.live_buffers, 0, "the buffers alive at the end", evidence=evidence)


# ---- metadata


@checks("CON-007", facet=Facet.GUESTS, kind="example", requires=("flows",))
def the_runtime_numbers_and_the_component_types(session: Session, budget: Budget) -> None:
    """A source that claims a sequence and gives a type: the numbers are the runtime's, as are the times; the type is kept to the sink."""
    for player in players(session):
        _metadata_on(player, budget)


def _metadata_on(player: Player, budget: Budget) -> None:
    for more, kind in ((",sequence=5000,content-type=acme/odd", "acme/odd"), (",sequence=1", "text/plain"), ("", "text/plain")):
        for middle in (
            (),
            (stage("through", "processor", "uppercase-managed"),),
            (stage("through", "filter", "number-filter", "keep=all"),),
        ):
            stages = (numbers(4, more), *middle, end())
            edges = joined("from through", "through to") if middle else joined("from to")
            reply = play(player, stages, edges)
            evidence = _evidence(stages, edges, reply)
            streams = [[event.seq for event in entered(reply, number)] for number in range(len(edges))]
            given = sorted({number for stream in streams for number in stream})
            counted = list(range(len(given)))
            budget.expect_equal("CON-007", given, counted, "the numbers of elements whose source claims others", evidence=evidence)
            rising = all(stream == sorted(set(stream)) and len(stream) == 4 for stream in streams)
            budget.expect("CON-007", rising, "numbers do not rise from element to element", found=streams, evidence=evidence)
            times = [event.timestamp for event in reply.trace if isinstance(event, e.Enqueued)]
            budget.expect("CON-007", all(times), "an element has the time that its component claimed, none", found=times, evidence=evidence)
            for name in [one.name for one in stages[1:]]:
                seen = [call.content_type or "" for call in calls(reply, name, "process", "evaluate", "push")]
                if any(isinstance(event, e.Called) and event.content_type for event in reply.trace):  # the subject shows types
                    budget.expect_equal("CON-007", seen, [kind] * 4, f"the content types that {name} sees", evidence=evidence)


def _middles() -> tuple[tuple[p.GuestStage, ...], ...]:
    """Return what may stand between the source and the sink: nothing, or a component that leaves every element's type alone."""
    capitals, everything = stage("through", "processor", "uppercase-managed"), stage("through", "filter", "number-filter", "keep=all")
    return (), (capitals,), (everything,)
