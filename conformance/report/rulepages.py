"""A page per area with everything known about each of its rules: `docs/rules/`, made by `make docs`, and proven current by a test.

What a failure looks like is taken from the zoo: `python -m conformance.report.rulepages --failures reports/mutants.json` keeps, for each
rule, the first accusation that a kill matrix has (`rulebook/anchors/failures.json`). `torvyn-conformance explain` shows the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from conformance.checks import Registry, all_checks
from conformance.report.rules import FAILURES, Explanation, FailureSample, explain, failures
from conformance.rulebook import AREA_PROFILE, Area, Profile, Rulebook, load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "rules"
MADE = "<!-- Made by `make docs` from conformance/rulebook/, the checks and the zoo. Edit those, not this page. -->\n"
TITLES: Mapping[Area, str] = {
    Area.OWN: "Ownership and handles",
    Area.POOL: "Pools",
    Area.BUF: "Buffers and their contents",
    Area.BUDGET: "Memory budgets",
    Area.COPY: "Copies and their accounting",
    Area.FLOW: "The life of a flow",
    Area.CREDIT: "Credits",
    Area.WMK: "Watermarks",
    Area.POLICY: "Overflow policies",
    Area.SCHED: "Scheduling",
    Area.ORD: "Order and sequence numbers",
    Area.ERR: "Errors",
    Area.CANCEL: "Cancellation and draining",
    Area.TOPO: "Topologies",
    Area.CAP: "Capabilities",
    Area.CON: "Contracts",
    Area.LINK: "Linking",
    Area.CFG: "Configuration",
    Area.OCI: "Artifacts and registries",
    Area.OBS: "Observability",
    Area.CLI: "The command line",
}


def pages(rulebook: Rulebook, registry: Registry) -> dict[str, str]:
    """Render all pages, by file name."""
    found = {"README.md": _index(rulebook, registry)}
    for area in Area:
        parts = [MADE, f"\n# {area}: {TITLES[area]}\n"]
        parts += [_rule(explain(rulebook, registry, rule)) for rule in rulebook.by_area(area)]
        found[f"{area.lower()}.md"] = "".join(parts)
    return found


def _index(rulebook: Rulebook, registry: Registry) -> str:
    checked = {rule for check in registry for rule in check.rules}
    lines = [MADE, "\n# The rules\n\n"]
    lines.append("Each rule with its words, where they come from, why it matters, how it is checked, and where to look when it fails. ")
    lines.append("What a verdict is: [verdicts](../verdicts.md). What the sources disagree on: [the ledger](../ambiguities.md).\n")
    for profile in Profile:
        lines.append(f"\n## Profile {profile}\n\n| Area | Rules | Binding | Checked |\n|---|---|---|---|\n")
        for area in (each for each in Area if AREA_PROFILE[each] is profile):
            rules = rulebook.by_area(area)
            binding, known = sum(rule.level.binding for rule in rules), sum(rule.id in checked for rule in rules)
            lines.append(f"| [{area}: {TITLES[area]}]({area.lower()}.md) | {len(rules)} | {binding} | {known} |\n")
    return "".join(lines)


def _rule(explained: Explanation) -> str:
    rule = explained.rule
    decisions = [f"[ADR-{number:03d}](../adr/README.md)" for number in rule.adrs]
    parts = [
        f"\n## {rule.id}\n\n**{_text(rule.title)}** ({rule.level}, {explained.status})\n\n{_text(rule.text)}\n",
        f"\n*Why it matters.* {_text(rule.consequence)} ({rule.severity})\n",
        f"\n*Source.* {'; '.join([*decisions, *(_code(each) for each in rule.source)])}\n",
        f"\n*How it is checked.* {_text(rule.test)}\n",
    ]
    parts += _list(f"`{check.name}` ({check.kind}, facet {check.facet}): {_text(check.summary)}" for check in explained.checks)
    if rule.why:
        parts.append(f"\n*Why not simply from outside.* {_text(rule.why)}\n")
    if rule.accepts:
        parts.append("\n*Also accepted.*\n")
        parts += _list(_text(each) for each in rule.accepts)
    if explained.failure is not None:
        parts.append(
            f"\n*What its failure looks like.* From `mutant:{explained.failure.mutant}`:\n\n```text\n{explained.failure.text()}\n```\n"
        )
    if explained.faults or explained.code:
        parts.append("\n*If this fails, look at:*\n")
        parts += _list([*(_code(place) for place in explained.code), *(_text(fault) for fault in explained.faults)])
    if rule.note:
        parts.append(f"\n*Note.* {_text(rule.note)}\n")
    return "".join(parts)


def _list(items: Iterable[str]) -> list[str]:
    found = [f"- {item}\n" for item in items]
    return ["\n", *found] if found else []


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def _text(text: str) -> str:
    """Keep Markdown from reading prose as markup; what stands in backticks is already safe."""
    pieces = " ".join(text.split()).split("`")
    pieces[::2] = [piece.replace("*", r"\*").replace("<", "&lt;").replace("_", r"\_") for piece in pieces[::2]]
    return "`".join(pieces)


def keep(matrix: bytes) -> bytes:
    """Return, as JSON, the first accusation of each rule in a kill matrix."""
    data = msgspec.json.decode(matrix)
    found: dict[str, FailureSample] = {}
    for mutant in data["mutants"]:
        for kill in mutant["kills"]:
            sample = FailureSample(
                mutant=mutant["name"],
                check=kill["check"],
                rule=kill["rule"],
                message=kill["message"],
                expected=kill.get("expected", ""),
                found=kill.get("found", ""),
            )
            found.setdefault(kill["rule"], sample)
    return msgspec.json.format(msgspec.json.encode(dict(sorted(found.items()))), indent=1) + b"\n"


def main(arguments: list[str] | None = None) -> int:
    """Write `docs/rules/`."""
    parser = argparse.ArgumentParser(prog="python -m conformance.report.rulepages", description="Write docs/rules/.")
    parser.add_argument("--failures", type=Path, help="keep what failures look like from this kill matrix (reports/mutants.json) first")
    given = parser.parse_args(arguments)
    if given.failures is not None:
        FAILURES.write_bytes(keep(given.failures.read_bytes()))
        failures.cache_clear()
    rulebook = load()
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages(rulebook, all_checks(rulebook)).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{FOLDER}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
