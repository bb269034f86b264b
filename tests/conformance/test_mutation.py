"""The mutation tool's helpers: what judges a changed reference, and what a session's survivors mean."""

import io
import json

import pytest

from conformance.errors import SuiteError
from conformance.mutants import probe, survivors
from conformance.mutants.survivors import Change, Reviewed, change_of, count, stale

MODULE = "torvyn_ref/streams/watermark.py"
DIFF = """--- mutation diff ---
--- a/torvyn_ref/streams/watermark.py
+++ b/torvyn_ref/streams/watermark.py
@@ -60,7 +60,7 @@
     def enqueued(self, depth: int) -> Pressure | None:
-        if depth >= self.high:
+        if depth > self.high:
             return self._cross(Crossing.HIGH)
"""
CHANGE = Change(before="if depth >= self.high:", after="if depth > self.high:")


def session(*results):
    return [json.dumps([{"job_id": str(number)}, result]) for number, result in enumerate(results)]


def survived(diff=DIFF):
    return {"worker_outcome": "normal", "test_outcome": "survived", "diff": diff}


KILLED = {"worker_outcome": "normal", "test_outcome": "killed", "diff": DIFF}
SKIPPED = {"worker_outcome": "skipped", "test_outcome": None, "diff": None}


def entry(**fields):
    return Reviewed(**{"module": MODULE, "before": CHANGE.before, "after": CHANGE.after, "why": "It is made up.", **fields})


def test_a_diff_is_read_as_one_line_before_and_after():
    assert change_of(DIFF) == CHANGE


def test_what_was_noticed_reviewed_new_and_not_tried_is_told_apart():
    other = DIFF.replace("depth > self.high", "depth < self.high")
    found = count(session(KILLED, KILLED, SKIPPED, survived(), survived(other), None), MODULE, [entry()])
    assert (found.noticed, found.reviewed, found.waiting) == (2, 1, 1)
    assert found.news == [Change(before=CHANGE.before, after="if depth < self.high:")]


@pytest.mark.parametrize(
    ("fields", "reviewed"),
    [({}, 1), ({"after": None}, 1), ({"after": "if depth == self.high:"}, 0), ({"module": "other.py"}, 0), ({"before": "x = 1"}, 0)],
)
def test_a_reviewed_survivor_is_that_change_of_that_line_of_that_module(fields, reviewed):
    assert count(session(survived()), MODULE, [entry(**fields)]).reviewed == reviewed


def test_an_entry_whose_line_is_gone_is_stale():
    source = "        if depth >= self.high:\n"
    assert stale(MODULE, source, [entry(), entry(before="gone = True"), entry(module="other.py", before="gone too")]) == ["gone = True"]


@pytest.mark.parametrize("line", ["", "{}", "[1]", '[{}, "done"]', "\xff"])
def test_a_session_that_is_none_is_refused(line):
    with pytest.raises(SuiteError, match="line 1 of the session"):
        count([line], MODULE, ())


def test_our_own_list_holds_and_gives_reasons():
    known = survivors.reviewed()
    for entry in known:
        assert entry.why
        assert stale(entry.module, (survivors.REVIEWED.parents[2] / entry.module).read_text("utf-8"), [entry]) == []


@pytest.mark.parametrize("content", ["survivor = 3\n", "[[survivor]]\nmodule = 'm'\n", "[[survivors]]\n", "[[survivor]\n"])
def test_a_list_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "survivors.toml"
    path.write_text(content)
    with pytest.raises(SuiteError, match="cannot be read"):
        survivors.reviewed(path)


@pytest.mark.parametrize(
    ("results", "code", "words"),
    [
        ((KILLED,), 0, "1 of 1 changes noticed, 0 survivors reviewed, 0 not\n"),
        ((KILLED, None), 0, "1 of 1 changes noticed, 0 survivors reviewed, 0 not; 1 more were not tried in the time"),
        ((KILLED, survived(DIFF.replace(">=", "==").replace(">", "<"))), 1, "survives, not reviewed:\n"),
        ((SKIPPED,), 1, "nothing was tried"),
    ],
)
def test_a_session_is_red_for_news_and_for_nothing(monkeypatch, capsys, results, code, words):
    monkeypatch.chdir(survivors.REVIEWED.parents[2])
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(session(*results)) + "\n"))
    assert survivors.main([MODULE]) == code
    assert words in capsys.readouterr().out


# ---------------------------------------------------------------- what judges


def test_the_judges_are_the_checks_of_facets_and_rules_with_the_cheap_ones_first():
    streams = probe.chosen(["streams"])
    assert {check.facet for check in streams} == {"streams"}
    some = probe.chosen(["WMK-004", "budget"])
    assert {check.name for check in some} > {"low-marks", "low-marks-drawn"}
    assert all({"WMK-004"} & set(check.rules) or any(rule.startswith("BUDGET") for rule in check.rules) for check in some)
    kinds = [check.kind for check in streams]
    assert kinds == sorted(kinds, key=probe.KINDS.index)


@pytest.mark.parametrize(("words", "message"), [([], "name facets"), (["WMK-999"], "WMK-999")])
def test_a_probe_of_nothing_is_no_success(capsys, words, message):
    assert probe.main(words) == probe.USAGE
    assert message in capsys.readouterr().err


def test_the_reference_as_it_stands_passes_a_probe():
    assert probe.main(["WMK-004"]) == 0
