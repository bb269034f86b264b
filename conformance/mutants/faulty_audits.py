"""Mutants that write down too little, too much, too late, or in the wrong place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from io import StringIO
from typing import Any

from conformance.mutants.faulty_capabilities import security
from conformance.mutants.faulty_grants import guarding
from conformance.subjects.reference import SecurityParts
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security.audit import AuditEvent, AuditLog, EventKind, Severity
from torvyn_ref.security.capability import Capability
from torvyn_ref.security.grants import Resolution
from torvyn_ref.security.guard import Guard
from torvyn_ref.security.kinds import Kind
from torvyn_ref.security.sinks import JsonLines, RotatingFile


@guarding("allowed-in-one-go", "CAP-039")
class OnceOnly(Guard):
    """Only the first use of a capability is audited."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen: set[str] = set()

    def exercised(self, capability: Capability | str, detail: str | None = None) -> None:
        """Remember what was written down."""
        if str(capability) not in self._seen:
            self._seen.add(str(capability))
            super().exercised(capability, detail)


@guarding("denied-twice", "CAP-039")
class ToldTwice(Guard):
    """A denial is audited where it is decided and where it is raised."""

    def check(self, request: Capability, detail: str | None = None) -> None:
        """Say it again."""
        try:
            super().check(request, detail)
        except TorvynError:
            self.deny(request, detail)
            raise


@guarding("denied-in-silence", "CAP-039", "CAP-040")
class Silent(Guard):
    """What is denied is not audited."""

    def deny(self, request: Capability, detail: str | None = None) -> TorvynError:
        """Say nothing."""
        audit, self._audit = self._audit, AuditLog(lambda _: None, self._clock)
        try:
            return super().deny(request, detail)
        finally:
            self._audit = audit


@guarding("a-denial-without-a-name", "CAP-039")
class Nameless(Guard):
    """A denial does not say which capability it is about."""

    def deny(self, request: Capability, detail: str | None = None) -> TorvynError:
        """Say that something was denied."""
        super().deny(request, detail)
        return TorvynError("security", "denied", f"{self.component} may not do this", component=self.component)


@guarding("written-down-later", "CAP-039")
class Later(Guard):
    """Uses off the hot path are audited when the component ends."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._late: list[Capability | str] = []

    def exercised(self, capability: Capability | str, detail: str | None = None) -> None:  # noqa: ARG002 -- that is the fault
        """Keep it."""
        self._late.append(capability)

    def flush(self) -> None:
        """Write it."""
        for capability in self._late:
            super().exercised(capability)
        self._late.clear()
        super().flush()


@guarding("each-element-is-told", "CAP-040")
class EachElement(Guard):
    """Uses on the hot path are audited one by one."""

    def use(self, kind: Kind, pool: str | None = None) -> bool:
        """Write each down."""
        allowed = super().use(kind, pool)
        self.flush()
        return allowed


@guarding("the-last-sum-is-lost", "CAP-040")
class LastSumLost(Guard):
    """What was counted when the component ends is not written down."""

    def flush(self) -> None:
        """Forget it."""
        self._uses.clear()


@guarding("denials-in-sums", "CAP-040")
class DenialsInSums(Guard):
    """Of several denials on the hot path only the first is audited."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._denied: set[Kind] = set()

    def deny(self, request: Capability, detail: str | None = None) -> TorvynError:
        """Count the others."""
        if request.kind in self._denied and request.kind.is_hot_path:
            return TorvynError("security", "denied", "again")
        self._denied.add(request.kind)
        return super().deny(request, detail)


# ---------------------------------------------------------------- the log


def logging(name: str, *rules: str) -> Callable[[type[AuditLog]], type[AuditLog]]:
    """Register a faulty audit log; its docstring is the summary."""

    def add(cls: type[AuditLog]) -> type[AuditLog]:
        security(name, *rules, summary=(cls.__doc__ or "").strip(), parts=lambda: SecurityParts(audit=cls))
        return cls

    return add


@logging("started-before-warned", "CAP-045")
class StartedFirst(AuditLog):
    """A component's start is written down before its warnings."""

    def resolved(self, resolution: Resolution, *, component: str, flow: str | None = None) -> None:
        """Begin with the end."""
        super().instantiated(resolution, component=component, flow=flow)
        super().resolved(resolution, component=component, flow=flow)

    def instantiated(self, resolution: Resolution, *, component: str, flow: str | None = None) -> None:
        """Say nothing any more."""


