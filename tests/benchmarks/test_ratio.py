"""The three ways do the same work, and the ratio is computed from what was measured."""

import json
import sys
from contextlib import ExitStack

import pytest

from benchmarks import chart, ratio
from benchmarks.ratio import KIB, MIB, Contest, Payload


@pytest.fixture
def contest(tmp_path):
    with ExitStack() as cleanup:
        yield Contest(tmp_path, cleanup)


def test_flow_and_loops_bring_the_same_elements_to_their_end(contest):
    for way in (contest.flow, contest.direct, contest.stock):
        assert way(64, 20) > 0  # each asserts inside that the sink has accepted them all


def test_the_loops_end_with_the_same_payload(contest):
    engine = contest.engine.stock.wasm_engine
    loops = [
        ratio.StockLoop(engine, contest._components, "count=3,size=40"),
        ratio.DirectLoop(engine, contest._plans, "count=3,size=40"),
    ]
    for loop in loops:
        loop.run()
        loop.close()
    assert {loop.last for loop in loops} == {b"00000002ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF"}


def test_a_measurement_is_complete_and_says_what_it_misses():
    result = ratio.measure([Payload(64, 64, 16, 1, least_vs_stock=0.1, least_vs_direct=1000)], 1)
    (row,) = result["payloads"]
    assert row["bytes"] == 64
    assert row["vs_stock"] == pytest.approx(row["stock_us"] / row["flow_us"], rel=0.02)
    assert row["vs_direct"] == pytest.approx(row["direct_us"] / row["flow_us"], rel=0.02)
    assert result["instantiate_us"] > 0
    assert any(line.startswith("64 B: vs_direct") for line in ratio.shortfalls(result))
    assert not any("vs_stock" in line for line in ratio.shortfalls(result))
    assert "64 B" in ratio.table(result)


@pytest.mark.parametrize(("size", "text"), [(64, "64 B"), (4 * KIB, "4 KiB"), (MIB, "1 MiB"), (1500, "1500 B")])
def test_sizes_read_as_people_write_them(size, text):
    assert ratio.size_name(size) == text


MEASURED = {
    "payloads": [
        {"bytes": 64, "flow_us": 90.0, "direct_us": 45.0, "stock_us": 750.0},
        {"bytes": MIB, "flow_us": 400.0, "direct_us": 300.0, "stock_us": 2_000_000.0},
    ]
}


def test_the_chart_holds_every_number(tmp_path, monkeypatch):
    source, target = tmp_path / "speed.json", tmp_path / "speed.svg"
    source.write_text(json.dumps(MEASURED))
    monkeypatch.setattr(sys, "argv", ["chart", str(source), str(target)])
    assert chart.main() == 0
    drawn = target.read_text()
    assert drawn.startswith("<svg ")
    for text in ("64 B", "1 MiB", ">11 000<", ">22 000<", ">0.5<", ">2 500<"):
        assert text in drawn


@pytest.mark.parametrize("text", ["", "[]", '{"payloads": []}', '{"payloads": [{"bytes": 64}]}'])
def test_what_is_no_measurement_is_refused_and_leaves_no_file(tmp_path, monkeypatch, capsys, text):
    source, target = tmp_path / "speed.json", tmp_path / "speed.svg"
    source.write_text(text)
    monkeypatch.setattr(sys, "argv", ["chart", str(source), str(target)])
    assert chart.main() == 2
    assert "benchmarks.ratio --format json" in capsys.readouterr().err
    assert not target.exists()
