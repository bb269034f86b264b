"""Traceability: from decision and document to rule, to check, to mutant, to the line of the reference, and back.

Code anchors are rule ids in the text of `torvyn_ref`: in docstrings and comments, alone (`WMK-004`) or as a range (`OWN-014..OWN-020`).
Rules whose code says so nowhere are anchored in `rulebook/anchors/anchors.toml`, by file and a piece of text that must be there. The
scanner reads text and imports nothing, so the judge still does not know the accused (law 1).

Whatever points at something that does not exist is an error, and so is a checked rule that nothing proves or implements. Rules without a
check are listed as such; they are no error, and no pass either.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec
import tomli

from conformance.checks import Registry
from conformance.rulebook import IDS, Area, Rulebook

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "torvyn_ref"
DECISIONS = ROOT / "docs" / "adr"
ANCHORS = Path(__file__).parent / "rulebook" / "anchors" / "anchors.toml"
FEWEST_FILES = 20
"""The reference has more modules than this; finding fewer means that the scan went wrong, not that nothing is anchored."""

_AREAS = "|".join(Area)
_ID = re.compile(rf"\b(?P<first>(?:{_AREAS})-\d{{3}})(?:\s?\.\.\s?(?P<last>(?:{_AREAS})-\d{{3}}))?\b")


class Anchor(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A place in the reference: its file, the line, and the function or class that it stands in."""

    file: str
    line: int
    where: str

    def __str__(self) -> str:
        """Render `file (where)`; lines move too often to be printed where they are kept."""
        return f"{self.file} ({self.where})" if self.where else self.file


class RuleTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One rule and everything on both sides of it."""

    id: str
    level: str
    title: str
    sources: tuple[str, ...]
    adrs: tuple[int, ...]
    checks: tuple[str, ...]
    mutants: tuple[str, ...]
    code: tuple[Anchor, ...]
    state: str


class TraceMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """Every rule, and what is wrong with the links between them.

    Attributes:
        counts: rules by state: proven (checked, with a mutant and code), checked, untested, untestable.
        orphans: what nothing leads to or nothing follows from.
        stale: what points at something that is not there.
    """

    schema_version: int
    rules: tuple[RuleTrace, ...]
    counts: dict[str, int]
    orphans: tuple[str, ...]
    stale: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Return everything that is wrong."""
        return (*self.stale, *self.orphans)


# ---------------------------------------------------------------- code


@cache
def scan(folder: Path = REFERENCE) -> Mapping[str, tuple[Anchor, ...]]:
    """Return where the code below a folder names each rule; an unknown id keeps its name, so that it can be reported."""
    found: dict[str, set[Anchor]] = {}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not _ID.search(text):
            continue
        scopes = sorted(_scopes(ast.parse(text), ""))
        name = path.relative_to(folder.parent).as_posix()
        for number, line in enumerate(text.splitlines(), 1):
            for match in _ID.finditer(line):
                where = next((scope for first, last, scope in reversed(scopes) if first <= number <= last), "")
                for rule in _range(match["first"], match["last"]):
                    found.setdefault(rule, set()).add(Anchor(file=name, line=number, where=where))
    return {rule: tuple(sorted(places)) for rule, places in found.items()}


