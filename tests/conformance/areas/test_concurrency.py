"""Threads against one manager: real threads are used, histories are judged, and a subject without them is not asked."""

import threading
from dataclasses import replace

import pytest

from conformance.areas.concurrency import Arena, directed
from conformance.checks import Budget, Depth, all_checks
from conformance.errors import Inconclusive, Violation
from conformance.mutants.faulty_threads import Rendezvous
from conformance.mutants.registry import MUTANTS
from conformance.plan import make_plan
from conformance.rulebook import load
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import Checked, InProcess
from conformance.subjects.protocol import Facet
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.session import Session
from torvyn_ref.resources import ResourceManager

CHECK = all_checks().get("as-if-one-after-another")
STORIES = list(directed([p.Handle(0, 0)] * 3))
BREAKS = {
    "transfers-race": "two receivers",
    "releases-race": "two releases",
    "transit-is-seen": "a transfer under observation",
    "borrows-race": "borrows",
    "slots-race": "slots",
    "budgets-race": "the last of a budget",
}


def judge(subject, story, door=InProcess):
    session = Session(door(subject) if door is InProcess else Checked(InProcess(subject)))
    arena = Arena.open(session)
    budget = Budget(rules=("OWN-042",))
    arena.judge(session, budget, directed(arena.handles)[story], story)
    return budget.evaluations["OWN-042"]


@pytest.mark.parametrize("story", STORIES)
def test_the_reference_is_explained_in_every_story_and_over_the_wire(story):
    assert judge(reference_subject(), story, Checked) > 6


@pytest.mark.parametrize("mutant", BREAKS)
@pytest.mark.parametrize("_time", range(5))
def test_a_race_shows_every_time(mutant, _time):
    with pytest.raises(Violation, match=BREAKS[mutant]) as caught:
        judge(MUTANTS[mutant].subject(), BREAKS[mutant])
    assert caught.value.evidence["threads"]
    assert caught.value.evidence["afterwards"]


@pytest.mark.parametrize("mutant", [name for name, mutant in MUTANTS.items() if "OWN-042" in mutant.rules])
def test_a_racing_manager_is_right_as_long_as_only_one_thread_uses_it(mutant):
    checks = all_checks()
    session = Session(InProcess(MUTANTS[mutant].subject()))
    for name in ("the-table-grows", "types-are-final"):
        check = checks.get(name)
        check.function(session, check.budget(Depth.QUICK, 1))


def test_programs_run_in_threads_of_their_own():
    seen = set()

    class Watched(ResourceManager):
        """Writes down who comes."""

        def inspect(self, handle):
            seen.add(threading.get_ident())
            return super().inspect(handle)

    session = Session(InProcess(reference_subject(ReferenceParts(manager=Watched))))
    arena = Arena.open(session)
    seen.clear()
    look = p.Inspect(arena.handles[0])
    threads = session.resources.concurrent(((look,) * 50,) * 3)
    assert len(seen) <= 3
    assert threading.get_ident() not in seen
    ticks = [tick for thread in threads for happened in thread for tick in (happened.start, happened.end)]
    assert sorted(ticks) == list(range(1, 301))


def test_no_programs_have_no_history():
    session = Session(InProcess(reference_subject()))
    assert session.resources.concurrent(()) == ()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda threads: threads[:-1],
        lambda threads: (threads[0][:-1], *threads[1:]),
        lambda threads: ((p.Happened(5, 5, p.Done()), *threads[0][1:]), *threads[1:]),
    ],
    ids=["thread missing", "operation missing", "no time passes"],
)
def test_what_is_no_history_is_not_judged(spoil):
    subject = reference_subject()
    facet = subject.resources
    honest = facet.concurrent
    facet.concurrent = lambda request: p.HistoryReply(spoil(honest(request).threads))
    with pytest.raises(Inconclusive):
        judge(subject, "two receivers")


def test_a_crash_in_a_thread_is_the_subjects_crash():
    class Broken(ResourceManager):
        """Breaks down."""

        def transfer(self, handle, source, target):
            raise ZeroDivisionError

    with pytest.raises(Exception, match="ZeroDivisionError"):
        judge(reference_subject(ReferenceParts(manager=Broken)), "two receivers")


def test_a_subject_without_the_claim_is_not_asked():
    subject = replace(reference_subject(), capabilities={Facet.RESOURCES: ("state_tables",)})
    plan = make_plan(load(), all_checks(), subject.declaration(), selection=["OWN-042"])
    assert plan.items == ()
    assert [declined.reason for declined in plan.declined if declined.rule == "OWN-042"] == ["the subject does not claim concurrency"]


def test_threads_that_meet_go_on_when_the_others_have_ended():
    place = Rendezvous()
    met = []
    place.run([lambda: (place.meet(), met.append(1)), lambda: (place.meet(), place.meet(), met.append(2)), lambda: None])
    assert sorted(met) == [1, 2]
    place.meet()
