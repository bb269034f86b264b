"""Mutants that let real components reach what they were not given, or that read a project's grants too kindly."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts, SecurityParts
from torvyn_ref.calls import Answer, Call, Cause, Element, ErrorKind, Failure
from torvyn_ref.config import Project, load
from torvyn_ref.engine.protocol import AllocationGate, Instance, Sandbox
from torvyn_ref.errors import TorvynError
from torvyn_ref.host import Host, PreparedFlow
from torvyn_ref.ids import HOST
from torvyn_ref.security.audit import AuditLog, EventKind, discard
from torvyn_ref.security.guard import Guard
from torvyn_ref.security.kinds import Kind
from torvyn_ref.security.scopes import PoolScope


def sandbox(name: str, *rules: str) -> Callable[[Callable[[Sandbox], Sandbox]], None]:
    """Register a host whose sandboxes are another; the function's docstring is the summary."""

    def add(change: Callable[[Sandbox], Sandbox]) -> None:
        register(name, *rules, summary=(change.__doc__ or "").strip(), build=lambda: ReferenceParts(sandbox=change))

    return add


@sandbox("everything-is-linked", "CAP-041", "CAP-034")
def _everything(box: Sandbox) -> Sandbox:
    """Every interface of WASI is linked, whatever a component may do."""
    return replace(box, capabilities=box.capabilities | {str(kind) for kind in Kind if not kind.needs_scope})


@sandbox("who-prints-may-look-around", "CAP-041")
def _around(box: Sandbox) -> Sandbox:
    """A component that may print may read the environment."""
    return replace(box, capabilities=box.capabilities | ({"environment:read"} if "stdio:stdout" in box.capabilities else set()))


@sandbox("one-kind-of-random", "CAP-041")
def _random(box: Sandbox) -> Sandbox:
    """A component that may have random numbers that are not secret may have those that are."""
    return replace(box, capabilities=box.capabilities | ({"random:crypto"} if "random:insecure" in box.capabilities else set()))


@sandbox("standard-error-is-free", "CAP-041")
def _stderr(box: Sandbox) -> Sandbox:
    """Standard error takes no capability."""
    return replace(box, capabilities=box.capabilities | {"stdio:stderr"})


@sandbox("scoped-is-not-held", "CAP-034", "CAP-035")
def _unscoped(box: Sandbox) -> Sandbox:
    """A component is told that it lacks every capability that has a scope."""
    return replace(box, capabilities=frozenset(text for text in box.capabilities if text.count(":") < 2))


@sandbox("any-pool-will-do", "CAP-037")
def _any_pool(box: Sandbox) -> Sandbox:
    """A grant for one pool allocates from all of them."""
    if box.allocations is not None:
        box.allocations.limited = False
    return box


class _OwnAndSmaller:
    """Permits the pools that are named, and smaller ones."""

    limited = True

    def __init__(self, guard: Guard, pools: frozenset[str]) -> None:
        self.uses = 0
        self._guard = guard
        sizes = {"small": 256, "medium": 4096, "large": 65536, "huge": 1 << 24}
        self._most = max((sizes[pool] for pool in pools), default=1 << 24)

    def permits(self, size: int) -> bool:
        """Compare with the largest."""
        if size > self._most:
            self._guard.deny(self._guard.effective.of_kind(Kind.RESOURCE_ALLOCATE)[0])
        return size <= self._most


@sandbox("a-large-grant-covers-small-pools", "CAP-037")
def _smaller(box: Sandbox) -> Sandbox:
    """Who may allocate from the large pool may allocate from the smaller ones."""
    guard = box.audit
    if box.allocations is None or not isinstance(guard, Guard):
        return box
    scopes = [capability.scope for capability in guard.effective.of_kind(Kind.RESOURCE_ALLOCATE)]
    pools = frozenset(scope.name for scope in scopes if isinstance(scope, PoolScope))
    return replace(box, allocations=_OwnAndSmaller(guard, pools))


class _TooLate:
    """Makes the buffer, and decides afterwards."""

    limited = True

    def __init__(self, box: Sandbox, inner: AllocationGate) -> None:
        self.uses = 0
        self._box = box
        self._inner = inner

    def permits(self, size: int) -> bool:
        """Refuse what is there already."""
        permitted = not self._inner.limited or self._inner.permits(size)
        if not permitted:
            self._box.resources.allocate(self._box.owner, size, self._box.flow)
        return permitted


