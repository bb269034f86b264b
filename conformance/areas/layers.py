"""Layers of the configuration (CFG-007 to CFG-013, CFG-017): which value is in effect, held against a model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from conformance.areas.configured import HEAD, Written, edge, flow, load, node, shown
from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.models.settings import LAYERS, PROJECT_SETTINGS, SETTINGS, Layer, effective, text, toml, variable
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

Layers = Mapping[Layer, Mapping[str, Any]]
REFUSED = "refused"


def _found(session: Session, written: Written, *keys: str) -> dict[str, Any]:
    """Return the effective values; `refused` for all of them when the project is."""
    try:
        reply = load(session, written, *keys)
    except Refused as refused:
        return dict.fromkeys(keys, f"{REFUSED}: {refused.message}")
    return {key: reply.values.get(key) for key in keys}


def _chain(key: str) -> Layers:
    """Return layers that all say something about a key, each something else than the one below it."""
    return {layer: {key: value} for layer, value in zip(LAYERS, SETTINGS[key].values, strict=False)}


@checks("CFG-009", facet=Facet.CONFIG, kind="machine")
def the_highest_layer_decides(session: Session, budget: Budget) -> None:
    """For every known key each layer wins over all below it; so it is for drawn keys in drawn layers."""

    def law(layers: Layers) -> None:
        keys = sorted({key for said in layers.values() for key in said})
        written = Written.layered(layers)
        try:
            reply = load(session, written, *keys)
        except Refused as refused:
            message = "valid settings in several places were refused"
            budget.expect("CFG-009", holds=False, message=message, found=refused.message, evidence=shown(written))
            return
        for key in keys:
            value, layer = effective(layers, key)
            budget.expect_equal("CFG-009", reply.values.get(key), value, f"{key}, set by {layer}", evidence=shown(written))
            told = reply.origins.get(key, layer)
            budget.expect_equal("CFG-009", told, layer, f"where {key} is said to come from", evidence=shown(written))

    for removed in range(len(LAYERS)):
        kept = LAYERS[: len(LAYERS) - removed]
        law({layer: {key: _chain(key)[layer][key] for key in SETTINGS} for layer in kept})
    for layer in LAYERS:
        law({layer: {key: setting.values[0] for key, setting in SETTINGS.items()}})
    budget.for_all(_layers(), law, max_examples=25)


@st.composite
def _layers(draw: st.DrawFn) -> Layers:
    found: dict[Layer, dict[str, Any]] = {}
    for layer in draw(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=4, unique=True)):
        keys = draw(st.lists(st.sampled_from(sorted(SETTINGS)), min_size=1, max_size=4, unique=True))
        found[layer] = {key: draw(st.sampled_from(SETTINGS[key].values)) for key in keys}
    return found


@checks("CFG-010", facet=Facet.CONFIG, kind="table")
def defaults_win_when_they_are_written(session: Session, budget: Budget) -> None:
    """A lower layer says something else than the default, a higher one says the default: the default is in effect."""
    known = {key: setting for key, setting in SETTINGS.items() if setting.default is not None}
    other = {key: next(value for value in setting.values if value != setting.default) for key, setting in known.items()}
    default = {key: setting.default for key, setting in known.items()}
    for low, high in itertools.combinations(LAYERS, 2):
        layers: Layers = {low: other, high: default}
        written = Written.layered(layers)
        found = _found(session, written, *known)
        for key in known:
            value, _ = effective(layers, key)
            budget.expect_equal("CFG-010", found[key], value, f"{key}: {high} says the default over {low}", evidence=shown(written))


@checks("CFG-007", facet=Facet.CONFIG, kind="example")
def flows_are_replaced_whole(session: Session, budget: Budget) -> None:
    """A flow in both files has the nodes, edges and settings of pipeline.toml alone; flows of other names stay."""
    inline = flow("main", "default_queue_depth = 7", a='config = "inline"') + node("main", "c", 'config = "old"') + edge("main", "a", "c")
    other = flow("main", component="new.wasm")
    written = Written(manifest=HEAD + inline + flow("kept", "default_queue_depth = 5"), pipeline=other + flow("added"))
    keys = ("flow.main.nodes.a.config", "flow.main.nodes.c.config", "flow.kept.default_queue_depth", "flow.main.default_queue_depth")
    try:
        reply = load(session, written, *keys)
    except Refused as refused:
        budget.expect("CFG-007", holds=False, message="a valid project was refused", found=refused.message, evidence=shown(written))
        return
    flows = {found.name: found for found in reply.flows}
    budget.expect_equal("CFG-007", set(flows), {"main", "kept", "added"}, "the flows of both files", evidence=shown(written))
    nodes = flows["main"].nodes
    budget.expect_equal("CFG-007", nodes, {"a": "new.wasm", "b": "x.wasm"}, "the nodes of a flow in both files", evidence=shown(written))
    streams = [(stream.source, stream.target, stream.queue_depth) for stream in flows["main"].streams]
    budget.expect_equal("CFG-007", streams, [("a", "b", 64)], "the streams of a flow in both files", evidence=shown(written))
    kept = [stream.queue_depth for stream in flows["kept"].streams]
    budget.expect_equal("CFG-007", kept, [5], "the queue depth of a flow in the manifest alone", evidence=shown(written))
    leftovers = {key: reply.values[key] for key in keys if key.startswith("flow.main") and key in reply.values}
    budget.expect_equal("CFG-007", leftovers, {}, "what is left of the replaced flow", evidence=shown(written))


@checks("CFG-008", facet=Facet.CONFIG, kind="example")
def pipeline_tables_merge(session: Session, budget: Budget) -> None:
    """Keys of pipeline.toml and of the manifest are both in effect, table by table and key by key; pipeline.toml wins where both speak."""
    tables = ("runtime", "observability", "security")
    keys = [key for key in SETTINGS if key.partition(".")[0] in tables]
    for turn in range(2):
        layers: Layers = {
            "manifest": {key: SETTINGS[key].values[0] for at, key in enumerate(keys) if at % 2 == turn or at % 3 == 0},
            "pipeline": {key: SETTINGS[key].values[1] for at, key in enumerate(keys) if at % 2 != turn},
        }
        written = Written.layered(layers)
        found = _found(session, written, *keys)
        for key in keys:
            value, layer = effective(layers, key)
            if layer != "default":
                budget.expect_equal("CFG-008", found[key], value, f"{key}, set by {layer}", evidence=shown(written))


@checks("CFG-011", facet=Facet.CONFIG, kind="machine")
def grants_merge_by_key(session: Session, budget: Budget) -> None:
    """An overriding list of grants replaces that key's list, also by a shorter or an empty one; other keys keep theirs."""
    names: tuple[str, ...] = ("a", "b", "x")
    lists: tuple[tuple[str, ...], ...] = (
        (),
        ("clock:wall",),
        ("random:crypto", "clock:wall"),
        ("stdio:stdout", "clock:wall", "random:insecure"),
    )

    def law(case: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]) -> None:
        low, high = case
        say = [toml({f"security.grants.{name}.capabilities": listed for name, listed in each.items()}) for each in case]
        component = '[[component]]\nname = "x"\npath = "x.wasm"\n'
        written = Written(manifest=f"{say[0]}{HEAD}{component}{flow('main')}", pipeline=say[1] + flow("main"))
        keys = [f"security.grants.{name}.capabilities" for name in names]
        found = _found(session, written, *keys)
        for name, key in zip(names, keys, strict=True):
            expected = list(high[name]) if name in high else list(low[name]) if name in low else None
            budget.expect_equal("CFG-011", found[key], expected, f"the grants of {name}", evidence=shown(written))

    law(({"a": lists[2], "b": lists[1]}, {"a": lists[1]}))
    law(({"a": lists[3], "b": lists[2]}, {"a": lists[0], "x": lists[1]}))

    def listed(at: int) -> tuple[str, ...]:
        return lists[at]

    drawn = st.dictionaries(st.sampled_from(names).map(str), st.integers(0, len(lists) - 1).map(listed), max_size=3)
    budget.for_all(st.tuples(drawn, drawn), law, max_examples=15)


