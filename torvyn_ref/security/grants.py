"""Deny-all resolution: what a component declares, met with what its operator grants, before guest code runs (ADR-005, CAP-022..CAP-032).

A declaration is a capability (scope included), or a manifest alias such as `wasi-clocks`, which names kinds and leaves their scope to the
operator. A grant is always a capability. The outcome is fixed for the life of the instance: nothing grants afterwards (CAP-033).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from torvyn_ref.errors import TorvynError, raise_all
from torvyn_ref.security.capability import Capability, parse
from torvyn_ref.security.kinds import KINDS, Kind
from torvyn_ref.security.vocabularies import ALIASES, example


class Policy(StrEnum):
    """`[security] default_capability_policy` (CAP-056): what a declared capability without a grant gets."""

    DENY_ALL = "deny-all"
    ALLOW_ALL = "allow-all"


class Allocator(StrEnum):
    """What importing `torvyn:streaming/buffer-allocator` does for `torvyn:resource-allocate` (decision 7, CAP-038)."""

    ABSENT = "absent"  # not imported
    IMPLIED = "implied"  # declared and granted by a standard world that has the allocator in it
    BY_GRANT = "by-grant"  # declared, and granted by nobody but the operator (strict mode; any other world)


@dataclass(frozen=True, slots=True)
class CapabilitySet:
    """What a component may do: immutable, in the order of its declarations."""

    capabilities: tuple[Capability, ...] = ()

    @classmethod
    def of(cls, canonical: Iterable[str]) -> CapabilitySet:
        """Read a set back from canonical strings, as `Sandbox.capabilities` holds them.

        Raises:
            TorvynError: as `parse`, for the first string that is no capability.
        """
        return cls(tuple(parse(text) for text in canonical))

    def __iter__(self) -> Iterator[Capability]:
        return iter(self.capabilities)

    def __len__(self) -> int:
        return len(self.capabilities)

    def permits(self, request: Capability) -> bool:
        """Tell whether one of the capabilities covers the request; an empty set permits nothing (CAP-022)."""
        return any(held.covers(request) for held in self.capabilities)

    def of_kind(self, *kinds: Kind) -> tuple[Capability, ...]:
        """Return the capabilities of these kinds."""
        return tuple(held for held in self.capabilities if held.kind in kinds)

    def answers(self, name: str) -> bool:
        """Answer `capability-query.has-capability`: never raises, whatever a guest asks (CAP-034).

        A kind without its scope, and a manifest alias, ask for any capability of that kind (CAP-035).
        """
        if name in ALIASES:
            return bool(self.of_kind(*ALIASES[name]))
        if name in KINDS:
            return bool(self.of_kind(KINDS[name]))
        try:
            return self.permits(parse(name))
        except TorvynError:
            return False

    @property
    def canonical(self) -> frozenset[str]:
        """The capabilities as canonical strings."""
        return frozenset(map(str, self.capabilities))


@dataclass(frozen=True, slots=True)
class Need:
    """One declared capability.

    Attributes:
        text: as declared, without the `?`.
        kinds: the kinds it asks for; one, except for some aliases.
        request: what is asked for; None for an alias: any scope of its kinds.
        optional: the component can do without (CAP-031).
    """

    text: str
    kinds: tuple[Kind, ...]
    request: Capability | None
    optional: bool = False


class Remark(StrEnum):
    """What resolution found worth a warning."""

    OPTIONAL_NOT_GRANTED = "optional-not-granted"  # CAP-026
    UNUSED_GRANT = "unused-grant"  # CAP-027, CAP-029
    DECLARED_TWICE = "declared-twice"  # CAP-032
    ALLOWED_BY_POLICY = "allowed-by-policy"  # CAP-057, decision 9


@dataclass(frozen=True, slots=True)
class ResolutionWarning:
    """Something that does not stop the component, and that its operator should know."""

    remark: Remark
    capability: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Why one effective capability is there (CAP-047): the declaration, what granted it, what came of it."""

    requested: str
    granted: str
    effective: Capability


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome for one component."""

    effective: CapabilitySet
    warnings: tuple[ResolutionWarning, ...] = ()
    decisions: tuple[Decision, ...] = ()


ALLOCATOR_IMPORT = "import of torvyn:streaming/buffer-allocator"
"""How decisions and errors name the need, and the grant, that importing the allocator implies."""


def resolve(
    declared: Iterable[str],
    granted: Iterable[str],
    policy: Policy = Policy.DENY_ALL,
    *,
    component: str,
    allocator: Allocator = Allocator.ABSENT,
) -> Resolution:
    """Resolve a component's declarations against its grants.

    One grant must cover one request whole (CAP-030), the first that does is the one used (CAP-029), and the component gets the request with
    its own scope, never the grant's (CAP-028). An alias gets every grant of its kinds. Under `allow-all` what no grant covers is granted as
    declared, with a warning each; an alias that stands for directories still needs a grant, because it names none.

    Args:
        declared: capabilities and aliases, `?` in front of optional ones.
        granted: capabilities, in the operator's order.
        policy: what a declared capability without a grant gets.
        component: the node's name, shown in errors.
        allocator: whether the component imports the allocator, and what that implies. The import counts as a declaration of
            `torvyn:resource-allocate` unless there is one; an operator who grants pools himself decides alone which.

    Raises:
        TorvynError, TorvynErrors: everything wrong at once (CAP-025): security/invalid-syntax, missing-scope, unknown-capability for a
            string that is no capability; missing-required (E0520) for a required one without any grant of its kind, incompatible-scope
            (E0521) when there are such grants and none covers it.
    """
    unreadable: list[TorvynError] = []
    unmet: list[TorvynError] = []
    warnings: list[ResolutionWarning] = []
    needs = _read_needs(declared, component, unreadable, warnings)
    grants, grants_are_readable = _read_grants(granted, component, unreadable)
    implied: tuple[Capability, ...] = ()
    if allocator is not Allocator.ABSENT:
        if not any(Kind.RESOURCE_ALLOCATE in need.kinds for need in needs):
            needs.append(Need(ALLOCATOR_IMPORT, (Kind.RESOURCE_ALLOCATE,), None))
        if allocator is Allocator.IMPLIED and not any(grant.kind is Kind.RESOURCE_ALLOCATE for grant in grants):
            implied = (Capability(Kind.RESOURCE_ALLOCATE),)

    decisions: list[Decision] = []
    used: set[int] = set()
    for need in needs:
        met = _met(need, grants, used) or [replace(one, granted=ALLOCATOR_IMPORT) for one in _met(need, implied, set())]
        if policy is Policy.ALLOW_ALL:
            allowed = _as_declared(need, met)
            met += allowed
            for one in allowed:
                message = f"{component}: {one.effective} is allowed by default_capability_policy = allow-all, not by a grant"
                warnings.append(ResolutionWarning(Remark.ALLOWED_BY_POLICY, str(one.effective), message))
        decisions += met
        if not met and need.optional:
            message = f"{component}: optional {need.text} is not granted; the component runs without it"
            warnings.append(ResolutionWarning(Remark.OPTIONAL_NOT_GRANTED, need.text, message))
        elif not met:
            unmet.append(_unmet(need, grants, component))
    # After an unreadable grant, "not granted" would often only repeat it.
    raise_all([*unreadable, *(unmet if grants_are_readable else ())])
    for position, grant in enumerate(grants):
        if position not in used:
            message = f"{component}: the grant of {grant} is not used; the component does not get it"
            warnings.append(ResolutionWarning(Remark.UNUSED_GRANT, str(grant), message))
    effective = CapabilitySet(tuple(dict.fromkeys(decision.effective for decision in decisions)))
    return Resolution(effective, tuple(warnings), tuple(decisions))


def declared_kinds(declared: Iterable[str]) -> frozenset[Kind]:
    """Return the kinds that declarations name, optional ones too; what cannot be read names none (`resolve` reports it)."""
    return frozenset(kind for need in _read_needs(declared, "", [], []) for kind in need.kinds)


def _read_needs(declared: Iterable[str], component: str, errors: list[TorvynError], warnings: list[ResolutionWarning]) -> list[Need]:
    """Read every declaration; the same one twice is one, and required if either says so (CAP-031, CAP-032)."""
    needs: dict[Capability | str, Need] = {}
    for entry in declared:
        optional = entry.startswith("?")
        text = entry.removeprefix("?")
        request: Capability | None = None
        if text not in ALIASES:
            try:
                request = parse(text, where=f"{component}, declared capabilities")
            except TorvynError as error:
                error.fields["component"] = component
                errors.append(error)
                continue
        key = request or text
        before = needs.get(key)
        if before is not None:
            message = f"{component}: {before.text} is declared twice" + ("; required wins" if before.optional != optional else "")
            warnings.append(ResolutionWarning(Remark.DECLARED_TWICE, before.text, message))
            optional = optional and before.optional
        kinds = ALIASES[text] if request is None else (request.kind,)
        needs[key] = Need(text if request is None else str(request), kinds, request, optional)
    return list(needs.values())


def _read_grants(granted: Iterable[str], component: str, errors: list[TorvynError]) -> tuple[list[Capability], bool]:
    grants: list[Capability] = []
    readable = True
    for text in granted:
        try:
            grants.append(parse(text, where=f"[security.grants] for {component}"))
        except TorvynError as error:
            error.fields["component"] = component
            errors.append(error)
            readable = False
    return grants, readable


def _met(need: Need, grants: Sequence[Capability], used: set[int]) -> list[Decision]:
    """Return what the grants give the need, noting the positions of the grants used."""
    met: list[Decision] = []
    for position, grant in enumerate(grants):
        if need.request is None:
            if grant.kind in need.kinds and not any(one.effective.covers(grant) for one in met):
                used.add(position)
                met.append(Decision(need.text, str(grant), grant))
        elif grant.covers(need.request):
            used.add(position)
            return [Decision(need.text, str(grant), need.request)]
    return met


def _as_declared(need: Need, met: Sequence[Decision]) -> list[Decision]:
    """Return what `allow-all` adds to the need: the request itself, or the kinds of an alias that mean something without a scope."""
    if need.request is not None:
        missing = [] if met else [need.request]
    else:
        granted = {one.effective.kind for one in met}
        missing = [Capability(kind) for kind in need.kinds if kind not in granted and not kind.needs_scope]
    return [Decision(need.text, Policy.ALLOW_ALL, capability) for capability in missing]


def _unmet(need: Need, grants: Sequence[Capability], component: str) -> TorvynError:
    similar = [str(grant) for grant in grants if grant.kind in need.kinds]
    wanted = [str(need.request)] if need.request is not None else [example(kind) for kind in need.kinds]
    hint = f"under [security.grants.{component}], add {' or '.join(map(_quoted, wanted))} to capabilities, if the component may have it"
    if similar:
        problem = f"requires {need.text}, and no single grant covers it; granted: {', '.join(similar)}"
        return TorvynError(
            "security",
            "incompatible-scope",
            problem,
            where=component,
            hint=hint,
            code="E0521",
            component=component,
            capability=need.text,
            granted=similar,
        )
    return TorvynError(
        "security",
        "missing-required",
        f"requires {need.text}, which is not granted",
        where=component,
        hint=hint,
        code="E0520",
        component=component,
        capability=need.text,
    )


def _quoted(text: str) -> str:
    return f'"{text}"'