@sandbox("refused-and-done-all-the-same", "CAP-037")
def _done(box: Sandbox) -> Sandbox:
    """A buffer that is refused has been taken from its pool, and stays taken."""
    return box if box.allocations is None else replace(box, allocations=_TooLate(box, box.allocations))


@sandbox("uses-of-wasi-are-not-told", "CAP-039")
def _untold(box: Sandbox) -> Sandbox:
    """What a component does with WASI is not audited."""
    return replace(box, audit=None)


@sandbox("the-log-has-secrets", "CAP-039")
def _secrets(box: Sandbox) -> Sandbox:
    """What the environment holds is written into the log with each use of it."""
    audit = box.audit
    if audit is None:
        return box

    def tell(capability: str, detail: str) -> object:
        return audit(capability, f"{detail}: {dict(box.environment)}" if capability == Kind.ENVIRONMENT else detail)

    return replace(box, audit=tell)


# ---------------------------------------------------------------- calls


class _Wrapped:
    """An instance whose answers are another."""

    def __init__(self, inner: Instance) -> None:
        self._inner = inner
        self.role = inner.role
        self.has_lifecycle = inner.has_lifecycle
        self.close = inner.close

    @property
    def fuel_used(self) -> int:
        """Return the fuel spent so far."""
        return self._inner.fuel_used

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def call(self, call: Call, argument: Any = None) -> Answer:
        """Make one call."""
        return self.changed(call, argument, self._inner.call(call, argument))

    def changed(self, call: Call, argument: Any, answer: Answer) -> Answer:  # noqa: ARG002 -- for those who change it
        """Change an answer."""
        return answer


def instance(name: str, *rules: str) -> Callable[[type[_Wrapped]], type[_Wrapped]]:
    """Register instances whose answers are another; the docstring is the summary."""

    def add(cls: type[_Wrapped]) -> type[_Wrapped]:
        register(name, *rules, summary=(cls.__doc__ or "").strip(), build=lambda: ReferenceParts(instance=cls))
        return cls

    return add


@instance("nonsense-traps", "CAP-034")
class NonsenseTraps(_Wrapped):
    """A component that asks about what is no capability traps."""

    def changed(self, call: Call, argument: Any, answer: Answer) -> Answer:
        """Look at what it asked."""
        if call is Call.PROCESS and isinstance(argument, Element) and not isinstance(answer, Failure):
            guest = self._inner._guest  # type: ignore[attr-defined]  # noqa: SLF001 -- a mutant knows what it breaks
            if b":" not in bytes(guest.resources.peek(argument.handle, HOST)) and guest.resources.size(argument.handle) > 1:
                return Failure(ErrorKind.FATAL, "unknown capability", Cause.TRAP, poisoned=True)
        return answer


@instance("exit-ends-quietly", "CAP-061")
class ExitEndsQuietly(_Wrapped):
    """A component that calls exit has answered."""

    def changed(self, call: Call, argument: Any, answer: Answer) -> Answer:  # noqa: ARG002 -- whatever was called
        """Take its exit for an answer."""
        left = isinstance(answer, Failure) and "called exit" in answer.message
        return None if left else answer


# ---------------------------------------------------------------- projects


def reading(name: str, *rules: str, pattern: str, replacement: str, summary: str) -> None:
    """Register a reader that takes some text of a manifest for another."""

    def kindly(path: Path, **options: Any) -> Project:
        manifest = path / "Torvyn.toml"
        manifest.write_text(re.sub(pattern, replacement, manifest.read_text()))
        return load(path, **options)

    register(name, *rules, summary=summary, build=lambda: ReferenceParts(load_project=kindly))


