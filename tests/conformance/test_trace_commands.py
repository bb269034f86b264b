"""`judge`, `replay` and `run --traces`: what they print, and their exit codes."""

from dataclasses import replace

import msgspec
import pytest

from conformance.cli import call
from conformance.rulebook import load
from conformance.strategies import line
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, find
from conformance.traces.file import Exchange, TraceFile, encode, of_flow, read
from conformance.traces.judging import judge
from conformance.traces.record import header, of_episode
from conformance.traces.replay import first_difference, plain, replay

MUTANT = "mutant:last-in-first-out"


@pytest.fixture(scope="module")
def counterexamples(tmp_path_factory):
    directory = tmp_path_factory.mktemp("traces") / "deeper"
    assert call(["run", "--subject", MUTANT, "--rules", "ORD-001", "--traces", str(directory)]) == 1
    return {path.stem.partition(".")[2]: path for path in directory.glob("*.jsonl")}


def test_every_failing_check_leaves_the_trace_of_its_counterexample(counterexamples):
    assert sorted(counterexamples) == ["first-in-first-out", "first-in-first-out-end-to-end"]
    shown = read(counterexamples["first-in-first-out-end-to-end"]).header.shows
    assert (shown.rule, shown.check) == ("ORD-001", "first-in-first-out-end-to-end")
    assert read(counterexamples["first-in-first-out"]).exchanges
    pages = [path.with_suffix(".html").read_text() for path in counterexamples.values()]
    assert all("ORD-001" in page for page in pages), "beside each stands the page to travel through it"


