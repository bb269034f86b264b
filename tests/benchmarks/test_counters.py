"""The counters count what they say, the same every time, and the gate tells what differs."""

import json

import pytest

from benchmarks import check, counters
from benchmarks.shapes import SHAPES


@pytest.mark.parametrize("engine", ["scripted", "direct", "stock"])
def test_two_counts_of_the_same_flow_agree(engine):
    assert counters.count(engine, SHAPES["S-P-K"], 64) == counters.count(engine, SHAPES["S-P-K"], 64)


@pytest.mark.parametrize("engine", ["scripted", "direct"])
@pytest.mark.parametrize(("shape", "copies", "buffers"), [("S-K", 2, 1), ("S-P-K", 4, 2), ("S-P*3-K", 8, 4), ("S-P-K*4", 7, 2)])
def test_an_element_is_copied_once_in_and_once_out_of_each_component(engine, shape, copies, buffers):
    found = counters.count(engine, SHAPES[shape], 4096)
    assert (found["copies"], found["bytes"], found["allocations"]) == (copies, copies * 4096, buffers)


def test_engines_differ_in_crossings_and_not_in_what_a_guest_asks_for():
    direct, stock = (counters.count(engine, SHAPES["router"], 64) for engine in ("direct", "stock"))
    for name in ("copies", "bytes", "allocations", "host_calls"):
        assert direct[name] == stock[name]
    assert direct["crossings"] > direct["host_calls"]
    assert stock["crossings"] > stock["host_calls"]


def test_a_scripted_flow_has_no_border_and_burns_no_fuel():
    found = counters.count("scripted", SHAPES["filter"], 64)
    assert (found["fuel"], found["host_calls"], found["crossings"]) == (0, 0, 0)


def test_fuel_grows_with_the_payload_and_crossings_do_not():
    small, large = (counters.count("direct", SHAPES["S-P-K"], size) for size in (4096, 65536))
    assert large["fuel"] > small["fuel"]
    assert (large["crossings"], large["host_calls"]) == (small["crossings"], small["host_calls"])


def test_what_differs_is_named_with_before_and_now():
    before = {"a": {"fuel": 10, "copies": 4}, "gone": {"fuel": 1}}
    now = {"a": {"fuel": 12, "copies": 4}, "new": {"fuel": 3}}
    found = check.differences(before, now)
    assert found == [("a fuel", 10, 12), ("new fuel", None, 3), ("gone fuel", 1, None)]
    lines = check.table(found).splitlines()
    assert lines[0].split() == ["what", "before", "now"]
    assert lines[1].split() == ["a", "fuel", "10", "12", "+20.0%"]
    assert lines[2].split() == ["new", "fuel", "-", "3"]


@pytest.fixture
def counted(monkeypatch):
    numbers = {"a": {"fuel": 10, "copies": 4}, "b": {"fuel": 2.5}}
    monkeypatch.setattr(check, "count_all", lambda: numbers)
    return numbers


def test_the_gate_opens_for_what_is_written_down_and_for_nothing_else(counted, tmp_path, capsys):
    baseline = tmp_path / "baseline.json"
    assert check.main(["--baseline", str(baseline), "--update"]) == 0
    assert json.loads(baseline.read_text())["counters"] == counted
    assert check.main(["--baseline", str(baseline)]) == 0
    counted["b"]["fuel"] = 2
    capsys.readouterr()
    assert check.main(["--baseline", str(baseline)]) == 1
    assert "b fuel     2.5    2  -20.0%" in capsys.readouterr().out
    assert check.main(["--baseline", str(baseline), "--update"]) == 0
    assert check.main(["--baseline", str(baseline)]) == 0


@pytest.mark.parametrize("text", [None, "{", "[]", '{"counters": 1}', '{"counters": {"a": 1}}', '{"counters": {"a": {"fuel": "x"}}}'])
def test_without_a_baseline_it_says_how_to_get_one(counted, tmp_path, capsys, text):
    baseline = tmp_path / "baseline.json"
    if text is not None:
        baseline.write_text(text)
    assert check.main(["--baseline", str(baseline)]) == 2
    assert "--update" in capsys.readouterr().err


def test_the_committed_baseline_covers_every_scenario():
    names = {name for name, *_ in counters.scenarios()}
    assert check.load(check.BASELINE)["counters"].keys() == names
