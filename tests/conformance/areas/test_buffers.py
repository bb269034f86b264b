"""The facet guests: its messages, the model behind it, and the readings that its checks accept."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.checks import Depth, all_checks
from conformance.errors import Inconclusive, NotOffered, Refused, SuiteError, Violation
from conformance.machines.guests import Near, Story, engines_of, search_guests, split
from conformance.machines.programs import programs
from conformance.models.buffers import GuestModel
from conformance.models.held import ContentType, Dead, Profile
from conformance.mutants.faulty_buffers import GapsAreFilled, TheNextTierAtTheEdge
from conformance.subjects.connect import Connection, find
from conformance.subjects.guests import CONTEXT, PAYLOAD, Op, Result, component, decode, encode
from conformance.subjects.inprocess import InProcess
from conformance.subjects.protocol import Facet
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.session import Session
from torvyn_ref.engine.imports import GuestFault
from torvyn_ref.resources import ResourceError, ResourceManager

CHECKS = {check.name: check for check in all_checks() if check.facet is Facet.GUESTS}

REQUIRED = [
    *(f"BUF-{n:03}" for n in (1, 2, 3, 4, *range(10, 23), 24, 25, *range(30, 35))),
    *(f"OWN-{n:03}" for n in (21, 23, 28, 29)),
    *(f"POOL-{n:03}" for n in range(1, 6)),
    *(f"CON-{n:03}" for n in (1, 8, 9, 10, 11, 12)),
    "ERR-009",
]


def session(manager=ResourceManager, *capabilities):
    subject = reference_subject(ReferenceParts(manager=manager))
    return Session(InProcess(replace(subject, capabilities={**subject.capabilities, Facet.GUESTS: capabilities})))


def check_of(rule):
    (check,) = [check for check in CHECKS.values() if rule in check.rules]
    return check


def run(rule, subject):
    """Run the guests' check of a rule; returns how often it was evaluated."""
    check = check_of(rule)
    budget = check.budget(Depth.QUICK, 3)
    check.function(subject, budget)
    return budget.evaluations[rule]


def play(subject, *program):
    return [result.value if result.value is not None else result.status for result in subject.guests.call(program).results]


@pytest.mark.parametrize("rule", REQUIRED)
def test_a_rule_about_guests_has_exactly_one_check_on_their_side(rule):
    assert check_of(rule).summary.endswith(".")


# ---------------------------------------------------------------- the messages


def test_a_guest_is_opened_called_observed_and_closed():
    subject = session()
    subject.guests.open(budget_bytes=1000)
    assert play(subject, Op("allocate", into=1, a=3), Op("append", 1, data=b"abc"), Op("size", 1)) == ["done", "done", 3]
    seen = subject.guests.observe()
    assert (seen.owned, seen.live, seen.used, seen.limit) == (1, 1, 256, 1000)
    assert play(subject, Op("freeze", 1, into=2), Op("drop-mutable", 1), Op("buffer-size", 2)) == ["done", "done", 3]
    subject.guests.close()
    with pytest.raises(Refused, match="no-guest"):
        subject.guests.observe()


def test_copies_are_those_of_the_guest():
    subject = session()
    subject.guests.open()
    program = (Op("allocate", into=1, a=3), Op("append", 1, data=b"abc"))
    subject.guests.call(program)
    seen = subject.guests.observe()
    assert (seen.copy_ops, seen.copy_bytes) == (3, len(encode(program)) + len(b"abc") + len(b"\0\0"))


def test_a_guest_that_trapped_is_dead_and_can_still_be_observed():
    subject = session()
    subject.guests.open()
    subject.guests.call([Op("allocate", into=1)])
    assert subject.guests.call([Op("trap")]).answer.outcome == "trapped"
    again = subject.guests.call([]).answer
    assert (again.outcome, again.kind, again.cause) == ("trapped", "fatal", "trap")
    assert (subject.guests.observe().owned, subject.guests.observe().live) == (1, 1)
    subject.guests.close()


def test_fuel_ends_a_call_that_spins():
    subject = session()
    subject.guests.open(fuel=100_000)
    answer = subject.guests.call([Op("spin", a=2**64 - 1)]).answer
    assert (answer.outcome, answer.kind, answer.cause) == ("trapped", "deadline-exceeded", "out-of-fuel")


