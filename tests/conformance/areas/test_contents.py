"""Host reads and frozen contents: both readings of a range are accepted, and held to."""

from dataclasses import replace

import pytest

from conformance.areas import contents
from conformance.areas.contents import CLAMP, STRICT
from conformance.checks import Budget, Depth, all_checks
from conformance.errors import Violation
from conformance.subjects.inprocess import InProcess
from conformance.subjects.protocol import Facet
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.session import Session
from torvyn_ref.resources import ResourceError, ResourceManager

CHECKS = {check.name: check for check in all_checks()}


class Strict(ResourceManager):
    """Reads no further than the size."""

    def read(self, handle, reader, offset=0, length=None):
        size = self.size(handle)
        if length is not None and offset + length > size:
            raise ResourceError("out-of-bounds", "beyond the size", handle=handle, offset=offset, size=size)
        return super().read(handle, reader, offset, length)


def judge(check, manager, *claims):
    subject = reference_subject(ReferenceParts(manager=manager))
    subject = replace(subject, capabilities={**subject.capabilities, Facet.RESOURCES: ("state_tables", *claims)})
    budget = CHECKS[check].budget(Depth.QUICK, 1)
    CHECKS[check].function(Session(InProcess(subject)), budget)
    return budget.evaluations


@pytest.mark.parametrize(("manager", "claims"), [(Strict, (STRICT,)), (Strict, ()), (ResourceManager, (CLAMP,)), (ResourceManager, ())])
def test_either_reading_of_a_range_is_right(manager, claims):
    assert judge("ranges-of-host-reads", manager, *claims)["BUF-005"] > 100


@pytest.mark.parametrize(("manager", "claim"), [(Strict, CLAMP), (ResourceManager, STRICT)])
def test_a_runtime_is_held_to_the_reading_that_it_declares(manager, claim):
    with pytest.raises(Violation) as caught:
        judge("ranges-of-host-reads", manager, claim)
    assert caught.value.rule == "BUF-005"
    assert caught.value.evidence["reading"] == claim


@pytest.mark.parametrize("check", ["who-may-read", "one-owner", "reclaimed-is-dead-for-everybody"])
def test_a_runtime_that_reads_strictly_can_be_judged_by_other_rules(check):
    assert judge(check, Strict, STRICT)


def test_whether_an_owner_may_retag_what_is_lent_is_left_open():
    class Patient(ResourceManager):
        """Lets the owner retag what is lent."""

        def set_content_type(self, handle, caller, content_type):
            entry = self._table[handle]
            if entry.owner == caller and entry.borrows and not entry.frozen:
                entry.content_type = content_type
            else:
                super().set_content_type(handle, caller, content_type)

    assert judge("types-are-final", Patient) == judge("types-are-final", ResourceManager)


def test_a_refused_write_that_left_something_behind_is_caught():
    class Smeared(ResourceManager):
        """Writes first and asks afterwards."""

        def write(self, handle, caller, offset, data):
            self._table[handle].view[: len(data)] = data
            return super().write(handle, caller, offset, data)

    budget = Budget(rules=("BUF-023",))
    with pytest.raises(Violation, match="after a refused write"):
        contents.frozen_is_never_written(Session(InProcess(reference_subject(ReferenceParts(manager=Smeared)))), budget)
