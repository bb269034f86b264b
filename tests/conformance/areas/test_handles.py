"""Handles of the reclaimed: what is tried on them, and how refusals are judged."""

import pytest

from conformance.areas import handles
from conformance.checks import Budget
from conformance.errors import Violation
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.session import Session
from torvyn_ref.resources import ResourceError, ResourceManager


def judge(manager):
    budget = Budget(rules=("OWN-033",))
    handles.reclaimed_is_dead_for_everybody(Session(InProcess(reference_subject(ReferenceParts(manager=manager)))), budget)
    return budget.evaluations["OWN-033"]


def test_the_end_of_a_lost_borrow_may_be_refused_for_any_reason():
    class Blunt(ResourceManager):
        """Says of every end that fails that nothing was borrowed."""

        def end_borrow(self, handle, borrower):
            try:
                super().end_borrow(handle, borrower)
            except ResourceError as error:
                raise ResourceError("not-borrowed", error.message, handle=handle) from error

    assert judge(Blunt) == judge(ResourceManager)


def test_a_refusal_that_touches_the_tenant_is_caught():
    class Careless(ResourceManager):
        """Clears the newest buffer when it refuses a release."""

        def release(self, handle, caller):
            try:
                super().release(handle, caller)
            except ResourceError:
                self._table.entries()[-1].size = 0
                raise

    with pytest.raises(Violation, match="release by host") as caught:
        judge(Careless)
    assert caught.value.found == "another buffer has changed"
