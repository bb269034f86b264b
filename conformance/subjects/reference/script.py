"""Scripted components as the reference plays them: a `Script` of the protocol, interpreted answer by answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from conformance.errors import Refused
from conformance.subjects import protocol as p
from torvyn_ref.calls import DATA_CALL, Answer, Call, Element, ErrorKind, Failure, Output, Role, Signal
from torvyn_ref.engine.scripted import Guest, Interrupted, Trap
from torvyn_ref.flow.simulate import SimulatedTime

KEPT_BYTES = 16
"""What a component allocates per buffer that it keeps."""

_SAYS: Mapping[Call, frozenset[str]] = MappingProxyType(
    {
        Call.PULL: frozenset({"emit", "end"}),
        Call.PROCESS: frozenset({"emit", "drop"}),
        Call.INGEST: frozenset({"emit", "drop"}),
        Call.PUSH: frozenset({"ready", "pause"}),
        Call.EVALUATE: frozenset({"pass", "reject"}),
        Call.ROUTE: frozenset({"route"}),
        Call.FLUSH: frozenset({"emit"}),
        Call.COMPLETE: frozenset({"ok"}),
        Call.INIT: frozenset({"ok"}),
        Call.TEARDOWN: frozenset({"ok"}),
    }
)
"""What a component can answer to each call, besides `error`, `trap` and `hang`."""

_DEFAULT: Mapping[Role, p.Answer] = MappingProxyType(
    {
        Role.SOURCE: p.Answer("end"),
        Role.PROCESSOR: p.Answer("emit"),
        Role.SINK: p.Answer("ready"),
        Role.FILTER: p.Answer("pass"),
        Role.ROUTER: p.Answer("route"),
        Role.AGGREGATOR: p.Answer("drop"),
    }
)
"""The last answer of a script that has none."""


class ScriptedComponent:
    """One stage's script at work; the engine finds its methods by name, so they are set where the role has them.

    Raises:
        Refused: invalid-config, when the script answers a call with something that it cannot be answered with.
    """

    def __init__(self, stage: p.StageSpec, role: Role, time: SimulatedTime) -> None:
        self._name = stage.name
        self._time = time
        self._emitted = 0
        self._answers = iter(stage.script.answers)
        self._then = stage.script.then or _DEFAULT[role]
        script = stage.script
        work = DATA_CALL[role]
        self._check(work, (*script.answers, self._then))
        setattr(self, work.replace("-", "_"), self._pull if role is Role.SOURCE else self._data)
        if script.lifecycle:
            self._check(Call.INIT, (script.init,))
            self._check(Call.TEARDOWN, (script.teardown,))
            self.init = self._fixed(script.init)
            self.teardown = self._fixed(script.teardown)
        if role is Role.AGGREGATOR:
            self._check(Call.FLUSH, (script.flush,))
            self.flush: Callable[[Guest], Answer] = lambda guest: self._flush(guest, script.flush)
        if role is Role.SINK:
            self._check(Call.COMPLETE, (script.complete,))
            self.complete = self._fixed(script.complete)

    def _check(self, call: Call, answers: tuple[p.Answer, ...]) -> None:
        allowed = _SAYS[call] | {"error", "trap", "hang"}
        for answer in answers:
            if answer.do not in allowed:
                raise Refused(
                    "invalid-config", f"stage {self._name!r} answers {call} with {answer.do!r}; possible: {', '.join(sorted(allowed))}"
                )
            if answer.do == "error" and answer.kind not in tuple(ErrorKind):
                raise Refused("invalid-config", f"stage {self._name!r} fails with {answer.kind!r}; possible: {', '.join(ErrorKind)}")

    # ---- calls

    def _pull(self, guest: Guest) -> Answer:
        return self._play(guest, next(self._answers, self._then), None)

    def _data(self, guest: Guest, element: Element) -> Answer:
        return self._play(guest, next(self._answers, self._then), element)

    def _flush(self, guest: Guest, answer: p.Answer) -> Answer:
        if answer.do != "emit":
            return self._play(guest, answer, None)
        self._meanwhile(guest, answer)
        return [self._fresh(guest, answer) for _ in range(answer.count)]

    def _fixed(self, answer: p.Answer) -> Callable[..., Answer]:
        return lambda guest, *_argument: self._play(guest, answer, None)

    # ---- answers

    def _play(self, guest: Guest, answer: p.Answer, element: Element | None) -> Answer:
        self._meanwhile(guest, answer)
        if element is not None:
            for _ in range(answer.reads):
                self._read(guest, answer, element)
        match answer.do:
            case "emit":
                return self._fresh(guest, answer) if element is None else self._copy(guest, answer, element)
            case "error":
                return Failure(ErrorKind(answer.kind), answer.message)
            case "trap":
                raise Trap(answer.message)
            case "ready":
                return Signal.READY
            case "pause":
                return Signal.PAUSE
            case "pass":
                return True
            case "reject":
                return False
            case "route":
                return list(answer.ports)
            case _:  # ok, drop, end
                return None

    def _meanwhile(self, guest: Guest, answer: p.Answer) -> None:
        for _ in range(answer.keeps):
            guest.allocate(KEPT_BYTES)
        hangs = answer.do == "hang"
        if (answer.spends_ns or hangs) and not self._time.spend(None if hangs else answer.spends_ns, deaf=answer.deaf):
            raise Interrupted(f"{self._name} was dropped" if answer.deaf else f"{self._name} was interrupted")

    def _fresh(self, guest: Guest, answer: p.Answer) -> Output:
        tag = f"{self._name}#{self._emitted} ".encode()
        self._emitted += 1
        return self._claiming(guest.emit(tag.ljust(answer.size, b"."), answer.content_type), answer)

    @staticmethod
    def _read(guest: Guest, answer: p.Answer, element: Element) -> None:
        """Read a payload that nobody needs, whole or in chunks: what is counted is the reading."""
        size = guest.resources.size(element.handle)
        for offset in range(0, size, answer.chunk or max(size, 1)):
            guest.resources.read(element.handle, guest.owner, offset, answer.chunk or size)

    def _copy(self, guest: Guest, answer: p.Answer, element: Element) -> Output:
        if answer.clones:
            return self._claiming(guest.clone(element), answer)
        return self._claiming(guest.emit(guest.read(element), answer.content_type or element.content_type), answer)

    @staticmethod
    def _claiming(output: Output, answer: p.Answer) -> Output:
        output.sequence = answer.claims_sequence
        return output
