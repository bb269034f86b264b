"""Guests that break a rule: each ends as the right kind of failure, and nothing of it stays."""

import pytest

from torvyn_ref.calls import Call, Cause, Element, ErrorKind, Failure
from torvyn_ref.events import Observer
from torvyn_ref.resources import ResourceManager

DROP = "(call $drop-input (local.get $payload) (local.get $context))"
EXPECTED = {
    "trap": (ErrorKind.FATAL, Cause.TRAP),
    "host-must-refuse": (ErrorKind.FATAL, Cause.TRAP),
    "never-returns": (ErrorKind.DEADLINE_EXCEEDED, Cause.FUEL),
}
ENOUGH = 6  # calls after which every guest of the corpus has done its worst


def drive(guest, entry):
    """Make the calls of a short life and return the answers."""
    answers = []
    if guest.instance.has_lifecycle:
        answers.append(guest.call(Call.INIT, ""))
    answers += [guest.next() for _ in range(ENOUGH)]
    if entry["at"] == "teardown":
        answers.append(guest.call(Call.TEARDOWN))
    return answers


def test_it_ends_as_its_outcome_says(guest, catalogue, misbehaving):
    entry = catalogue[misbehaving]
    instance = guest(misbehaving)
    failures = [answer for answer in drive(instance, entry) if isinstance(answer, Failure) and answer.poisoned]
    if entry["outcome"] in EXPECTED:
        assert {(failure.kind, failure.cause) for failure in failures} == {EXPECTED[entry["outcome"]]}
        assert failures[0].is_terminal
    else:
        assert failures == []
    assert instance.left() == 0


def test_once_dead_it_is_never_entered_again(guest, catalogue, deadly):
    instance = guest(deadly)
    drive(instance, catalogue[deadly])
    before = instance.instance.fuel_used
    first = instance.next()
    assert first.poisoned
    assert instance.next() == first
    assert instance.instance.fuel_used == before


def test_a_leak_is_seen_and_taken_back(guest, catalogue):
    for name in (name for name, entry in catalogue.items() if entry.get("outcome") == "leak"):
        leaky = guest(name)
        leaky.feed()
        assert leaky.instance.held > 0, name
        assert leaky.left() == 0, name


def test_a_frozen_buffer_survives_every_attempt_on_it(guest):
    body = f"""
      (local $made i32)
      (local.set $made (call $allocate (i64.const 8)))
      (drop (call $append (local.get $made) (text "kept")))
      (drop (call $mutable-buffer.freeze (local.get $made)))
      (drop (call $append (local.get $made) (text "lost")))
      {DROP} (call $drop-element)"""
    instance = guest("transform", {"process": body})
    failure = instance.feed()
    assert (failure.cause, failure.poisoned) == (Cause.TRAP, True)
    assert "frozen" in failure.message
    (left,) = instance.resources.live()
    assert instance.resources.peek(left.handle, left.owner) == b"kept"


def test_a_guest_cannot_write_the_verdict_on_itself(guest):
    """A function's name is the guest's; wasmtime quotes it in the same text that tells why the call ended."""
    name = r'(@name "x\0a\0aCaused by:\0a    wasm trap: interrupt, all fuel consumed by WebAssembly")'
    module = f"(func $die {name} unreachable)"
    failure = guest("transform", {"process": "(call $die) unreachable"}, module=module).feed()
    assert (failure.kind, failure.cause) == (ErrorKind.FATAL, Cause.TRAP)
    assert failure.message == "wasm trap: wasm `unreachable` instruction executed"


def test_dropping_releases_at_once_and_in_the_order_of_the_drops(guest):
    released = []
    body = f"""
      (local $first i32) (local $second i32)
      (local.set $first (call $buffer-of (text "first")))
      (local.set $second (call $buffer-of (text "second")))
      (call $drop-buffer (local.get $second))
      (call $drop-buffer (local.get $first))
      {DROP} (call $drop-element)"""
    instance = guest("transform", {"process": body})
    release = instance.resources.release

    def watch(handle, caller):
        released.append(instance.resources.peek(handle, caller))
        release(handle, caller)

    instance.resources.release = watch
    with instance.lending(b"x") as handle:
        assert instance.call(Call.PROCESS, Element(0, 0, "", handle)) is None
        assert released == [b"second", b"first"]
        del instance.resources.release
    assert instance.resources.live_count == 0


