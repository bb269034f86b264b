"""Coverage of the tables: which cells there are, that the stories meet them all, and that a report names those that a run did not meet."""

import json

import pytest

from conformance.areas.ownership import STORIES as OWNERSHIP
from conformance.areas.ownership import allocate, borrow, freeze, release
from conformance.areas.watermarks import STORIES as STREAM
from conformance.checks import all_checks
from conformance.cli import call
from conformance.execute import run_check
from conformance.machines.coverage import RESOURCES, STREAMS, TABLES, Coverage, merged
from conformance.machines.judge import Judge
from conformance.machines.ownership import OwnershipLockstep
from conformance.machines.streams import StreamLockstep
from conformance.models.streams import Policy, StreamModel
from conformance.subjects.connect import Connection, find
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session


def judge():
    return Judge(Session(InProcess(reference_subject())), "OWN-001", lambda _: None)


def test_a_table_has_no_cell_twice():
    assert {table: len(cells) - len(set(cells)) for table, cells in TABLES.items()} == {RESOURCES: 0, STREAMS: 0}


def test_the_stories_alone_meet_every_cell():
    coverage = Coverage()
    for story in OWNERSHIP:
        OwnershipLockstep(judge(), frozenset(), coverage=coverage).play_all(story)
    for story in STREAM:
        StreamLockstep(judge(), story[0], coverage).play_all(story[1:])
    assert [name for counts in merged([coverage.counts]).values() for name, count in counts.items() if not count] == []


def test_a_cell_is_counted_by_the_state_before_the_event():
    coverage = Coverage()
    story = (allocate(), borrow("b0"), release("b0"), freeze("b0"))
    OwnershipLockstep(judge(), frozenset(), coverage=coverage).play_all(story)
    assert coverage.counts == {
        RESOURCES: {"Owned: borrow done": 1, "Borrowed: release refused": 1, "Borrowed: freeze open": 1},
    }
    coverage.start()
    assert coverage.fresh == set()


def test_a_cell_that_no_table_has_is_an_error_of_the_suite():
    model = StreamModel(2, 0.5, Policy.BLOCK, active=True)
    with pytest.raises(ValueError, match="no cell 'block-producer, active and empty: push'"):
        Coverage().streamed(model, "push")


def test_coverages_add_up_and_show_what_nobody_met():
    first, last = TABLES[STREAMS][0], TABLES[STREAMS][-1]
    total = merged([{STREAMS: {first: 2}}, {}, {STREAMS: {first: 1}}])
    assert list(total) == [STREAMS]
    assert (total[STREAMS][first], total[STREAMS][last], len(total[STREAMS])) == (3, 0, len(TABLES[STREAMS]))


def test_a_check_without_a_machine_covers_nothing_and_one_with_a_machine_its_table():
    connection = Connection(find("reference"))
    try:
        covered = {name: set(run_check(all_checks().get(name), connection).coverage) for name in ("nine-steps", "on-at-capacity")}
    finally:
        connection.close()
    assert covered == {"nine-steps": set(), "on-at-capacity": {STREAMS}}


def test_a_report_counts_the_cells_and_names_those_that_were_not_reached(capsys, tmp_path):
    report = tmp_path / "report.json"
    call(["run", "--subject", "reference", "--rules", "WMK-001", "--report", str(report)])
    shown = json.loads(report.read_bytes())["coverage"]
    assert list(shown) == [STREAMS]
    assert list(shown[STREAMS]["cells"]) == list(TABLES[STREAMS])
    assert shown[STREAMS]["unreached"] == [name for name, count in shown[STREAMS]["cells"].items() if not count]
    assert "coverage of the table streams: 64 of 64 cells" in capsys.readouterr().out


def test_a_run_that_leaves_cells_out_says_which(capsys):
    call(["run", "--subject", "reference", "--rules", "WMK-004"])
    out = capsys.readouterr().out
    assert "of 64 cells; not reached: " in out
