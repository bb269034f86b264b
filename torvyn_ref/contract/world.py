"""What a component is, told by its binary: its role, its world, and the contract packages it needs (CON-002, CON-003, LINK-022)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torvyn_ref.calls import Role
from torvyn_ref.config.suggest import nearest
from torvyn_ref.contract.versions import PROVIDED, Version, incompatibility
from torvyn_ref.engine.protocol import ComponentShape
from torvyn_ref.errors import TorvynError, raise_all
from torvyn_ref.security.grants import Allocator

TYPES = "torvyn:streaming/types"
BUFFER_ALLOCATOR = "torvyn:streaming/buffer-allocator"
LIFECYCLE = "torvyn:streaming/lifecycle"
CAPABILITY_QUERY = "torvyn:capabilities/capability-query"

HOST_INTERFACES = frozenset({TYPES, BUFFER_ALLOCATOR, CAPABILITY_QUERY})
"""What a component may import from this runtime besides WASI (CON-001, LINK-017)."""

INTERFACE_OF: Mapping[Role, str] = MappingProxyType(
    {
        Role.SOURCE: "torvyn:streaming/source",
        Role.PROCESSOR: "torvyn:streaming/processor",
        Role.SINK: "torvyn:streaming/sink",
        Role.FILTER: "torvyn:filtering/filter",
        Role.ROUTER: "torvyn:filtering/router",
        Role.AGGREGATOR: "torvyn:aggregation/aggregator",
    }
)
"""The interface that gives a component each role (CON-002)."""

ROLES: Mapping[str, Role] = MappingProxyType(
    {
        **{interface: role for role, interface in INTERFACE_OF.items()},
        # Upstream's templates put these three into the streaming package; a host may accept both names (J-15).
        "torvyn:streaming/filter": Role.FILTER,
        "torvyn:streaming/router": Role.ROUTER,
        "torvyn:streaming/aggregator": Role.AGGREGATOR,
    }
)
"""Every interface name that means a role."""

PACKAGES = frozenset(name.partition("/")[0] for name in (*HOST_INTERFACES, *ROLES))
"""The contract packages."""

_SHOWN = 16  # exports named in an error

_INTERFACE = re.compile(r"(?P<package>[^\s/@:]+:[^\s/@:]+)/(?P<interface>[^\s/@:]+)(?:@(?P<version>\S+))?")


@dataclass(frozen=True, slots=True)
class InterfaceName:
    """A WIT interface name taken apart.

    Attributes:
        package: `torvyn:streaming`.
        interface: `types`.
        version: None when the name has none.
    """

    package: str
    interface: str
    version: Version | None = None

    @classmethod
    def parse(cls, text: str, *, where: str | None = None) -> InterfaceName:
        """Read `namespace:package/interface`, with an optional `@version`.

        Raises:
            TorvynError: contract/invalid-name (E0100) for another form, contract/invalid-version (E0113).
        """
        match = _INTERFACE.fullmatch(text)
        if match is None:
            problem = f"{text!r} is not an interface name"
            hint = "such a name is namespace:package/interface, with @version where needed"
            raise TorvynError("contract", "invalid-name", problem, where=where, hint=hint, code="E0100")
        version = Version.parse(match["version"], where=where) if match["version"] is not None else None
        return cls(match["package"], match["interface"], version)

    @property
    def path(self) -> str:
        """The name without its version."""
        return f"{self.package}/{self.interface}"

    def __str__(self) -> str:
        return self.path if self.version is None else f"{self.path}@{self.version}"


@dataclass(frozen=True, slots=True)
class World:
    """What a component is.

    Attributes:
        role: what it does in a flow (CON-002).
        name: the contract's world that it comes closest to, such as `torvyn:streaming/transform`.
        has_lifecycle: it exports `lifecycle`; every role may, and none must (CON-003).
        imports_allocator: it allocates buffers.
        standard_allocator: its world has the allocator in it (decision 7).
        packages: the contract packages in its imports and exports, with the versions named; sorted.
    """

    role: Role
    name: str
    has_lifecycle: bool
    imports_allocator: bool
    standard_allocator: bool
    packages: tuple[tuple[str, str], ...]

    def allocator(self, *, strict: bool = False) -> Allocator:
        """Tell what importing the allocator means for the component's capabilities (decision 7, CAP-038)."""
        if not self.imports_allocator:
            return Allocator.ABSENT
        return Allocator.IMPLIED if self.standard_allocator and not strict else Allocator.BY_GRANT


_WORLDS: Mapping[Role, tuple[str, bool]] = MappingProxyType(
    {
        Role.SOURCE: ("torvyn:streaming/data-source", True),
        Role.PROCESSOR: ("torvyn:streaming/transform", True),
        Role.SINK: ("torvyn:streaming/data-sink", False),
        Role.FILTER: ("torvyn:filtering/content-filter", False),
        Role.ROUTER: ("torvyn:filtering/content-router", False),
        Role.AGGREGATOR: ("torvyn:aggregation/stream-aggregator", True),
    }
)
"""The world of each role, and whether it imports the allocator."""

