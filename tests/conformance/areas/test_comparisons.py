"""Edits of packages: what they make is WIT, and every row of the table is met."""

from dataclasses import replace

import pytest
from hypothesis import given

from conformance.areas.comparisons import RICH, every_edit_has_its_verdict, removals_and_additions_mirror_each_other, rich_edits
from conformance.checks import Budget
from conformance.errors import Violation
from conformance.machines.packages import edited
from conformance.models.edits import apply, together, verdicts
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session
from torvyn_ref.contract import wit

ROWS = {
    *("add an interface", "remove an interface", "add a function", "remove a function", "add a parameter", "remove a parameter"),
    *("change a parameter's type", "take what was lent", "rename a parameter", "drop the result", "change the result", "return something"),
    *("add a type", "remove a type", "add a resource", "remove a resource", "retarget an alias", "change a type's kind"),
    *("add a field", "remove a field", "retype a field", "reorder fields", "add a case", "remove a case", "reorder cases"),
    *("drop a case's payload", "give a case a payload", "add a flag", "remove a flag", "reorder flags"),
    *("add a world", "remove a world", "add a world's export", "remove a world's export", "add a world's import"),
    *("remove a world's import", "change inside a parameter's type", "change inside the result", "change inside an alias"),
    *("change inside a field's type", "lend what was taken"),
}


class Meddling(InProcess):
    """The reference, with its comparisons changed on the way."""

    def __init__(self, change):
        super().__init__(reference_subject())
        self.change = change

    def exchange(self, request):
        reply = super().exchange(request)
        return self.change(reply) if isinstance(reply, p.ContractsComparedReply) else reply


def judged(check, rule, change):
    check(Session(Meddling(change)), Budget(check="x", rules=(rule,)))


def test_every_row_of_the_verdict_table_is_an_edit_of_the_rich_package():
    assert {edit.label for edit in rich_edits()} >= ROWS


def test_every_edit_makes_another_valid_package():
    for edit in rich_edits():
        assert wit.parse(edit.apply(RICH).files()) != wit.parse(RICH.files()), edit.label


@given(drawn=edited())
def test_drawn_packages_and_their_edits_are_valid(drawn):
    package, edits = drawn
    for one in (package, apply(package, edits)):
        assert wit.parse(one.files_apart(commented=True)).name == wit.parse(one.files()).name


def test_edits_that_meet_are_not_taken_together():
    removal = next(edit for edit in rich_edits() if edit.label == "remove an interface" and edit.path == ("extras",))
    use = next(edit for edit in rich_edits() if edit.label == "add a world's export" and edit.path[1] == "extras")
    assert together([removal, use]) == (removal,)
    assert verdicts([use]) == {"compatible-with-additions"}


def test_a_renamed_parameter_may_be_no_change():
    def silent(reply):
        renames = all(change.severity == "minor" and change.change == "changed" for change in reply.changes)
        return replace_struct(reply, verdict="compatible", changes=()) if reply.changes and renames else reply

    judged(every_edit_has_its_verdict, "CON-040", silent)
    judged(removals_and_additions_mirror_each_other, "CON-042", silent)


def test_a_runtime_need_not_say_whether_it_links():
    judged(every_edit_has_its_verdict, "CON-040", lambda reply: replace_struct(reply, link_compatible=None))


def test_a_new_case_must_not_be_called_link_compatible():
    with pytest.raises(Violation, match="link-compatible"):
        judged(every_edit_has_its_verdict, "CON-040", lambda reply: replace_struct(reply, link_compatible=True))


def replace_struct(reply, **changes):
    return type(reply)(**{**{name: getattr(reply, name) for name in reply.__struct_fields__}, **changes})


def test_the_rich_package_has_a_version_with_a_major():
    assert replace(RICH, version="2.0.0").text().startswith("package acme:rich@2.0.0;")
