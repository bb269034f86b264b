"""Facet capabilities over `torvyn_ref.security`: what a component may do, decided, held, and written down."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from io import StringIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.audits import told_events
from conformance.subjects.reference.parts import ReferenceParts
from conformance.subjects.reference.projects import write_files
from torvyn_ref.clock import VirtualClock
from torvyn_ref.config.settings import Runtime
from torvyn_ref.engine.guest import MAX_HANDLES
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.host import Attachments
from torvyn_ref.security.audit import AuditEvent, AuditLog, AuditSink, EventKind, Severity, discard
from torvyn_ref.security.grants import Policy, Resolution
from torvyn_ref.security.guard import Guard
from torvyn_ref.security.scopes import PoolScope
from torvyn_ref.session import simulate

_LOG = "audit"


@dataclass(frozen=True, slots=True)
class _Sandbox:
    """A component that was admitted."""

    resolution: Resolution
    guard: Guard


class ReferenceCapabilities:
    """The messages `capabilities.*`."""

    def __init__(self, parts: ReferenceParts) -> None:
        self._parts = parts.security
        self._all_parts = parts
        self.open(p.OpenCapabilities())

    def open(self, _request: p.OpenCapabilities) -> p.Done:
        """Start over."""
        self._clock = VirtualClock()
        self._events: list[AuditEvent] = []
        self._log = self._parts.audit(self._events.append, self._clock)
        self._sandboxes: dict[int, _Sandbox] = {}
        self._numbers = count(1)
        return p.Done()

    # ---- the algebra

    def parse(self, request: p.ParseCapability) -> p.CapabilityReply:
        """Read one, and write it again."""
        return p.CapabilityReply(str(self._parts.parse(request.text)))

    def covers(self, request: p.CoverCapability) -> p.CoverageReply:
        """Compare two."""
        return p.CoverageReply(self._parts.covers(self._parts.parse(request.grant), self._parts.parse(request.request)))

    # ---- sandboxes

    def configure(self, request: p.ConfigureSandbox) -> p.SandboxReply:
        """Resolve, write down, and keep."""
        component, flow = request.component, request.flow
        try:
            policy = Policy(request.policy)
        except ValueError:
            raise Refused("invalid-config", f"{request.policy!r} is no policy") from None
        try:
            resolution = self._parts.resolve(request.declared, request.granted, policy, component=component)
        except TorvynError as error:
            self._log.denied_at_link(error, flow=flow)
            causes = error.errors if isinstance(error, TorvynErrors) else (error,)
            notes = tuple(p.CapabilityNote(one.kind, str(one.fields.get("capability", ""))) for one in causes)
            return p.SandboxReply(errors=notes, events=self._new_events())
        self._log.resolved(resolution, component=component, flow=flow)
        self._log.instantiated(resolution, component=component, flow=flow)
        number = next(self._numbers)
        guard = self._parts.guard(resolution.effective, self._log, self._clock, component=component, flow=flow)
        self._sandboxes[number] = _Sandbox(resolution, guard)
        return self._described(number)

    def query(self, request: p.QuerySandbox) -> p.SandboxReply:
        """Look at one again."""
        self._found(request.sandbox)
        return self._described(request.sandbox)

    def exercise(self, request: p.ExerciseCapability) -> p.ExercisedReply:
        """Let its component try something."""
        guard = self._found(request.sandbox).guard
        capability = self._parts.parse(request.capability)
        pool = capability.scope.name if isinstance(capability.scope, PoolScope) else None
        allowed, refusal = 0, None
        for _ in range(request.times):
            if capability.kind.is_hot_path:
                allowed += guard.use(capability.kind, pool)
                continue
            try:
                guard.check(capability)
                allowed += 1
            except TorvynError as error:
                refusal = error
        denied = request.times - allowed
        kind, message = (refusal.kind, refusal.message) if refusal is not None else ("denied" if denied else "", "")
        return p.ExercisedReply(allowed, denied, kind, message, self._new_events())

    def end(self, request: p.EndSandbox) -> p.AuditedReply:
        """End one."""
        self._found(request.sandbox).guard.flush()
        del self._sandboxes[request.sandbox]
        return p.AuditedReply(self._new_events())

    # ---- the audit log

    def audit(self, request: p.WriteAudit) -> p.AuditWrittenReply:
        """Write events to a sink."""
        if not request.max_bytes:
            raise Refused("invalid-config", "a file without room for anything")
        with TemporaryDirectory(prefix="torvyn-audit-") as folder:
            root, printed = Path(folder), _Broken() if request.broken else StringIO()
            if request.broken:
                (root / _LOG).symlink_to("/dev/full")
            sink: AuditSink = discard
            if request.sink == "stdout":
                sink = self._parts.stream(printed)
            elif request.sink == "file":
                sink = self._parts.file(root / _LOG, max_bytes=request.max_bytes, max_files=request.max_files)
            log = self._parts.audit(sink, self._clock)
            returned = sum(_emitted(log, entry) for entry in request.events)
            close = getattr(sink, "close", None)
            if close is not None:
                close()
            files = {path.name: path.read_bytes() for path in sorted(root.iterdir()) if path.is_file()}
        return p.AuditWrittenReply(returned, printed.getvalue().encode(), files)

    def severities(self, request: p.OrderSeverities) -> p.SeveritiesReply:
        """Put severities in order."""
        try:
            ordered = self._parts.order([Severity(name) for name in request.severities])
        except ValueError as error:
            raise Refused("unknown-severity", str(error)) from error
        return p.SeveritiesReply(tuple(map(str, ordered)), tuple(self._parts.label(one) for one in ordered))

    # ---- whole flows

    def run(self, request: p.RunAudited) -> p.RunAuditedReply:
        """Run a project's first flow, and see what it does."""
        events: list[AuditEvent] = []
        printed, delivered = bytearray(), list[bytes]()
        clock = VirtualClock()
        with TemporaryDirectory(prefix="torvyn-project-") as folder:
            root = Path(folder)
            write_files(root, request.files)
            log = self._parts.audit(events.append, clock)
            try:
                strict = {"security.strict_allocation": True} if request.strict_allocation else None
                project = self._all_parts.load_project(root, environment={}, overrides=strict)
                host = self._all_parts.host(
                    project, clock=clock, audit=log, cache_root=root / ".cache", offline=True, environment=request.environment
                )
                try:
                    attached = Attachments(tap=delivered.append, stdout=printed.extend, stderr=printed.extend)
                    prepared = host.prepare(attachments=attached)
                    state = str(simulate(host, prepared).report.state)
                finally:
                    host.close()
            except TorvynError as error:
                causes = error.errors if isinstance(error, TorvynErrors) else (error,)
                kinds = tuple(one.kind for one in causes)
                return p.RunAuditedReply("refused", kinds, {}, bytes(printed), tuple(delivered), told_events(events))
        given = {stage.name: stage.capabilities for stage in prepared.stages}
        return p.RunAuditedReply(state, (), given, bytes(printed), tuple(delivered), told_events(events))

    # ---- what messages share

    def _found(self, number: int) -> _Sandbox:
        if number not in self._sandboxes:
            raise Refused("no-sandbox", f"there is no sandbox {number}")
        return self._sandboxes[number]

    def _described(self, number: int) -> p.SandboxReply:
        resolution = self._sandboxes[number].resolution
        wasi = self._parts.environment(resolution.effective)
        return p.SandboxReply(
            sandbox=number,
            effective=tuple(map(str, resolution.effective)),
            warnings=tuple(p.CapabilityNote(str(warning.remark), warning.capability) for warning in resolution.warnings),
            wasi=p.WasiSwitches(
                tuple(sorted(map(str, wasi.switches))),
                tuple(p.Preopen(one.path, one.path, one.read, one.write) for one in wasi.preopens),
            ),
            limits=_limits(self._parts.limits()),
            events=self._new_events(),
        )

    def _new_events(self) -> tuple[p.AuditEvent, ...]:
        told = told_events(self._events)
        self._events.clear()
        return told


class _Broken(StringIO):
    """Stands for a standard output that takes nothing any more."""

    def write(self, _text: str) -> NoReturn:
        """Fail."""
        raise OSError(errno.ENOSPC, "no space left on the device")


def _emitted(log: AuditLog, entry: p.AuditEntry) -> bool:
    try:
        log.emit(EventKind.EXERCISED, component=entry.component, capability=entry.capability)
    except OSError:
        return False
    return True


def _limits(runtime: Runtime) -> p.SandboxLimits:
    fuel = runtime.default_fuel_per_invocation
    return p.SandboxLimits(
        fuel=fuel if isinstance(fuel, int) else None,
        call_timeout_ms=runtime.component_timeout_ms,
        buffer_bytes=runtime.max_buffer_bytes_per_component,
        handles=MAX_HANDLES,
    )
