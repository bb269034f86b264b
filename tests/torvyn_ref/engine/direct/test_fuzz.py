"""A few thousand mutants of the corpus; `fuzz.py` beside this file has the deep profile."""

import json

import pytest

from tests.torvyn_ref.engine.direct.fuzz import COMPONENTS, Fuzzer, main, mutants

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
    assert fuzzer.seen["planned, valid"] > 0
    assert fuzzer.seen["malformed, valid"] == 0


def test_a_mutant_can_be_made_again():
    once, again = (list(mutants("uppercase", 7, range(20))) for _ in range(2))
    assert once == again
    assert len({data for _, data in once}) > 15


def test_a_run_goes_on_where_the_last_one_ended(tmp_path, monkeypatch, capsys):
    kept, names = tmp_path / "progress.json", ["uppercase", "sink-ready"]

    def run(most):
        monkeypatch.setattr("sys.argv", ["fuzz", "--mutants", str(most), "--progress", str(kept), *names])
        assert main() == 0
        return capsys.readouterr().out

    assert run(20).startswith("40 mutants of 2 components")
    tried = []
    monkeypatch.setattr(Fuzzer, "run", lambda _self, name, _seed, numbers: tried.append((name, numbers)))
    assert run(30).startswith("60 mutants of 2 components")
    assert tried == [("uppercase", range(20, 30)), ("sink-ready", range(20, 30))]
    content = json.loads(kept.read_text(encoding="utf-8"))
    assert content["next"] == dict.fromkeys(names, 30)
    assert sum(content["seen"].values()) == 40
    content["components"]["uppercase"] = "another"
    kept.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SystemExit, match="other components"):
        run(40)


@pytest.mark.parametrize("name", NAMES)
def test_hollow_core_code_says_the_same_of_a_component(fuzzer, name):
    known = fuzzer.known(name)
    assert known.hollows
    assert known.light(known.data) != known.data
    assert fuzzer.judged(known, known.data) == "valid"
    assert all(len(hollowed) < len(whole) for whole, hollowed in known.hollows)
