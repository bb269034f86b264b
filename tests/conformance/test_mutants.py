"""The kill matrix: that it finds what is wrong with a zoo, and that nothing is wrong with ours."""

import json
import signal

import msgspec
import pytest

from conformance import cli
from conformance.checks import Check, Depth, all_checks
from conformance.mutants import matrix, zoo
from conformance.mutants.faulty_streams import LowMarkRoundedUp
from conformance.mutants.registry import MUTANTS, Mutant, register
from conformance.rulebook import load
from conformance.subjects.protocol import Facet
from conformance.subjects.reference import ReferenceParts
from conformance.subjects.session import Session
from torvyn_ref.streams import Stream


class Rounding(Stream):
    """A stream with the faulty gate of `low-mark-rounded-up`."""

    def __init__(self, config):
        super().__init__(config)
        self.gate = LowMarkRoundedUp(config.capacity, config.low_watermark_ratio)


class Dying(Stream):
    """A stream that dies when it is used."""

    def push(self, element, now_ns):
        raise RuntimeError("no streams today")


class Endless(Stream):
    """A stream in which a push never ends."""

    def push(self, element, now_ns):
        while True:
            pass


def mutant(stream=Stream, *rules):
    return Mutant("made-up", rules, "It is made up.", lambda: ReferenceParts(stream=stream))


def hunt(mutant):
    return matrix.hunt(mutant, all_checks(), load())


# ---------------------------------------------------------------- ours


@pytest.mark.zoo
@pytest.mark.timeout(900)
def test_every_mutant_is_killed_for_every_rule_that_it_breaks_and_every_check_kills_one():
    found = matrix.run_matrix(seed=1)
    assert found.problems == ()
    assert (found.killed, found.idle_checks, found.unproven, found.exit_code) == (len(MUTANTS), (), (), 0)


def test_mutants_say_in_one_sentence_what_is_wrong_with_them():
    known = {rule.id for rule in load().rules}
    for each in zoo.all_mutants():
        assert each.summary.endswith("."), each.name
        assert "\n" not in each.summary, each.name
        assert set(each.rules) <= known, each.name


# ---------------------------------------------------------------- what a hunt says


def test_a_kill_names_rule_check_examples_and_time():
    found = hunt(mutant(Rounding, "WMK-004"))
    kill = found.kills[0]
    assert (found.killed, found.killed_by, found.spared_by, found.elsewhere, found.errors) == (True, ("WMK-004",), (), (), ())
    assert (kill.rule, kill.check, kill.how, kill.examples) == ("WMK-004", "low-marks", "directed", 3)
    assert kill.seconds > 0
    assert "low mark of capacity" in kill.message


def test_an_example_that_was_searched_for_is_told_apart_and_counted_once():
    hunter = matrix.Hunter(MUTANTS["low-mark-rounded-up"], Depth.QUICK, 1)
    kill = hunter.run(all_checks().get("low-marks-drawn"))
    assert (kill.rule, kill.how) == ("WMK-004", "drawn")
    assert kill.examples >= 1


def test_a_harmless_mutant_survives_every_check_of_the_suite():
    harmless = mutant(Stream, "WMK-004")
    registry = all_checks().limited_to(["low-marks", "low-marks-drawn", "on-at-capacity"])
    found = matrix.hunt(harmless, registry, load())
    assert (found.killed, found.kills, found.elsewhere, found.executed) == (False, (), (), 3)
    assert list(matrix._problems_of(found)) == ["made-up survives: It is made up."]


def test_a_mutant_that_names_the_wrong_rule_is_told_apart_from_a_survivor():
    registry = all_checks().limited_to(["low-marks", "on-at-capacity"])
    found = matrix.hunt(mutant(Rounding, "WMK-001"), registry, load())
    assert [kill.check for kill in found.elsewhere] == ["low-marks"]
    assert found.killed is False
    said = list(matrix._problems_of(found))
    assert len(said) == 1
    assert "only by checks of rules that it does not break: WMK-004 [low-marks]" in said[0]


def test_a_mutant_is_held_to_each_rule_that_it_names():
    found = hunt(mutant(Rounding, "WMK-004", "POLICY-003"))
    assert list(matrix._problems_of(found)) == ["made-up breaks POLICY-003, and no check of that notices"]


def test_a_crash_or_a_hang_is_no_kill(monkeypatch):
    monkeypatch.setattr(matrix, "CHECK_TIMEOUT", 0.05)
    registry = all_checks().limited_to(["on-at-capacity"])
    armed = signal.setitimer(signal.ITIMER_REAL, 0)  # pytest-timeout's own alarm steps aside
    try:
        for stream in (Dying, Endless):
            found = matrix.hunt(mutant(stream, "WMK-001"), registry, load())
            assert (found.executed, found.kills, found.elsewhere) == (1, (), ())
    finally:
        signal.setitimer(signal.ITIMER_REAL, *armed)


