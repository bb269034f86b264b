"""The algebra of capabilities: reading them, writing them, and whether a grant covers a request (CAP-001..CAP-021).

A capability is written `domain:action[:scope]`. The first two colons separate; the scope may hold more of them. Nothing is trimmed, nothing
is folded to lower case outside host names, and what cannot be understood is refused rather than ignored: a grant that says less than its
writer meant fails loudly, one that says more would not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torvyn_ref.config.suggest import nearest
from torvyn_ref.errors import TorvynError
from torvyn_ref.security.kinds import KINDS, Kind, ScopeType
from torvyn_ref.security.scopes import NetScope, PathScope, PoolScope, PortRange, Scope, ScopeError
from torvyn_ref.security.vocabularies import ALIASES, corrections, example

LONGEST_CAPABILITY = 4096
"""Characters. Longer text is refused unread: capabilities also come from guests (`has-capability`)."""

_SHOWN = 80

_SCOPE_CLASS: dict[ScopeType, type[Scope]] = {ScopeType.PATH: PathScope, ScopeType.NET: NetScope, ScopeType.POOL: PoolScope}
_SCOPE_READER: dict[ScopeType, Callable[[str], Scope]] = {
    ScopeType.PATH: PathScope,
    ScopeType.NET: NetScope.parse,
    ScopeType.POOL: PoolScope,
}


@dataclass(frozen=True, slots=True)
class Capability:
    """A kind and its scope; as a grant, what is allowed; as a request, what is wanted.

    Network kinds always hold a `NetScope`: without hosts and ports it is unrestricted. `torvyn:resource-allocate` without a scope means any
    pool.

    Raises:
        ScopeError: for a scope that does not belong to the kind, or a missing one.
    """

    kind: Kind
    scope: Scope | None = None

    def __post_init__(self) -> None:
        expected = self.kind.scope_type
        if self.scope is None:
            if self.kind.needs_scope:
                raise ScopeError(f"{self.kind} needs a {expected} scope")
            if expected is ScopeType.NET:
                object.__setattr__(self, "scope", NetScope())
        elif expected is ScopeType.NONE or not isinstance(self.scope, _SCOPE_CLASS[expected]):
            raise ScopeError(f"{self.kind} takes {'no' if expected is ScopeType.NONE else f'a {expected}'} scope")

    def __str__(self) -> str:
        """Render canonically; `parse` reads it back as the same value (CAP-004)."""
        if self.scope is None or (isinstance(self.scope, NetScope) and self.scope.is_unrestricted):
            return str(self.kind)
        return f"{self.kind}:{self.scope}"

    def covers(self, request: Capability) -> bool:
        """Tell whether this grant allows everything the request asks for: same kind, and its scope inside this one's (CAP-006..CAP-021)."""
        if self.kind is not request.kind:
            return False
        match self.scope, request.scope:
            case None, _:
                return True
            case PathScope() as granted, PathScope() as wanted:
                return granted.covers(wanted)
            case NetScope() as granted, NetScope() as wanted:
                return granted.covers(wanted)
            case PoolScope() as granted, PoolScope() as wanted:
                return granted.covers(wanted)
        return False  # a scoped pool never covers "any pool"


def parse(text: str, *, where: str | None = None) -> Capability:
    """Read one capability.

    Args:
        text: `domain:action[:scope]`; from a manifest, an operator or a guest.
        where: the file and field, shown in the error.

    Raises:
        TorvynError: security/invalid-syntax (E0510: no colon, a scope that means nothing or does not belong there, too long),
            security/missing-scope (E0511), security/unknown-capability (E0512, with what may have been meant).
    """
    try:
        return _read(text)
    except _MisreadError as misread:
        hint = misread.hint or (None if misread.kind == "missing-scope" else did_you_mean(text))
        raise TorvynError(
            "security",
            misread.kind,
            f"{_shown(text)} {misread}",
            where=where,
            hint=hint,
            code=_CODES[misread.kind],
            capability=text[:LONGEST_CAPABILITY],
        ) from None


class _MisreadError(Exception):
    """Why text is no capability, before anyone has thought of a hint."""

    def __init__(self, kind: str, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.kind = kind
        self.hint = hint


_CODES = {"invalid-syntax": "E0510", "missing-scope": "E0511", "unknown-capability": "E0512"}


def _read(text: str) -> Capability:
    if len(text) > LONGEST_CAPABILITY:
        raise _MisreadError("invalid-syntax", f"is longer than {LONGEST_CAPABILITY} characters")
    domain, colon, rest = text.partition(":")
    if not colon:
        raise _MisreadError("invalid-syntax", "has no ':' (a capability is written domain:action or domain:action:scope)")
    action, scoped, scope = rest.partition(":")
    kind = KINDS.get(f"{domain}:{action}")
    if kind is None:
        raise _MisreadError("unknown-capability", "is not a capability")
    if not scoped:
        if kind.needs_scope:
            raise _MisreadError("missing-scope", f"needs a {kind.scope_type} scope", f"for example {example(kind)}")
        return Capability(kind)
    reader = _SCOPE_READER.get(kind.scope_type)
    if reader is None:
        raise _MisreadError("invalid-syntax", f"takes no scope, found {_shown(scope)}", f"write {kind}")
    try:
        return Capability(kind, reader(scope))
    except ScopeError as problem:
        raise _MisreadError("invalid-syntax", f"has an invalid scope: {problem}") from None


def did_you_mean(text: str) -> str | None:
    """Return a hint at a valid capability for text that is none, or None when nothing comes near.

    The documentation's own names are known (A.4), manifest aliases too; otherwise the nearest kind.
    """
    if text in ALIASES:
        return f"{text} is a manifest alias; write {' or '.join(map(example, ALIASES[text]))}"
    for candidate in corrections(text):
        try:
            meant = _read(candidate)
        except _MisreadError:
            continue
        return f"did you mean {_shown(str(meant))}?"
    alias = nearest(text, ALIASES) if ":" not in text else None
    return f"did you mean the manifest alias {alias!r}?" if alias is not None else None


def endpoint(kind: Kind, host: str, port: int) -> Capability:
    """Return the request for one endpoint, to be checked against the grants at connect time (CAP-044).

    Args:
        kind: a network kind.
        host: a name or an address; IPv6 without brackets.
        port: 0 to 65535.

    Raises:
        ScopeError: if it is no host or no port; then nothing can be granted either.
    """
    return Capability(kind, NetScope((f"[{host}]" if ":" in host else host,), (PortRange(port, port),)))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
