"""Graphs: each defect by its kind, all of them at once, and the order of what is valid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.calls import Role
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.flow import EdgeDef, StageDef, Topology, TopologyError
from torvyn_ref.flow.topology import MAX_FAN

S, P, K, F = Role.SOURCE, Role.PROCESSOR, Role.SINK, Role.FILTER


def build(stages, edges):
    return Topology.build([StageDef(name, role) for name, role in stages], [EdgeDef(*edge) for edge in edges])


def kinds(stages, edges):
    with pytest.raises(TorvynError) as refused:
        build(stages, edges)
    found = refused.value.errors if isinstance(refused.value, TorvynErrors) else (refused.value,)
    assert all(isinstance(error, TopologyError) and error.message for error in found)
    return sorted({error.kind for error in found})


LINE = [("s", S), ("p", P), ("k", K)]
LINKS = [("s", "p"), ("p", "k")]


@pytest.mark.parametrize(
    ("stages", "edges", "expected"),
    [
        ([], [], ["empty"]),
        ([*LINE, ("p", P)], LINKS, ["duplicate-stage"]),
        ([*LINE, ("", P)], [*LINKS, ("s", ""), ("", "k")], ["empty-name"]),
        (LINE, [*LINKS, ("p", "k", "", "default")], ["empty-name"]),
        (LINE, [*LINKS, ("p", "x")], ["unknown-stage"]),
        (LINE, [*LINKS, ("x", "p")], ["unknown-stage"]),
        (LINE, [*LINKS, ("p", "p")], ["self-loop"]),
        (LINE, [*LINKS, ("p", "s")], ["cycle", "source-has-input"]),
        ([*LINE, ("k2", K)], [*LINKS, ("k", "k2")], ["sink-has-output"]),
        ([("p", P), ("k", K)], [("p", "k")], ["missing-input", "no-source"]),
        ([("s", S), ("p", P)], [("s", "p")], ["missing-output", "no-sink"]),
        ([*LINE, ("q", F)], [*LINKS, ("s", "q")], ["missing-output"]),
        ([*LINE, ("q", F)], [*LINKS, ("q", "k")], ["missing-input"]),
        ([*LINE, ("t", S)], LINKS, ["missing-output"]),
        ([*LINE, ("k2", K)], LINKS, ["missing-input"]),
        ([*LINE, ("q", P), ("r", P)], [*LINKS, ("q", "r"), ("r", "q"), ("q", "k")], ["cycle"]),
        (LINE, [*LINKS, ("p", "k")], ["parallel-edges"]),
    ],
)
def test_each_defect_is_found_and_named(stages, edges, expected):
    assert kinds(stages, edges) == expected


@pytest.mark.parametrize("at_port", ["source_port", "target_port"])
def test_sixteen_edges_at_a_port_are_the_most(at_port):
    def fan(count):
        if at_port == "source_port":
            return [("s", S), *((f"k{n}", K) for n in range(count))], [("s", f"k{n}") for n in range(count)]
        return [*((f"s{n}", S) for n in range(count)), ("k", K)], [(f"s{n}", "k") for n in range(count)]

    assert len(build(*fan(MAX_FAN)).edges) == 16
    assert kinds(*fan(17)) == ["fan-out" if at_port == "source_port" else "fan-in"]


def test_two_ports_have_a_limit_each():
    stages = [("s", S), ("r", Role.ROUTER), *((f"k{n}", K) for n in range(17))]
    edges = [("s", "r"), *(("r", f"k{n}", "even" if n % 2 else "odd") for n in range(17))]
    assert len(build(stages, edges).edges) == 18


def test_every_defect_is_reported_at_once():
    stages = [*LINE, ("p", P), ("lost", P)]
    edges = [*LINKS, ("p", "nowhere"), ("k", "p"), ("lost", "lost")]
    found = kinds(stages, edges)
    assert {"duplicate-stage", "unknown-stage", "sink-has-output", "self-loop", "cycle"} <= set(found)


def test_a_stage_behind_a_circle_that_no_source_feeds_is_named_with_the_circle():
    with pytest.raises(TopologyError) as refused:
        build([*LINE, ("a", P), ("b", P)], [*LINKS, ("a", "b"), ("b", "a"), ("b", "k")])
    assert refused.value.kind == "cycle"
    assert refused.value.fields["stages"] in (["a", "b", "a"], ["b", "a", "b"])


def test_sources_come_first_and_levels_are_longest_paths():
    topology = build(
        [("k", K), ("p", P), ("s", S), ("late", S), ("q", P)],
        [("s", "p"), ("p", "q"), ("q", "k"), ("late", "k"), ("s", "q")],
    )
    assert [stage.name for stage in topology.stages] == ["s", "late", "p", "q", "k"]
    assert dict(zip((stage.name for stage in topology.stages), topology.levels, strict=True)) == {"s": 0, "late": 0, "p": 1, "q": 2, "k": 3}


@st.composite
def graphs(draw):
    middle = draw(st.integers(0, 5))
    names = ["s", *(f"p{n}" for n in range(middle)), "k"]
    roles = [S, *[P] * middle, K]
    edges = {("s", names[1])} | {(names[n], names[n + 1]) for n in range(1, len(names) - 1)}
    edges |= {
        (names[low], names[high])
        for low, high in draw(st.sets(st.tuples(st.integers(0, middle), st.integers(1, middle + 1))))
        if low < high
    }
    order = draw(st.permutations(list(zip(names, roles, strict=True))))
    return order, sorted(edges)


@given(graphs())
def test_the_order_is_topological_and_does_not_depend_on_chance(graph):
    stages, edges = graph
    topology = build(stages, edges)
    position = {stage.name: index for index, stage in enumerate(topology.stages)}
    level = dict(zip(position, topology.levels, strict=True))
    for source, target in edges:
        assert position[source] < position[target]
        assert level[source] < level[target]
    assert build(stages, edges) == topology
    assert sorted(position) == sorted(name for name, _ in stages)
