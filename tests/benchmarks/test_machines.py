"""The two machines have the same rules, and the real one must not part from its model."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks import machines
from conformance.mutants import zoo


def rules_of(machine):
    found = (getattr(getattr(machine, name), "hypothesis_stateful_rule", None) for name in dir(machine))
    return {(rule.function.__name__, len(rule.preconditions), tuple(rule.arguments)) for rule in found if rule is not None}


def test_the_trivial_machine_has_the_rules_of_the_real_one():
    rules = rules_of(machines.trivial())
    assert len(rules) > 10
    assert rules == rules_of(machines.real("OWN-001"))


def test_both_take_steps_and_the_ratio_is_that_of_their_rates():
    found = machines.measure(steps=1, seconds=60, rule="OWN-001")
    assert min(found["steps"], found["trivial_steps"]) > machines.PORTION
    assert found["ratio"] == pytest.approx(found["steps_per_second"] / found["trivial_steps_per_second"], abs=0.01)


def test_a_runtime_that_leaves_the_model_is_not_measured(monkeypatch):
    monkeypatch.setattr(machines, "reference_subject", zoo.MUTANTS["release-keeps-the-charge"].subject)
    once = settings(phases=(Phase.generate,), database=None, deadline=None, max_examples=30)
    with pytest.raises(RuntimeError, match="left the model"):
        run_state_machine_as_test(machines.real("OWN-007"), settings=once)
