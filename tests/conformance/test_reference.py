"""The reference behind the protocol's messages: what a script means, and how refusals look."""

import pytest

from conformance.errors import Refused, SubjectTimeoutError
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.session import Session
from conformance.traces import events as e
from torvyn_ref.flow import YIELD, FlowDriver
from torvyn_ref.resources import ResourceManager
from torvyn_ref.streams import Stream


@pytest.fixture
def session():
    return Session(InProcess(reference_subject()))


def line(source=None, middle=None, sink=None, role="processor", **changes):
    """A flow a → b → c of three scripts."""
    stages = (
        p.StageSpec("a", "source", source or p.Script((p.Answer("emit"),) * 3)),
        p.StageSpec("b", role, middle or p.Script()),
        p.StageSpec("c", "sink", sink or p.Script()),
    )
    return p.FlowSpec(stages, (p.EdgeSpec("a", "b"), p.EdgeSpec("b", "c")), **changes)


def of(reply, kind, **wanted):
    return [event for event in reply.trace if isinstance(event, kind) and all(getattr(event, k) == v for k, v in wanted.items())]


def test_a_payload_begins_with_its_makers_name_and_number_and_travels_through_copies(session):
    reply = session.flows.run(line())
    assert [event.tag for event in of(reply, e.Called, stage="c", fn="push")] == ["a#0", "a#1", "a#2"]
    assert (reply.state, reply.live_buffers) == ("Completed", 0)


def test_a_flush_makes_as_many_elements_as_it_says(session):
    aggregator = p.Script(flush=p.Answer("emit", count=2, size=30))
    reply = session.flows.run(line(middle=aggregator, role="aggregator"))
    assert [event.tag for event in of(reply, e.Called, stage="c", fn="push")] == ["b#0", "b#1"]


@pytest.mark.parametrize(
    ("role", "delivered"),
    [("processor", 3), ("filter", 3), ("router", 0), ("aggregator", 0)],
)
def test_a_script_without_a_last_answer_does_what_its_role_does(session, role, delivered):
    reply = session.flows.run(line(role=role))
    assert len(of(reply, e.Called, stage="c", fn="push")) == delivered


def test_what_a_component_keeps_is_taken_back_at_the_end(session):
    reply = session.flows.run(line(middle=p.Script(then=p.Answer("emit", keeps=2))))
    assert len(of(reply, e.BufferEvent, op="alloc")) == len(of(reply, e.BufferEvent, op="release")) == 3 + 3 + 6
    assert reply.live_buffers == 0


def test_a_claimed_sequence_is_not_believed(session):
    reply = session.flows.run(line(source=p.Script((p.Answer("emit", claims_sequence=99),) * 2)))
    assert 99 not in {event.seq for event in of(reply, e.Enqueued)}


def test_time_passes_when_a_component_spends_it(session):
    reply = session.flows.run(line(middle=p.Script(then=p.Answer("emit", spends_ns=1000))))
    assert reply.trace[-1].at == 3000


@pytest.mark.parametrize(("answer", "outcome"), [(p.Answer("error", kind="fatal"), "error"), (p.Answer("trap"), "trap")])
def test_a_failing_component_fails_the_flow_and_is_named(session, answer, outcome):
    reply = session.flows.run(line(middle=p.Script((answer,))))
    assert reply.state == "Failed"
    assert of(reply, e.Returned, stage="b")[0].outcome == outcome
    assert of(reply, e.Done)[0].failure.startswith("b.process")
    assert reply.live_buffers == 0


def test_a_cancel_comes_after_as_many_calls_as_it_says(session):
    endless = p.Script(then=p.Answer("emit"))
    reply = session.flows.run(line(source=endless, commands=(p.Command(5),)))
    assert reply.state == "Cancelled"
    assert of(reply, e.Done)[0].reason == "operator-request"


def test_a_flow_that_does_not_end_is_stopped_after_max_calls(session):
    reply = session.flows.run(line(source=p.Script(then=p.Answer("emit")), max_calls=50))
    assert of(reply, e.Done)[0].reason == "max-calls"
    assert len(of(reply, e.Called)) < 60