def test_counterexamples_may_be_read_by_whom_any_new_file_may(counterexamples, tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    files = [file for path in counterexamples.values() for file in (path, path.with_suffix(".html"))]
    assert {file.stat().st_mode for file in files} == {ordinary.stat().st_mode}


def test_a_flow_without_scripts_that_does_what_they_say_is_replayed(tmp_path):
    """A source without a script ends at once, and so it is recorded: there is nothing that another run could not do again."""
    session = Connection(find("reference")).session()
    empty = p.FlowSpec((p.StageSpec("source", "source"), p.StageSpec("sink", "sink")), (p.EdgeSpec("source", "sink"),))
    recorded = of_flow(header(session.declaration, flow=empty), session.answer(p.RunFlow(empty)))
    (tmp_path / "empty.jsonl").write_bytes(encode(recorded))
    assert call(["replay", str(tmp_path / "empty.jsonl"), "--subject", "reference"]) == 0


def test_a_limited_trace_is_not_replayed_without_its_limit(counterexamples, tmp_path, capsys):
    recorded = read(counterexamples["first-in-first-out-end-to-end"])
    file = tmp_path / "limited.jsonl"
    file.write_bytes(encode(replace(recorded, header=msgspec.structs.replace(recorded.header, limit=3))))
    assert call(["replay", str(file), "--subject", "reference"]) == 4
    assert "has a `limit`" in capsys.readouterr().err


def test_a_run_without_a_failure_writes_nothing(tmp_path):
    assert call(["run", "--subject", "reference", "--rules", "ORD-010", "--traces", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


def test_the_run_of_a_flow_that_had_to_be_refused_is_kept_as_a_conversation(tmp_path):
    assert call(["run", "--subject", "mutant:ratios-are-bent", "--rules", "WMK-010", "--traces", str(tmp_path)]) == 1
    kept = {path.stem.partition(".")[2]: read(path) for path in tmp_path.glob("*.jsonl")}
    assert kept.keys() == {"no-impossible-low-mark", "no-flow-with-an-impossible-low-mark"}
    assert {trace.header.shows.rule for trace in kept.values()} == {"WMK-010"}
    assert all(trace.header.flow is None and trace.exchanges for trace in kept.values())


def test_a_directory_that_cannot_be_made_is_wrong_usage(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert call(["run", "--subject", MUTANT, "--rules", "ORD-001", "--traces", str(tmp_path / "file" / "deep")]) == 4
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["first-in-first-out", "first-in-first-out-end-to-end"])
def test_judge_names_the_rule_the_line_and_the_words(counterexamples, which, capsys):
    assert call(["judge", str(counterexamples[which])]) == 1
    out = capsys.readouterr().out
    assert "ORD-001" in out
    assert "at line" in out
    assert "first-in first-out" in out


def test_judge_as_json_counts_what_was_kept(counterexamples, capsys):
    call(["judge", str(counterexamples["first-in-first-out-end-to-end"]), "--format", "json"])
    result = msgspec.json.decode(capsys.readouterr().out)
    assert "ORD-001" in [broken["rule"] for broken in result["broken"]]
    assert result["kept"]["SCHED-001"] > 10


def test_a_good_trace_is_judged_good(tmp_path, capsys):
    session = Connection(find("reference")).session()
    session.flows.run(line())
    path = tmp_path / "good.jsonl"
    path.write_bytes(encode(of_episode(session.declaration, session.episode())))
    assert call(["judge", str(path)]) == 0
    assert "0 rules broken" in capsys.readouterr().out


def test_a_trace_that_says_nothing_is_indeterminate_and_a_damaged_one_wrong_usage(tmp_path, capsys):
    session = Connection(find("reference")).session()
    path = tmp_path / "empty.jsonl"
    whole = encode(TraceFile(header(session.declaration)))
    path.write_bytes(whole)
    assert call(["judge", str(path)]) == 2
    path.write_bytes(whole[:-20])
    assert call(["judge", str(path)]) == 4
    assert "cut off" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["first-in-first-out", "first-in-first-out-end-to-end"])
def test_replay_shows_where_subject_and_reference_part(counterexamples, which, capsys):
    assert call(["replay", str(counterexamples[which]), "--subject", MUTANT]) == 1
    out = capsys.readouterr().out
    assert "the runs first differ at line" in out
    assert "demanded at line" in out
    assert "reference (torvyn-ref" in out


def test_replay_on_the_reference_says_that_it_does_not_happen_there(counterexamples, capsys):
    assert call(["replay", str(counterexamples["first-in-first-out-end-to-end"]), "--subject", "reference"]) == 0
    out = capsys.readouterr().out
    assert "kept because: ORD-001" in out
    assert "rules broken: none" in out


def test_replay_as_json_has_all_columns(counterexamples, capsys):
    call(["replay", str(counterexamples["first-in-first-out"]), "--subject", MUTANT, "--format", "json"])
    result = msgspec.json.decode(capsys.readouterr().out)
    assert [column["name"] for column in result["columns"]] == ["recorded", "reference", MUTANT]
    assert result["difference"] == result["shows"]["at"]


def test_replay_on_a_subject_without_the_facet_is_indeterminate(counterexamples, capsys):
    subject = "python:tests.conformance.test_trace_commands:deaf"
    assert call(["replay", str(counterexamples["first-in-first-out"]), "--subject", subject]) == 2
    assert "unsupported" in capsys.readouterr().out


def deaf():
    from conformance.subjects.inprocess import PythonSubject

    return PythonSubject(name="deaf", version="1")


def test_handles_of_a_recording_are_replaced_by_those_that_the_subject_gives_out():
    session = Connection(find("reference")).session()
    strange = p.Handle(7, 99)
    talk = (
        Exchange(request=p.OpenResources(), reply=p.Done()),
        Exchange(request=p.Allocate("host", 10), reply=p.HandleReply(strange)),
        Exchange(request=p.Release(strange, "host"), reply=p.Done()),
    )
    trace = TraceFile(header(session.declaration), exchanges=talk)
    again = replay(session, trace)
    assert isinstance(again.exchanges[-1].reply, p.Done)
    assert first_difference(plain(trace), plain(again)) is None


def test_the_models_hear_what_is_wrong_in_a_conversation():
    session = Connection(find("reference")).session()
    handle = p.Handle(0, 1)
    talk = (
        Exchange(request=p.OpenResources(), reply=p.Done()),
        Exchange(request=p.Allocate("component-1", 10), reply=p.HandleReply(handle)),
        Exchange(request=p.Release(handle, "component-2"), reply=p.Done()),
    )
    judged = {one.rule: one.broken for one in judge(load(), TraceFile(header(session.declaration), exchanges=talk))}
    assert judged["OWN-003"].at == 2
    assert judged["OWN-003"].expected == "not-owner"


def test_a_flow_with_an_impossible_graph_must_be_refused():
    session = Connection(find("reference")).session()
    spec = p.FlowSpec((p.StageSpec("a", "source"),), ())
    reply = session.flows.run(line())
    judged = {
        one.rule
        for one in judge(load(), TraceFile(header(session.declaration), exchanges=(Exchange(request=p.RunFlow(spec), reply=reply),)))
        if one.broken
    }
    assert judged == {"TOPO-001", "TOPO-003"}
