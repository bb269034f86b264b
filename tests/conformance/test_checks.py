import sys
import types

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from conformance.checks import Budget, Depth, all_checks
from conformance.errors import SuiteError, Violation
from conformance.seeding import blind, derive
from conformance.subjects.protocol import Facet


def check(subject, budget):
    """Do nothing."""


def test_a_check_is_named_after_its_function(registry):
    @registry.checks("WMK-001", facet=Facet.STREAMS, kind="table")
    def pressure_at_capacity(subject, budget):
        """Pressure begins at the capacity.

        More words.
        """

    made = registry.get("pressure-at-capacity")
    assert made.summary == "Pressure begins at the capacity."
    assert made.rules == ("WMK-001",)


@pytest.mark.parametrize(
    ("rules", "changes", "words"),
    [
        ((), {}, "names no rule"),
        (("WMK-001", "WMK-001"), {}, "names a rule twice"),
        (("WMK-001",), {"kind": "hunch"}, "the kinds are machine, table, monitor, example"),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(registry, rules, changes, words):
    with pytest.raises(SuiteError, match=words):
        registry.checks(*rules, **{"facet": Facet.STREAMS, "kind": "table", **changes})(check)


def test_two_checks_of_one_name_are_refused(registry):
    registry.checks("WMK-001", facet=Facet.STREAMS, kind="table", name="same")(check)
    with pytest.raises(SuiteError, match="two checks are named 'same'"):
        registry.checks("WMK-002", facet=Facet.STREAMS, kind="table", name="same")(check)


def test_a_check_without_words_is_refused(registry):
    with pytest.raises(SuiteError, match="has no docstring"):
        registry.checks("WMK-001", facet=Facet.STREAMS, kind="table", name="silent")(lambda subject, budget: None)


def test_unknown_rules_are_all_told_at_once(registry, rulebook):
    registry.checks("WMK-001", "WMK-999", facet=Facet.STREAMS, kind="table", name="a")(check)
    registry.checks("XYZ-001", facet=Facet.STREAMS, kind="table", name="b")(check)
    with pytest.raises(SuiteError) as caught:
        registry.validate(rulebook)
    assert [problem.partition("names ")[2].partition(",")[0] for problem in caught.value.problems] == ["WMK-999", "XYZ-001"]


def test_the_suites_own_checks_are_found_and_name_real_rules(rulebook):
    registry = all_checks(rulebook)
    assert len(registry) > 0
    assert all(each.module.startswith("conformance.areas.") for each in registry)


def test_a_check_speaks_only_about_its_own_rules():
    budget = Budget(check="c", rules=("WMK-001",))
    with pytest.raises(ValueError, match="WMK-002, which is none of its rules"):
        budget.touch("WMK-002")


def test_a_rule_cannot_be_settled_that_was_never_evaluated():
    budget = Budget(check="c", rules=("WMK-001",))
    with pytest.raises(ValueError, match="never evaluated"):
        budget.settle("WMK-001")


def test_an_expectation_counts_and_accuses():
    budget = Budget(check="c", rules=("WMK-001",))
    budget.expect("WMK-001", True, "fine")
    budget.expect_equal("WMK-001", 3, 3, "the depth")
    with pytest.raises(Violation, match=r"the depth is wrong \(expected 3, found 4\)"):
        budget.expect_equal("WMK-001", 4, 3, "the depth")
    with pytest.raises(Violation, match="not fine"):
        budget.expect("WMK-001", False, "not fine")
    assert budget.evaluations == {"WMK-001": 4}


def test_seeds_of_checks_are_independent_and_stable():
    assert derive(0, "a") == 0x9DF3C5FAB8EF8FE7
    assert len({derive(seed, name) for seed in range(10) for name in "abc"}) == 30


def draws(budget, strategy=None):
    seen = []
    budget.for_all(st.lists(st.integers()) if strategy is None else strategy, seen.append, max_examples=40)
    return seen


def test_the_same_seed_draws_the_same_examples_and_another_draws_others():
    first, again = draws(Budget(check="c", seed=1)), draws(Budget(check="c", seed=1))
    assert first == again
    assert first != draws(Budget(check="c", seed=2))
    assert first != draws(Budget(check="d", seed=1))


def test_a_deep_run_draws_more():
    assert len(draws(Budget(check="c", depth=Depth.DEEP))) > 5 * len(draws(Budget(check="c")))


def test_machines_are_seeded_too():
    def run(seed):
        steps = []

        class Machine(RuleBasedStateMachine):
            @rule(value=st.integers())
            def step(self, value):
                steps.append(value)

        Budget(check="c", seed=seed).run_machine(Machine, max_examples=10, steps=10)
        return steps

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_search_ends_with_the_laws_own_exception_and_the_smallest_example():
    def law(value):
        if value > 10:
            raise Violation("WMK-001", f"{value} is too large")

    with pytest.raises(Violation, match="11 is too large"):
        Budget(check="c").for_all(st.integers(), law)


def test_what_is_imported_does_not_change_what_a_check_draws(tmp_path, monkeypatch):
    """Hypothesis would otherwise try the constants of the module below, and of a runtime in the same process (ADR-017)."""
    source = tmp_path / "a_local_module.py"
    source.write_text("NUMBERS = [" + ", ".join(str(987654 + 13 * n) for n in range(200)) + "]\n")

    def seen():
        with blind():
            return draws(Budget(check="c"), st.lists(st.integers(), min_size=20))

    before = seen()
    monkeypatch.syspath_prepend(tmp_path)
    __import__("a_local_module")
    try:
        assert isinstance(sys.modules["a_local_module"], types.ModuleType)
        assert seen() == before
        open_eyed = draws(Budget(check="c"), st.lists(st.integers(), min_size=20))
    finally:
        del sys.modules["a_local_module"]
    assert any(value in range(987654, 987654 + 13 * 200) for drawn in open_eyed for value in drawn), "blind() blinds nothing any more"
    assert not any(value in range(987654, 987654 + 13 * 200) for drawn in before for value in drawn)
