"""What is tried on a component: directed scenarios first, then scenarios that Hypothesis draws and makes smaller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from conformance.components.laws import GROWING, LONG
from conformance.components.model import BUDGET_BYTES, DATA_CALL, END_CALL, NO_CONFIG, Scenario
from conformance.components.steps import Step, filled
from conformance.subjects import protocol as p

TYPES = ("", "text/plain", "application/octet-stream", "application/json; charset=utf-8", "text/" + "x" * 58, "texte/é€", "\0")
"""Content types: none, the usual ones, one of exactly 63 bytes, one beyond ASCII, one that nobody expects."""

CORNERS: tuple[bytes, ...] = (
    b"",
    b"0",
    b"7",
    b"10",
    b"x",
    b"\0",
    b"\xff\xfe\xfd",
    "é€😀".encode(),
    b'{"a": [1, null, "b"]}',
    b"key=value,key=value",
    b"-9223372036854775809",
    filled(255),
    filled(256),
    filled(257),
    filled(4096),
    filled(4097),
    filled(65_537),
)
"""Payloads: empty, numbers, text, what is no text, and one more than each pool tier holds."""

LARGE: tuple[bytes, ...] = (filled(65_536), filled(1 << 20), filled((1 << 20) + 1))
"""Payloads that only a deep run tries: engines take their time with them."""

SMALL_BUDGETS = (1, 300, 5_000)
"""Buffer budgets under pressure, in bytes: no buffer at all, one small one, a medium one."""

HOSTILE: tuple[str, ...] = (
    "",
    " ",
    "=",
    ",",
    "=,=",
    "key",
    "key=",
    "=value",
    "count=-1",
    "count=99999999999999999999999999",
    "size=4294967295",
    "every=0,every=0",
    "{",
    '{"a":',
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "%s%n%x",
    "../../../../etc/passwd",
    "\0",
    "a\0b",
    "\r\n",
    "é€😀",
    "\u202e\ufeff",
    "k=" + "v" * 64,
    "x" * 4_096,
    "k=v," * 4_096,
)
"""Configuration strings that a careless reader trips over."""

FAULT_KINDS = ("allocation-failed", "capacity-exceeded", "out-of-bounds")
MOST_FAULTS = 4

MOVING = frozenset({*DATA_CALL.values(), "notify-backpressure"})
"""The calls between set-up and the end."""


@dataclass(frozen=True, slots=True)
class Life:
    """How scenarios for one component begin and end."""

    role: str
    lifecycle: bool
    config: str = NO_CONFIG

    def of(
        self, body: Iterable[Step], *, budget_bytes: int = BUDGET_BYTES, config: str | None = None, ends: bool = True, once: bool = False
    ) -> Scenario:
        """Return a whole life: set up, the body, the end of the input, torn down."""
        steps = [Step("init", text=self.config if config is None else config)] if self.lifecycle else []
        steps += body
        if ends and self.role in END_CALL:
            steps.append(Step(END_CALL[self.role]))
        if self.lifecycle:
            steps.append(Step("teardown"))
        return Scenario(tuple(steps), budget_bytes, once)

    def element(self, payload: bytes = b"7", content_type: str = "text/plain", *, buffer_type: str | None = None, times: int = 1) -> Step:
        """Return the step that moves one element."""
        call = DATA_CALL[self.role]
        if call == "pull":
            return Step(call, times=times)
        return Step(call, payload, content_type, content_type if buffer_type is None else buffer_type, times=times)


@dataclass(frozen=True, slots=True)
class Probe:
    """One check's scenarios.

    Attributes:
        directed: always played.
        drawn: what Hypothesis draws, or None when there is nothing to draw.
        only_to_shrink: nothing is drawn unless something was found; drawing then looks for a smaller input.
        examples: how many are drawn in a quick run.
    """

    directed: tuple[Scenario, ...]
    drawn: st.SearchStrategy[Scenario] | None = None
    only_to_shrink: bool = False
    examples: int = 12


@dataclass(frozen=True, slots=True)
class Material:
    """What elements are made of in this run."""

    life: Life
    payloads: tuple[bytes, ...] = ()
    only_payloads: bool = False
    deep: bool = False

    @property
    def corners(self) -> tuple[bytes, ...]:
        """Return the payloads of directed scenarios."""
        if self.only_payloads:
            return self.payloads
        return (*self.payloads, *CORNERS, *(LARGE if self.deep else ()))

    @property
    def usual(self) -> bytes:
        """Return a payload for repetitions."""
        return self.payloads[0] if self.payloads else b"7"

    def elements(self) -> st.SearchStrategy[Step]:
        """Draw the step of one element."""
        life = self.life
        if life.role == "source":
            return st.just(life.element())
        payloads = st.sampled_from([payload for payload in self.corners if len(payload) <= 4097] or [b""])
        if not self.only_payloads:
            payloads = st.one_of(payloads, st.binary(max_size=40), st.text(max_size=24).map(str.encode), st.integers(0, 10**6).map(_digits))
        types = st.sampled_from(TYPES)
        return st.builds(lambda payload, kind, other: life.element(payload, kind, buffer_type=other), payloads, types, types)


def _digits(number: int) -> bytes:
    return str(number).encode()


def smaller_than(scenario: Scenario) -> st.SearchStrategy[Scenario]:
    """Draw scenarios with some of a scenario's element steps, their payloads cut short, their content types left out."""
    body = [number for number, step in enumerate(scenario.steps) if step.call in MOVING]

    def trimmed(step: Step) -> st.SearchStrategy[Step]:
        def trim(keep: int, *, typed: bool) -> Step:
            cut = replace(step, payload=step.payload[:keep])
            return cut if typed else replace(cut, content_type="", buffer_type="")

        return st.builds(trim, st.integers(0, len(step.payload)), typed=st.booleans())

    def rebuilt(kept: tuple[Step | None, ...]) -> Scenario:
        drawn = dict(zip(body, kept, strict=True))
        steps = (drawn.get(number, step) for number, step in enumerate(scenario.steps))
        return replace(scenario, steps=tuple(step for step in steps if step is not None))

    return st.tuples(*(st.none() | trimmed(scenario.steps[number]) for number in body)).map(rebuilt)


