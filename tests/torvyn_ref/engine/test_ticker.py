"""The epoch's clockwork, without a clock."""

import threading

import pytest

from torvyn_ref.engine.limits import PERIOD_MS, EpochTicker
from torvyn_ref.errors import TorvynError

SOON = 30  # seconds until a broken ticker fails its test instead of hanging


class Pauses:
    """Stands in for real time: the ticker waits here until the test lets one period pass."""

    def __init__(self):
        self.reached, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.seconds = []

    def __call__(self, seconds):
        self.seconds.append(seconds)
        self.reached.release()
        self.go.acquire(timeout=SOON)
        return False

    def await_pause(self):
        assert self.reached.acquire(timeout=SOON)


@pytest.mark.parametrize(("timeout_ms", "ticks"), [(1, 2), (PERIOD_MS, 2), (PERIOD_MS + 1, 3), (5000, 501)])
def test_a_deadline_gives_at_least_the_timeout(timeout_ms, ticks):
    assert EpochTicker.ticks(timeout_ms) == ticks
    assert (ticks - 1) * PERIOD_MS >= timeout_ms


def test_it_ticks_once_per_period_while_calls_run_and_not_between_them():
    ticks, pauses = [], Pauses()
    ticker = EpochTicker(lambda: ticks.append(1), pause=pauses)
    assert not ticker.is_alive
    ticker.enter()
    pauses.await_pause()
    assert ticks == []
    pauses.go.release()
    pauses.await_pause()
    assert len(ticks) == 1
    ticker.leave()
    pauses.go.release()  # the period that had begun still ends; then it sleeps
    while not ticker.is_asleep:
        assert not pauses.reached.acquire(blocking=False), "it waits for another period though no call runs"
    ticker.enter()
    ticker.enter()
    pauses.await_pause()
    assert len(ticks) == 2
    assert set(pauses.seconds) == {PERIOD_MS / 1000}
    ticker.leave()
    ticker.leave()
    pauses.go.release()
    ticker.close()
    assert not ticker.is_alive


def test_it_stops_at_once_while_it_pauses():
    ticker = EpochTicker(lambda: None)
    ticker.enter()
    ticker.close()
    ticker.close()
    assert not ticker.is_alive


def test_it_stops_while_it_sleeps():
    pauses = Pauses()
    ticker = EpochTicker(lambda: None, pause=pauses)
    ticker.enter()
    pauses.await_pause()
    ticker.leave()
    pauses.go.release()
    ticker.close()
    assert not ticker.is_alive


def test_by_hand_it_starts_no_thread():
    ticks = []
    ticker = EpochTicker(lambda: ticks.append(1), threaded=False)
    ticker.enter()
    ticker.tick()
    ticker.leave()
    assert (ticks, ticker.is_alive) == ([1], False)


def test_after_close_nobody_may_enter():
    ticker = EpochTicker(lambda: None, threaded=False)
    ticker.close()
    with pytest.raises(TorvynError) as caught:
        ticker.enter()
    assert caught.value.kind == "closed-engine"
