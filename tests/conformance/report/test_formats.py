import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conformance import cli
from conformance.errors import SuiteError
from conformance.report.formats import ReportFormat, Target, targets, write
from conformance.report.json import decode, encode


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("r.json", "json"),
        ("r.html", "html"),
        ("r.HTM", "html"),
        ("r.xml", "junit"),
        ("r.sarif", "sarif"),
        ("r.sarif.json", "sarif"),
        ("badge.json", "badge"),
        ("my-badge.json", "badge"),
        ("r.svg", "svg"),
        ("r.txt", "text"),
        ("sarif=r.json", "sarif"),
        ("html=a=b", "html"),
    ],
)
def test_the_ending_or_a_prefix_says_the_format(tmp_path, monkeypatch, name, format_):
    monkeypatch.chdir(tmp_path)
    (found,) = targets([name])
    assert found.format == format_
    assert not found.path.name.startswith(f"{format_}=")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["r.pdf"], "known endings are"),
        (["r"], "FORMAT=r"),
        (["no/such/folder/r.json"], "no folder"),
        (["json="], "name a file"),
        (["a-folder.html"], "name a file"),
        (["a.json", "html=a.json"], "two reports"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(tmp_path, monkeypatch, names, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-folder.html").mkdir()
    with pytest.raises(SuiteError, match=words):
        targets(names)


def test_a_device_can_be_named():
    assert targets(["json=/dev/null"]) == [Target(targets(["json=/dev/null"])[0].path, ReportFormat.JSON)]


@pytest.mark.parametrize("format_", list(ReportFormat))
def test_every_format_can_be_made_of_a_hostile_report(hostile_report, format_):
    data = write(hostile_report, format_)
    assert data
    assert b"\x1b" not in data
    assert b"\x00" not in data
    data.decode("utf-8")


def test_a_run_writes_all_its_reports_and_a_stored_one_gives_the_same(tmp_path, capsys):
    names = ["r.json", "r.html", "r.xml", "r.sarif", "badge.json", "r.svg", "r.txt"]
    wanted = [option for name in names for option in ("--report", str(tmp_path / name))]
    assert cli.call(["run", "--subject", "mutant:low-mark-rounded-up", "--rules", "WMK-004", *wanted]) == 1
    for name in names[1:]:
        assert cli.call(["report", str(tmp_path / "r.json"), "--output", str(tmp_path / f"again-{name}")]) == 0
        assert (tmp_path / f"again-{name}").read_bytes() == (tmp_path / name).read_bytes()
    assert json.loads((tmp_path / "badge.json").read_text())["message"].startswith("not conformant")
    assert all((tmp_path / name).stat().st_mode & 0o400 for name in names)
    capsys.readouterr()


def test_a_report_that_cannot_be_written_loses_neither_the_others_nor_the_result(tmp_path, capsys):
    pipe = tmp_path / "gone" / "r.html"  # a folder that is there before the run, and not any more after it
    pipe.parent.mkdir()
    names = ["--report", str(pipe), "--report", str(tmp_path / "r.json")]
    (tmp_path / "leaves.py").write_text(
        "import shutil\n"
        "from conformance.subjects.inprocess import PythonSubject\n"
        f"def make():\n    shutil.rmtree({str(pipe.parent)!r}, ignore_errors=True)\n    return PythonSubject('leaves', '0')\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        assert cli.call(["run", "--subject", "python:leaves:make", "--rules", "WMK-004", *names]) == 4
    finally:
        sys.path.remove(str(tmp_path))
    captured = capsys.readouterr()
    assert "r.html" in captured.err
    assert captured.out.startswith("indeterminate")
    assert (tmp_path / "r.json").is_file()


def test_the_command_writes_to_standard_output_too(tmp_path, capsys, report):
    stored = tmp_path / "r.json"
    stored.write_bytes(encode(report))
    assert cli.call(["report", str(stored), "--format", "badge"]) == 0
    assert json.loads(capsys.readouterr().out)["schemaVersion"] == 1
    assert cli.call(["report", str(stored)]) == 0
    assert capsys.readouterr().out.startswith("not-conformant: subject")
    assert cli.call(["report", str(stored), "--format", "badge", "--output", str(tmp_path / "b.svg")]) == 0
    assert (tmp_path / "b.svg").read_bytes().startswith(b"<svg")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.json"], "cannot be read"),
        (["broken.json"], "is no report of torvyn-conformance"),
        (["r.json", "--output", "r.pdf"], "known endings"),
        (["r.json", "--format", "pdf"], "is not one of"),
        (["r.json", "--anchor", "/abs"], "no path inside a repository"),
        (["r.json", "--mutants", "broken.json"], "is no kill matrix"),
        (["r.json", "--output", "no/where.html"], "cannot be written"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_four(tmp_path, monkeypatch, capsys, report, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.json").write_bytes(encode(report))
    (tmp_path / "broken.json").write_text("{")
    assert cli.call(["report", *arguments]) == 4
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=9), st.lists(st.text(max_size=3), max_size=2)
)


def damage(data, draw):
    """Put something else into one place of a document."""
    while True:
        key = draw(st.sampled_from(sorted(data) if isinstance(data, dict) else range(len(data))))
        below = data[key]
        if isinstance(below, (dict, list)) and below and draw(st.integers(0, 5)):
            data = below
            continue
        if isinstance(data, dict) and draw(st.booleans()):
            data[draw(st.text(max_size=9))] = data.pop(key)
        else:
            data[key] = draw(leaves)
        return


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_report_is_refused_or_shown_and_never_a_traceback(hostile_report, data):
    report = replace(hostile_report, rules=hostile_report.rules[:3])
    forged = json.loads(encode(report))
    for _ in range(data.draw(st.integers(1, 3))):
        damage(forged, data.draw)
    try:
        decoded = decode(json.dumps(forged).encode("utf-8", "surrogatepass"))
    except SuiteError:
        return
    for format_ in ReportFormat:
        write(decoded, format_)
