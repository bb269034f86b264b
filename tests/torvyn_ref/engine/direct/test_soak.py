"""A short soak; `soak.py` beside this file has the long one, with resident memory."""

from dataclasses import replace

import pytest

from tests.torvyn_ref.engine.direct.soak import ROOT, Soak

MORE_OBJECTS = 50
"""Python objects that may come and go by themselves; 500 cycles that kept one each would show."""


@pytest.fixture
def soak():
    made = Soak()
    yield made
    made.close()


def test_instances_leave_nothing_behind(soak):
    for _ in range(20):
        soak.cycle()
    before = soak.left()
    for _ in range(500):
        soak.cycle()
    after = soak.left()
    assert after.objects <= before.objects + MORE_OBJECTS
    assert replace(after, resident_kib=0, objects=0) == replace(before, resident_kib=0, objects=0)
    assert (after.handles, after.buffers) == (0, 0)


def test_elements_leave_nothing_behind(soak):
    soak.open()
    for _ in range(100):
        soak.element()
    before = soak.left()
    for _ in range(20_000):
        soak.element()
    after = soak.left()
    soak.shut()
    assert after.objects <= before.objects + MORE_OBJECTS
    assert replace(after, resident_kib=0, objects=0) == replace(before, resident_kib=0, objects=0)
    assert (after.handles, after.buffers) == (0, 0)


def test_instances_that_died_leave_nothing_behind(soak):
    soak.compiled = soak.engine.compile((ROOT / "corpus/components/trap-unreachable.wasm").read_bytes(), where="trap")
    resources = soak.resources

    def cycle():
        soak.open()
        with pytest.raises(AttributeError):  # a failure has no handle to release
            soak.element()
        soak.shut()
        resources.force_reclaim(1)

    for _ in range(20):
        cycle()
    before = soak.left()
    for _ in range(100):
        cycle()
    after = soak.left()
    assert after.objects <= before.objects + MORE_OBJECTS
    assert after.callbacks == before.callbacks
    assert after.buffers == 0