def life_cycle(material: Material) -> Probe:
    """Set up and torn down, with nothing in between and with an end of input at once."""
    life = material.life
    directed = [life.of((), ends=False)] if life.lifecycle else []
    if life.role in END_CALL:
        directed.append(life.of(()))
    return Probe(tuple(directed))


def elements(material: Material) -> Probe:
    """Elements of every size and kind, one after another, then drawn sequences."""
    life = material.life
    if life.role == "source":
        drawn = st.integers(1, 32).map(lambda times: life.of([life.element(times=times)]))
        return Probe((life.of([life.element(times=32)]),), drawn)
    corners = [life.element(payload, TYPES[number % len(TYPES)]) for number, payload in enumerate(material.corners)]
    typed = [life.element(material.usual, kind) for kind in TYPES]
    return Probe((life.of(corners), life.of(typed)), st.lists(material.elements(), min_size=1, max_size=8).map(life.of))


def growth(material: Material) -> Probe:
    """The same element often: nothing may grow with the number of calls."""
    life = material.life
    short, long = GROWING + 2, LONG + 8
    drawn = material.elements().map(lambda step: life.of([replace(step, times=short)]))
    if life.role == "source":
        directed = [life.of([life.element(times=short)]), life.of([life.element(times=long)], once=True)]
        return Probe(tuple(directed))
    directed = [life.of([life.element(material.usual, times=short)])]
    directed += [] if material.only_payloads else [life.of([life.element(b"", "", times=short)])]
    large = material.usual if material.only_payloads else filled(1024)
    return Probe((*directed, life.of([life.element(large, times=long)], once=True)), drawn, only_to_shrink=True)


