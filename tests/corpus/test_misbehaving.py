"""Every misbehaving component misbehaves, in the call and in the way its catalogue entry says."""

from pathlib import Path

import pytest
import tomli
import wasmtime

CATALOGUE = tomli.loads((Path(__file__).resolve().parents[2] / "corpus/components/catalogue.toml").read_text())
MISBEHAVING = [entry for entry in CATALOGUE["component"] if entry["behaviour"] == "misbehaving"]

TRAP_TEXT = {
    "leak-borrow": "borrow handles still remain",
    "use-after-drop": "unknown handle index",
    "double-drop-borrow": "unknown handle index",
    "double-drop-own": "unknown handle index",
    "forged-handle": "unknown handle index",
    "wrong-type-handle": "wrong type",
    "use-after-emit-source": "unknown handle index",
    "use-after-emit": "unknown handle index",
    "emit-twice": "unknown handle index",
    "stash-borrow": "unknown handle index",
    "emit-borrowed": "borrow handles still remain|handle index",
    "recursion": "stack exhausted",
    "trap-out-of-bounds": "out of bounds memory access",
    "wrong-utf8": "utf-8",
    "wrong-discriminant": "discriminant",
    "wrong-result-address": "pointer",
    "wrong-alignment": "aligned",
    "wrong-list": "out of bounds|beyond end",
    "wrong-signal": "discriminant",
}


def entries(outcome):
    chosen = [entry for entry in MISBEHAVING if entry["outcome"] == outcome]
    assert chosen
    return pytest.mark.parametrize("entry", chosen, ids=[entry["name"] for entry in chosen])


def ready(drive, entry, **options):
    """The component up to, but not into, the export in which it misbehaves; and a call of that export."""
    host = drive(entry["name"], **options)
    if entry["at"] != "init" and "torvyn:streaming/lifecycle@0.1.0" in entry["exports"]:
        assert host.init() is None
    calls = {
        "process": lambda: host.process(b"payload"),
        "pull": host.pull,
        "push": lambda: host.push(b"payload"),
        "route": lambda: host.route(b"payload"),
        "init": host.init,
        "teardown": host.teardown,
    }
    return host, calls[entry["at"]]


def five_times(call):
    for _ in range(5):
        call()


def test_every_outcome_has_a_test():
    assert {entry["outcome"] for entry in MISBEHAVING} == {"trap", "never-returns", "leak", "host-must-refuse", "error", "hidden"}


@entries("trap")
def test_it_traps_and_is_dead_afterwards(drive, entry):
    _, call = ready(drive, entry)
    text = TRAP_TEXT.get(entry["name"], "unreachable")
    with pytest.raises(wasmtime.WasmtimeError, match=f"(?s){text}"):
        five_times(call)
    with pytest.raises(wasmtime.WasmtimeError, match="cannot enter component instance"):
        call()


@entries("never-returns")
def test_only_the_host_ends_its_call(drive, entry):
    _, call = ready(drive, entry)
    with pytest.raises(wasmtime.WasmtimeError, match="all fuel consumed"):
        five_times(call)


@entries("leak")
def test_it_leaves_buffers_behind_that_no_destructor_frees(drive, entry):
    host, call = ready(drive, entry)
    call()
    left = host.live
    assert left > 0
    call()
    assert host.live > left or entry["name"] == "hoarder"
    host.store.close()
    assert host.live >= left


def test_the_hoarder_takes_exactly_its_budget(drive):
    host = drive("hoarder", budget=5 << 20)
    assert host.process(b"x") is None
    assert host.live == 5


@entries("host-must-refuse")
def test_the_engine_lets_it_through_and_the_host_has_to_stop_it(drive, entry):
    _, call = ready(drive, entry, strict=False)
    call()
    host, call = ready(drive, entry)
    with pytest.raises(Exception, match="the handle was frozen"):
        call()
    frozen = [value.data for value in host.table.values() if not hasattr(value, "frozen")]
    assert frozen in ([b"before"], [b""], [])


@entries("error")
def test_it_answers_what_its_caller_must_report(drive, entry):
    _, call = ready(drive, entry)
    assert call() == ["no-such-port"]


@entries("hidden")
def test_a_few_ordinary_calls_show_nothing(drive, entry):
    host, call = ready(drive, entry)
    five_times(call)
    assert host.live <= 1


# What hides, and what brings it out


@pytest.mark.parametrize(("name", "budget"), [("refused-traps", 63), ("refused-leaks", 100)])
def test_a_refused_buffer_brings_it_out(drive, name, budget):
    host = drive(name, budget=budget)
    if name == "refused-traps":
        with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
            host.process(b"x")
    else:
        host.process(b"x")
        assert host.live == 1


def test_odd_input_brings_it_out(drive):
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        drive("odd-input-traps").process(b"\xff")
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        drive("config-traps").init("{}")


def test_the_guest_that_slows_down_runs_out_of_fuel_in_the_end(drive):
    host = drive("slow-down")

    def for_long():
        for _ in range(20_000):
            host.process(b"x")

    with pytest.raises(wasmtime.WasmtimeError, match="all fuel consumed"):
        for_long()


def test_the_guest_that_holds_on_keeps_one_buffer(drive):
    host = drive("holds-on")
    for _ in range(3):
        host.process(b"x")
    host.teardown()
    assert host.live == 1
