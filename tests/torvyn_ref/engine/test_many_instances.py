"""Instances come and go by the thousand: what they held in wasmtime-py's tables, in memory and in threads goes with them."""

import gc
import threading
from pathlib import Path

import pytest
from wasmtime import _func
from wasmtime.component import _linker

from torvyn_ref.calls import Call, Cause, Output, Role
from torvyn_ref.engine.protocol import Limits
from torvyn_ref.engine.stock import StockEngine

COMPONENTS = Path(__file__).resolve().parents[3] / "corpus/components"


def resident_kib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def callbacks():
    return len(_linker.FUNCTIONS.handles) + len(_func.FUNCTIONS.handles), len(_linker.RESOURCE_DTORS.handles)


def test_a_thousand_instances_leave_nothing(guest):
    def live_once():
        instance = guest("uppercase-managed", config="")
        output = instance.feed(b"x")
        assert isinstance(output, Output)
        assert instance.left() == 0

    gc.collect()
    before = callbacks()
    for _ in range(50):
        live_once()
    assert callbacks() == before
    settled = resident_kib()
    for _ in range(1000):
        live_once()
    assert callbacks() == before
    assert resident_kib() - settled < 16 * 1024, "16 KiB per instance would be a leak"


def test_an_instance_that_nobody_closed_goes_when_it_is_forgotten(compiled, guest):
    sandbox = guest("uppercase").sandbox
    gc.collect()
    before = callbacks()
    forgotten = compiled("uppercase").instantiate(Role.PROCESSOR, sandbox)
    assert callbacks() > before
    del forgotten
    gc.collect()
    assert callbacks() == before


def test_a_thousand_calls_keep_no_handles(guest):
    instance = guest("clone-freeze")
    instance.take(instance.feed())
    settled = resident_kib()
    for _ in range(1000):
        instance.take(instance.feed())
    assert instance.instance.held == 0
    assert resident_kib() - settled < 8 * 1024


def epoch_threads():
    return [thread for thread in threading.enumerate() if thread.name == "torvyn-epoch"]


@pytest.mark.parametrize("timeout_ms", [None, 60_000])
def test_a_ticker_runs_only_once_a_timed_call_was_made_and_ends_with_its_engine(guest, timeout_ms):
    engine = StockEngine()
    before = len(epoch_threads())
    compiled = engine.compile((COMPONENTS / "dropper.wasm").read_bytes(), where="dropper.wasm")
    assert len(epoch_threads()) == before
    instance = compiled.instantiate(Role.PROCESSOR, guest("dropper", limits=Limits(call_timeout_ms=timeout_ms)).sandbox)
    assert len(epoch_threads()) == before + (timeout_ms is not None)
    instance.close()
    engine.close()
    engine.close()
    assert len(epoch_threads()) == before


def test_a_real_ticker_interrupts_a_guest_that_never_returns(guest):
    """The one test in real time: it waits for as long as the guest may run, which is a few periods."""
    engine = StockEngine()
    compiled = engine.compile((COMPONENTS / "init-spins.wasm").read_bytes(), where="init-spins.wasm")
    sandbox = guest("init-spins", limits=Limits(fuel=None, call_timeout_ms=30)).sandbox
    instance = compiled.instantiate(Role.PROCESSOR, sandbox)
    failure = instance.call(Call.INIT, "")
    assert failure.cause is Cause.TIMEOUT
    instance.close()
    engine.close()


@pytest.mark.parametrize("timeout_ms", [None, 60_000])
def test_a_guest_that_never_returns_is_interrupted_when_its_overseer_says_so(guest, timeout_ms):
    engine = StockEngine()
    compiled = engine.compile((COMPONENTS / "init-spins.wasm").read_bytes(), where="init-spins.wasm")
    sandbox = guest("init-spins", limits=Limits(fuel=None, call_timeout_ms=timeout_ms)).sandbox
    instance = compiled.instantiate(Role.PROCESSOR, sandbox)
    instance.oversee(lambda: True)
    failure = instance.call(Call.INIT, "")
    assert (failure.cause, failure.poisoned) == (Cause.TIMEOUT, True)
    instance.close()
    engine.close()
