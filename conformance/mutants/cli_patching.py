"""How a fault gets into the reference's command line, in a process that is about to be the command."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from torvyn_ref import cli, terminal
from torvyn_ref.commands import benching, checking, diagnosing, packing, starting

_COMMANDS = (cli, benching, checking, diagnosing, packing, starting, terminal)


def get(module: ModuleType, name: str) -> Any:
    """Return a part of a module, private ones too."""
    return getattr(module, name)


def put(module: ModuleType, name: str, value: object) -> None:
    """Replace a part of a module, which must be there: a fault that hits nothing is none."""
    getattr(module, name)
    setattr(module, name, value)


def everywhere(name: str, value: object) -> None:
    """Replace a function wherever it was imported to."""
    for module in _COMMANDS:
        if hasattr(module, name):
            setattr(module, name, value)


def printing(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change what is printed as JSON."""
    honest = get(terminal, "print_json")
    everywhere("print_json", lambda data: honest(change(data)))
