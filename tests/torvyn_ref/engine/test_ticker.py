"""The epoch's clockwork, without a clock."""

import threading

import pytest

from torvyn_ref.engine.limits import MOST_AHEAD, PERIOD_MS, Caller, EpochTicker
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


@pytest.mark.parametrize(("timeout_ms", "ticks"), [(1, 2), (PERIOD_MS, 2), (PERIOD_MS + 1, 3), (50 * PERIOD_MS, 51)])
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


class Call:
    """A call that ends at the tick that passes its deadline."""

    def __init__(self, ticker, deadline, *, timed=True, overdue=None):
        self._ticker, self._left = ticker, deadline
        ticker.enter(Caller(timed, overdue))

    def tick(self):
        self._left -= 1
        if not self._left:
            self._ticker.leave()


def one_period(deadline, **options):
    """Let a call run for one period; return how many ticks there were, and whether it still runs."""
    ticks = []

    def tick():
        ticks.append(1)
        call.tick()

    pauses = Pauses()
    ticker = EpochTicker(tick, pause=pauses)
    call = Call(ticker, deadline, **options)
    pauses.await_pause()
    pauses.go.release()
    while not (pauses.reached.acquire(blocking=False) or ticker.is_asleep):
        pass
    count, runs = len(ticks), ticker.running
    ticker.running = 0
    pauses.go.release()
    ticker.close()
    return count, runs


@pytest.mark.parametrize(
    ("options", "ticks", "runs"),
    [
        ({}, 1, 1),
        ({"overdue": lambda: False}, 1, 1),
        ({"overdue": lambda: True}, 100, 0),
        ({"overdue": lambda: False, "timed": False}, 0, 1),
        ({"overdue": lambda: True, "timed": False}, 100, 0),
        ({"timed": False}, 0, 1),
    ],
)
def test_time_runs_ahead_for_a_call_that_is_overdue_until_it_ends_and_stands_still_for_one_without_a_timeout(options, ticks, runs):
    assert one_period(100, **options) == (ticks, runs)


def test_what_is_no_more_overdue_is_left_alone():
    """The next call has begun meanwhile: it has lost as many ticks as were run ahead before anybody knew."""
    answers = iter([True, False])
    assert one_period(100, overdue=lambda: next(answers)) == (2, 1)


def test_running_ahead_has_an_end_in_each_period():
    assert one_period(MOST_AHEAD + 100, overdue=lambda: True) == (MOST_AHEAD + 1, 1)
