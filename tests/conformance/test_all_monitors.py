"""Every flow that a check runs on the reference, judged by all monitors: a check watches its own rule only.

A monitor that blames the reference is wrong about the rule, or the reference is; one of the two has to be mended. Few drawn flows of each
check by default, many under `HYPOTHESIS_PROFILE=deep`.
"""

import os
from functools import cache

import pytest

from conformance.checks import Budget, all_checks
from conformance.rulebook import load
from conformance.subjects.connect import Connection, find
from conformance.subjects.protocol import Facet
from conformance.subjects.session import FlowsClient
from conformance.traces.judging import applicable, judge_events
from conformance.traces.view import View

DRAWN = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 2
CHECKS = [check for check in all_checks() if check.facet is Facet.FLOWS]


@cache
def subject(name):
    return Connection(find(name))


def blamed(name, check, monkeypatch):
    """Run a check, and return what all monitors hold against its flows."""
    session, found, run, for_all = subject(name).session(), [], FlowsClient.run, Budget.for_all
    rules = applicable(load(), session.capabilities(Facet.FLOWS))

    def run_and_judge(self, spec):
        reply = run(self, spec)
        found.extend((one.rule, one.broken, spec) for one in judge_events(View(spec), reply.trace, rules, reply) if one.broken is not None)
        return reply

    def for_some(self, strategy, law, *, max_examples=50, **options):
        return for_all(self, strategy, law, max_examples=min(max_examples, DRAWN), **options)

    monkeypatch.setattr(FlowsClient, "run", run_and_judge)
    monkeypatch.setattr(Budget, "for_all", for_some)
    check.function(session, Budget(check=check.name, rules=check.rules, seed=0))
    return found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_no_monitor_blames_the_reference_for_a_flow_of_another_rule(check, monkeypatch):
    assert blamed("reference", check, monkeypatch) == []


def test_a_broken_runtime_is_blamed_in_the_flows_of_another_rule(monkeypatch):
    elsewhere = next(check for check in CHECKS if check.rules == ("WMK-001",))
    assert "POLICY-014" in {rule for rule, _, _ in blamed("mutant:told-and-pulled", elsewhere, monkeypatch)}
