"""`torvyn-conformance component`, from the command line."""

import json
import shutil

import pytest

from conformance import cli
from conformance.components.result import SCHEMA_VERSION, ValidationReport
from tests.conformance.components.conftest import CORPUS


@pytest.fixture
def call(capsys):
    """Call the program in process and return code, standard output and standard error."""

    def call_(*arguments):
        code = cli.call(["component", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call_


def wasm(name):
    return str(CORPUS / f"components/{name}.wasm")


def test_a_good_component_is_told_so_and_gives_0(call):
    code, out, _ = call(wasm("dropper"), "--in-process")
    assert code == 0
    assert out.startswith(f"{wasm('dropper')}: conformant\n")
    assert "a processor of the world torvyn:streaming/transform" in out


def test_a_bad_one_gives_1_in_a_process_of_its_own_with_the_rules_words(call):
    code, out, _ = call(wasm("forged-handle"))
    assert code == 1
    assert "error OWN-020 invented-handle on direct and stock" in out
    assert "An invented handle is refused, never a crash." in out
    assert "torvyn-conformance explain OWN-020" in out


def test_json_has_verdict_and_findings(call, tmp_path):
    code, out, _ = call(wasm("leak-borrow"), "--format", "json", "--report", str(tmp_path / "r.json"), "--in-process")
    report = json.loads(out)
    assert set(report) == set(ValidationReport.__struct_fields__)
    assert (code, report["schema_version"], report["verdict"]) == (1, SCHEMA_VERSION, "not-conformant")
    assert [finding["rule"] for finding in report["findings"]] == ["OWN-021"]
    assert report["findings"][0]["input"] == [{"call": "process"}]
    assert json.loads((tmp_path / "r.json").read_text()) == report


def test_a_budget_that_runs_out_gives_2_and_is_said(call):
    code, out, _ = call(wasm("uppercase"), "--budget", "0.01", "--in-process")
    assert code == 2
    assert "indeterminate" in out
    assert "the time budget of 0.01 s ran out" in out


def test_what_is_no_component_is_a_finding_and_not_a_mistake_of_the_user(call, tmp_path):
    (tmp_path / "x.wasm").write_bytes(b"\0asm\1\0\0\0")
    code, out, _ = call(str(tmp_path / "x.wasm"), "--in-process")
    assert code == 1
    assert "error CON-002 not-a-component" in out


def test_a_damaged_component_is_refused_by_every_engine(call, tmp_path):
    data = bytearray((CORPUS / "components/uppercase.wasm").read_bytes())
    data[-40] ^= 0xFF
    (tmp_path / "x.wasm").write_bytes(data)
    code, out, err = call(str(tmp_path / "x.wasm"), "--in-process")
    assert code in {0, 1, 2}
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere.wasm"], "does not exist"),
        ([wasm("dropper"), "--subject", "referense"], "names no subject"),
        ([wasm("dropper"), "--engine", "fast"], "has no engine fast"),
        ([wasm("dropper"), "--check", "all"], "there is no check all"),
        ([wasm("dropper"), "--steps", "{"], "--steps is no list"),
        ([wasm("dropper"), "--only-payloads"], "--only-payloads needs"),
        ([wasm("dropper"), "--payload", "/nowhere"], "an element was expected"),
    ],
)
def test_wrong_usage_gives_4_and_one_message(call, arguments, said):
    code, out, err = call(*arguments)
    assert (code, out) == (4, "")
    assert said in err
    assert "Traceback" not in err


def test_steps_are_played_and_shown(call):
    code, out, _ = call(
        wasm("counter-source"), "--in-process", "--steps", '[{"call": "init", "with": "count=1"}, {"call": "pull", "times": 3}]'
    )
    assert code == 2
    assert '"value":"emit"' in out
    assert '"value":"end"' in out


def test_given_payloads_are_tried(call, tmp_path):
    (tmp_path / "p").write_bytes(b"\xffx")
    code, out, _ = call(wasm("odd-input-traps"), "--payload", str(tmp_path / "p"), "--only-payloads", "--in-process", "--engine", "direct")
    assert code == 1
    assert "ERR-002 traps" in out


def test_a_project_is_validated_node_by_node(call, tmp_path):
    shutil.copytree(CORPUS / "flows/router", tmp_path / "flows/router")
    (tmp_path / "components").symlink_to(CORPUS / "components")
    manifest = tmp_path / "flows/router/Torvyn.toml"
    manifest.write_text(manifest.read_text().replace('port = "odd"', 'port = "even2"'))
    code, out, _ = call(str(tmp_path / "flows/router"), "--node", "parity", "--in-process")
    assert code == 1
    assert "error TOPO-010 unknown-port" in out
    assert "--node main.parity" in out
