import itertools

import pytest

from torvyn_ref.contract.link import Provider
from torvyn_ref.contract.linker import Linker, Node, Pipeline
from torvyn_ref.engine.protocol import ComponentShape
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.flow.topology import EdgeDef

TYPES = "torvyn:streaming/types@0.1.0"


def node(name, role, *imports, exports=()):
    own = f"torvyn:streaming/{role}"
    return Node(name, own, ComponentShape((TYPES, *imports), (f"{own}@0.1.0", *exports)))


def line(*middle, name="p", edges=None, **limits):
    nodes = (node("from", "source"), *middle, node("to", "sink"))
    names = [one.name for one in nodes]
    joined = edges if edges is not None else [EdgeDef(one, other) for one, other in itertools.pairwise(names)]
    return Pipeline(name, nodes, tuple(joined), **limits)


def kinds(pipeline, **options):
    with pytest.raises(TorvynError) as refused:
        Linker().link(pipeline, **options)
    errors = refused.value.errors if isinstance(refused.value, TorvynErrors) else (refused.value,)
    return [error.kind for error in errors]


def test_streams_are_numbered_from_pipeline_to_pipeline():
    linker = Linker()
    first, second = linker.link(line(node("mid", "processor"))), linker.link(line())
    assert [number for number, _ in (*first.streams, *second.streams)] == [0, 1, 2]
    assert [one.name for one in first.nodes] == ["from", "mid", "to"]
    assert [one.provider for one in first.nodes[1].bindings] == [Provider.TORVYN]


def test_a_wrong_graph_is_told_before_any_import():
    wrong = line(node("mid", "processor", "acme:x/y"), edges=[EdgeDef("from", "to")])
    assert kinds(wrong) == ["missing-input", "missing-output"]
    assert kinds(line(node("mid", "processor", "acme:x/y"))) == ["unresolved-import"]


def test_a_name_and_a_role_are_told_with_the_rest_of_the_graph():
    assert kinds(line(name="", edges=[])) == ["empty-name", "missing-output", "missing-input"]
    strange = Node("odd", "acme:resource/x", ComponentShape((), ()))
    assert kinds(line(strange)) == ["unknown-interface"]


def test_topology_only_links_what_is_not_built_and_nothing_else():
    unbuilt = line(node("mid", "processor", "acme:x/y"))
    linked = Linker().link(unbuilt, topology_only=True)
    assert [one.import_name for one in linked.nodes[1].bindings] == [TYPES]
    assert kinds(line(edges=[]), topology_only=True) == ["missing-output", "missing-input"]


def test_a_pipeline_has_limits_of_its_own():
    sources = tuple(node(f"s{number}", "source") for number in range(3))
    edges = [EdgeDef(one, "to") for one in ("from", "s0", "s1", "s2")]
    assert kinds(line(*sources, edges=edges, max_fan_in=3)) == ["fan-in"]
    assert len(Linker().link(line(*sources, edges=edges)).streams) == 4