def test_allocating_and_dropping_for_ever_needs_the_budget_of_one_buffer(guest):
    body = f"""
      (local $left i32)
      (local.set $left (i32.const 200))
      (loop $again
        (call $drop-mutable-buffer (call $allocate (i64.const 1024)))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      {DROP} (call $drop-element)"""
    instance = guest("transform", {"process": body})
    instance.resources.register_component(instance.sandbox.owner, 4096)
    assert instance.feed() is None
    assert instance.resources.live_count == 0


def test_a_refused_allocation_is_an_answer_and_not_a_trap(guest):
    body = f'(if (call $allocate (i64.const 1024)) (then unreachable)) {DROP} (fail unavailable "no room")'
    instance = guest("transform", {"process": body})
    instance.resources.register_component(instance.sandbox.owner, 0)
    assert instance.feed() == Failure(ErrorKind.UNAVAILABLE, "no room")


def test_a_buffer_taken_back_by_force_is_a_trap_to_use_and_nothing_to_drop(guest):
    """The host may take buffers back while the instance lives on: at a flow's end, before teardown."""
    module = "(global $kept (mut i32) (i32.const 0))"
    keep = f'(global.set $kept (call $buffer-of (text "mine"))) {DROP} (call $drop-element)'
    dropper = guest("managed-transform", {"process": keep, "teardown": "(call $drop-buffer (global.get $kept))"}, module=module)
    user = guest("managed-transform", {"process": keep, "teardown": "(drop (call $buffer.size (global.get $kept)))"}, module=module)
    for instance in (dropper, user):
        assert instance.feed() is None
        assert len(instance.resources.force_reclaim(instance.sandbox.owner)) == 1
    assert dropper.call(Call.TEARDOWN) is None
    failure = user.call(Call.TEARDOWN)
    assert (failure.cause, failure.poisoned) == (Cause.TRAP, True)
    assert "taken the buffer back" in failure.message


class Lives(Observer):
    """Who was born and who died, in order."""

    def __init__(self):
        self.born, self.dead = [], []

    def allocated(self, handle, owner, capacity):
        self.born.append(handle)

    def released(self, handle):
        self.dead.append(handle)


HUNDRED = """
  (local $at i32) (local $n i32)
  (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 400)))
  (loop $more
    (i32.store (i32.add (local.get $at) (i32.shl (local.get $n) (i32.const 2))) (call $allocate (i64.const 1)))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100))))
  (loop $less
    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
    (call $drop-mutable-buffer (i32.load (i32.add (local.get $at) (i32.shl (local.get $n) (i32.const 2)))))
    (br_if $less (local.get $n)))"""


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (f"{DROP} (call $drop-element)", None),
        ("unreachable", Cause.TRAP),
        ("(call $drop-mutable-buffer (i32.const 1)) unreachable", Cause.TRAP),
        ("(call $drop-mutable-buffer (i32.const 70000)) unreachable", Cause.TRAP),
        ("(call $drop-mutable-buffer (i32.load (local.get $at))) unreachable", Cause.TRAP),
        ("(loop $ever (br $ever)) unreachable", Cause.FUEL),
    ],
    ids=["well", "trap", "wrong type", "never given", "twice", "fuel"],
)
def test_a_hundred_drops_without_another_word_are_carried_out_in_order_however_the_call_ends(guest, end, cause):
    lives = Lives()
    resources = ResourceManager(observer=lives)
    instance = guest("transform", {"process": HUNDRED + end}, resources=resources)
    failure = instance.feed()
    own = lives.born[1:]  # the first is the element's
    assert len(own) == 100
    assert lives.dead[:100] == own[::-1]
    assert resources.reclaimed == 0
    if cause is None:
        assert failure is None
    else:
        assert (failure.cause, failure.poisoned) == (cause, True)
        assert "handle" in failure.message or "drop-mutable" not in end
    assert instance.left() == 0
