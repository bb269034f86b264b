"""A few thousand mutants of the corpus; `fuzz.py` beside this file has the deep profile."""

import pytest

from tests.torvyn_ref.engine.direct.fuzz import COMPONENTS, Fuzzer, mutants

NAMES = sorted(path.stem for path in COMPONENTS.glob("*.wasm"))


@pytest.fixture(scope="module")
def fuzzer():
    made = Fuzzer()
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_mutants_are_refused_in_our_own_words_or_run_as_wasmtime_would(fuzzer, name):
    fuzzer.run(name, "quick", range(40))
    assert [outcome for outcome in fuzzer.seen if outcome.startswith("slow")] == []


def test_the_gate_in_front_of_the_reader_refuses_what_wasmtime_refuses(fuzzer):
    """What reader and plan let through is more than what is valid: so wasmtime is always asked, and first."""
    fuzzer.seen.clear()
    for name in ("uppercase", "concatenator", "stdout-sink"):
        fuzzer.run(name, "gate", range(150), everything=True)
    assert fuzzer.seen["planned, invalid-component"] > 0
    assert fuzzer.seen["planned, compiled"] > 0
    assert [outcome for outcome in fuzzer.seen if outcome.startswith("malformed") and outcome.endswith("compiled")] == []


def test_a_mutant_can_be_made_again():
    once, again = (list(mutants("uppercase", 7, range(20))) for _ in range(2))
    assert once == again
    assert len({data for _, data in once}) > 15