reading(
    "underscores-are-hyphens",
    "CAP-056",
    pattern=r'default_capability_policy = "allow_all"',
    replacement='default_capability_policy = "allow-all"',
    summary="`allow_all` is read as `allow-all`.",
)
reading(
    "an-empty-policy-is-the-default",
    "CAP-056",
    pattern=r'default_capability_policy = ""',
    replacement="",
    summary="A policy that is empty is the default.",
)
reading(
    "a-misspelt-policy-opens-everything",
    "CAP-056",
    pattern=r'default_capability_policy = "(?!deny-all)[^"]*"',
    replacement='default_capability_policy = "allow-all"',
    summary="Every policy but `deny-all` is `allow-all`.",
)
reading(
    "allowed-by-default",
    "CAP-056",
    "CAP-060",
    pattern=r"(?s)\A(?!.*default_capability_policy)(.*)\Z",
    replacement=r'\1\n[security]\ndefault_capability_policy = "allow-all"\n',
    summary="Without a policy everything that is declared is allowed.",
)
reading(
    "components-come-first",
    "CAP-058",
    pattern=r'(?s)\[security\.grants\."middle"\](?=.*\[security\.grants\."wasi-stdout"\])',
    replacement='[security.grants."numbers"]',
    summary="A component's grants come before those of its node.",
)
reading(
    "unknown-keys-are-dropped",
    "CAP-058",
    pattern=r'\[security\.grants\."(?:midle|Middle|wasi_stdout|nobody|main)"\]\ncapabilities = .*\n',
    replacement="",
    summary="Grants under an unknown key are left out.",
)
reading(
    "a-node-grants-to-its-component",
    "CAP-058",
    pattern=r'\[security\.grants\."one"\]',
    replacement='[security.grants."wasi-stdout"]',
    summary="What one node is granted, every node of its component has.",
)
reading(
    "no-grants-for-components",
    "CAP-058",
    pattern=r'\[security\.grants\."wasi-stdout"\]\ncapabilities = \["stdio:stdout"\]\n(?!\[)',
    replacement="",
    summary="Grants under a component's name reach nobody.",
)
reading(
    "granted-is-declared",
    "CAP-059",
    "CAP-027",
    pattern=r'(?s)(path = "wasi-[\w-]+\.wasm"\n)(?!capabilities)(?=.*\[security\.grants\."middle"\]\ncapabilities = (\[[^\n]*\]))',
    replacement=r"\1capabilities = \2\n",
    summary="A component that declares nothing has declared what it is granted.",
)
reading(
    "false-is-true",
    "CAP-059",
    pattern=r"wasi-random = false",
    replacement="wasi-random = true",
    summary="A capability that is declared as false is declared.",
)


def _not_strict(path: Path, **options: Any) -> Project:
    options["overrides"] = {key: value for key, value in (options.get("overrides") or {}).items() if key != "security.strict_allocation"}
    return load(path, **options)


register(
    "strict-is-not-read",
    "CAP-038",
    summary="Strict mode is configured, and nothing becomes of it.",
    build=lambda: ReferenceParts(load_project=_not_strict),
)


class _Eager(Host):
    """Initialises the components of a flow that it refuses."""

    def prepare(self, *arguments: Any, **options: Any) -> PreparedFlow:
        """Begin with everything allowed, and refuse afterwards."""
        try:
            return super().prepare(*arguments, **options)
        except TorvynError:
            security = self.project.security.model_copy(update={"default_capability_policy": "allow-all"})
            manifest = self.project.manifest.model_copy(update={"security": security})
            host = Host(replace(self.project, manifest=manifest), clock=self.clock, audit=AuditLog(discard, self.clock), offline=True)
            try:
                begun = host.prepare(*arguments, **options)
                for one in begun.instances.values():
                    if one.has_lifecycle:
                        one.call(Call.INIT, "")
                begun.close()
            except TorvynError:
                pass
            finally:
                host.close()
            raise


class _Told(Host):
    """Says in the log that the components of a refused flow were started."""

    def prepare(self, *arguments: Any, **options: Any) -> PreparedFlow:
        """Say it first."""
        for name in self.project.flow().nodes:
            self.audit.emit(EventKind.COMPONENT_INSTANTIATED, component=name)
        return super().prepare(*arguments, **options)


register(
    "init-before-the-decision",
    "CAP-060",
    summary="Components are initialised, and then refused.",
    build=lambda: ReferenceParts(host=_Eager),
)
register(
    "started-says-the-log",
    "CAP-060",
    summary="The log of a refused flow says that its components were started.",
    build=lambda: ReferenceParts(host=_Told),
)


class _Silent(AuditLog):
    """Writes nothing about a flow's start and end."""

    def emit(self, kind: EventKind, **details: Any) -> Any:
        """Leave them out."""
        return None if kind in {EventKind.FLOW_STARTED, EventKind.FLOW_TERMINATED} else super().emit(kind, **details)


register(
    "flows-come-and-go",
    "CAP-050",
    summary="The log does not say when a flow starts and ends.",
    build=lambda: ReferenceParts(security=SecurityParts(audit=_Silent)),
)


class _Uncounted(Host):
    """Counts no buffers of components that are granted nothing."""

    def _sandbox(self, *arguments: Any, **options: Any) -> Sandbox:
        """Take the counter away."""
        return replace(super()._sandbox(*arguments, **options), allocations=None)


register(
    "implied-is-not-counted",
    "CAP-040",
    summary="Allocations that take no grant are not audited.",
    build=lambda: ReferenceParts(host=_Uncounted),
)