def test_an_emitted_element_has_two_content_types():
    subject = session()
    subject.guests.open()
    subject.guests.call(
        [Op("allocate", into=1), Op("append", 1, data=b"x"), Op("set-content-type", 1, data=b"b/t"), Op("freeze", 1, into=2)]
    )
    answer = subject.guests.call([Op("emit", 2, data=b"m/t")]).answer
    assert (answer.outcome, answer.payload, answer.content_type, answer.buffer_content_type) == ("emitted", b"x", "m/t", "b/t")
    read = subject.guests.call([Op("content-type"), Op("buffer-content-type", PAYLOAD)], content_type="m/t", buffer_content_type="b/t")
    assert [result.value for result in read.results] == [b"m/t", b"b/t"]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"engine": "steam"}, "unknown-engine"),
        ({"component_name": "init-fails"}, "init-failed"),
        ({"component_name": "counter-source"}, "missing-export"),
        ({"component_name": "wasi-random"}, "missing-import"),
    ],
)
def test_a_guest_that_cannot_be_opened_is_refused_and_the_last_one_is_gone(options, kind):
    subject = session()
    subject.guests.open()
    with pytest.raises(Refused, match=kind):
        subject.guests.open(**options)
    with pytest.raises(Refused, match="no-guest"):
        subject.guests.call([])


def test_tracing_is_not_offered():
    with pytest.raises(NotOffered, match="no tracing"):
        session().guests.open(tracing=True)


def test_a_component_that_the_corpus_does_not_have_is_the_suites_mistake():
    with pytest.raises(SuiteError, match=r"no-such-thing\.wasm"):
        component("no-such-thing")


def test_a_foreign_process_plays_the_same_programs():
    """The facet over stdio: bytes as base64, the component with them."""
    connection = Connection(find("stdio:python -m conformance.serve reference"))
    try:
        subject = connection.session()
        subject.guests.open()
        program = [
            Op("allocate", into=1),
            Op("append", 1, data=bytes(range(256))),
            Op("freeze", 1, into=2),
            Op("read", 2, a=250, b=2**64 - 1),
        ]
        assert subject.guests.call(program).results[-1] == Result("bytes", bytes(range(250, 256)))
        assert run("BUF-004", subject) > 100
    finally:
        connection.close()


# ---------------------------------------------------------------- the language


@given(st.lists(st.binary(max_size=9) | st.integers(0, 2**64 - 1) | st.none(), max_size=9))
def test_a_log_is_read_as_it_was_written(values):
    log = b""
    for value in values:
        if value is None:
            log += b"\0"
        elif isinstance(value, int):
            log += b"\1" + value.to_bytes(8, "little")
        else:
            log += b"\2" + len(value).to_bytes(4, "little") + value
    assert [result.value for result in decode([Op("handle")] * len(values), log)] == values


@given(programs())
def test_a_drawn_program_uses_no_dead_handle_before_its_last_call(story):
    """It is played on the model alone, every operation going as usual."""
    model = GuestModel(story.budget_bytes, Profile())
    for number, call in enumerate(story.calls):
        model.begin(b"", "")
        for op in call:
            known = op.at(model) if isinstance(op, Near) else op
            prediction = model.predict(known)
            last = number == len(story.calls) - 1
            assert "trapped" not in prediction.statuses or (last and len(call) == 1)
            assert all(expectation.holds for expectation in model.judge(known, prediction.usual))
        model.end(b"")


def test_a_program_is_split_except_where_its_operations_belong_together():
    a, b, keep = Op("size", 1), Op("size", 2), Op("copy-slot", PAYLOAD, into=3)
    assert split(((a, b), (keep, a))) == ((a,), (b,), (keep, a))


# ---------------------------------------------------------------- the model


@given(st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=40)), max_size=20))
def test_the_model_writes_like_a_bytearray_of_256(writes):
    model, content = GuestModel(10_000, Profile()), bytearray()
    list(model.judge(Op("allocate", into=1, a=9), Result("done")))
    list(model.judge(Op("capacity", 1), Result("number", 256)))
    for offset, data in writes:
        op = Op("write", 1, a=offset, data=data)
        usual = model.predict(op).usual
        if offset <= len(content) and offset + len(data) <= 256:
            assert usual.status == "done"
            content[offset : offset + len(data)] = data
        elif data:
            assert usual.status in {"out-of-bounds", "capacity-exceeded"}
        list(model.judge(op, usual))
        assert model.predict(Op("size", 1)).value == len(content)
    list(model.judge(Op("freeze", 1, into=2), Result("done")))
    assert model.predict(Op("read-all", 2)).value == bytes(content)


@pytest.mark.parametrize(
    ("sent", "found", "fits"),
    [
        ("a/b", "a/b", True),
        ("a/b", "", False),
        ("x" * 63, "x" * 62, False),
        ("x" * 64, "x" * 64, True),
        ("x" * 64, "x" * 60, True),
        ("x" * 64, "x" * 59, False),
        ("é" * 40, "é" * 31, True),
        ("é" * 40, "é" * 29, False),
        ("é", "", False),
        ("é" * 40, "x" * 62, False),
    ],
)
def test_a_content_type_may_come_back_whole_or_cut_on_a_character(sent, found, fits):
    assert ContentType(sent.encode()).accepts(found.encode()) is fits


