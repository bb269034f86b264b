"""Copies: the topology oracle's numbers, the readings that a subject may choose, and what it may leave out."""

from dataclasses import replace

import pytest

from conformance.areas.copies import CLONING, METADATA_ONLY, READS_ONLY, TOPOLOGIES, WASTEFUL, flow, routed
from conformance.checks import Depth, all_checks
from conformance.errors import Inconclusive
from conformance.models.copies import CLONE, READ, WRITE, FlowLedger, expected_copies, named
from conformance.strategies import fan_in, line
from conformance.subjects import protocol as p
from conformance.subjects.inprocess import InProcess
from conformance.subjects.protocol import Answer, Script
from conformance.subjects.reference import ReferenceParts, reference_subject
from conformance.subjects.reference.flows import ReferenceFlows
from conformance.subjects.session import Session
from torvyn_ref.resources import ResourceManager

CHECKS = {check.name: check for check in all_checks()}
N = 100


def run(name, subject):
    check = CHECKS[name]
    budget = check.budget(Depth.QUICK, 1)
    check.function(Session(InProcess(subject)), budget)
    return budget


DROPS = flow("processor", scripts={"processor": Script((), Answer("drop", reads=1))})


@pytest.mark.parametrize(
    ("spec", "ops", "payloads"),
    [
        (flow(), 2, 2),
        (METADATA_ONLY, 2, 2),
        (READS_ONLY, 3, 3),
        (flow("processor"), 4, 4),
        (flow("processor", "processor", "processor"), 8, 8),
        (routed(1), 2, 2),
        (routed(3), 4, 4),
        (DROPS, 2, 2),
        (CLONING, 3, 3),
    ],
)
def test_the_oracle_gives_the_specifications_numbers(spec, ops, payloads):
    work = expected_copies(spec)
    assert (work.ops.total(), work.total_bytes) == (5 * ops, 5 * payloads * N)


def test_a_clone_is_one_copy_and_neither_read_nor_write():
    assert expected_copies(CLONING).ops == {WRITE: 5, CLONE: 5, READ: 5}


def test_the_oracle_knows_amplification():
    stages = expected_copies(flow("processor")).stages
    assert [stages[name].amplification for name in ("source", "processor", "sink")] == [None, 2.0, 1.0]
    assert expected_copies(METADATA_ONLY).stages["filter"].amplification == 0.0
    assert expected_copies(WASTEFUL).stages["processor"].amplification > 3.0


@pytest.mark.parametrize("spec", [fan_in(), line("aggregator")])
def test_the_oracle_says_what_it_does_not_know(spec):
    with pytest.raises(ValueError, match="the oracle knows no"):
        expected_copies(spec)


def test_operations_on_nothing_may_count_or_not():
    ledger = FlowLedger()
    ledger.copied(WRITE, 3, "component-1", "host")
    ledger.copied(WRITE, 0, "component-1", "host")
    assert [ledger.allows(WRITE, count) for count in range(4)] == [False, True, True, False]
    assert ledger.total_bytes == 3


class CountsNothing(ResourceManager):
    def write(self, handle, caller, offset, data):
        size = super().write(handle, caller, offset, data)
        if not data:
            self._table[handle].book[caller].write_ops += 1
        return size


def test_a_subject_that_counts_operations_on_nothing_passes():
    assert run("nothing-weighs-nothing", reference_subject(ReferenceParts(manager=CountsNothing))).evaluations["COPY-004"]


def test_other_names_for_reasons_are_accepted():
    assert named({"PayloadRead": 1, "PayloadWrite": 2, "CrossComponent": 3}) == {READ: 1, WRITE: 2, CLONE: 3}


class Silent(ReferenceFlows):
    def run(self, request: p.RunFlow) -> p.FlowRunReply:
        reply = super().run(request)
        fields = {name: getattr(reply, name) for name in reply.__struct_fields__}
        return p.FlowRunReply(**fields | {"copies": None, "trace": ()})


@pytest.mark.parametrize(
    "name",
    ["pipelines-copy-what-their-stages-do", "amplification-is-exact", "flows-end-with-a-summary", "branches-share", "names-are-kept"],
)
def test_what_a_subject_does_not_report_is_inconclusive(name):
    with pytest.raises(Inconclusive):
        run(name, replace(reference_subject(), flows=Silent(ReferenceParts())))


def test_all_topologies_run_to_their_end():
    for spec in TOPOLOGIES:
        assert Session(InProcess(reference_subject())).flows.run(spec).state == "Completed"
