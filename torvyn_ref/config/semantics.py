"""Rules between keys: what the types alone cannot say.

They read the merged tree as it was written, so that one wrong type elsewhere hides none of them (CFG-002). Whatever has the wrong shape is
left to the type errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torvyn_ref.config.merge import Merged, Path
from torvyn_ref.config.suggest import nearest
from torvyn_ref.config.values import describe
from torvyn_ref.errors import TorvynError

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def check(merged: Merged) -> Iterator[TorvynError]:
    """Yield every broken rule between keys."""
    tree = merged.tree
    yield from _identity(merged)
    yield from _components(merged)
    flows = _tables(tree.get("flow"))
    for name, flow in flows.items():
        yield from _flow(merged, name, flow)
    yield from _grants(merged, flows)


def _tables(value: Any) -> dict[str, dict[str, Any]]:
    return {key: item for key, item in value.items() if isinstance(item, dict)} if isinstance(value, dict) else {}


def _component_names(merged: Merged) -> list[str]:
    declared = merged.tree.get("component")
    entries = (declared,) if isinstance(declared, dict) else declared if isinstance(declared, tuple) else ()
    return [entry["name"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("name"), str)]


def _identity(merged: Merged) -> Iterator[TorvynError]:
    if "torvyn" not in merged.tree and not isinstance(merged.tree.get("component"), dict):
        yield merged.refused(
            "missing-key",
            "the manifest has no identity",
            ("torvyn",),
            code="E0701",
            hint="add a [torvyn] table with name, version and contract_version",
        )


def _components(merged: Merged) -> Iterator[TorvynError]:
    declared = merged.tree.get("component")
    if not isinstance(declared, tuple):
        return
    seen: set[str] = set()
    for index, entry in enumerate(declared):
        if not isinstance(entry, dict):
            continue
        name = entry.get("name")
        here: Path = ("component", index)
        if isinstance(name, str):
            if name in seen:
                yield merged.refused(
                    "duplicate",
                    f"the component name {describe(name)} is used twice",
                    (*here, "name"),
                    code="E0706",
                    hint="give each component a name of its own",
                )
            seen.add(name)
        if "path" not in entry and "reference" not in entry:
            yield merged.refused(
                "missing-key",
                "the required key is missing",
                (*here, "path"),
                code="E0701",
                hint="say where the component is: path, or reference for a registry",
            )
        if "path" in entry and "reference" in entry:
            yield merged.refused(
                "invalid-value", "path and reference exclude each other", (*here, "reference"), code="E0703", hint="keep one"
            )


def _flow(merged: Merged, name: str, flow: Mapping[str, Any]) -> Iterator[TorvynError]:
    """Yield what is wrong with a flow: too few nodes or edges (CFG-003), names, references, and edges that lead nowhere (CFG-004)."""
    here: Path = ("flow", name)
    yield from _flow_name(merged, here, "flow", name)
    nodes = flow.get("nodes", {})
    edges = flow.get("edges", ())
    if isinstance(nodes, dict) and len(nodes) < 2:
        yield merged.refused(
            "too-few-nodes",
            f"a flow needs at least 2 nodes, found {len(nodes)}",
            (*here, "nodes"),
            code="E0704",
            hint="add at least a source and a sink",
        )
    if isinstance(edges, tuple) and not edges:
        yield merged.refused("no-edges", "a flow needs at least 1 edge, found 0", (*here, "edges"), code="E0704", hint="connect two nodes")
    if isinstance(nodes, dict):
        for node, body in nodes.items():
            yield from _flow_name(merged, (*here, "nodes", node), "node", node)
            if isinstance(body, dict):
                yield from _reference(merged, (*here, "nodes", node, "component"), body.get("component"))
    if isinstance(edges, tuple):
        for index, edge in enumerate(edges):
            if isinstance(edge, dict):
                yield from _edge(merged, (*here, "edges", index), edge, nodes)


def _flow_name(merged: Merged, path: Path, what: str, name: str) -> Iterator[TorvynError]:
    if not _NAME.fullmatch(name):
        yield merged.refused(
            "invalid-value",
            f"expected a {what} name of letters, digits, '_' and '-', found {describe(name)}",
            path,
            code="E0703",
        )


def _reference(merged: Merged, path: Path, component: Any) -> Iterator[TorvynError]:
    """Refuse a bare name that no component has (OCI-024); a scripted run may register names in code."""
    if not isinstance(component, str) or not _NAME.fullmatch(component):
        return
    runtime = merged.tree.get("runtime")
    if isinstance(runtime, dict) and runtime.get("engine") == "scripted":
        return
    names = _component_names(merged)
    if component not in names:
        near = nearest(component, names)
        yield merged.refused(
            "unknown-component",
            f"no component is named {describe(component)}",
            path,
            code="E0704",
            hint=f"did you mean {near!r}?" if near else "declare it as [[component]], or write a path ending in .wasm",
        )


def _endpoint_node(end: Any) -> tuple[str, bool] | None:
    """Return the node an endpoint names and whether it was written as a table, or None when the types will complain."""
    if isinstance(end, dict) and isinstance(end.get("node"), str):
        return end["node"], True
    if isinstance(end, str) and end.count(":") == 1:
        return end.partition(":")[0], False
    return None


def _edge(merged: Merged, path: Path, edge: Mapping[str, Any], nodes: Any) -> Iterator[TorvynError]:
    """Yield an error per end that is no node, and one for an edge from a node to itself (CFG-004)."""
    found: list[str] = []
    for key in ("from", "to"):
        end = _endpoint_node(edge.get(key))
        if end is None or not end[0]:
            continue
        node, is_table = end
        found.append(node)
        if isinstance(nodes, dict) and node not in nodes:
            near = nearest(node, nodes)
            yield merged.refused(
                "unknown-node",
                f"the flow has no node {describe(node)}",
                (*path, key, "node") if is_table else (*path, key),
                code="E0704",
                hint=f"did you mean {near!r}?" if near else f"nodes of this flow: {_listed(nodes)}",
            )
    if len(found) == 2 and found[0] == found[1]:
        yield merged.refused(
            "self-loop",
            f"the edge leads from {describe(found[0])} to itself",
            path,
            code="E0704",
            hint="connect two different nodes",
        )


def _grants(merged: Merged, flows: Mapping[str, Mapping[str, Any]]) -> Iterator[TorvynError]:
    """Refuse a grant whose key names nothing: it would silently grant nothing (decision 8)."""
    security = merged.tree.get("security")
    grants = security.get("grants") if isinstance(security, dict) else None
    if not isinstance(grants, dict):
        return
    known = list(dict.fromkeys([*(node for flow in flows.values() for node in _tables(flow.get("nodes"))), *_component_names(merged)]))
    for key in grants:
        if key not in known:
            near = nearest(key, known)
            yield merged.refused(
                "unknown-grant-key",
                f"{describe(key)} is neither a flow node nor a component",
                ("security", "grants", key),
                code="E0704",
                hint=f"did you mean {near!r}?" if near else f"known names: {_listed(known)}",
            )


def _listed(names: Any, most: int = 8) -> str:
    shown = [str(name) for name in names]
    if not shown:
        return "none"
    rest = f", and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest
