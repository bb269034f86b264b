"""Both doors show the same subject: message by message, and check by check on the same seeds."""

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.checks import all_checks
from conformance.execute import run_plan, run_plan_parallel
from conformance.plan import make_plan
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, find
from conformance.verdict import Outcome

SERVED = "stdio:python -m conformance.serve reference"
owners = st.sampled_from(["host", "transit", "component-1", "component-2", "nobody"])
sizes = st.sampled_from([0, 1, 255, 256, 257, 4096, 70_000, 2**24 + 1, 2**64 - 1])
handles = st.builds(p.Handle, st.integers(0, 3), st.integers(0, 3))
names = st.sampled_from(["Owned", "Borrowed", "Pooled", "Running", "Draining", "Completed", "Nonsense"])
answers = st.builds(
    p.Answer,
    st.sampled_from(["emit", "drop", "end", "ready", "pause", "error", "trap"]),
    size=st.integers(0, 40),
    keeps=st.integers(0, 2),
    claims_sequence=st.integers(0, 9),
    spends_ns=st.integers(0, 10**7),
)
scripts = st.builds(p.Script, st.lists(answers, max_size=4).map(tuple), lifecycle=st.booleans())
rights = st.sampled_from(
    [
        "clock:wall",
        "?stdio:stderr",
        "filesystem:read:/data",
        "filesystem:read:/data/in",
        "network:udp:a.com:53",
        "torvyn:custom-metrics",
        "magic:x",
    ]
)
lists = st.lists(rights, max_size=3).map(tuple)
roles = st.sampled_from(["source", "processor", "sink", "filter", "aggregator"])
REQUESTS = st.one_of(
    st.builds(p.OpenResources, table_capacity=st.integers(1, 4)),
    st.builds(p.Allocate, owners, sizes, st.integers(1, 2)),
    st.builds(p.Release, handles, owners),
    st.builds(p.Transfer, handles, owners, owners),
    st.builds(p.Borrow, handles, owners),
    st.builds(p.EndBorrow, handles, owners),
    st.builds(p.Write, handles, owners, st.integers(0, 300), st.binary(max_size=8)),
    st.builds(p.Read, handles, owners, st.integers(0, 8), st.integers(0, 8)),
    st.builds(p.SetContentType, handles, owners, st.text(max_size=70)),
    st.builds(p.Freeze, handles, owners),
    st.builds(p.Inspect, handles),
    st.just(p.LiveCount()),
    st.builds(p.ForceReclaim, owners),
    st.builds(p.ReleaseFlow, st.integers(1, 2)),
    st.builds(p.RegisterComponent, owners, sizes),
    st.builds(p.Budget, owners),
    st.builds(p.PoolCounters, st.sampled_from(["small", "huge", "tiny"])),
    st.builds(p.CopyCounters, st.integers(1, 2)),
    st.builds(p.ResourceTransition, names, names),
    st.builds(
        p.OpenStream, st.integers(0, 3), st.sampled_from([0.0, 0.5, 0.99, 1.0, -0.1]), st.sampled_from(["drop-oldest", "error", "what"])
    ),
    st.builds(p.PushValue, st.integers(-5, 5)),
    st.just(p.PopValue()),
    st.just(p.CompleteStream()),
    st.just(p.InspectStream()),
    st.builds(p.FlowTransition, names, names),
    st.just(p.OpenCapabilities()),
    st.builds(p.ParseCapability, rights),
    st.builds(p.CoverCapability, rights, rights),
    st.builds(p.ConfigureSandbox, st.sampled_from(["reader", "writer"]), lists, lists, st.sampled_from(["deny-all", "allow-all", "what"])),
    st.builds(p.QuerySandbox, st.integers(1, 3)),
    st.builds(p.ExerciseCapability, st.integers(1, 3), rights, st.integers(1, 3)),
    st.builds(p.EndSandbox, st.integers(1, 3)),
    st.builds(
        p.WriteAudit,
        st.sampled_from(["nothing", "stdout", "file"]),
        st.lists(st.builds(p.AuditEntry, st.just("reader"), rights), max_size=3).map(tuple),
        st.sampled_from([0, 1, 500]),
        st.integers(0, 2),
        st.booleans(),
    ),
    st.builds(p.OrderSeverities, st.lists(st.sampled_from(["Info", "Critical", "What"]), max_size=2).map(tuple)),
    st.builds(
        lambda middle, role, kinds, capacity, policy, choices, after: p.RunFlow(
            p.FlowSpec(
                (p.StageSpec("a", "source", kinds[0]), p.StageSpec("b", role, middle), p.StageSpec("c", "sink", kinds[1])),
                (p.EdgeSpec("a", "b", capacity=capacity, policy=policy), p.EdgeSpec("b", "c", capacity=capacity)),
                schedule=p.Schedule("scripted", tuple(choices)),
                commands=(p.Command(after),),
                max_calls=200,
            )
        ),
        scripts,
        roles,
        st.tuples(scripts, scripts),
        st.integers(0, 3),
        st.sampled_from(["block-producer", "drop-oldest", "drop-newest", "error"]),
        st.lists(st.integers(0, 5), max_size=8),
        st.integers(0, 20),
    ),
)