def pressure(material: Material) -> Probe:
    """Backpressure signals between pulls; a host with hardly any memory for buffers."""
    life = material.life
    budgets = st.sampled_from(SMALL_BUDGETS)
    if life.role == "source":
        pull, pause, ready = life.element(), Step("notify-backpressure", text="pause"), Step("notify-backpressure", text="ready")
        directed = [life.of([pull, pause, ready, pull, pull, pause, ready]), life.of([pause, ready, pull]), life.of([pull, pause])]
        directed += [life.of([life.element(times=6)], budget_bytes=budget) for budget in SMALL_BUDGETS]
        moves = st.lists(st.sampled_from(((pull,), (pause, ready))), min_size=1, max_size=8)
        flat = moves.map(lambda chosen: [step for pair in chosen for step in pair])
        drawn = st.builds(lambda steps, budget: life.of(steps, budget_bytes=budget), flat, st.one_of(st.just(BUDGET_BYTES), budgets))
        return Probe(tuple(directed), drawn)
    usual = [life.element(payload) for payload in material.corners if len(payload) <= 4097][:6] or [life.element(material.usual)]
    few = st.lists(material.elements(), min_size=1, max_size=4)
    return Probe(
        tuple(life.of(usual, budget_bytes=budget) for budget in SMALL_BUDGETS),
        st.builds(lambda steps, budget: life.of(steps, budget_bytes=budget), few, budgets),
        only_to_shrink=True,
    )


def allocator(material: Material, asked: Mapping[str, int]) -> Probe:
    """Every buffer that it asks for is refused once, with every error of the contract; then one for good.

    Args:
        material: what elements are made of.
        asked: how many buffers each call has asked for at most, as seen before.
    """
    life = material.life
    directed: list[Scenario] = []
    plain = life.of([life.element(material.usual), life.element(material.usual)])
    done: set[str] = set()
    for number, step in enumerate(plain.steps):
        if step.call in done:
            continue
        done.add(step.call)
        for at in range(1, min(asked.get(step.call, 0), MOST_FAULTS) + 1):
            for kind in FAULT_KINDS:
                for lasting in (False, True):
                    faulty = replace(step, fault=p.AllocatorFault(at, kind, lasting))
                    directed.append(Scenario((*plain.steps[:number], faulty, *plain.steps[number + 1 :])))
    for at in range(1, min(asked.get(DATA_CALL[life.role], 0), MOST_FAULTS) + 1):
        for_good = p.AllocatorFault(at, lasting=True)
        directed.append(life.of([replace(life.element(material.usual, times=GROWING + 2), fault=for_good)]))
    faults = st.builds(p.AllocatorFault, st.integers(1, MOST_FAULTS), st.sampled_from(FAULT_KINDS), st.booleans())
    one = st.builds(lambda step, fault: life.of([replace(step, fault=fault)]), material.elements(), faults)
    return Probe(tuple(directed), one, only_to_shrink=True)


def configuration(material: Material, own: str | None) -> Probe:
    """Configuration strings that nobody sane would write, and drawn ones."""
    life = material.life
    if not life.lifecycle:
        return Probe(())
    after = life.element(material.usual)
    texts = [*HOSTILE]
    if own:
        texts += [own[:-1], own + ",", own + own, own.upper(), own.replace("=", "==")]
    pieces = st.sampled_from(["=", ",", ";", ":", "{", "}", '"', "-1", "0", "99999999999", "true", "key", "count", "size", "\0", " "])
    drawn = st.one_of(st.text(max_size=16), st.lists(pieces, max_size=8).map("".join))
    return Probe(tuple(life.of([after], config=text) for text in texts), drawn.map(lambda text: life.of([after], config=text)))


def determinism(material: Material) -> Probe:
    """A life to be lived twice."""
    life = material.life
    if life.role == "source":
        return Probe((life.of([life.element(times=16)]),))
    return Probe((life.of([life.element(payload) for payload in material.corners if len(payload) <= 257][:8]),))
