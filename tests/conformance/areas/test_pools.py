"""Pools: the model's own laws, the readings that a subject may declare, and what a story shows of a fault."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.areas import pools
from conformance.checks import Depth, all_checks
from conformance.errors import Violation
from conformance.models.pools import TIERS, PoolModel
from conformance.mutants import zoo
from conformance.subjects.inprocess import InProcess
from conformance.subjects.protocol import Facet
from conformance.subjects.reference import reference_subject
from conformance.subjects.session import Session

CHECKS = {check.name: check for check in all_checks()}


def run(name, subject, depth=Depth.QUICK):
    check = CHECKS[name]
    budget = check.budget(depth, 1)
    check.function(Session(InProcess(subject)), budget)
    return budget


@given(st.lists(st.tuples(st.sampled_from(TIERS[:3]), st.booleans())))
@settings(max_examples=50)
def test_what_was_taken_is_in_use_or_came_back(moves):
    model = PoolModel.of((tier, 3, True) for tier in TIERS)
    out = dict.fromkeys(TIERS, 0)
    for tier, take in moves:
        if take:
            pooled = bool(model.tiers[tier].serves)
            model.took(tier, pooled=pooled)
            out[tier] += pooled
        elif out[tier]:
            model.gave_back(tier, pooled=True)
            out[tier] -= 1
        counts = model.counts(tier)
        assert 0 <= counts.available <= counts.pool_size
        assert counts.allocated - counts.returned == counts.pool_size - counts.available == out[tier]


def test_a_tier_that_fills_on_demand_may_serve_from_wherever_it_likes():
    model = PoolModel.of([("huge", 1, False)])
    assert model.tiers["huge"].serves is None
    assert model.counts("huge").available is None


def test_a_subject_may_declare_that_allocations_count_fallbacks():
    mutant = zoo.MUTANTS["allocations-count-all"].subject()
    with pytest.raises(Violation, match="POOL-014"):
        run("counters-add-up", mutant)
    declared = {**mutant.capabilities, Facet.RESOURCES: ("alloc_count=all",)}
    assert run("counters-add-up", replace(mutant, capabilities=declared)).evaluations["POOL-014"]


def test_every_story_leaves_pools_that_run_dry():
    for story in pools.STORIES[:6]:
        taken = [step for step in story if step["op"] == "allocate"]
        assert len(taken) > 1


def test_the_shortest_list_of_operations_is_the_evidence():
    with pytest.raises(Violation) as caught:
        run("fallbacks-do-not-stay", zoo.MUTANTS["adopts-fallbacks"].subject())
    assert [step["op"] for step in caught.value.evidence["steps"]][-1] == "release"


def test_tenants_of_huge_buffers_are_looked_at_in_a_deep_run():
    quick = run("nothing-shines-through", reference_subject())
    deep = run("nothing-shines-through", reference_subject(), Depth.DEEP)
    assert deep.evaluations["POOL-011"] > quick.evaluations["POOL-011"]
