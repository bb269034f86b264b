"""Minimal bad traces of failures, endings and demand: rows for `test_monitors`, written as it reads them."""

from msgspec.structs import replace

from conformance.strategies import DROP, fan_in, line
from conformance.subjects.protocol import Answer, Command, FlowSettings, Script

START = """
    state Created Validated
    state Validated Instantiated
    state Instantiated Running
"""
WIDE, NARROW = line(elements=2), line(elements=2, capacity=1)
PUSH = "call source pull \n ret source pull emit \n enq 0 0 1 3 \n deq 0 0 0 4 \n call sink push 0"
FAIL = "ret sink push error kind=internal"
TRAP = "ret sink push trap kind=fatal"
LENT = """
    call source pull
    buf alloc b0
    ret source pull emit
    enq 0 0 1 3 buffer=b0
    deq 0 0 0 4 buffer=b0
    call sink push 0 buffer=b0
    ret sink push error kind=internal
    call source pull
"""


def under(policy, **settings):
    return line(elements=2, settings=FlowSettings(error_policy=policy, **settings))


FLUSHING = line("aggregator", elements=1, capacity=1, scripts={"aggregator": Script((), DROP, flush=Answer("emit", count=3))})
STOPPED = replace(line("processor", elements=9, capacity=1), commands=(Command(2),))

MORE = [
    ("ERR-001", WIDE, (START, PUSH, FAIL, "call source pull")),
    (
        "ERR-011",
        under("skip", breaker_threshold=1, breaker_cooldown_ms=10),
        (START, PUSH, "ret sink push error kind=unavailable \n call sink push 1 at=9999999"),
    ),
    ("ERR-002", under("skip"), (START, PUSH, TRAP, "call sink push 1")),
    ("ERR-003", under("skip"), (START, LENT)),
    (
        "ERR-003",
        under("skip"),
        (START, "err source unavailable skip cause=queue-full \n state Running Draining \n state Draining Failed \n done Failed error 0 0"),
    ),
    ("ERR-004", under("log-and-continue"), (START, LENT)),
    ("ERR-005", under("retry", max_retries=1, backoff_ms=10), (START, PUSH, FAIL, "call sink push 0 at=9999999")),
    ("ERR-005", under("retry", max_retries=1), (START, PUSH, FAIL, "call sink push 1")),
    ("ERR-005", under("retry"), (START, PUSH, FAIL, "call sink push 0")),
    ("ERR-006", WIDE, (START, PUSH, "ret sink push error kind=unavailable \n err sink internal fail")),
    (
        "ERR-007",
        WIDE,
        (
            START,
            PUSH,
            FAIL,
            "err sink internal fail \n state Running Draining \n state Draining Failed \n done Failed error 0 1 failure=oops",
        ),
    ),
    ("ERR-010", WIDE, (START, "call source pull \n buf alloc b0 \n ret source pull trap kind=fatal \n done Failed error 0 0")),
    ("ERR-012", WIDE, (START, PUSH, FAIL, "call source pull")),
    ("ERR-012", WIDE, (START, "err sink internal skip")),
    ("CANCEL-010", WIDE, (START, PUSH, TRAP, "call sink complete")),
    ("CANCEL-010", WIDE, (START, "call sink complete \n call sink complete")),
    ("CANCEL-012", WIDE, (START, "call sink complete \n call source pull")),
    ("CANCEL-012", WIDE, (START, "buf alloc b0 \n state Running Draining \n state Draining Completed")),
    (
        "CANCEL-013",
        WIDE,
        ("call source init \n ret source init ok \n call sink init \n ret sink init ok", START, "call source teardown"),
    ),
    ("CREDIT-011", fan_in(elements=(2, 2)), (START, "enq 0 0 1 1 \n enq 1 1 1 1 \n enq 0 2 2 1")),
    ("CREDIT-012", fan_in(elements=(1, 99)), (START, "enq 0 0 1 1", *(f"enq 1 {i} 1 1 \n deq 1 {i} 0 2" for i in range(1, 66)))),
    (
        "CREDIT-015",
        FLUSHING,
        (
            START,
            "call aggregator flush \n ret aggregator flush emit",
            "enq 1 0 1 0 tag=aggregator#1 \n deq 1 0 0 1 \n enq 1 1 1 0 tag=aggregator#0",
        ),
    ),
    ("WMK-006", NARROW, (START, "call source pull \n ret source pull emit \n enq 0 0 1 0 \n call source pull")),
    ("WMK-006", NARROW, (START, "enq 0 0 1 0 \n bp 0 on 2")),
    ("WMK-008", NARROW, (START, "enq 0 0 1 0 \n bp 0 on 1 \n state Running Draining")),
    (
        "WMK-014",
        STOPPED,
        (
            START,
            "call source pull \n ret source pull emit \n enq 0 0 1 0 \n deq 0 0 0 1",
            "call processor process 0 \n ret processor process emit \n enq 1 1 1 0 \n bp 1 on 1",
            "call source pull \n ret source pull emit \n enq 0 2 1 0 \n state Running Draining \n drop 0 2 discarded",
        ),
    ),
    ("POLICY-011", WIDE, (START, PUSH, "ret sink push pause \n call source pull")),
    ("POLICY-015", NARROW, (START, "notify source pause \n enq 0 0 2 0")),
    ("POLICY-016", WIDE, (START, "notify source pause")),
]
"""Rule, flow, trace: the last event, or the end, breaks the rule, and nothing before it does."""