def _scopes(node: ast.AST, prefix: str) -> Iterator[tuple[int, int, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{prefix}{child.name}"
            yield child.lineno, child.end_lineno or child.lineno, name
            yield from _scopes(child, f"{name}.")


def _range(first: str, last: str | None) -> tuple[str, ...]:
    if last is None:
        return (first,)
    if first not in IDS or last not in IDS or first[:-4] != last[:-4]:
        return (first, last)
    return tuple(rule for rule in IDS if rule[:-4] == first[:-4] and first <= rule <= last)


def kept(path: Path = ANCHORS, root: Path = ROOT) -> tuple[Mapping[str, tuple[Anchor, ...]], tuple[str, ...]]:
    """Return the anchors of the table, and what is stale in it: `RULE = ["file#text", ...]`."""
    found: dict[str, tuple[Anchor, ...]] = {}
    stale: list[str] = []
    for rule, places in tomli.loads(path.read_text(encoding="utf-8")).items():
        anchors = []
        for place in places:
            file, _, text = place.partition("#")
            target = root / file
            lines = target.read_text(encoding="utf-8").splitlines() if target.is_file() else []
            line = next((number for number, content in enumerate(lines, 1) if text and text in content), 0)
            if not line:
                stale.append(f"{path.name}: {rule}: {file} has no line with {text!r}")
            anchors.append(Anchor(file=file, line=line, where=re.sub(r"^(async )?(def|class) |[(:].*$", "", text.strip())))
        found[rule] = tuple(anchors)
    return found, tuple(stale)


def code_anchors() -> Mapping[str, tuple[Anchor, ...]]:
    """Return all anchors of each rule: where the code names it, and those of the table."""
    named, (table, _) = scan(), kept()
    return {rule: (*named.get(rule, ()), *table.get(rule, ())) for rule in {*named, *table}}


# ---------------------------------------------------------------- decisions


def decisions(folder: Path = DECISIONS) -> Mapping[int, tuple[str, ...]]:
    """Return the rules that each decision record names in its front matter; empty where the records are not there (an installed wheel)."""
    found = {}
    for path in sorted(folder.glob("[0-9][0-9][0-9]-*.md")):
        front = path.read_text(encoding="utf-8").split("+++\n", 2)[1]
        found[int(path.name[:3])] = tuple(tomli.loads(front)["rules"])
    return found


# ---------------------------------------------------------------- the matrix


def build(rulebook: Rulebook, registry: Registry, mutants: Mapping[str, tuple[str, ...]]) -> TraceMatrix:
    """Follow every link in both directions. `mutants` names, for each rule, those that break it."""
    code = code_anchors()
    checks: dict[str, list[str]] = {}
    for check in registry:
        for name in check.rules:
            checks.setdefault(name, []).append(check.name)
    rules = []
    for rule in rulebook.rules:
        known = tuple(checks.get(rule.id, ()))
        breakers = mutants.get(rule.id, ())
        state = "proven" if known and breakers and code.get(rule.id) else "checked" if known else "untested"
        rules.append(
            RuleTrace(
                id=rule.id,
                level=str(rule.level),
                title=rule.title,
                sources=rule.source,
                adrs=rule.adrs,
                checks=known,
                mutants=breakers,
                code=code.get(rule.id, ()),
                state="untestable" if state == "untested" and rule.testability == "untestable" else state,
            )
        )
    states = [rule.state for rule in rules]
    return TraceMatrix(
        schema_version=1,
        rules=tuple(rules),
        counts={state: states.count(state) for state in ("proven", "checked", "untested", "untestable")},
        orphans=tuple(_orphans(rules)),
        stale=tuple(_stale(rulebook, registry, mutants, code)),
    )


def _orphans(rules: Iterable[RuleTrace]) -> Iterator[str]:
    for rule in rules:
        if not rule.sources:
            yield f"{rule.id} has no source: nothing says that it is a rule"
        if rule.checks and not rule.mutants:
            yield f"{rule.id} has a check ({', '.join(rule.checks)}) and no mutant: nothing shows that the check can fail"
        if rule.mutants and not rule.checks:
            yield f"{rule.id} has mutants ({', '.join(rule.mutants)}) and no check: nothing can kill them for it"
        if rule.checks and not rule.code:
            yield f"{rule.id} has a check and no line of the reference: name it in a docstring there, or in rulebook/anchors/anchors.toml"


def _stale(
    rulebook: Rulebook, registry: Registry, mutants: Mapping[str, tuple[str, ...]], code: Mapping[str, tuple[Anchor, ...]]
) -> Iterator[str]:
    yield from kept()[1]
    if len({anchor.file for places in code.values() for anchor in places}) < FEWEST_FILES:
        yield f"fewer than {FEWEST_FILES} files of the reference name a rule: the scan of {REFERENCE} went wrong"
    for rule in sorted(code):
        if rule not in rulebook:
            yield f"{', '.join(str(anchor) for anchor in code[rule])}: names {rule}, which the rulebook does not have"
    for rule in sorted(mutants):
        if rule not in rulebook:
            yield f"the mutants {', '.join(mutants[rule])} break {rule}, which the rulebook does not have"
    for check in registry:
        yield from (
            f"the check {check.name} names {rule}, which the rulebook does not have" for rule in check.rules if rule not in rulebook
        )
    named = decisions()
    if not named:
        return
    by_rule = {rule.id: set(rule.adrs) for rule in rulebook.rules}
    for number, ids in named.items():
        for rule in ids:
            if rule not in by_rule:
                yield f"ADR-{number:03d} names {rule}, which the rulebook does not have"
            elif number not in by_rule[rule]:
                yield f"ADR-{number:03d} names {rule}, which does not name it back"
    for rule, numbers in by_rule.items():
        for number in sorted(numbers):
            if number not in named:
                yield f"{rule} names ADR-{number:03d}, which does not exist"
            elif rule not in named[number]:
                yield f"{rule} names ADR-{number:03d}, which does not name it back"