def test_a_content_type_cut_within_a_character_is_none():
    assert not ContentType(("x" + "é" * 40).encode()).accepts(("x" + "é" * 40).encode()[:62])


def test_all_names_of_a_dropped_buffer_die_with_it():
    model = GuestModel(10_000, Profile())
    for op in (Op("allocate", into=1), Op("freeze", 1, into=2), Op("copy-slot", 2, into=3), Op("drop-buffer", 3)):
        list(model.judge(op, Result("done")))
    assert isinstance(model.slots[2], Dead)
    assert model.predict(Op("read-all", 2)).statuses == ("trapped",)
    assert model.owned == []


# ---------------------------------------------------------------- other readings


def test_filling_gaps_is_accepted_from_a_subject_that_says_so():
    assert run("BUF-014", session(GapsAreFilled, "gap=zero-fill")) > 5
    assert run("CON-009", session(GapsAreFilled, "gap=zero-fill")) > 5


def test_other_tiers_are_accepted_from_a_subject_that_says_so():
    assert run("POOL-001", session(TheNextTierAtTheEdge, "tiers=any")) > 5


class CapacityFirst(ResourceManager):
    def write(self, handle, caller, offset, data):
        if offset + len(data) > self.capacity(handle):
            raise ResourceError("capacity-exceeded", "it does not fit")
        return super().write(handle, caller, offset, data)


@pytest.mark.parametrize("rule", ["BUF-013", "BUF-014", "BUF-015", "BUF-016", "CON-009"])
def test_either_error_is_accepted_for_a_doubly_wrong_write(rule):
    assert run(rule, session(CapacityFirst)) > 5


class WholeTypes(ResourceManager):
    def set_content_type(self, handle, caller, content_type):
        super().set_content_type(handle, caller, "")
        self._table[handle].content_type = content_type


def test_long_content_types_may_be_kept_whole():
    assert run("BUF-025", session(WholeTypes)) > 5


class PlainClones(ResourceManager):
    def clone(self, handle, caller, flow, *, now_ns=0):
        copy = super().clone(handle, caller, flow, now_ns=now_ns)
        self._table[copy].content_type = ""
        return copy


@pytest.mark.parametrize("rule", ["BUF-024", "BUF-030"])
def test_a_clone_may_have_no_content_type(rule):
    assert run(rule, session(PlainClones)) > 5


# ---------------------------------------------------------------- findings


class TrapsOnSize(ResourceManager):
    def size(self, handle):
        if self.inspect(handle).content_type == "text/trap":
            raise GuestFault("no size for you")
        return super().size(handle)


def test_a_trap_among_many_operations_gets_an_address():
    story = Story(
        ((Op("allocate", into=1), Op("set-content-type", 1, data=b"text/trap"), Op("capacity", 1), Op("size", 1), Op("handle", 1)),)
    )
    check = check_of("BUF-019")
    with pytest.raises(Violation) as caught:
        search_guests(session(TrapsOnSize), check.budget(Depth.QUICK, 0), "BUF-019", (story,))
    assert caught.value.message == "size traps"
    assert caught.value.evidence["steps"][-1]["call"] == [{"op": "size", "slot": 1}]


def test_a_violation_shows_the_program_and_what_each_operation_answered():
    with pytest.raises(Violation) as caught:
        run("BUF-014", session(GapsAreFilled))
    *_, last = caught.value.evidence["steps"]
    assert {"op": "write", "slot": 0, "a": 3, "data": "'x'"} in last["call"]
    assert last["outcome"][0] == "done"
    assert caught.value.expected == "out-of-bounds"


def test_a_guest_that_is_not_metered_is_no_verdict():
    def forever(instance):
        instance._fuel = 2**62
        return instance

    subject = Session(InProcess(reference_subject(ReferenceParts(instance=forever))))
    with pytest.raises(Inconclusive, match="not metered"):
        run("ERR-009", subject)


def test_checks_run_on_every_engine_that_a_subject_claims():
    assert engines_of(session()) == ("",)
    assert engines_of(session(ResourceManager, "engine=stock", "tracing", "engine=direct")) == ("direct", "stock")
    with pytest.raises(Refused, match="unknown-engine"):
        run("BUF-001", session(ResourceManager, "engine=stock", "engine=steam"))


def test_the_context_is_asked_by_its_slot():
    subject = session()
    subject.guests.open(deadline_ns=77)
    assert play(subject, Op("deadline-ns", CONTEXT), Op("trace-id", CONTEXT)) == [77, b""]
