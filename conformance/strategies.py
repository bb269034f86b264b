"""Hypothesis strategies for whole flows: topologies, scripts, schedules, commands.

Every flow drawn here is valid: it has sources and sinks, every stage can be reached, every stage leads somewhere, and nothing is wired
twice. A user's own suite may draw from these strategies as well as ours does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import strategies as st
from msgspec.structs import replace as with_

from conformance.subjects.protocol import Answer, Command, EdgeSpec, FlowSettings, FlowSpec, Schedule, Script, StageSpec

RATIOS = (0.0, 0.25, 0.5, 0.75)
"""Low-mark ratios that a double holds exactly (WMK-004)."""
KINDS = ("invalid-input", "unavailable", "internal", "deadline-exceeded", "fatal")
LOSING = ("drop-oldest", "drop-newest", "error")
MIDDLE = ("processor", "filter", "router", "aggregator")
SCHEDULES = ("consumer-first", "producer-first", "scripted")
PORTS = ("a", "b")
NO_PORT = "nope"
"""A port that no router has."""
PRIORITIES = ("critical", "high", "normal", "low", "background")
OPTIONAL = ("circuit_breaker", "independent_per_branch", "rate_limit")
"""Capabilities of the facet flows for what a runtime need not have."""
RATES = (1000.0, 1.5, 1e6)
"""Elements per second: one each millisecond, one that divides no second, one that hardly limits."""
CONTENT_TYPES = ("", "text/plain", "application/json", "x/ü")

EMIT, DROP, END, READY, PAUSE = (Answer(do) for do in ("emit", "drop", "end", "ready", "pause"))
PASS, REJECT = Answer("pass"), Answer("reject")


@dataclass(frozen=True, slots=True)
class Variety:
    """What a drawn flow may contain.

    Attributes:
        middle: roles between sources and sinks; empty for source to sink.
        most_middle, most_sources, most_sinks: how many stages there can be.
        elements: the most that a source emits.
        capacities: of streams.
        losing: streams may have a policy other than Block.
        failing: components may fail or trap, and error policies vary.
        pausing: sinks may answer `pause`.
        cancelling: an operator may cancel.
        lying: components claim sequence numbers of their own.
        typed: components give their elements content types.
        timed: calls take time.
        priorities: flows have priorities, and mostly no batch size of their own.
        schedules: who runs next.
        optional: flows may use what a runtime need not have: streams with a rate limit, independent branches, circuit breakers.
    """

    middle: tuple[str, ...] = MIDDLE
    most_middle: int = 3
    most_sources: int = 2
    most_sinks: int = 2
    elements: int = 6
    capacities: tuple[int, ...] = (1, 2, 3, 4)
    losing: bool = True
    failing: bool = True
    pausing: bool = True
    cancelling: bool = True
    lying: bool = False
    typed: bool = False
    timed: bool = False
    priorities: bool = False
    schedules: tuple[str, ...] = SCHEDULES
    optional: bool = True


ANYTHING = Variety()
ORDERLY = replace(ANYTHING, failing=False, cancelling=False)
"""Flows that run to their natural end."""
LOSSLESS = replace(ORDERLY, losing=False)
"""Flows in which nothing is ever lost."""


@st.composite
def flows(draw: st.DrawFn, variety: Variety = ANYTHING) -> FlowSpec:
    """Draw a valid flow."""
    sources = [f"s{i}" for i in range(draw(st.integers(1, variety.most_sources)))]
    sinks = [f"k{i}" for i in range(draw(st.integers(1, variety.most_sinks)))]
    roles = draw(st.lists(st.sampled_from(variety.middle), max_size=variety.most_middle)) if variety.middle else []
    middle = [f"m{i}" for i in range(len(roles))]
    role_of = dict.fromkeys(sources, "source") | dict(zip(middle, roles, strict=True)) | dict.fromkeys(sinks, "sink")
    edges = _edges(draw, variety, sources, middle, sinks, role_of)
    policy = draw(st.sampled_from(("fail-fast", "skip", "retry", "log-and-continue"))) if variety.failing else "fail-fast"
    stages = []
    for name, role in role_of.items():
        ports = tuple(dict.fromkeys(edge.port for edge in edges if edge.source == name))
        stages.append(StageSpec(name, role, _script(draw, variety, role, ports)))
    settings = FlowSettings(
        elements_per_yield=draw(st.sampled_from((None, None, None, 4) if variety.priorities else (32, 1, 4))),
        priority=draw(st.sampled_from(PRIORITIES)) if variety.priorities else "normal",
        error_policy=policy,
        max_retries=draw(st.integers(0, 2)) if policy == "retry" else 0,
        drain_timeout_ms=draw(st.sampled_from((5000, 0))) if variety.cancelling else 5000,
    )
    if variety.optional:
        edges, settings = _optional(draw, edges, settings)
    commands = (Command(draw(st.integers(0, 24))),) if variety.cancelling and draw(st.booleans()) else ()
    return FlowSpec(tuple(stages), tuple(edges), _schedule(draw, variety), settings, commands, max_calls=4000)


def _edges(
    draw: st.DrawFn, variety: Variety, sources: Sequence[str], middle: Sequence[str], sinks: Sequence[str], role_of: dict[str, str]
) -> list[EdgeSpec]:
    """Draw who feeds whom: every stage from a non-empty set of earlier ones; who is left without an output gets a sink."""
    pairs: list[tuple[str, str]] = []
    earlier = list(sources)
    for name in (*middle, *sinks):
        mask = draw(st.integers(1, 2 ** len(earlier) - 1))
        pairs += [(source, name) for i, source in enumerate(earlier) if mask >> i & 1]
        if name not in sinks:
            earlier.append(name)
    feeding = {source for source, _ in pairs}
    pairs += [(name, draw(st.sampled_from(sinks))) for name in earlier if name not in feeding]
    edges = []
    for source, target in pairs:
        port = draw(st.sampled_from(PORTS)) if role_of[source] == "router" else "default"
        loses = variety.losing and draw(st.integers(0, 3)) == 3
        edges.append(
            EdgeSpec(
                source,
                target,
                port,
                capacity=draw(st.sampled_from(variety.capacities)),
                low_watermark_ratio=draw(st.sampled_from(RATIOS)),
                policy=draw(st.sampled_from(LOSING)) if loses else "block-producer",
            )
        )
    return edges


def _optional(draw: st.DrawFn, edges: list[EdgeSpec], settings: FlowSettings) -> tuple[list[EdgeSpec], FlowSettings]:
    """Let streams limit their rate, branches go their own ways, and circuits open; the simplest flow has none of it."""
    chosen = [feature for feature in OPTIONAL if draw(st.integers(0, 3)) == 3]
    if "rate_limit" in chosen:
        limited = draw(st.lists(st.sampled_from((0.0, *RATES)), min_size=len(edges), max_size=len(edges)))
        pairs = zip(edges, limited, strict=True)
        edges = [with_(edge, policy="rate-limit", rate_per_s=rate) if rate else edge for edge, rate in pairs]
    if "independent_per_branch" in chosen:
        settings = with_(settings, fan_out="independent-per-branch")
    if "circuit_breaker" in chosen:
        threshold, cooldown = draw(st.integers(1, 3)), draw(st.sampled_from((1, 10)))
        settings = with_(settings, breaker_threshold=threshold, breaker_cooldown_ms=cooldown)
    return edges, settings


def _script(draw: st.DrawFn, variety: Variety, role: str, ports: tuple[str, ...]) -> Script:
    usual, then = _usual(role, ports)
    unusual = [Answer("error", kind=kind) for kind in KINDS] + [Answer("trap")] if variety.failing else []
    if variety.failing and role == "router":
        unusual.append(Answer("route", ports=(*ports[:1], NO_PORT)))
    lie = 777 if variety.lying else 0
    answers: list[Answer] = []
    if role == "source":
        for _ in range(draw(st.integers(0, variety.elements))):
            odd = unusual and draw(st.integers(0, 15)) == 15
            answers.append(draw(st.sampled_from(unusual)) if odd else EMIT)
    else:
        for _ in range(draw(st.integers(0, 4))):
            odd = unusual and draw(st.integers(0, 7)) == 7
            answers.append(draw(st.sampled_from(unusual if odd else usual)))
        if not variety.pausing:
            answers = [READY if answer is PAUSE else answer for answer in answers]
    answers = [_flavoured(draw, variety, answer) for answer in answers]
    if lie:
        answers = [_lying(answer, lie + i) for i, answer in enumerate(answers)]
        then = _lying(then, lie)
    flush = Answer("emit", count=draw(st.integers(0, 3)), claims_sequence=lie) if role == "aggregator" else EMIT
    lifecycle = draw(st.integers(0, 3)) == 3
    return Script(tuple(answers), then, lifecycle=lifecycle, flush=flush)


def _usual(role: str, ports: tuple[str, ...]) -> tuple[list[Answer], Answer]:
    """Return the answers that a component of a role gives in ordinary life, and its last one."""
    match role:
        case "source":
            return [EMIT], END
        case "processor":
            return [EMIT, DROP], EMIT
        case "filter":
            return [PASS, REJECT], PASS
        case "router":
            everywhere = Answer("route", ports=ports)
            return [everywhere, Answer("route", ports=ports[:1]), Answer("route"), Answer("route", ports=ports[-1:] * 2)], everywhere
        case "aggregator":
            return [DROP, EMIT], DROP
        case _:
            return [READY, PAUSE], READY


def _flavoured(draw: st.DrawFn, variety: Variety, answer: Answer) -> Answer:
    """Let an answer take time, and give an element a content type, where flows may have that."""
    if variety.timed:
        answer = with_(answer, spends_ns=draw(st.sampled_from((0, 0, 1, 1000, 2_000_000))))
    if variety.typed and answer.do == "emit":
        answer = with_(answer, content_type=draw(st.sampled_from(CONTENT_TYPES)))
    return answer


def _lying(answer: Answer, claim: int) -> Answer:
    if answer.do != "emit":
        return answer
    return with_(answer, claims_sequence=claim)


def _schedule(draw: st.DrawFn, variety: Variety) -> Schedule:
    policy = draw(st.sampled_from(variety.schedules))
    if policy != "scripted":
        return Schedule(policy)
    return Schedule(policy, tuple(draw(st.lists(st.integers(0, 5), max_size=24))))


def line(
    *roles: str,
    elements: int = 3,
    capacity: int = 4,
    ratio: float = 0.5,
    policy: str = "block-producer",
    schedule: str = "consumer-first",
    scripts: dict[str, Script] | None = None,
    settings: FlowSettings | None = None,
    commands: tuple[Command, ...] = (),
) -> FlowSpec:
    """Return a straight flow: source, the given roles, sink, all streams alike. Stages are named by role, numbered from the second on."""
    names: list[tuple[str, str]] = []
    for role in ("source", *roles, "sink"):
        count = sum(other == role for _, other in names)
        names.append((role if not count else f"{role}{count + 1}", role))
    given = {"source": Script((EMIT,) * elements, END)} | (scripts or {})
    stages = tuple(StageSpec(name, role, given.get(name, _usual_script(role))) for name, role in names)
    edges = tuple(
        EdgeSpec(source, target, "a" if role == "router" else "default", capacity, ratio, policy)
        for (source, role), (target, _) in pairwise(names)
    )
    return FlowSpec(stages, edges, Schedule(schedule), settings or FlowSettings(), commands, max_calls=4000)


def _usual_script(role: str) -> Script:
    return Script((), _usual(role, ("a",))[1])


def fan_out(
    branches: int = 2,
    *,
    elements: int = 3,
    capacity: int = 2,
    policies: Sequence[str] = (),
    sinks: Sequence[Script] = (),
    schedule: str = "consumer-first",
) -> FlowSpec:
    """Return a source that broadcasts to several sinks."""
    names = [f"sink{i}" for i in range(branches)]
    scripts = [*sinks, *[Script((), READY)] * branches][:branches]
    kinds = [*policies, *["block-producer"] * branches][:branches]
    stages = [StageSpec("source", "source", Script((EMIT,) * elements, END))]
    stages += [StageSpec(name, "sink", script) for name, script in zip(names, scripts, strict=True)]
    edges = tuple(EdgeSpec("source", name, capacity=capacity, policy=kind) for name, kind in zip(names, kinds, strict=True))
    return FlowSpec(tuple(stages), edges, Schedule(schedule), max_calls=4000)


def fan_in(*, elements: Sequence[int] = (3, 3), role: str = "processor", capacity: int = 2, schedule: str = "consumer-first") -> FlowSpec:
    """Return several sources into one stage, and a sink behind it."""
    names = [f"source{i}" for i in range(len(elements))]
    stages = [StageSpec(name, "source", Script((EMIT,) * count, END)) for name, count in zip(names, elements, strict=True)]
    stages += [StageSpec("middle", role, _usual_script(role)), StageSpec("sink", "sink", Script((), READY))]
    port = "a" if role == "router" else "default"
    edges = (*(EdgeSpec(name, "middle", capacity=capacity) for name in names), EdgeSpec("middle", "sink", port, capacity=capacity))
    return FlowSpec(tuple(stages), edges, Schedule(schedule), max_calls=4000)


# ---------------------------------------------------------------- resource managers

OWNERS = ("host", "component-1", "component-2", "component-3")
TIER_BYTES = (256, 4096, 65_536, 1_048_576)
LARGEST_BYTES = 16 * 1024 * 1024
CORNERS = (0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
"""Where 64-bit numbers are signed, cut or wrapped by mistake."""


def owners() -> st.SearchStrategy[str]:
    """Draw the host or one of three components."""
    return st.sampled_from(OWNERS)


def capacities(*, largest: int = LARGEST_BYTES) -> st.SearchStrategy[int]:
    """Draw a request in bytes: mostly at the edges of the tiers and of the largest buffer, never above `largest`."""
    edges = (0, 1, *(size + delta for size in (*TIER_BYTES, LARGEST_BYTES) for delta in (-1, 0, 1)))
    return st.sampled_from([size for size in edges if size <= largest]) | st.integers(0, largest)


def u64s() -> st.SearchStrategy[int]:
    """Draw an unsigned 64-bit number, often one at a corner."""
    return st.sampled_from(CORNERS) | st.integers(0, 2**64 - 1)


def resource_stories(*, most: int = 20) -> st.SearchStrategy[list[dict[str, object]]]:
    """Draw a list of operations on a resource manager, as data.

    Each is a dictionary with the operation's name under `op` (a tag of the protocol without `resources.`); buffers are named `b0`, `b1`
    and so on in the order of their allocations, and whoever plays the story skips what names a buffer that does not exist. Where no
    `caller` is given, the buffer's owner calls.
    """
    handles = st.integers(0, 7).map("b{}".format)

    def on(op: str, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
        return st.fixed_dictionaries({"op": st.just(op), "handle": handles, **fields})

    allocations = st.fixed_dictionaries(
        {
            "op": st.just("allocate"),
            "owner": owners(),
            "capacity": st.sampled_from((0, 100, 256, 257, 4096, 5000)),
            "flow": st.integers(1, 2),
        }
    )
    texts = st.text(alphabet="abc", max_size=5)
    return st.lists(
        st.one_of(
            allocations,
            allocations,
            on("release"),
            on("transfer", target=owners()),
            on("borrow", borrower=owners()),
            on("end-borrow", borrower=owners()),
            on("write", offset=st.integers(0, 8), text=texts),
            on("read", offset=u64s(), length=u64s()),
            on("freeze"),
            on("set-content-type"),
            st.fixed_dictionaries({"op": st.just("force-reclaim"), "component": st.sampled_from(OWNERS[1:])}),
            st.fixed_dictionaries({"op": st.just("release-flow"), "flow": st.integers(1, 2)}),
        ),
        max_size=most,
    )
