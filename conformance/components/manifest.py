"""What to validate: a `.wasm` file, or a project directory with its Torvyn.toml, read by the judge for itself.

Only what concerns components is read, and a manifest's other mistakes are the business of `torvyn-ref validate`. A project gives one
target per node of its flows, with the node's configuration, grants and ports, and one per component that no node uses.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli

from conformance.components.binary import MOST_BYTES
from conformance.components.model import ROLES, Target
from conformance.errors import SuiteError

MANIFEST = "Torvyn.toml"
MOST_MANIFEST_BYTES = 1024 * 1024
MOST_TARGETS = 256
DEFAULT_PORT = "default"


def find_targets(
    path: str, *, config: str | None = None, grants: Iterable[str] = (), ports: Iterable[str] = (), node: str | None = None
) -> tuple[Target, ...]:
    """Return what a path on the command line means.

    Args:
        path: a component's file, a manifest, or the directory that holds one.
        config: the configuration text of a single file, where no manifest says it; the next two likewise.
        grants: what it declares and is granted.
        ports: the output ports of its node.
        node: only this node of a project.

    Raises:
        SuiteError: it does not exist, is no file that can be read, or holds nothing to validate; every mistake at once.
    """
    given = Path(path)
    if given.is_dir() or given.name == MANIFEST:
        if config is not None or tuple(grants) or tuple(ports):
            raise SuiteError("--config, --grant and --port are for a single component: a project's manifest says them")
        if given.is_dir() and not (given / MANIFEST).exists():
            some = sorted(file.name for file in given.glob("*.wasm"))[:3]
            hint = f"name a component in it: {', '.join(str(given / name) for name in some)}" if some else "name a .wasm file or a project"
            raise SuiteError(f"{given} is no project: there is no {MANIFEST} in it; {hint}")
        return tuple(_of_project(given / MANIFEST if given.is_dir() else given, node))
    if node is not None:
        raise SuiteError("--node chooses among the nodes of a project; the target is a single file")
    wasm = read_bounded(given, MOST_BYTES, "a component")
    granted, named = tuple(grants), tuple(ports)
    arguments: list[str] = []
    arguments += ["--config", config] if config is not None else []
    for grant in granted:
        arguments += ["--grant", grant]
    for port in named:
        arguments += ["--port", port]
    return (
        Target(
            name=given.name,
            path=path,
            wasm=wasm,
            config=config,
            declared=granted or None,
            granted=granted,
            ports=named or None,
            arguments=tuple(arguments),
        ),
    )


def read_bounded(path: Path, most: int, what: str) -> bytes:
    """Read a regular file of a bounded size.

    Raises:
        SuiteError: it is missing, something else, larger, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SuiteError(f"{path} is no regular file; {what} was expected")
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except FileNotFoundError:
        raise SuiteError(f"{path} does not exist; {what} was expected") from None
    except (OSError, ValueError) as error:
        raise SuiteError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > most:
        raise SuiteError(f"{path} has more than {most} bytes, and {what} of that size is not read")
    return data


def _of_project(file: Path, only: str | None) -> Iterator[Target]:
    tree = _parse(file)
    problems: list[str] = []
    components = _components(tree, file, problems)
    targets: list[Target] = []
    used: set[str] = set()
    for flow_name, flow in _tables(tree.get("flow"), f"{file}: flow", problems):
        for node_name, node in _tables(flow.get("nodes"), f"{file}: flow.{flow_name}.nodes", problems):
            if only in {None, node_name, f"{flow_name}.{node_name}"}:
                used.add(str(node.get("component", "")))
                target = _node(file, tree, components, flow_name, flow, node_name, node, problems)
                targets += [] if target is None else [target]
    if only is None:
        for name, component in components.items():
            if name not in used:
                wasm = _wasm(file, component, f"component {name!r}", problems)
                if wasm is not None:
                    targets.append(_target(file, f"{file.name}: component.{name}", wasm, component, {}, tree, name, None, None))
    if problems:
        raise SuiteError(*problems)
    if not targets:
        raise SuiteError(f"{file} has no {'node ' + repr(only) if only else 'component'} to validate")
    if len(targets) > MOST_TARGETS:
        raise SuiteError(f"{file} has {len(targets)} nodes and components; {MOST_TARGETS} are validated in one run, choose with --node")
    yield from _each_once(targets)


def _each_once(targets: Sequence[Target]) -> Iterator[Target]:
    """Yield targets that differ in more than their names, with all of those."""
    same: dict[Target, list[str]] = {}
    for target in targets:
        same.setdefault(replace(target, name="", arguments=()), []).append(target.name)
    first = {target.name: target.arguments for target in targets}
    for target, names in same.items():
        yield replace(target, name=", ".join(names), arguments=first[names[0]])


def _parse(file: Path) -> dict[str, Any]:
    raw = read_bounded(file, MOST_MANIFEST_BYTES, f"a {MANIFEST}")
    try:
        return tomli.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise SuiteError(f"{file} is not UTF-8 (byte {error.start})") from error
    except (tomli.TOMLDecodeError, ValueError, RecursionError) as error:
        raise SuiteError(f"{file} is no TOML: {error or type(error).__name__}") from error


