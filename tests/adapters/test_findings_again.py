"""What is committed of the judgement of the Rust crates belongs together, and each trace shows again what it was kept for."""

import json
import os
import re
from pathlib import Path

import pytest

from conformance import known
from conformance.report import findings
from conformance.subjects.connect import find
from conformance.subjects.session import Session
from conformance.traces.file import read
from conformance.traces.replay import plain, replay

ADAPTER = os.environ.get("TORVYN_RUST_ADAPTER", "")
ROOT = Path(__file__).parents[2]
HERE = ROOT / "adapters" / "torvyn-rust"
PAGE = ROOT / "docs" / "findings" / "torvyn-0.1.1.md"
TRACES = sorted((ROOT / "docs" / "findings" / "torvyn-0.1.1").glob("*.jsonl"))
BUILDS = ("debug", "release")
BUFFER = re.compile(r"\{[^{}]*\}")
BROKEN = {"fail", "crash", "timeout", "flaky"}

built = pytest.mark.skipif(not ADAPTER, reason="the Rust adapter is not built: see adapters/torvyn-rust/judge --quick")


@pytest.mark.parametrize("build", BUILDS)
def test_what_is_listed_as_known_is_what_came_out(build):
    outcomes = json.loads((HERE / "outcomes.json").read_text())[build]
    listed = known.read(HERE / f"known-failures-{build}.toml")  # each entry leads to an anchor of the page, or this raises
    assert {entry.rule for entry in listed.failure} == {rule for rule, outcome in outcomes.items() if outcome in BROKEN}
    assert not listed.flaky


def test_every_failure_has_its_cause_and_its_trace():
    causes = findings.read(HERE / "causes.toml")
    explained = [name.partition("::") for cause in causes.cause for name in cause.rules]
    failing = {entry.item for build in BUILDS for entry in known.read(HERE / f"known-failures-{build}.toml").failure}
    assert {item for item in failing if not any(rule == item[0] and check in {"", item[1]} for rule, _, check in explained)} == set()
    assert {(trace.name.partition(".")[0], trace.stem.partition(".")[2]) for trace in TRACES} == failing
    assert "selection of the rules" not in PAGE.read_text()


@pytest.mark.parametrize("path", TRACES, ids=[path.stem for path in TRACES])
def test_a_trace_is_what_it_was_kept_for(path):
    header = read(path).header
    assert header.shows is not None
    assert f"{header.shows.rule}.{header.shows.check}" == path.stem
    assert header.subject.endswith("0.1.1")


def settled(trace):
    """Return a trace's lines without what is upstream's to choose each time: force_reclaim lists buffers in the order of a hash set."""
    return [[line.partition("[")[0], *sorted(BUFFER.findall(line))] if " -> reclaimed " in line else line for line in plain(trace)]


@built
@pytest.mark.parametrize("path", TRACES, ids=[path.stem for path in TRACES])
def test_a_trace_happens_again(path):
    recorded = read(path)
    if recorded.header.shows.rule == "BUDGET-004" and "/release/" in ADAPTER:
        pytest.skip("the overflow that ends a debug build goes on in a release build")
    session = Session(find(f"stdio:{ADAPTER}").open())
    try:
        again = replay(session, recorded)
    finally:
        session.close()
    assert settled(again) == settled(recorded)
