"""The ambiguity ledger as a page: `docs/ambiguities.md`, made from the rulebook's data so that the two cannot drift apart."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import MappingProxyType

from conformance.rulebook import Rulebook, RulebookError, load

PAGE = Path(__file__).parents[1] / "docs" / "ambiguities.md"

_PARTS = MappingProxyType(
    {
        "DEC": "Decisions taken where nothing defines the behaviour",
        "D": "Ownership and resources",
        "K": "The reactor: flows, streams, scheduling",
        "J": "The edges: capabilities, contracts, configuration, packaging, observability, command line",
    }
)
_HEAD = """\
<!-- Made by `python -m conformance.rulebook ledger` from conformance/rulebook/ambiguities.toml. Edit that file, not this page. -->

# The ambiguity ledger

Torvyn's sources disagree with one another: WIT files, decision records, documentation and the Rust implementation say different things.
Every disagreement has an entry here: the readings, the one that this project follows, and why. A runtime that follows another
defensible reading is `acceptable` where the rule says so (`torvyn-conformance explain RULE`), and never failed for it.

Sources come first in this order: WIT files, decision records, reference documentation, concept documentation, Rust code, blog and
examples. Paths are those of the public repository torvyn/torvyn at v0.1.1.
"""


def page(book: Rulebook) -> str:
    """Render the ambiguity ledger as Markdown."""
    parts = [_HEAD]
    for prefix, heading in _PARTS.items():
        parts.append(f"\n## {heading}\n")
        for entry in book.ambiguities:
            if entry.id.partition("-")[0] == prefix:
                readings = "".join(f"- {_escape(reading)}\n" for reading in entry.readings)
                rules = ", ".join(entry.rules) or "none of its own"
                parts.append(f"\n### {entry.id}: {_escape(entry.title)}\n\n{readings}\n")
                parts.append(f"**Chosen.** {_escape(entry.chosen)}\n\n**Why.** {_escape(entry.why)}\n\n**Rules.** {rules}\n")
    return "".join(parts)


def _escape(text: str) -> str:
    """Keep Markdown from reading prose as markup; what stands in backticks is already safe."""
    pieces = text.split("`")
    pieces[::2] = [piece.replace("*", r"\*").replace("<", "&lt;") for piece in pieces[::2]]
    return "`".join(pieces)


def main(argv: list[str] | None = None) -> int:
    """Write `docs/ambiguities.md` (`ledger`); return 1 and say why if the rulebook is wrong."""
    parser = argparse.ArgumentParser(prog="python -m conformance.rulebook", description="Tend the rulebook.")
    parser.add_argument("verb", choices=["ledger"], help="write docs/ambiguities.md from the ambiguity ledger")
    parser.add_argument("--output", type=Path, default=PAGE, help="where to write the page")
    arguments = parser.parse_args(argv)
    try:
        text = page(load())
    except RulebookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    arguments.output.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{arguments.output}\n")
    return 0
