"""Minimal bad traces of the rules about graphs, fairness, metadata and statistics, in the notation of `test_monitors`."""

from msgspec.structs import replace as with_

from conformance.areas.routing import crossroads
from conformance.areas.startup import with_lifecycles
from conformance.strategies import fan_in, fan_out, line
from conformance.subjects.protocol import Command, FlowSettings

START = "state Created Validated \n state Validated Instantiated \n state Instantiated Running"
LINE = line(elements=2, capacity=2)
LIVING = with_lifecycles(line("processor"))
BROADCAST = fan_out(2)
ROUTED = crossroads()
SKIPPING_ROUTED = with_(ROUTED, settings=FlowSettings(error_policy="skip"))
RETRYING_ROUTED = with_(ROUTED, settings=FlowSettings(error_policy="retry"))
FILTERED = line("filter")
MERGED = fan_in(elements=(2, 2))
LOW = line(settings=FlowSettings(elements_per_yield=None, priority="low"))
FOUR = line(settings=FlowSettings(elements_per_yield=4, priority="low"))
LATE = line(commands=(Command(0, at_ms=1),))
SKIPPING = line(settings=FlowSettings(error_policy="skip"))
MISROUTED = (  # to a port that there is not, which is an error of the router's (TOPO-010)
    "call source pull \n buf alloc b0 \n ret source pull emit \n enq 0 0 1 1 buffer=b0 \n deq 0 0 0 2 buffer=b0 \n "
    "call router route 0 buffer=b0 \n ret router route route ports=a,nope"
)
FAILED_PULL = "call source pull \n ret source pull error kind=internal"

BAD = [
    ("FLOW-017", LINE, (START, "enq 0 0 1 1 \n done Completed source-complete 0 2")),
    ("FLOW-018", LIVING, (START, "call source pull")),
    ("FLOW-018", LIVING, ("call processor init \n ret processor init ok \n call source init",)),
    ("FLOW-018", LIVING, ("call source init \n ret source init ok \n call source init",)),
    ("FLOW-018", LIVING, ("call source init \n ret source init error \n call processor init",)),
    ("FLOW-018", LIVING, ("call source init \n ret source init error \n done Cancelled operator-request 0 0",)),
    (
        "FLOW-018",
        LIVING,
        ("call source init \n ret source init ok \n call processor init \n ret processor init trap \n done Failed component-error 0 0",),
    ),
    ("TOPO-008", BROADCAST, (START, "enq 0 0 1 1 buffer=b0 \n enq 1 0 1 1 buffer=b1")),
    ("TOPO-008", BROADCAST, (START, "enq 0 0 1 1 buffer=b0 \n enq 1 0 1 1 buffer=b0 \n buf release b0")),
    ("TOPO-008", BROADCAST, (START, "enq 0 0 1 1 buffer=b0 \n state Running Draining \n state Draining Completed")),
    ("TOPO-009", ROUTED, (START, "call router route 0 \n ret router route route ports=a \n enq 2 0 1 1")),
    ("TOPO-009", ROUTED, (START, "call router route 0 buffer=b0 \n ret router route route ports=a \n enq 1 0 1 1 buffer=b1")),
    ("TOPO-009", ROUTED, (START, "call router route 0 \n ret router route route ports=a \n state Draining Completed")),
    ("TOPO-010", ROUTED, (START, "call router route 0 \n ret router route route ports=a,nope \n call source pull")),
    ("ERR-001", ROUTED, (START, f"{MISROUTED} \n err router internal fail \n call source pull")),
    ("ERR-003", SKIPPING_ROUTED, (START, f"{MISROUTED} \n err router internal skip \n call source pull")),
    ("ERR-005", RETRYING_ROUTED, (START, f"{MISROUTED} \n err router internal retry \n call router route 1")),
    ("TOPO-011", FILTERED, (START, "call filter evaluate 0 \n ret filter evaluate reject \n enq 1 0 1 1")),
    (
        "TOPO-011",
        FILTERED,
        (START, "enq 0 0 1 3 buffer=b0 \n call filter evaluate 0 buffer=b0 \n ret filter evaluate reject \n call filter evaluate 1"),
    ),
    (
        "ORD-006",
        LINE,
        (
            START,
            "call source pull \n ret source pull emit at=10 \n enq 0 0 1 1 at=10 timestamp=110",
            "call source pull \n ret source pull emit at=20 \n enq 0 1 2 0 at=20 timestamp=121",
        ),
    ),
    (
        "ORD-006",
        FILTERED,
        (START, "enq 0 0 1 1 timestamp=5 \n call filter evaluate 0 \n ret filter evaluate pass \n enq 1 0 1 1 timestamp=6"),
    ),
    (
        "ORD-007",
        LINE,
        (START, "call source pull \n ret source pull emit content_type=a/b \n enq 0 0 1 1 \n call sink push 0 content_type=c/d"),
    ),
    ("ORD-009", MERGED, (START, "enq 0 0 1 1 \n enq 0 1 2 0 \n deq 0 1 1 1")),
    ("ORD-012", LINE, (START, "enq 0 1 1 1")),
    ("ORD-013", LINE, (START, "enq 0 0 1 1 \n enq 0 2 2 0 \n done Completed source-complete 0 2")),
    ("SCHED-005", MERGED, (START, *["call source0 pull \n ret source0 pull emit"] * 64, "call source0 pull")),
    ("SCHED-007", LOW, (START, "yield 15")),
    ("SCHED-009", LINE, (START, "call source pull \n ret source pull emit \n yield 2")),
    ("SCHED-010", FOUR, (START, "yield 16")),
    ("SCHED-011", LINE, (START, "call source pull \n ret source pull emit at=10000001 \n yield 1 at=10000001")),
    ("SCHED-011", LINE, (START, "overdue 20000000")),
    ("SCHED-013", LATE, (START, "state Running Draining at=1050001")),
    ("SCHED-014", SKIPPING, (START, *[FAILED_PULL] * 11, "call source pull")),
]
"""The rule, the flow, and the shortest trace of it that breaks the rule."""