@logging("warnings-are-not-audited", "CAP-045", "CAP-050", "CAP-057")
class WithoutWarnings(AuditLog):
    """Warnings are shown, and not written down."""

    def resolved(self, resolution: Resolution, *, component: str, flow: str | None = None) -> None:
        """Leave them out."""
        super().resolved(replace(resolution, warnings=()), component=component, flow=flow)


@logging("started-with-nothing", "CAP-045")
class StartedWithNothing(AuditLog):
    """A component's start does not say what the component has."""

    def instantiated(self, resolution: Resolution, *, component: str, flow: str | None = None) -> None:
        """Leave it out."""
        super().instantiated(replace(resolution, effective=type(resolution.effective)()), component=component, flow=flow)


@logging("one-denial-for-all", "CAP-046")
class OneDenialForAll(AuditLog):
    """A refusal is one event, whatever its causes."""

    def denied_at_link(self, error: TorvynError, *, flow: str | None = None) -> None:
        """Write the first."""
        super().denied_at_link(error.errors[0] if isinstance(error, TorvynErrors) else error, flow=flow)


@logging("refusals-leave-no-trace", "CAP-046", "CAP-050")
class NoTrace(AuditLog):
    """A component that is refused leaves nothing in the log."""

    def denied_at_link(self, error: TorvynError, *, flow: str | None = None) -> None:
        """Write nothing."""


@logging("resolved-in-silence", "CAP-047", "CAP-029", "CAP-050")
class ResolvedInSilence(AuditLog):
    """What a capability came from is not written down."""

    def resolved(self, resolution: Resolution, *, component: str, flow: str | None = None) -> None:
        """Write the warnings only."""
        super().resolved(replace(resolution, decisions=()), component=component, flow=flow)


class _Changing(AuditLog):
    """Changes every event on its way to the sink."""

    def __init__(self, sink: Callable[[AuditEvent], object], *arguments: Any, **options: Any) -> None:
        super().__init__(lambda event: sink(self.changed(event)), *arguments, **options)

    def changed(self, event: AuditEvent) -> AuditEvent:
        """Change it."""
        return event


