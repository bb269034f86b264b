"""Mutants that give a component more, or less, than it asked for and was granted, or forget what was decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_capabilities import security
from conformance.subjects.reference import SecurityParts
from torvyn_ref.config.settings import Runtime
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security.capability import Capability, parse
from torvyn_ref.security.grants import CapabilitySet, Decision, Policy, Remark, Resolution, resolve
from torvyn_ref.security.guard import Guard, HotPath
from torvyn_ref.security.kinds import Kind
from torvyn_ref.security.scopes import PoolScope
from torvyn_ref.wasi.environment import Preopen, WasiEnvironment

Texts = tuple[str, ...]
Resolve = Callable[[Texts, Texts, Policy, str], Resolution]


def resolving(name: str, *rules: str) -> Callable[[Resolve], Resolve]:
    """Register a faulty resolution; its docstring is the summary."""

    def add(faulty: Resolve) -> Resolve:
        def run(declared: Texts, granted: Texts, policy: Policy = Policy.DENY_ALL, *, component: str, **_: Any) -> Resolution:
            return faulty(declared, granted, policy, component)

        security(name, *rules, summary=(faulty.__doc__ or "").strip(), parts=lambda: SecurityParts(resolve=run))
        return faulty

    return add


@resolving("a-declaration-is-a-grant", "CAP-022", "CAP-024")
def _declared_is_granted(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """What is declared is granted, whether an operator says so or not."""
    wanted = tuple(text for text in declared if not text.startswith("?"))
    return resolve(declared, (*granted, *wanted), policy, component=component)


@resolving("pure-components-need-a-grant", "CAP-023")
def _pure(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """A component without any grant is refused."""
    if not granted and not declared:
        raise TorvynError("security", "missing-required", "no grants", component=component, capability="")
    return resolve(declared, granted, policy, component=component)


def _relabelled(kind: str, old: str) -> Resolve:
    def run(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
        try:
            return resolve(declared, granted, policy, component=component)
        except TorvynError as error:
            for one in error.errors if isinstance(error, TorvynErrors) else (error,):
                one.kind = kind if one.kind == old else one.kind
            raise

    return run


def _named(run: Resolve, summary: str) -> Resolve:
    run.__doc__ = summary
    return run


resolving("not-covered-is-missing", "CAP-024")(
    _named(_relabelled("missing-required", "incompatible-scope"), "A grant that does not cover the request is not spoken of.")
)
resolving("missing-is-not-covered", "CAP-024", "CAP-022")(
    _named(_relabelled("incompatible-scope", "missing-required"), "A capability without any grant is said to have one that is too narrow.")
)


@resolving("first-error-only", "CAP-025")
def _first(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """Only the first thing that is missing is reported."""
    try:
        return resolve(declared, granted, policy, component=component)
    except TorvynErrors as errors:
        raise errors.errors[0] from None


@resolving("the-rest-runs", "CAP-024")
def _rest(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """A component whose scopes do not fit runs with what is left."""
    try:
        return resolve(declared, granted, policy, component=component)
    except TorvynError as error:
        causes = error.errors if isinstance(error, TorvynErrors) else (error,)
        if any(one.kind != "incompatible-scope" for one in causes):
            raise
        return resolve(tuple(f"?{text.removeprefix('?')}" for text in declared), granted, policy, component=component)


@resolving("optional-is-required", "CAP-026", "CAP-031")
def _optional(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """The question mark of an optional capability is not read."""
    return resolve(tuple(text.removeprefix("?") for text in declared), granted, policy, component=component)


@resolving("question-marks-are-taken-off", "CAP-031")
def _marks(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """Any number of question marks makes a declaration optional."""
    return resolve(
        tuple(f"?{text.lstrip('?')}" if text.startswith("?") else text for text in declared), granted, policy, component=component
    )


@resolving("bad-optional-is-skipped", "CAP-031")
def _bad_optional(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """An optional declaration that cannot be read is passed over."""
    return resolve(tuple(text for text in declared if not _is_bad_optional(text)), granted, policy, component=component)


def _is_bad_optional(text: str) -> bool:
    try:
        parse(text.removeprefix("?"))
    except TorvynError:
        return text.startswith("?")
    return False


@resolving("optional-wins", "CAP-032")
def _optional_wins(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """What is declared both ways is optional."""
    optional = {text.removeprefix("?") for text in declared if text.startswith("?")}
    kept = tuple(text for text in declared if text not in optional)
    return resolve(kept, granted, policy, component=component)


def _without(remark: Remark) -> Resolve:
    def run(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
        found = resolve(declared, granted, policy, component=component)
        return replace(found, warnings=tuple(warning for warning in found.warnings if warning.remark is not remark))

    return run


resolving("optional-in-silence", "CAP-026")(
    _named(_without(Remark.OPTIONAL_NOT_GRANTED), "An optional capability that is missing is not spoken of.")
)
resolving("unused-in-silence", "CAP-027", "CAP-029")(_named(_without(Remark.UNUSED_GRANT), "A grant nobody asked for is not spoken of."))
resolving("allowed-in-silence", "CAP-057")(_named(_without(Remark.ALLOWED_BY_POLICY), "What allow-all allows is not spoken of."))


def _given(found: Resolution, more: Iterable[str]) -> Resolution:
    return replace(found, effective=CapabilitySet((*found.effective, *(parse(text) for text in more))))


@resolving("grants-are-given", "CAP-027")
def _grants(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """A component has what it was granted, whatever it asked for."""
    return _given(resolve(declared, granted, policy, component=component), granted)


def _as_granted(found: Resolution) -> Resolution:
    decisions = tuple(Decision(one.requested, one.granted, parse(one.granted)) for one in found.decisions)
    return replace(found, effective=CapabilitySet(tuple(one.effective for one in decisions)), decisions=decisions)


@resolving("as-granted-not-as-asked", "CAP-028", "CAP-047")
def _broad(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """A component has the grant that covered its request, with the grant's scope."""
    found = resolve(declared, granted, policy, component=component)
    return _as_granted(found) if policy is Policy.DENY_ALL else found