MANAGED_TRANSFORM = "torvyn:streaming/managed-transform"


def identify(shape: ComponentShape, *, where: str) -> World:
    """Tell a component's role and world from its imports and exports.

    Names are compared whole, version aside: `acme:resource/x` is no source (LINK-022).

    Args:
        shape: the binary's imports and exports.
        where: what to call the component in errors.

    Raises:
        TorvynError, TorvynErrors: contract/no-exported-interface (E0120) without a role, contract/several-roles with more than one,
            contract/version-incompatible (E0208), once for each contract package and version that this runtime does not provide.
    """
    names = [name for name in map(_understood, (*shape.imports, *shape.exports)) if name is not None]
    errors = _version_errors(names, where)
    exported = [name for name in map(_understood, shape.exports) if name is not None]
    roles = sorted({ROLES[name.path] for name in exported if name.path in ROLES})
    if len(roles) != 1:
        errors.insert(0, _no_single_role(shape, exported, roles, where))
    raise_all(errors)
    (role,) = roles
    world, standard_allocator = _WORLDS[role]
    has_lifecycle = any(name.path == LIFECYCLE for name in exported)
    if role is Role.PROCESSOR and has_lifecycle:
        world = MANAGED_TRANSFORM
    return World(
        role=role,
        name=world,
        has_lifecycle=has_lifecycle,
        imports_allocator=any(name is not None and name.path == BUFFER_ALLOCATOR for name in map(_understood, shape.imports)),
        standard_allocator=standard_allocator,
        packages=tuple(sorted({(name.package, str(name.version or "")) for name in names if name.package in PACKAGES})),
    )


def role_of_interface(text: str, *, where: str) -> Role:
    """Return the role that a node's `interface` names, version included or not.

    Raises:
        TorvynError: contract/invalid-name, contract/unknown-interface (with what may have been meant), contract/version-incompatible.
    """
    name = InterfaceName.parse(text, where=where)
    role = ROLES.get(name.path)
    if role is None:
        raise TorvynError(
            "contract",
            "unknown-interface",
            f"{name.path} gives no component a role",
            where=where,
            hint=_home_of(name) or f"the interfaces with a role are {', '.join(INTERFACE_OF.values())}",
            code="E0120",
            interface=text,
        )
    raise_all(_version_errors([name], where))
    return role


def _understood(text: str) -> InterfaceName | None:
    """Read an import or export; None for what is no interface (a bare function, a type, a URL-named export)."""
    try:
        return InterfaceName.parse(text)
    except TorvynError:
        return None


def _version_errors(names: list[InterfaceName], where: str) -> list[TorvynError]:
    wanted = {(name.package, name.version) for name in names if name.package in PACKAGES and name.version is not None}
    errors: list[TorvynError] = []
    for package, version in sorted(wanted, key=lambda pair: (pair[0], str(pair[1]))):
        reason = incompatibility(version)
        if reason is not None:
            errors.append(
                TorvynError(
                    "contract",
                    "version-incompatible",
                    f"needs {package}@{version}, this runtime provides {PROVIDED}: {reason}",
                    where=where,
                    hint=f"build the component against {package}@{PROVIDED}",
                    code="E0208",
                    package=package,
                    wanted=str(version),
                    provided=str(PROVIDED),
                )
            )
    return errors


def _no_single_role(shape: ComponentShape, exported: list[InterfaceName], roles: list[Role], where: str) -> TorvynError:
    exports = ", ".join(shape.exports[:_SHOWN]) or "nothing"
    if roles:
        problem = f"exports {' and '.join(INTERFACE_OF[role] for role in roles)}; a component has one role"
        hint = "split the component, one role each"
        return TorvynError("contract", "several-roles", problem, where=where, hint=hint, code="E0120", roles=[str(role) for role in roles])
    hint = (
        next((home for name in exported if (home := _home_of(name))), None) or f"it must export one of {', '.join(INTERFACE_OF.values())}"
    )
    problem = f"exports no interface that gives it a role; it exports {exports}"
    return TorvynError(
        "contract", "no-exported-interface", problem, where=where, hint=hint, code="E0120", exports=list(shape.exports[:_SHOWN])
    )


def _home_of(name: InterfaceName) -> str | None:
    """Return a hint at the role interface that a near miss may mean."""
    homes = {path.rpartition("/")[2]: path for path in INTERFACE_OF.values()}
    if name.interface in homes:
        return f"the {name.interface} interface is {homes[name.interface]}"
    near = nearest(name.interface, homes)
    return f"did you mean {homes[near]}?" if near is not None else None
