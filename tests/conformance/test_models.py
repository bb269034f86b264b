"""The models against the tables of the specification, and against themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.models.flow import LEGAL, STATES, TERMINAL, Topology
from conformance.models.ownership import MAX_BUFFER_BYTES, Buffer, OwnershipModel, Profile
from conformance.models.streams import Policy, StreamModel, low_mark
from conformance.strategies import fan_in, fan_out, flows, line

KEY = (0, 1)


def model_with(*, owner="component-1", borrowers=(), frozen=False, profile=None, content=b"abc"):
    model = OwnershipModel(4096, profile or Profile())
    buffer = Buffer("b0", KEY, owner, 256, 1, bytearray(content))
    for borrower in borrowers:
        buffer.borrows[borrower] += 1
    buffer.frozen = frozen
    model.allocated(buffer)
    return model


def step(op, **fields):
    return {"op": f"resources.{op}", **fields}


def write(caller="component-1", offset=0, text="x"):
    return step("write", caller=caller, offset=offset, text=text)


def transfer(source="component-1", target="host"):
    return step("transfer", source=source, target=target)


B2 = [
    # operation, borrowers, kinds that fit a refusal (None: it must be done)
    (step("borrow", borrower="component-2"), (), None),
    (step("borrow", borrower="component-2"), ("component-2",), None),
    (step("end-borrow", borrower="component-2"), ("component-2",), None),
    (transfer(), (), None),
    (transfer("component-2", "host"), (), {"not-owner"}),
    (transfer(), ("component-2",), {"borrows-outstanding"}),
    (transfer("component-2", "host"), ("component-2",), {"not-owner", "borrows-outstanding"}),
    (step("release", caller="component-1"), (), None),
    (step("release", caller="component-2"), (), {"not-owner"}),
    (step("release", caller="component-1"), ("component-2",), {"borrows-outstanding"}),
    (step("release", caller="host"), ("component-2",), {"not-owner", "borrows-outstanding"}),
    (write(), (), None),
    (write("component-2"), (), {"not-owner"}),
    (write(), ("component-2",), {"borrows-outstanding"}),
    (write(offset=3, text="y" * 253), (), None),
    (write(offset=3, text="y" * 254), (), {"capacity-exceeded"}),
    (write(offset=4), (), {"out-of-bounds"}),
    (write(offset=400), (), {"out-of-bounds", "capacity-exceeded"}),
    (step("read", reader="component-1"), (), None),
    (step("read", reader="component-2"), ("component-2",), None),
    (step("read", reader="component-3"), ("component-2",), {"not-owner"}),
    (step("set-content-type", caller="component-2"), (), {"not-owner"}),
]


@pytest.mark.parametrize(("operation", "borrowers", "kinds"), B2)
def test_the_operation_table_of_the_specification_is_predicted(operation, borrowers, kinds):
    prediction = model_with(borrowers=borrowers).predict(operation, KEY)

    assert bool(prediction.must) == (kinds is not None)
    if kinds is not None:
        assert prediction.kinds == kinds


def test_a_dead_handle_is_stale_once_its_slot_is_taken_and_either_kind_before():
    model = model_with()
    model.buried(KEY)
    release = step("release", caller="component-1")
    assert model.predict(release, KEY).kinds == {"stale-handle", "not-allocated"}
    model.allocated(Buffer("b1", (0, 2), "host", 256, 1))
    assert model.predict(release, KEY).kinds == {"stale-handle"}
    assert {"OWN-014", "OWN-015", "OWN-016"} <= set(model.predict(release, KEY).rules)


def test_a_handle_out_of_thin_air_is_refused_on_behalf_of_the_rule_about_handles_only():
    assert model_with().predict(step("inspect"), (7, 9)).rules == ("OWN-014",)


def test_a_borrow_of_somebody_else_is_not_open_unless_the_subject_declares_that_anyone_may_end_it():
    operation = step("end-borrow", borrower="component-3")
    assert model_with(borrowers=("component-2",)).predict(operation, KEY).rules == ("OWN-007",)
    anyone = model_with(borrowers=("component-2",), profile=Profile.of(frozenset({"borrow_end=anyone"})))
    assert not anyone.predict(operation, KEY).must
    anyone.done(operation, KEY)
    assert anyone.live[KEY].state == "Owned"


def test_generations_count_up_per_slot_and_wrap():
    model = model_with()
    assert (model.next_generation(0), model.next_generation(1)) == (2, 1)
    model.generations[5] = 2**32 - 1
    assert model.next_generation(5) == 0


@pytest.mark.parametrize(
    ("owner", "capacity", "must", "may"),
    [
        ("host", 10**6, False, False),
        ("component-1", 4096 - 256, False, True),
        ("component-1", 4096 - 255, True, False),
        ("transit", 1, True, False),
        ("host", MAX_BUFFER_BYTES + 1, True, False),
    ],
)
def test_an_allocation_is_limited_by_budget_size_and_owner(owner, capacity, must, may):
    prediction = model_with().predict(step("allocate", owner=owner, capacity=capacity), None)
    assert bool(prediction.must) == must
    assert ("budget-exceeded" in prediction.may) == may


@pytest.mark.parametrize(
    ("claims", "operation"),
    [({"third_party_read=allow"}, step("read", reader="component-3")), ({"gap=zero-fill"}, write(offset=9))],
)
def test_a_declared_reading_of_an_ambiguity_is_accepted(claims, operation):
    assert model_with().predict(operation, KEY).must
    assert not model_with(profile=Profile.of(frozenset(claims))).predict(operation, KEY).must


def test_an_unregistered_component_has_the_default_budget_unless_declared_otherwise():
    assert model_with().limit("component-9") == 4096
    assert model_with(profile=Profile.of(frozenset({"unregistered=unlimited"}))).limit("component-9") is None
    assert model_with().limit("host") is None


def test_done_operations_change_what_they_name():
    model = model_with(borrowers=("component-2", "component-2"))
    model.done(step("end-borrow", borrower="component-2"), KEY)
    assert (model.live[KEY].state, model.live[KEY].borrow_count) == ("Borrowed", 1)
    model.done(step("end-borrow", borrower="component-2"), KEY)
    assert model.live[KEY].state == "Owned"
    model.done(write(offset=5, text="z"), KEY)
    assert bytes(model.live[KEY].content) == b"abc\0\0z"
    model.done(write(offset=9, text=""), KEY)
    assert len(model.live[KEY].content) == 6
    model.done(transfer(), KEY)
    assert model.live[KEY].owner == "host"
    assert (model.used("component-1"), model.used("host")) == (0, 0)


def test_force_reclaim_buries_what_is_owned_and_ends_what_is_held():
    model = model_with(borrowers=("component-2",))
    other = Buffer("b1", (1, 1), "component-2", 256, 2)
    model.allocated(other)
    assert model.reclaimed("component-2") == [(1, 1)]
    assert model.live[KEY].state == "Owned"
    assert [buffer.name for buffer in model.flow_released(1)] == ["b0"]
    assert (model.created, model.released, len(model.live)) == (2, 2, 0)


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize(
    ("capacity", "ratio", "low"),
    [(1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (4, 0.25, 1), (64, 0.5, 32), (7, 0.99, 6), (10, 0.7, 7), (6, 1 / 3, 2)],
)
def test_the_low_mark_is_the_specification_s(capacity, ratio, low):
    assert low_mark(capacity, ratio) == low


streams = st.builds(StreamModel, st.integers(1, 6), st.sampled_from([0.0, 0.25, 0.5, 0.75]), st.sampled_from(list(Policy)))


@given(model=streams, moves=st.lists(st.booleans(), max_size=60))
def test_credits_and_depth_add_up_and_pressure_alternates_under_every_policy(model, moves):
    changes, pushed, popped, lost = [], 0, [], 0
    for push in moves:
        if push:
            result = model.push(pushed)
            pushed += result.refusal is None
            lost += result.verdict != "enqueued"
            changes.append(result.change)
        elif (taken := model.pop()) is not None:
            popped.append(taken[0])
            changes.append(taken[1])
        assert 0 <= model.credits <= model.capacity
        assert model.credits + model.depth == model.capacity
        assert not model.active or model.depth > model.low
        assert model.active or model.depth < model.capacity
    assert popped == sorted(popped)
    assert pushed == len(popped) + model.depth + lost
    seen = [change for change in changes if change]
    assert seen == ["active", "normal"] * (len(seen) // 2) + ["active"] * (len(seen) % 2)


@pytest.mark.parametrize(
    ("policy", "verdicts", "left"),
    [
        (Policy.BLOCK, ["enqueued", "enqueued", "queue-full"], [1, 2]),
        (Policy.DROP_OLDEST, ["enqueued", "enqueued", "evicted-oldest"], [2, 3]),
        (Policy.DROP_NEWEST, ["enqueued", "enqueued", "refused-newest"], [1, 2]),
        (Policy.ERROR, ["enqueued", "enqueued", "queue-full"], [1, 2]),
    ],
)
def test_a_full_stream_does_what_its_policy_says(policy, verdicts, left):
    model = StreamModel(2, 0.5, policy)
    results = [model.push(value) for value in (1, 2, 3)]
    assert [result.refusal or result.verdict for result in results] == verdicts
    assert list(model.queue) == left


def test_only_block_suspends_its_producer():
    for policy in Policy:
        model = StreamModel(4, 0.25, policy)
        for value in range(4):
            model.push(value)
        model.pop()
        assert model.credits == 1
        assert model.may_produce == (policy is not Policy.BLOCK)
        model.complete = True
        assert not model.may_produce


# ---------------------------------------------------------------- flows


def test_nine_of_sixty_four_steps_are_legal_and_none_leaves_a_terminal_state():
    assert len(LEGAL) == 9
    assert {state for step in LEGAL for state in step} == set(STATES)
    assert not any(old in TERMINAL for old, _ in LEGAL)
    assert [new for old, new in LEGAL if old == "Running"] == ["Draining"]


def test_a_topology_knows_what_lies_downstream_and_in_how_many_ways():
    topology = Topology(fan_out(3))
    assert topology.downstream("source") == {"sink0", "sink1", "sink2"}
    assert topology.upstream("sink1", "source") == ("source",)
    assert topology.paths("source", "sink2") == 1
    assert topology.on_port("source", ["nowhere"]) == ()
    assert topology.on_port("source", None) == (0, 1, 2)


def test_sequences_rise_behind_makers_and_behind_a_forwarder_with_one_input_only():
    assert all(Topology(line("filter", "router")).is_monotone(i) for i in range(3))
    assert Topology(fan_in(role="processor")).is_monotone(2)
    assert not Topology(fan_in(role="filter")).is_monotone(2)


@given(flows())
def test_every_drawn_flow_is_valid(spec):
    topology = Topology(spec)
    roles = {stage.name: stage.role for stage in spec.stages}
    assert len(roles) == len(spec.stages)
    assert {"source", "sink"} <= set(roles.values())
    assert len({(edge.source, edge.target, edge.port) for edge in spec.edges}) == len(spec.edges)
    for name, shape in topology.stages.items():
        assert bool(shape.inputs) == (roles[name] != "source")
        assert bool(shape.outputs) == (roles[name] != "sink")
        assert name not in topology.downstream(name)
        assert roles[name] == "source" or topology.upstream(name, "source")
    for edge in spec.edges:
        assert edge.capacity >= 1
        assert (edge.port == "default") == (roles[edge.source] != "router")
