"""What a trail shows: every law looks at one, and says what it finds suspicious. None of them knows how the trail came about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from statistics import median

from conformance.components.diagnose import diagnose
from conformance.components.model import LENT, Event, Level, Suspicion, Target, Trail

GROWING = 24
"""Equal calls after which what grows with each of them is called a leak."""

BRIM = 0.9
"""The part of its budget that no component should keep between calls."""

LONG = 192
"""Equal calls after which the cost of a call can be said to grow."""

WINDOW = 16
FASTER = 1.3
"""How much dearer the later of two windows, as far apart as the earlier is from the start, must be."""

PAGE = 64 * 1024

Law = Callable[[Trail, Target], Iterator[Suspicion]]


def traps(trail: Trail, _target: Target) -> Iterator[Suspicion]:
    """A call ends with an answer."""
    if trail.trapped is not None:
        yield diagnose(trail, trail.trapped)


def accepts_its_configuration(trail: Trail, target: Target) -> Iterator[Suspicion]:
    """A component accepts the configuration that its own manifest or user gives it."""
    event = trail.refused_init
    if event is not None and target.config is not None and event.step.text == target.config:
        message = f"it refuses the configuration that it is given ({event.answer.kind}): the flow ends before its first element"
        yield Suspicion(
            "FLOW-018",
            "refuses-its-configuration",
            message,
            trail.up_to(event),
            expected="ok",
            found=f"{event.answer.kind}: {event.answer.message}",
            engines=(trail.engine,),
        )


def leaks(trail: Trail, _target: Target) -> Iterator[Suspicion]:
    """Buffers that a component keeps do not grow with every call.

    It may keep some (a window, a group); so only what grows in each of `GROWING` equal calls, and is not given back by a later end of
    input, is called a leak. After an error nothing is handed over, so what grows then is named by its own rule.
    """
    for events in _runs(trail):
        tail = events[-GROWING:]
        if len(tail) < GROWING or not all(after.answer.owned > before.answer.owned for before, after in pairwise(tail)):
            continue
        last = tail[-1]
        later = [event for event in trail.events if event.number > last.number]
        if any(event.answer.owned < last.answer.owned / 2 for event in later):
            continue
        call, grown = last.step.call, tail[-1].answer.owned - tail[0].answer.owned
        failed = all(event.answer.outcome == "failed" for event in tail)
        rule, kind = ("OWN-028", "leaks-on-error") if failed else ("OWN-036", "leaks-buffers")
        when = "that answers an error" if failed else "of the same kind"
        yield Suspicion(
            rule,
            kind,
            f"every {call} {when} leaves another buffer behind: {last.answer.owned} after {len(events)} calls",
            trail.up_to(last),
            expected="as many buffers as before",
            found=f"{grown} more in {GROWING - 1} calls, {last.answer.used} bytes of the budget",
            related=("OWN-036", "BUDGET-002") if failed else ("OWN-037", "BUDGET-002"),
            engines=(trail.engine,),
        )


def hoards(trail: Trail, _target: Target) -> Iterator[Suspicion]:
    """A component does not keep all of its budget."""
    limit = trail.scenario.budget_bytes
    for event in trail.events:
        if event.answer.outcome != "trapped" and event.answer.used >= BRIM * limit and limit >= PAGE:
            yield Suspicion(
                "BUDGET-002",
                "takes-all-its-budget",
                f"after {event.step.call} it keeps {event.answer.used} of the {limit} bytes that it may have: the next buffer is refused",
                trail.up_to(event),
                expected="room for the next element",
                found=f"{event.answer.owned} buffers kept",
                related=("BUDGET-003", "OWN-036"),
                engines=(trail.engine,),
            )
            return


def grows(trail: Trail, _target: Target) -> Iterator[Suspicion]:
    """Neither the fuel of a call nor the guest's memory grows with the number of calls; an aggregator gathers, so it may."""
    for events in _runs(trail):
        if len(events) < LONG or events[-1].step.call == "ingest":
            continue
        early, late = events[len(events) // 2 - WINDOW : len(events) // 2], events[-WINDOW:]
        first = events[WINDOW : 2 * WINDOW]
        fuel = [median(event.answer.fuel for event in window) for window in (first, early, late)]
        if fuel[0] and fuel[1] > FASTER * fuel[0] and fuel[2] > FASTER * fuel[1]:
            yield _growth(
                trail, late[-1], "fuel-grows", "ERR-008", f"takes more fuel every time: {fuel[0]:.0f}, {fuel[1]:.0f}, {fuel[2]:.0f}"
            )
        sizes = [window[-1].answer.memory_bytes for window in (first, early, late)]
        if None in sizes:
            continue
        low, middle, high = (size or 0 for size in sizes)
        if middle - low >= 2 * PAGE and high - middle >= 2 * PAGE:
            pages = f"{low // PAGE}, {middle // PAGE}, {high // PAGE} pages"
            yield _growth(trail, late[-1], "memory-grows", "ERR-002", f"leaves the guest's memory larger every time: {pages}")


def _growth(trail: Trail, event: Event, kind: str, rule: str, what: str) -> Suspicion:
    call = event.step.call
    return Suspicion(
        rule,
        kind,
        f"the same {call} {what}; it ends in a trap when the limit is reached",
        trail.up_to(event),
        expected="about the same",
        related=("ERR-009",) if kind == "fuel-grows" else ("ERR-010",),
        engines=(trail.engine,),
    )


def tidies_up(trail: Trail, _target: Target) -> Iterator[Suspicion]:
    """What a component still holds after its last call is taken back by force."""
    last = trail.events[-1] if trail.events else None
    if last is not None and last.step.call == "teardown" and last.answer.outcome == "answered" and last.answer.owned:
        yield Suspicion(
            "OWN-036",
            "holds-after-teardown",
            f"after teardown it still holds {last.answer.owned} buffers, which the runtime has to take back by force",
            trail.scenario,
            level=Level.WARNING,
            expected="0 buffers",
            found=f"{last.answer.owned} buffers, {last.answer.used} bytes",
            related=("OWN-030",),
            engines=(trail.engine,),
        )


def names_known_ports(trail: Trail, target: Target) -> Iterator[Suspicion]:
    """A router names ports that its flow has."""
    for event in trail.events:
        for port in event.answer.ports:
            if not port or (target.ports is not None and port not in target.ports):
                known = ", ".join(target.ports) if target.ports else "none"
                yield Suspicion(
                    "TOPO-010",
                    "unknown-port",
                    f"it sends an element to the port {port!r}, which its flow does not have",
                    trail.up_to(event),
                    expected=known if target.ports is not None else "a name",
                    found=repr(port),
                    related=("CON-005",),
                    engines=(trail.engine,),
                )
                return


def types_agree(trail: Trail, _target: Target) -> Iterator[Suspicion]:
    """The content type of an element and that of its buffer should be the same (BUF-034)."""
    for event in trail.events:
        if event.step.content_type != event.step.buffer_type:  # passing on what came in is not the component's doing
            continue
        for output in event.answer.outputs:
            if output.content_type and output.buffer_content_type and output.content_type != output.buffer_content_type:
                yield Suspicion(
                    "BUF-034",
                    "content-types-differ",
                    "it emits an element whose content type is not that of its buffer; a consumer may look at either",
                    trail.up_to(event),
                    level=Level.WARNING,
                    expected=output.content_type,
                    found=output.buffer_content_type,
                    related=("ORD-007",),
                    engines=(trail.engine,),
                )
                return


LAWS: tuple[Law, ...] = (traps, accepts_its_configuration, leaks, hoards, grows, tidies_up, names_known_ports, types_agree)
"""Every law; each is held against every trail."""


def judge(trail: Trail, target: Target) -> list[Suspicion]:
    """Return everything that a trail shows."""
    return [suspicion for law in LAWS for suspicion in law(trail, target)]


def compare(trails: Sequence[Trail]) -> list[Suspicion]:
    """Hold the engines against each other: they must give the same answers, and see the same buffers kept."""
    first, *others = trails
    found = []
    for other in others:
        if first.started.lifecycle != other.started.lifecycle:
            found.append(_disagreement(first, other, first.scenario, "lifecycle", first.started.lifecycle, other.started.lifecycle))
            continue
        for one, two in zip(first.events, other.events, strict=False):
            difference = next(((name, left, right) for name, left, right in _differences(one, two)), None)
            if difference is not None:
                found.append(_disagreement(first, other, first.up_to(one), f"{one.step.call}: {difference[0]}", *difference[1:]))
                break
        else:
            if len(first.events) != len(other.events):
                message = "the number of calls that were possible"
                found.append(_disagreement(first, other, first.scenario, message, len(first.events), len(other.events)))
    return found


def same(first: Trail, second: Trail) -> list[Suspicion]:
    """Hold two runs of one scenario on one engine against each other: nothing but the component's own capabilities may tell them apart."""
    for one, two in zip(first.events, second.events, strict=False):
        differing = next(((name, left, right) for name, left, right in (*_differences(one, two), *_fuel(one, two))), None)
        if differing is not None:
            name, left, right = differing
            return [
                Suspicion(
                    "CAP-041",
                    "not-deterministic",
                    f"the same calls under the same conditions ended differently: {one.step.call}: {name}",
                    first.up_to(one),
                    expected=_short(left),
                    found=_short(right),
                    engines=(first.engine,),
                )
            ]
    return []


COMPARED: Mapping[str, Callable[[Event], object]] = {
    "how it ended": lambda event: event.answer.outcome,
    "the answer": lambda event: event.answer.value,
    "the error": lambda event: event.answer.kind,
    "the elements handed over": lambda event: event.answer.outputs,
    "the ports": lambda event: event.answer.ports,
    "the buffers kept": lambda event: (event.answer.owned, event.answer.used),
    "the operations on buffers": lambda event: event.answer.host_calls,
    "the bytes printed": lambda event: event.answer.printed,
}


def _differences(one: Event, two: Event) -> Iterator[tuple[str, object, object]]:
    for name, value in COMPARED.items():
        left, right = value(one), value(two)
        if left != right:
            yield name, left, right


def _fuel(one: Event, two: Event) -> Iterator[tuple[str, object, object]]:
    if one.answer.fuel != two.answer.fuel:
        yield "the fuel used", one.answer.fuel, two.answer.fuel


def _disagreement(first: Trail, other: Trail, scenario: object, what: str, left: object, right: object) -> Suspicion:
    assert isinstance(scenario, type(first.scenario))
    return Suspicion(
        "engines-disagree",
        "engines-disagree",
        f"the engines {first.engine} and {other.engine} disagree about {what}; one of them is wrong, and the component may not be",
        scenario,
        expected=f"{first.engine}: {_short(left)}",
        found=f"{other.engine}: {_short(right)}",
        engines=(first.engine, other.engine),
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def _runs(trail: Trail) -> Iterator[list[Event]]:
    """Yield the events of each repeated step of a data call."""
    for _, group in groupby(trail.events, key=lambda event: event.number):
        events = list(group)
        if events[0].step.times > 1 and (events[0].step.call in LENT or events[0].step.call == "pull"):
            yield events