@pytest.fixture(scope="module")
def doors():
    exchanges = find("reference").open(), find(SERVED).open()
    yield exchanges
    for exchange in exchanges:
        exchange.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(requests=st.lists(REQUESTS, min_size=1, max_size=25))
def test_every_message_has_the_same_reply_through_both_doors(doors, requests):
    inside, outside = doors
    for request in (p.OpenResources(), p.OpenStream(2), p.OpenCapabilities(), *requests):
        assert inside.exchange(request) == outside.exchange(request)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("reference", ["OWN-014", "WMK-004", "CREDIT-004", "FLOW-002", "ORD-001", "CANCEL-001", "CAP-012", "CAP-029", "CAP-052"]),
        ("mutant:low-mark-rounded-up", ["WMK-004"]),
        ("mutant:last-in-first-out", ["ORD-001"]),
        ("mutant:paths-by-two-parts", ["CAP-008"]),
    ],
)
def test_both_doors_have_the_same_plan_and_the_same_findings_on_the_same_seed(rulebook, name, rules):
    """Not only outcomes: the number of evaluations, the smallest counterexample and the transcript are the same."""
    registry = all_checks(rulebook)
    plans, findings = [], []
    for subject in (name, f"stdio:python -m conformance.serve {name}"):
        connection = Connection(find(subject))
        declaration = connection.session().declaration
        connection.close()
        plan = make_plan(
            rulebook,
            registry,
            declaration,
            selection=rules,
            seed=5,
        )
        plans.append(plan.digest)
        results = run_plan(plan, registry, subject)
        findings.append([result.findings for result in results])
    assert plans[0] == plans[1]
    assert findings[0] == findings[1]
    failed = any(finding.outcome is Outcome.FAIL for each in findings[0] for finding in each)
    assert failed == (name != "reference")


@pytest.mark.timeout(300)
def test_the_number_of_workers_does_not_change_what_is_found(rulebook):
    registry = all_checks(rulebook)
    connection = Connection(find("reference"))
    declaration = connection.session().declaration
    connection.close()
    plan = make_plan(rulebook, registry, declaration, selection=["OWN-017", "WMK-002", "FLOW-003"], seed=5)
    alone = [(result.check, result.findings) for result in run_plan(plan, registry, "reference")]
    together = [(result.check, result.findings) for result in run_plan_parallel(plan, "reference", 2)]
    assert alone == together


def test_the_reference_is_served_without_the_tests_interpreter_path():
    connection = Connection(find(f"stdio:{sys.executable} -m conformance.serve reference"))
    try:
        assert connection.session().declaration.name == "torvyn-ref"
    finally:
        connection.close()
