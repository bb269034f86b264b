"""The compiled build (ADR-024): what is asked of it can be built, and nobody mistakes one build for the other."""

import re
import tomllib
from pathlib import Path

from torvyn_ref import ids
from torvyn_ref.compiled import is_compiled

ROOT = Path(__file__).resolve().parents[2]


def asked_for():
    """Return the patterns of the modules that are compiled."""
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
    return hooks["mypyc"]


def test_every_module_that_is_to_be_compiled_is_there():
    for pattern in asked_for()["include"]:
        assert list(ROOT.glob(pattern.lstrip("/"))), f"{pattern} names no module: pyproject.toml, the mypyc hook"


def test_it_is_off_unless_asked_for():
    assert asked_for()["enable-by-default"] is False


def test_no_compiled_module_lies_beside_its_source():
    assert not list((ROOT / "torvyn_ref").rglob("*.so")), "mutants and tests would meet C: remove them, `make compiled` builds elsewhere"


def test_python_says_that_it_is_python(monkeypatch):
    assert is_compiled() is False
    monkeypatch.setattr(ids, "__file__", "torvyn_ref/ids.cpython-311-x86_64-linux-gnu.so")
    assert is_compiled() is True


def test_what_is_compiled_hands_no_fields_on_to_a_base_class():
    hook = asked_for()
    excluded = {path for pattern in hook["exclude"] for path in ROOT.glob(pattern.lstrip("/"))}
    for pattern in hook["include"]:
        for path in set(ROOT.glob(pattern.lstrip("/"))) - excluded:
            found = re.search(r"super\(\).__init__\(.*\*\*", path.read_text(encoding="utf-8"))
            assert found is None, f"{path.name}: mypyc gets {found.group()} wrong"