@checks("CFG-012", facet=Facet.CONFIG, kind="table")
def variables_set_known_keys(session: Session, budget: Budget) -> None:
    """One variable for every known key sets that key and no other."""
    every = {**SETTINGS, **PROJECT_SETTINGS}
    plain = Written(manifest=HEAD + flow("main"))
    before = _found(session, plain, *every)
    for key, setting in every.items():
        value = next((each for each in setting.values if each != before[key]), setting.values[0])
        if setting.size:
            value = "3MiB"
        written = Written(manifest=plain.manifest, environment={variable(key): text(value)})
        found = _found(session, written, *every)
        expected = {**before, key: 3 * 1024 * 1024 if setting.size else value}
        changed = {name: (found[name], expected[name]) for name in every if found[name] != expected[name]}
        message = f"{variable(key)} does not set {key} alone"
        budget.expect("CFG-012", not changed, message, expected={key: expected[key]}, found=changed, evidence=shown(written))


RESERVED = ("TORVYN_LOG", "TORVYN_HOME", "TORVYN_STATE_DIR", "TORVYN_REGISTRY_TOKEN", "TORVYN_SIGNING_KEY")


@checks("CFG-013", facet=Facet.CONFIG, kind="table")
def reserved_names_set_nothing(session: Session, budget: Budget) -> None:
    """Each reserved variable, and all together, leave a valid configuration valid and every value as it is."""
    layers: Layers = {"manifest": {key: setting.values[1] for key, setting in SETTINGS.items()}}
    plain = Written.layered(layers)
    expected = {key: effective(layers, key)[0] for key in SETTINGS}
    for names in (*((name,) for name in RESERVED), RESERVED):
        for value in ("debug", "", "runtime.worker_threads=9"):
            written = Written(manifest=plain.manifest, environment=dict.fromkeys(names, value))
            found = _found(session, written, *SETTINGS)
            changed = {key: found[key] for key in SETTINGS if found[key] != expected[key]}
            message = f"{' and '.join(names)} changed the configuration"
            budget.expect("CFG-013", not changed, message, expected="no change", found=changed, evidence=shown(written))


@checks("CFG-017", facet=Facet.CONFIG, kind="table")
def the_nearest_depth_wins(session: Session, budget: Budget) -> None:
    """The depth of a stream in all combinations of edge, flow and runtime, in each of the places where a flow may stand."""
    for own, shared, runtime in itertools.product((None, 3), (None, 16), (None, 128)):
        expected = next((depth for depth in (own, shared, runtime) if depth is not None), 64)
        line = "" if own is None else f"queue_depth = {own}"
        body = flow("main", "" if shared is None else f"default_queue_depth = {shared}", edges=edge("main", more=line))
        top = "" if runtime is None else f"runtime.backpressure.default_queue_depth = {runtime}\n"
        for written in (Written(manifest=top + HEAD + body), Written(manifest=HEAD, pipeline=top + body)):
            try:
                found = [stream.queue_depth for each in load(session, written).flows for stream in each.streams]
            except Refused as refused:
                budget.expect("CFG-017", holds=False, message="a valid flow was refused", found=refused.message, evidence=shown(written))
                return
            what = f"the depth with edge {own}, flow {shared}, runtime {runtime}"
            budget.expect_equal("CFG-017", found, [expected], what, evidence=shown(written))