@logging("numbers-stand-still", "CAP-048")
class StandStill(_Changing):
    """Every second event has the number of the one before."""

    def changed(self, event: AuditEvent) -> AuditEvent:
        """Round it."""
        return replace(event, sequence=(event.sequence + 1) // 2)


@logging("times-in-milliseconds", "CAP-048")
class Milliseconds(_Changing):
    """Events have their time in milliseconds."""

    def changed(self, event: AuditEvent) -> AuditEvent:
        """Divide."""
        return replace(event, timestamp_ns=event.timestamp_ns // 1_000_000)


@logging("nobody-is-named", "CAP-048", "CAP-039")
class NobodyIsNamed(_Changing):
    """Denials at run time name no component."""

    def changed(self, event: AuditEvent) -> AuditEvent:
        """Take the name off."""
        return replace(event, component=None) if event.kind is EventKind.DENIED_AT_RUNTIME else event


@logging("denials-are-warnings", "CAP-039", "CAP-046")
class DenialsAreWarnings(_Changing):
    """A denial is as severe as a warning."""

    def changed(self, event: AuditEvent) -> AuditEvent:
        """Soften it."""
        return replace(event, severity=min(event.severity, Severity.WARNING))


@logging("names-of-its-own", "CAP-050")
class NamesOfItsOwn(_Changing):
    """A sum has a name that is on no list."""

    def changed(self, event: AuditEvent) -> AuditEvent:
        """Rename it."""
        return replace(event, kind="CapabilityUsage") if event.kind is EventKind.EXERCISED_AGGREGATE else event  # type: ignore[arg-type]


@logging("no-tenant", "CAP-054")
class NoTenant(AuditLog):
    """Events name no tenant until somebody configures one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, tenant=None)


@logging("the-component-is-its-tenant", "CAP-054")
class ComponentIsTenant(_Changing):
    """Every component is a tenant of its own."""

    def changed(self, event: AuditEvent) -> AuditEvent:
        """Call it by its name."""
        return replace(event, tenant=event.component)


@logging("sinks-raise", "CAP-051")
class SinksRaise(AuditLog):
    """What a sink raises reaches whoever wanted to audit something."""

    def emit(self, *arguments: Any, **details: Any) -> AuditEvent:
        """Look at what was lost."""
        lost = self.lost
        event = super().emit(*arguments, **details)
        if self.lost > lost:
            raise OSError(self.last_problem)
        return event


# ---------------------------------------------------------------- severities


def _alphabetic(severities: Iterable[Severity]) -> list[Severity]:
    return sorted(severities, key=str)


security(
    "severities-by-alphabet",
    "CAP-049",
    summary="Severities are sorted by their names.",
    parts=lambda: SecurityParts(order=_alphabetic),
)
security(
    "critical-is-error",
    "CAP-049",
    summary="Critical is written ERROR.",
    parts=lambda: SecurityParts(label=lambda severity: "ERROR" if severity is Severity.CRITICAL else severity.label),
)


# ---------------------------------------------------------------- sinks


class _Buffered(JsonLines):
    """Writes every second event, for two at a time are cheaper."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._waiting: list[AuditEvent] = []

    def __call__(self, event: AuditEvent) -> None:
        self._waiting.append(event)
        if len(self._waiting) == 2:
            for one in self._waiting:
                super().__call__(one)
            self._waiting.clear()


security(
    "the-last-line-waits",
    "CAP-051",
    summary="Lines are written two at a time, and the last one of an odd number is not.",
    parts=lambda: SecurityParts(stream=_Buffered),
)


class _Pretty(JsonLines):
    """Writes its objects over several lines."""

    def __init__(self, stream: Any) -> None:
        self._pretty = stream
        super().__init__(StringIO())

    def __call__(self, event: AuditEvent) -> None:
        self._pretty.write(event.as_line().replace(',"event"', ',\n"event"'))


security(
    "objects-over-lines",
    "CAP-051",
    "CAP-048",
    summary="An event takes two lines of the log.",
    parts=lambda: SecurityParts(stream=_Pretty),
)


def rotating(name: str, *rules: str) -> Callable[[type[RotatingFile]], type[RotatingFile]]:
    """Register a faulty rotation; its docstring is the summary."""

    def add(cls: type[RotatingFile]) -> type[RotatingFile]:
        security(name, *rules, summary=(cls.__doc__ or "").strip(), parts=lambda: SecurityParts(file=cls))
        return cls

    return add


@rotating("rotated-too-late", "CAP-052")
class TooLate(RotatingFile):
    """A file is rotated once it is too large, after the write that made it so."""

    def __call__(self, event: AuditEvent) -> None:
        """Write first."""
        most, self.max_bytes = self.max_bytes, 1 << 60
        if self._size > most:
            self._rotate()
        super().__call__(event)
        self.max_bytes = most


@rotating("one-more-than-kept", "CAP-052")
class OneMore(RotatingFile):
    """One rotated file more than wanted is kept."""

    def _rotate(self) -> None:
        self.max_files += 1
        super()._rotate()
        self.max_files -= 1


@rotating("the-older-is-overwritten", "CAP-052")
class Overwritten(RotatingFile):
    """A rotated file is not moved on: the newest takes its place."""

    def _rotate(self) -> None:
        kept, self.max_files = self.max_files, min(self.max_files, 1)
        super()._rotate()
        self.max_files = kept


@rotating("empty-files-rotate", "CAP-053")
class EmptyRotate(RotatingFile):
    """A file is rotated before an event that is too large for it, also when it is empty."""

    def __call__(self, event: AuditEvent) -> None:
        """Do not look whether there is something in it."""
        if not self._size and len(event.as_line()) > self.max_bytes:
            self._rotate()
        super().__call__(event)


@rotating("no-files-no-log", "CAP-053")
class NoFilesNoLog(RotatingFile):
    """Without rotated files, a full log takes nothing more."""

    def __call__(self, event: AuditEvent) -> None:
        """Drop what does not fit."""
        if self.max_files or not self._size or self._size + len(event.as_line()) <= self.max_bytes:
            super().__call__(event)
