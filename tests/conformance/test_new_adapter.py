"""The skeletons are built and run where their tools are, and the doctor finds nothing to say."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest

from conformance import cli
from conformance.commands.skeletons import RECIPES, Language, skeleton

TOOLS = {Language.PYTHON: "python3", Language.RUST: "cargo", Language.GO: "go", Language.JS: "node", Language.C: "cc"}


@pytest.fixture
def made(tmp_path, monkeypatch, capsys):
    """Write, build and name a skeleton."""

    def make(language):
        if shutil.which(TOOLS[language]) is None:
            pytest.skip(f"{TOOLS[language]} is not installed")
        folder = tmp_path / "adapter"
        assert cli.call(["new-adapter", str(folder), "--lang", str(language)]) == 0
        capsys.readouterr()
        recipe = RECIPES[language]
        if recipe.build:
            built = subprocess.run(shlex.split(recipe.build), cwd=folder, capture_output=True, text=True, check=False, timeout=110)
            assert built.returncode == 0, built.stderr
        monkeypatch.chdir(folder)
        return f"stdio:{recipe.run}"

    return make


@pytest.mark.parametrize("language", Language)
def test_a_skeleton_builds_is_healthy_and_keeps_the_rules_of_its_facet(made, capsys, language):
    subject = made(language)
    assert cli.call(["doctor", "--subject", subject, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "my-runtime 0.1.0" in found["steps"][0]["said"]
    assert cli.call(["run", "--subject", subject, "--rules", "WMK-004,WMK-002,POLICY-002,CREDIT-007", "--format", "json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["claims"] == []
    assert report["declaration"]["facets"] == [{"facet": "streams"}], "it declares only what it implements"
    assert set(report["counts"]) <= {"pass", "unsupported", "untested"}
    assert report["counts"]["pass"] == 3


@pytest.mark.parametrize("language", Language)
def test_a_skeleton_has_a_readme_and_a_ci_file_with_its_own_commands(language):
    files = skeleton(language)
    recipe = RECIPES[language]
    assert recipe.main in files
    for name in ("README.md", ".github/workflows/conformance.yml"):
        assert f"doctor --subject 'stdio:{recipe.run}'" in files[name]
        assert recipe.build in files[name]
        assert "{" not in files[name].replace("${{", "")


def test_a_directory_with_something_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert cli.call(["new-adapter", str(tmp_path), "--lang", "python"]) == 4
    assert "not an empty directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_language_is_wrong_usage(tmp_path, capsys):
    assert cli.call(["new-adapter", str(tmp_path / "a"), "--lang", "cobol"]) == 4
    assert "'python', 'rust', 'go', 'js', 'c'" in capsys.readouterr().err


def test_every_language_of_the_suite_has_a_recipe():
    assert set(RECIPES) == set(Language) == set(TOOLS)
    assert sys.executable
