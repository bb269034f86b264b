"""The circuit breaker by itself: its table, its count, its cool-down."""

import pytest

from torvyn_ref.errors import TorvynError
from torvyn_ref.flow.breaker import BreakerSettings, Circuit, CircuitBreaker


def failed(breaker, now=0, unavailable=True, before=1):
    return breaker.failed(now, unavailable=unavailable, failures_before=before)


def test_it_opens_at_the_threshold_and_tries_again_after_the_cool_down():
    breaker = CircuitBreaker(BreakerSettings(3, 10))
    assert [failed(breaker, before=before) for before in range(3)] == [False, False, True]
    assert not breaker.admits(9)
    assert breaker.admits(10)
    assert breaker.circuit is Circuit.HALF_OPEN


def test_one_more_failure_opens_it_again_and_a_success_closes_it():
    breaker = CircuitBreaker(BreakerSettings(1, 10))
    assert failed(breaker, before=0)
    assert breaker.admits(10)
    assert failed(breaker, now=10)
    assert breaker.admits(20)
    assert failed(breaker, now=21, before=0)  # a call has succeeded since: closed, and opened anew
    assert breaker.open_until == 31


def test_a_try_that_fails_in_another_way_closes_it_too():
    breaker = CircuitBreaker(BreakerSettings(3, 10))
    assert [failed(breaker, before=before) for before in range(3)][-1]
    assert breaker.admits(10)
    assert not failed(breaker, now=10, unavailable=False, before=3)
    assert breaker.circuit is Circuit.CLOSED
    assert [failed(breaker, now=11, before=4 + more) for more in range(3)] == [False, False, True]


def test_other_errors_and_successes_start_the_count_over():
    breaker = CircuitBreaker(BreakerSettings(2, 10))
    assert not failed(breaker, before=0)
    assert not failed(breaker, unavailable=False)
    assert not failed(breaker)
    assert not failed(breaker, before=0)
    assert failed(breaker)


@pytest.mark.parametrize(("threshold", "cooldown"), [(0, 0), (1, -1)])
def test_settings_that_make_no_sense_are_refused(threshold, cooldown):
    with pytest.raises(TorvynError, match="a breaker opens after at least 1"):
        BreakerSettings(threshold, cooldown)
