"""Components as pytest items, in pytest runs of their own."""

import shutil

import pytest

from tests.conformance.components.conftest import CORPUS

pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest with the plugin beside some components of the corpus."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for name in ("dropper", "forged-handle"):
        shutil.copy(CORPUS / f"components/{name}.wasm", pytester.path / f"{name}.wasm")

    def run_(*arguments):
        return pytester.runpytest_subprocess("-p", "no:randomly", *arguments, timeout=100)

    return run_


def test_a_good_component_passes_and_what_does_not_apply_is_skipped(run):
    result = run("--torvyn-component", "dropper.wasm", "-rs")
    counts = result.parseoutcomes()
    assert "failed" not in counts
    assert counts["passed"] > 40
    assert counts["skipped"] > 5
    result.stdout.fnmatch_lines(["*inapplicable: it has no lifecycle, so nothing configures it*"])


def test_a_finding_fails_its_rules_item_with_the_rules_words_and_lf_runs_it_again(run):
    result = run("--torvyn-component", "forged-handle.wasm", "-k", "elements")
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(
        [
            "*OWN-020[[]elements[]]*",
            "error OWN-020 invented-handle on direct and stock",
            "*rule:     An invented handle is refused, never a crash.*",
            "*again:    torvyn-conformance component forged-handle.wasm --steps*",
            "FAILED forged-handle.wasm::OWN-020[[]elements[]]*",
        ]
    )
    again = run("--torvyn-component", "forged-handle.wasm", "--lf")
    assert again.parseoutcomes()["failed"] == 1
    assert "passed" not in again.parseoutcomes()


def test_an_item_is_selected_by_its_id_and_an_unknown_one_is_told(run):
    result = run("--torvyn-component", "forged-handle.wasm", "forged-handle.wasm::OWN-021[elements]")
    result.assert_outcomes(passed=1)
    unknown = run("--torvyn-component", "forged-handle.wasm", "forged-handle.wasm::OWN-999[elements]")
    assert unknown.ret == pytest.ExitCode.USAGE_ERROR
    unknown.stderr.fnmatch_lines(["*no such item: forged-handle.wasm::OWN-999*"])


def test_workers_share_the_items(run):
    result = run(
        "--torvyn-component",
        "forged-handle.wasm",
        "--torvyn-engine",
        "direct",
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "-k",
        "elements or binary",
    )
    assert result.parseoutcomes()["failed"] == 1


def test_tests_are_left_alone_unless_they_are_asked_for(run, pytester):
    path = pytester.makepyfile("def test_mine(): pass")
    run("--torvyn-component", "dropper.wasm", "-k", "binary").assert_outcomes(passed=3, deselected=62)
    assert run("--torvyn-component", "dropper.wasm", str(path), "-k", "mine").parseoutcomes()["passed"] == 1


def test_a_component_that_is_not_there_is_wrong_usage(run):
    result = run("--torvyn-component", "gone.wasm")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gone.wasm does not exist*"])