def _tables(value: object, where: str, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    if value is None:
        return
    if not isinstance(value, dict):
        problems.append(f"{where}: expected a table, found {type(value).__name__}")
        return
    for name, table in value.items():
        if isinstance(table, dict):
            yield str(name), table
        else:
            problems.append(f"{where}.{name}: expected a table, found {type(table).__name__}")


def _components(tree: Mapping[str, Any], file: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    """Return the components by name: an array of tables, or the one table of a packaged component (CON-021)."""
    value = tree.get("component", [])
    entries = [value] if isinstance(value, dict) else value
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(entries, list):
        problems.append(f"{file}: component: expected a table or an array of tables, found {type(value).__name__}")
        return found
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
            problems.append(f"{file}: component {number + 1}: a table with a name was expected")
        else:
            found[entry["name"]] = {"path": ".", **entry} if isinstance(value, dict) else entry
    return found


def _node(
    file: Path,
    tree: Mapping[str, Any],
    components: Mapping[str, dict[str, Any]],
    flow_name: str,
    flow: Mapping[str, Any],
    node_name: str,
    node: Mapping[str, Any],
    problems: list[str],
) -> Target | None:
    where = f"{file.name}: flow.{flow_name}.nodes.{node_name}"
    named = node.get("component")
    if not isinstance(named, str) or not named:
        problems.append(f"{where}: component: a name, a path or a reference was expected")
        return None
    component = components.get(named, {"path": named})
    wasm = _wasm(file, component, where, problems)
    if wasm is None:
        return None
    interface = node.get("interface", "")
    role = ROLES.get(interface.partition("@")[0], "") if isinstance(interface, str) else ""
    if interface and not role:
        problems.append(f"{where}: interface: {interface!r} gives no component a role; there are {', '.join(sorted(ROLES))}")
    ports = _ports(flow, node_name) if role == "router" else None
    grant_key = named if _grants(tree, node_name) is None else node_name
    return _target(file, where, wasm, component, node, tree, grant_key, role or None, ports, f"{flow_name}.{node_name}")


def _target(
    file: Path,
    where: str,
    found: tuple[str, bytes],
    component: Mapping[str, Any],
    node: Mapping[str, Any],
    tree: Mapping[str, Any],
    grant_key: str,
    role: str | None,
    ports: tuple[str, ...] | None,
    node_argument: str | None = None,
) -> Target:
    config = node.get("config", component.get("config"))
    fuel, memory = node.get("fuel_budget"), node.get("max_memory")
    return Target(
        name=where,
        path=str(file.parent),
        wasm=found[1],
        role=role or "",
        config=config if isinstance(config, str) else None,
        declared=_declared(component, tree),
        granted=_grants(tree, grant_key) or (),
        ports=ports,
        fuel=fuel if isinstance(fuel, int) and not isinstance(fuel, bool) and fuel > 0 else None,
        memory_bytes=_bytes(memory),
        arguments=("--node", node_argument) if node_argument is not None else (),
    )


_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1000, "MB": 1000**2, "GB": 1000**3}


def _bytes(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    if not isinstance(value, str):
        return None
    digits = value.strip().rstrip("BKMGi").strip()
    unit = value.strip()[len(value.strip().rstrip("BKMGi")) :]
    return int(digits) * _UNITS[unit] if digits.isdecimal() and unit in _UNITS else None


def _wasm(file: Path, component: Mapping[str, Any], where: str, problems: list[str]) -> tuple[str, bytes] | None:
    """Read a component's file; what cannot be read is a problem of the project."""
    path = component.get("path")
    if component.get("reference") is not None or (isinstance(path, str) and "://" in path and not path.startswith("file://")):
        problems.append(f"{where}: {component.get('reference') or path} is a reference; fetch it first, and validate the file")
        return None
    if not isinstance(path, str) or not path:
        problems.append(f"{where}: path: expected the component's file, found {path!r}")
        return None
    place = file.parent / path.removeprefix("file://")
    if place.is_dir():
        place /= "component.wasm"
    try:
        return str(place), read_bounded(place, MOST_BYTES, "a component")
    except SuiteError as error:
        problems.extend(f"{where}: {problem}" for problem in error.problems)
        return None


def _declared(component: Mapping[str, Any], tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a component declares: its own list, else the keys of `[capabilities]` that are `true` (CON-023)."""
    own = component.get("capabilities")
    if isinstance(own, list):
        return tuple(str(one) for one in own)
    table = tree.get("capabilities")
    if not isinstance(table, dict):
        return ()
    required, optional = table.get("required"), table.get("optional")
    listed = [str(key) for key, value in table.items() if value is True]
    listed += _listed(required, "")
    return (*listed, *_listed(optional, "?"))


def _listed(value: object, prefix: str) -> list[str]:
    if isinstance(value, list):
        return [prefix + str(one) for one in value]
    return [prefix + str(key) for key, chosen in value.items() if chosen is True] if isinstance(value, dict) else []


def _grants(tree: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    security = tree.get("security")
    grants = security.get("grants") if isinstance(security, dict) else None
    entry = grants.get(key) if isinstance(grants, dict) else None
    capabilities = entry.get("capabilities") if isinstance(entry, dict) else None
    return tuple(str(one) for one in capabilities) if isinstance(capabilities, list) else None


def _ports(flow: Mapping[str, Any], node: str) -> tuple[str, ...]:
    """Return the output ports that a flow's edges give a node (LINK-023: an edge that names none leaves through `default`)."""
    edges = flow.get("edges")
    found: dict[str, None] = {}
    for edge in edges if isinstance(edges, list) else ():
        start = edge.get("from") if isinstance(edge, dict) else None
        if isinstance(start, dict) and start.get("node") == node:
            found[str(start.get("port", DEFAULT_PORT))] = None
        elif isinstance(start, str) and start.partition(":")[0] == node:
            found[start.partition(":")[2] or DEFAULT_PORT] = None
    return tuple(found)