def test_a_check_that_cannot_fail_kills_nothing():
    idle = Check("idle", ("WMK-004",), Facet.STREAMS, "table", lambda _session, budget: budget.touch("WMK-004"), summary="It looks away.")
    assert matrix.try_idle(idle) == ""
    assert "WMK-004" in MUTANTS[matrix.try_idle(all_checks().get("low-marks"))].rules


def test_a_defect_of_a_check_is_an_error_of_the_suite_and_no_kill():
    def broken(_session, _budget):
        """Fail by itself."""
        raise KeyError("oops")

    registry = all_checks().limited_to([])
    registry.add(Check("broken", ("WMK-004",), Facet.STREAMS, "table", broken, summary="It breaks."))
    found = matrix.hunt(mutant(Rounding, "WMK-004"), registry, load())
    assert (found.killed, found.errors) == (False, ("broken: KeyError: 'oops'",))


# ---------------------------------------------------------------- the command


@pytest.fixture
def call(capsys):
    def call_(*arguments):
        code = cli.call(["mutants", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call_


def test_the_matrix_is_printed_and_written_as_json(call, tmp_path):
    code, out, _ = call("low-mark-rounded-up", "last-in-first-out", "--report", str(tmp_path / "mutants.json"))
    assert code == 0
    lines = out.strip().split("\n")
    assert lines[0] == lines[-1]
    assert lines[0].startswith("2 of 2 mutants killed")
    assert "[low-marks]" in out
    report = json.loads((tmp_path / "mutants.json").read_text())
    assert (report["schema_version"], report["total"], report["killed"], report["problems"]) == (1, 2, 2, [])
    by_name = {one["name"]: one for one in report["mutants"]}
    assert by_name["low-mark-rounded-up"]["breaks"] == by_name["low-mark-rounded-up"]["killed_by"] == ["WMK-004"]


def test_rules_select_mutants_and_workers_change_nothing_but_the_time(call):
    def timeless(value):
        if isinstance(value, dict):
            return {key: timeless(each) for key, each in value.items() if key != "seconds"}
        return [timeless(each) for each in value] if isinstance(value, list) else value

    results = []
    for jobs in ("1", "2"):
        code, out, _ = call("--rules", "WMK-004,ORD-001", "--format", "json", "--jobs", jobs)
        results.append((code, timeless(json.loads(out))))
    assert results[0] == results[1]
    code, found = results[0]
    assert code == 0
    assert [one["name"] for one in found["mutants"]] == [
        each.name for each in zoo.all_mutants() if {"WMK-004", "ORD-001"} & set(each.rules)
    ]


def test_a_survivor_is_a_red_exit_code(call, monkeypatch):
    monkeypatch.setitem(MUTANTS, "made-up", mutant(Rounding, "WMK-004", "POLICY-003"))
    code, out, _ = call("made-up")
    assert code == 1
    assert "0 of 1 mutants killed" in out
    assert "POLICY-003" in out


def test_a_mutant_that_takes_its_worker_along_is_an_error_of_the_suite(call, monkeypatch):
    def lost(_crew, _function, names, _depth, _seed):
        yield from ((name, None) for name in names)

    monkeypatch.setattr(matrix.Crew, "each", lost)
    code, out, _ = call("last-in-first-out")
    assert code == 3
    assert "the worker that hunted it died" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["last-in-first-ou"], "did you mean last-in-first-out"),
        (["--rules", "XYZ-001"], "no rule 'XYZ-001'"),
        (["last-in-first-out", "--rules", "WMK-004"], "no mutant breaks WMK-004 and is one of last-in-first-out"),
    ],
)
def test_a_selection_of_nothing_is_wrong_usage(call, arguments, words):
    code, _, err = call(*arguments)
    assert code == 4
    assert words in err


def test_a_matrix_survives_its_encoding():
    found = matrix.run_matrix(names=["last-in-first-out"])
    assert msgspec.json.decode(msgspec.json.encode(found), type=matrix.KillMatrix) == found


# ---------------------------------------------------------------- the zoo


def test_the_zoo_is_a_door():
    session = Session(zoo.subject("last-in-first-out"))
    session.streams.open(4)
    for value in (1, 2):
        session.streams.push(value)
    assert session.streams.pop().value == 2
    assert session.declaration.name == "mutant:last-in-first-out"


@pytest.mark.parametrize(("name", "rules"), [("last-in-first-out", ("ORD-001",)), ("harmless", ())])
def test_a_mutant_without_a_name_of_its_own_or_without_a_fault_is_refused(name, rules):
    with pytest.raises(ValueError, match=name):
        register(name, *rules, summary="It does nothing.", build=ReferenceParts)