def test_a_driver_that_goes_round_in_circles_is_a_timeout_and_not_a_hang():
    class Circles(FlowDriver):
        """Yields for ever."""

        def next(self, now):
            return YIELD

    session = Session(InProcess(reference_subject(ReferenceParts(driver=Circles))))
    with pytest.raises(SubjectTimeoutError, match="steps without a call"):
        session.flows.run(line(max_calls=10))


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        (p.FlowSpec((), ()), "invalid-topology", "no stages"),
        (p.FlowSpec((p.StageSpec("a", "oracle"),), ()), "invalid-config", "oracle"),
        (line(source=p.Script(then=p.Answer("ready"))), "invalid-config", "stage 'a' answers pull with 'ready'"),
        (line(middle=p.Script(then=p.Answer("error", kind="odd"))), "invalid-config", "fails with 'odd'"),
        (line(schedule=p.Schedule("random")), "invalid-config", "'random' is no schedule"),
        (line(settings=p.FlowSettings(error_policy="hope")), "invalid-config", "hope"),
        (line(settings=p.FlowSettings(elements_per_yield=0)), "invalid-config", "elements_per_yield"),
        (line(commands=(p.Command(1, "explode"),)), "invalid-config", "only command is cancel"),
        (
            p.FlowSpec((p.StageSpec("a", "source"), p.StageSpec("c", "sink")), (p.EdgeSpec("a", "c", capacity=0),)),
            "invalid-config",
            "capacity 0",
        ),
        (
            p.FlowSpec((p.StageSpec("a", "source"), p.StageSpec("c", "sink")), (p.EdgeSpec("a", "c", policy="pray"),)),
            "invalid-config",
            "pray",
        ),
    ],
)
def test_a_flow_that_must_not_start_is_refused_with_a_reason(session, spec, kind, words):
    with pytest.raises(Refused) as caught:
        session.flows.run(spec)
    assert caught.value.kind == kind
    assert words in caught.value.message


def test_every_defect_of_a_graph_is_named(session):
    spec = p.FlowSpec((p.StageSpec("a", "source"), p.StageSpec("b", "processor")), ())
    with pytest.raises(Refused) as caught:
        session.flows.run(spec)
    assert set(caught.value.fields["kinds"]) >= {"no-sink", "missing-input", "missing-output"}


def test_refusals_speak_the_protocols_words(session):
    session.resources.open()
    handle = session.resources.allocate("component-1", 10)
    with pytest.raises(Refused) as caught:
        session.resources.release(handle, "host")
    assert caught.value.kind == "not-owner"
    assert caught.value.fields == {"handle": {"index": 0, "generation": 1}, "expected_owner": "component-1", "actual_caller": "host"}


@pytest.mark.parametrize("owner", ["", "component-0", "component-x", "component-٣", "Host", "component--1"])
def test_an_owner_that_is_none_is_refused(session, owner):
    with pytest.raises(Refused) as caught:
        session.resources.allocate(owner, 1)
    assert caught.value.kind == "invalid-owner"


def test_opening_forgets_everything(session):
    session.resources.open()
    session.resources.allocate("host", 1)
    session.resources.open()
    assert session.resources.live_count() == 0
    session.streams.open(2)
    session.streams.push(1)
    assert session.streams.open(2).depth == 0


def test_each_part_can_be_replaced():
    class Generous(ResourceManager):
        """Never refuses a release."""

        def release(self, handle, caller):
            super().release(handle, self.inspect(handle).owner)

    class Shallow(Stream):
        """Says that it is complete."""

        @property
        def is_complete(self):
            return True

    session = Session(InProcess(reference_subject(ReferenceParts(manager=Generous, stream=Shallow), name="odd")))
    assert session.declaration.name == "odd"
    session.resources.open()
    session.resources.release(session.resources.allocate("component-1", 1), "host")
    assert session.streams.open(1).is_complete
    assert session.flows.run(line()).live_buffers == 0
