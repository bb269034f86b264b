"""Both sides are measured under the same names, and a side that does not answer is said to be so."""

import json
import sys

import pytest

from benchmarks import beside_rust
from benchmarks.beside_rust import BOTH, OtherSideError


def other_side(tmp_path, printed, code=0):
    script = tmp_path / "other.py"
    script.write_text(f"import sys\nprint({printed!r})\nprint('no luck', file=sys.stderr)\nraise SystemExit({code})\n")
    return [sys.executable, str(script)]


def test_rows_hold_both_sides_and_their_ratio(tmp_path):
    found = beside_rust.measure(other_side(tmp_path, json.dumps({"each": dict.fromkeys(BOTH, 500.0)})), 1, 64)
    assert [row["name"] for row in found["results"]] == list(BOTH)
    for row in found["results"]:
        assert row["rust"] == 0.5
        assert row["ratio"] == pytest.approx(row["python"] / 0.5, abs=0.02)


@pytest.mark.parametrize(("printed", "code", "says"), [("{}", 0, "no result"), ("what", 0, "no result"), ("", 3, "ended with 3: no luck")])
def test_a_side_that_does_not_answer_is_named(tmp_path, printed, code, says):
    with pytest.raises(OtherSideError, match=says):
        beside_rust.measure_rust(other_side(tmp_path, printed, code), 2)


def test_a_missing_adapter_ends_with_a_message(tmp_path, capsys):
    assert beside_rust.main([str(tmp_path / "nothing")]) == 1
    assert "cannot be run" in capsys.readouterr().err