@resolving("the-last-grant-is-used", "CAP-029")
def _last(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """The last grant that covers a request is the one that is used."""
    return resolve(declared, granted[::-1], policy, component=component)


@resolving("every-covering-grant-is-used", "CAP-029")
def _every(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """A second grant that covers a request counts as used as well."""
    found = resolve(declared, granted, policy, component=component)
    requests = [one.effective for one in found.decisions]
    idle = {text for text in granted if not any(parse(text).covers(request) for request in requests)}
    kept = tuple(one for one in found.warnings if one.remark is not Remark.UNUSED_GRANT or one.capability in idle)
    return replace(found, warnings=kept)


@resolving("hosts-add-up", "CAP-030")
def _union(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """Grants of one kind for several hosts are one grant for all of them."""
    hosts = [text.rpartition(":")[2] for text in granted if text.startswith("network:tcp-connect:") and text.count(":") == 2]
    more = (f"network:tcp-connect:{','.join(hosts)}",) if len(hosts) > 1 else ()
    return resolve(declared, (*granted, *more), policy, component=component)


@resolving("ranges-add-up", "CAP-030")
def _ranges(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """Grants for several ports of one host are one grant for all of them."""
    prefix = "network:tcp-connect:a.com:"
    ports = [text.removeprefix(prefix) for text in granted if text.startswith(prefix)]
    more = (f"{prefix}{','.join(ports)}",) if len(ports) > 1 else ()
    return resolve(declared, (*granted, *more), policy, component=component)


@resolving("the-first-decides-for-its-kind", "CAP-028")
def _by_kind(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """Of several capabilities of one kind a component has the first one, as often as it asked."""
    found = resolve(declared, granted, policy, component=component)
    first: dict[Kind, Capability] = {}
    kept = tuple(first.setdefault(one.kind, one) for one in found.effective)
    return replace(found, effective=CapabilitySet(tuple(dict.fromkeys(kept))))


@resolving("two-questions-one-grant", "CAP-029")
def _one_grant(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """The second request of a kind is said to come from the grant of the first."""
    found = resolve(declared, granted, policy, component=component)
    first: dict[Kind, str] = {}
    told = tuple(replace(one, granted=first.setdefault(one.effective.kind, one.granted)) for one in found.decisions)
    return replace(found, decisions=told)


@resolving("allow-all-allows-all", "CAP-057")
def _everything(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """Under allow-all a component may do everything, declared or not."""
    found = resolve(declared, granted, policy, component=component)
    more = [str(kind) for kind in Kind if not kind.needs_scope]
    return _given(found, more) if policy is Policy.ALLOW_ALL else found


@resolving("allow-all-allows-the-grants", "CAP-057")
def _all_grants(declared: Texts, granted: Texts, policy: Policy, component: str) -> Resolution:
    """Under allow-all grants nobody asked for are given."""
    found = resolve(declared, granted, policy, component=component)
    return _given(found, granted) if policy is Policy.ALLOW_ALL else found


# ---------------------------------------------------------------- at run time


def guarding(name: str, *rules: str) -> Callable[[type[Guard]], type[Guard]]:
    """Register a faulty guard; its docstring is the summary."""

    def add(cls: type[Guard]) -> type[Guard]:
        security(name, *rules, summary=(cls.__doc__ or "").strip(), parts=lambda: SecurityParts(guard=cls))
        return cls

    return add


@guarding("default-allow", "CAP-022", "CAP-026", "CAP-027", "CAP-036")
class DefaultAllow(Guard):
    """What no capability speaks of is allowed."""

    def check(self, request: Capability, detail: str | None = None) -> None:
        """Deny only what is held in part."""
        if self.effective.of_kind(request.kind):
            super().check(request, detail)
        else:
            self.exercised(request, detail)

    def use(self, kind: Kind, pool: str | None = None) -> bool:
        """Allow what is not held."""
        if self.hot.may(kind):
            return super().use(kind, pool)
        self.exercised(Capability(kind, None if pool is None else PoolScope(pool)))
        return True


@guarding("scopes-do-not-count", "CAP-028", "CAP-044")
class KindsOnly(Guard):
    """A running component may use every scope of a kind that it holds."""

    def check(self, request: Capability, detail: str | None = None) -> None:
        """Look at the kind alone."""
        if self.effective.of_kind(request.kind):
            self.exercised(request, detail)
        else:
            super().check(request, detail)


@guarding("one-set-for-all-lives", "CAP-033")
class OneForAll(Guard):
    """Components of one name share what the latest of them was given."""

    latest: dict[str, CapabilitySet] = {}  # noqa: RUF012 -- shared on purpose

    def __init__(self, effective: CapabilitySet, *arguments: Any, component: str, **options: Any) -> None:
        super().__init__(effective, *arguments, component=component, **options)
        self.latest[component] = effective

    def check(self, request: Capability, detail: str | None = None) -> None:
        """Look at the latest."""
        self.effective = self.latest[self.component]
        super().check(request, detail)


@guarding("grants-leak-to-neighbours", "CAP-033")
class Leaking(Guard):
    """What one component is given, every component of the flow may use."""

    given: dict[str | None, list[Capability]] = {}  # noqa: RUF012 -- shared on purpose

    def __init__(self, effective: CapabilitySet, *arguments: Any, **options: Any) -> None:
        super().__init__(effective, *arguments, **options)
        self.given.setdefault(self.flow, []).extend(effective)

    def check(self, request: Capability, detail: str | None = None) -> None:
        """Look at the neighbours as well."""
        if any(held.covers(request) for held in self.given[self.flow]):
            self.exercised(request, detail)
        else:
            super().check(request, detail)


class _Hot(Guard):
    """A guard whose hot path is computed in another way."""

    change: dict[str, object] = {}  # noqa: RUF012 -- set by each mutant

    def __init__(self, effective: CapabilitySet, *arguments: Any, **options: Any) -> None:
        super().__init__(effective, *arguments, **options)
        self.hot = self.computed(self.hot)

    def computed(self, hot: HotPath) -> HotPath:
        """Change it."""
        return hot


@guarding("metrics-are-free", "CAP-036")
class MetricsAreFree(_Hot):
    """Metrics of one's own take no grant."""

    def computed(self, hot: HotPath) -> HotPath:
        """Allow them."""
        return replace(hot, custom_metrics=True)


@guarding("one-flag-for-two", "CAP-036")
class OneFlagForTwo(_Hot):
    """Who may emit backpressure may inspect the flow."""

    def computed(self, hot: HotPath) -> HotPath:
        """Take one for the other."""
        return replace(hot, inspect_flow_meta=hot.inspect_flow_meta or hot.emit_backpressure)


@guarding("masks-know-no-pools", "CAP-028")
class NoPools(_Hot):
    """A grant for one pool allocates from all: the mask drops the pool's name."""

    def computed(self, hot: HotPath) -> HotPath:
        """Forget the names."""
        return replace(hot, pools=None)


# ---------------------------------------------------------------- WASI


def opening(name: str, *rules: str) -> Callable[[Callable[[list[Capability]], WasiEnvironment]], None]:
    """Register a faulty derivation of the WASI environment; its docstring is the summary."""

    def add(derive: Callable[[list[Capability]], WasiEnvironment]) -> None:
        parts = SecurityParts(environment=lambda effective: derive(list(effective)))
        security(name, *rules, summary=(derive.__doc__ or "").strip(), parts=lambda: parts)

    return add


@opening("stderr-is-always-open", "CAP-041")
def _stderr(effective: list[Capability]) -> WasiEnvironment:
    """Standard error is open to everybody."""
    found = WasiEnvironment.of(effective)
    return replace(found, switches=found.switches | {Kind.STDERR})


@opening("one-clock-opens-both", "CAP-041")
def _clocks(effective: list[Capability]) -> WasiEnvironment:
    """Either clock opens both."""
    found = WasiEnvironment.of(effective)
    both = {Kind.WALL_CLOCK, Kind.MONOTONIC_CLOCK}
    return replace(found, switches=found.switches | (both if both & found.switches else set()))


@opening("reading-is-writing", "CAP-042")
def _writable(effective: list[Capability]) -> WasiEnvironment:
    """A directory that may be read may be written."""
    found = WasiEnvironment.of(effective)
    return replace(found, preopens=tuple(replace(one, write=one.write or one.read) for one in found.preopens))


@opening("writing-is-reading", "CAP-042")
def _readable(effective: list[Capability]) -> WasiEnvironment:
    """A directory that may be written may be read."""
    found = WasiEnvironment.of(effective)
    return replace(found, preopens=tuple(replace(one, read=one.read or one.write) for one in found.preopens))


@opening("two-directories-for-one", "CAP-042")
def _twice(effective: list[Capability]) -> WasiEnvironment:
    """Reading and writing the same root are two directories."""
    found = WasiEnvironment.of(effective)
    split = [Preopen(one.path, **{way: True}) for one in found.preopens for way, on in (("read", one.read), ("write", one.write)) if on]
    return replace(found, preopens=tuple(split))


@opening("metrics-open-the-clock", "CAP-043")
def _metrics(effective: list[Capability]) -> WasiEnvironment:
    """Metrics take the time, so that their capability opens the monotonic clock."""
    found = WasiEnvironment.of(effective)
    held = any(capability.kind is Kind.CUSTOM_METRICS for capability in effective)
    return replace(found, switches=found.switches | ({Kind.MONOTONIC_CLOCK} if held else set()))


# ---------------------------------------------------------------- limits


def limited(name: str, summary: str, **values: Any) -> None:
    """Register other defaults."""
    security(name, "CAP-055", summary=summary, parts=lambda: SecurityParts(limits=lambda: Runtime(**values)))


limited("fuel-for-little", "A call has a tenth of the fuel by default.", default_fuel_per_invocation=100_000)
limited("time-for-ever", "A call has a minute by default.", component_timeout_ms=60_000)
limited("twice-the-buffers", "A component has 128 MiB of buffers by default.", max_buffer_bytes_per_component="128MiB")
