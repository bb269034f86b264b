"""What the engine relies on in wasmtime-py, and what it leaves behind."""

import gc

import pytest
import wasmtime
from wasmtime import _func

from torvyn_ref.calls import Call
from torvyn_ref.engine.direct import fetch, glue
from torvyn_ref.engine.direct.glue import GlueFunction, module_text


def test_a_call_asks_the_function_itself_for_its_type():
    """The engine answers in its place (`bound`), which halves the cost of a call; were it not asked, nothing would break but speed."""
    store = wasmtime.Store()
    function = wasmtime.Instance(store, wasmtime.Module(store.engine, '(module (func (export "f")))'), []).exports(store)["f"]
    asked, own = [], function.type
    function.type = lambda store: asked.append(1) or own(store)
    function(store)
    assert asked == [1]


def test_glue_compiles_whatever_it_glues():
    engine = wasmtime.Engine()
    functions = []
    for number, cores in enumerate([(), ("i32",), ("i32", "i64", "f32", "f64"), ("i32",) * 17]):
        for result in (None, "i32", "i64", "f32", "f64"):
            for is_export in (False, True):
                piece = 0 if len(cores) > 16 else -1
                functions.append(
                    GlueFunction(
                        len(functions), is_export, cores, result, number % 2, 0, bool(number), piece, is_export and result is not None
                    )
                )
    module = wasmtime.Module(engine, module_text(tuple(functions), 2, 1))
    assert len(module.exports) == len(functions)


@pytest.mark.parametrize("functions", [1, 300, 301, 4096])
def test_slots_do_not_overlap_and_all_fit(functions):
    assert glue.DROPPED + 4 <= glue.REALLOCS
    assert glue.REALLOCS + 12 * glue.MOST_REALLOCS <= glue.DROPS
    assert glue.DROPS + 4 * glue.MOST_DROPS <= glue.SHORT
    assert glue.SHORT + glue.MOST_SHORT <= glue.TAGS
    assert fetch.FETCHED + 4 <= glue.REALLOCS
    assert glue.TAGS + glue.TAGGED <= fetch.FETCHED_AT
    assert glue.slot(0) >= fetch.FETCHED_AT + fetch.MOST_FETCHED
    assert 2 * glue.MOST_TAGGED + 1 < 256
    assert glue.PARAMETERS + 17 * 8 <= glue.RESULT
    assert glue.RESULT + 8 <= glue.SLOT
    assert glue.slot(functions - 1) + glue.SLOT <= 65536 * glue.scratch_pages(functions)


def callbacks():
    gc.collect()
    return len(_func.FUNCTIONS.handles)


@pytest.mark.parametrize("outcome", ["well", "dead", "not even instantiated"])
def test_nothing_stays_in_wasmtimes_table_of_callbacks(guest, engine, outcome):
    before = callbacks()
    if outcome == "not even instantiated":
        with pytest.raises(Exception, match="could not be instantiated"):
            guest("transform", {"process": "unreachable"}, module="(func $boot unreachable) (start $boot)")
    else:
        body = "unreachable" if outcome == "dead" else "(call $drop-input (local.get $payload) (local.get $context)) (call $drop-element)"
        instance = guest("transform", {"process": body})
        instance.feed()
        assert engine.name == "stock" or callbacks() > before
        instance.instance.close()
        with pytest.raises(Exception, match="closed"):
            instance.call(Call.PROCESS)
    assert callbacks() == before
