"""The rulebook: every rule of the specification as data, one TOML file per area, refused as a whole if one entry is wrong.

A rule is an entry `[[rule]]` of its area's file in `rulebook/`; the fields are those of `Rule`. Its id is never reused: a rule that turned
out double or untestable keeps its entry and says so in `note`. What the sources disagree on is an entry of `rulebook/ambiguities.toml`,
the ambiguity ledger; `docs/ambiguities.md` is made from it by `python -m conformance.rulebook ledger`.

Profiles are sets of areas that a runtime is judged by on its own:

- core: OWN POOL BUF BUDGET COPY FLOW ORD ERR, ownership and accounting of memory, the life of a flow, order and errors;
- stream: CREDIT WMK POLICY SCHED CANCEL TOPO, demand, pressure, scheduling, stopping, and graphs beyond a line;
- secure: CAP, what a component may do;
- package: OCI, artifacts and registries;
- full: CON LINK CFG OBS CLI, the tools and reports around them.

Levels follow the wording of the specification; where it only states a fact, the level is MUST. Decisions of the specification's README
take precedence over the text that they change, and are cited as `decision N`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

import msgspec
import tomli

from conformance.subjects.protocol import Facet

FOLDER = Path(__file__).parent / "rulebook"
LEDGER = "ambiguities.toml"
LARGEST = 1_000_000
"""Bytes; a file of the rulebook beyond this is a mistake and is not parsed."""


class Level(StrEnum):
    """How binding a rule is; the words are those of RFC 2119."""

    MUST = "MUST"
    MUST_NOT = "MUST NOT"
    SHOULD = "SHOULD"
    SHOULD_NOT = "SHOULD NOT"
    MAY = "MAY"

    @property
    def binding(self) -> bool:
        """Breaking the rule makes a runtime non-conformant."""
        return self in {Level.MUST, Level.MUST_NOT}


class Area(StrEnum):
    """What a rule is about; the order is the specification's, and the rulebook's."""

    OWN = "OWN"
    POOL = "POOL"
    BUF = "BUF"
    BUDGET = "BUDGET"
    COPY = "COPY"
    FLOW = "FLOW"
    CREDIT = "CREDIT"
    WMK = "WMK"
    POLICY = "POLICY"
    SCHED = "SCHED"
    ORD = "ORD"
    ERR = "ERR"
    CANCEL = "CANCEL"
    TOPO = "TOPO"
    CAP = "CAP"
    CON = "CON"
    LINK = "LINK"
    CFG = "CFG"
    OCI = "OCI"
    OBS = "OBS"
    CLI = "CLI"


class Profile(StrEnum):
    """A part of the specification that a runtime can conform to on its own."""

    CORE = "core"
    STREAM = "stream"
    SECURE = "secure"
    PACKAGE = "package"
    FULL = "full"


class Severity(StrEnum):
    """What kind of harm a broken rule does to a user."""

    DATA_LOSS = "data-loss"
    ISOLATION = "isolation"
    AVAILABILITY = "availability"
    WRONG_RESULT = "wrong-result"
    DIAGNOSIS = "diagnosis"
    PERFORMANCE = "performance"


class Testability(StrEnum):
    """Whether a runtime's behaviour can show the rule broken."""

    __test__ = False  # the name begins like a test class, and pytest would try to collect it wherever it is imported

    BLACK_BOX = "black-box"
    NEEDS_CAPABILITY = "needs-capability"
    UNTESTABLE = "untestable"


class Capability(StrEnum):
    """An optional capability that a subject declares in its facets; rules gated by one are `unsupported` without it."""

    CIRCUIT_BREAKER = "circuit_breaker"
    CONCURRENCY = "concurrency"
    CONSUMER_FIRST = "consumer_first"
    EXHAUSTION_ERROR = "exhaustion_error"
    INDEPENDENT_PER_BRANCH = "independent_per_branch"
    NODE_LIMIT = "node_limit"
    RATE_LIMIT = "rate_limit"
    STATE_TABLES = "state_tables"
    WATCHDOG = "watchdog"


_EXISTING: Mapping[Area, tuple[range, ...]] = MappingProxyType(
    {
        Area.OWN: (range(1, 43),),
        Area.POOL: (range(1, 19),),
        Area.BUF: (range(1, 6), range(10, 27), range(30, 35)),
        Area.BUDGET: (range(1, 15),),
        Area.COPY: (range(1, 19),),
        Area.FLOW: (range(1, 21),),
        Area.CREDIT: (range(1, 16),),
        Area.WMK: (range(1, 16),),
        Area.POLICY: (range(1, 17),),
        Area.SCHED: (range(1, 16),),
        Area.ORD: (range(1, 14),),
        Area.ERR: (range(1, 16),),
        Area.CANCEL: (range(1, 19),),
        Area.TOPO: (range(1, 16),),
        Area.CAP: (range(1, 62),),
        Area.CON: (range(1, 14), range(20, 31), range(40, 47), range(50, 59)),
        Area.LINK: (range(1, 24),),
        Area.CFG: (range(1, 21),),
        Area.OCI: (range(1, 31),),
        Area.OBS: (range(1, 28),),
        Area.CLI: (range(1, 16),),
    }
)
IDS = tuple(f"{area}-{number:03d}" for area, numbers in _EXISTING.items() for block in numbers for number in block)
"""The ids of the specification, in its order: the rulebook has exactly these."""

AREA_PROFILE: Mapping[Area, Profile] = MappingProxyType(
    {
        **dict.fromkeys((Area.OWN, Area.POOL, Area.BUF, Area.BUDGET, Area.COPY, Area.FLOW, Area.ORD, Area.ERR), Profile.CORE),
        **dict.fromkeys((Area.CREDIT, Area.WMK, Area.POLICY, Area.SCHED, Area.CANCEL, Area.TOPO), Profile.STREAM),
        Area.CAP: Profile.SECURE,
        Area.OCI: Profile.PACKAGE,
        **dict.fromkeys((Area.CON, Area.LINK, Area.CFG, Area.OBS, Area.CLI), Profile.FULL),
    }
)

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=70)]
AdrNumber = Annotated[int, msgspec.Meta(ge=1, le=999)]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule of the specification.

    Attributes:
        id: area and number, for example WMK-004; never reused for something else.
        level: how binding the rule is.
        title: the rule in a few plain words, at most 70 characters.
        text: the whole normative statement, understandable on its own.
        consequence: what goes wrong for a user when a runtime breaks the rule.
        severity: the kind of that harm.
        area, profile: what the rule is about, and the part of the specification that it belongs to.
        facet: the side of a subject that can show it.
        testability, capability, why: whether it can be judged from outside; the optional capability that it needs, if any; and why it
            is not simply black-box.
        test: how it is tested.
        accepts: the alternative readings that also count as kept. `name=value: …` names a reading that a subject declares.
        ambiguity: the entries of the ledger that it follows.
        source: where the statement comes from: paths in the public repository torvyn/torvyn at v0.1.1, the project's specification,
            its decisions, or what an executed upstream crate did.
        adrs: the decision records that it serves.
        note: what else a reader should know, such as a rule that says the same, or what upstream does instead.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]+-[0-9]{3}$")]
    level: Level
    title: Title
    text: Text
    consequence: Text
    severity: Severity
    area: Area
    profile: Profile
    facet: Facet
    testability: Testability
    test: Text
    source: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    capability: Capability | None = None
    why: Text | None = None
    accepts: tuple[Text, ...] = ()
    ambiguity: tuple[Text, ...] = ()
    adrs: tuple[AdrNumber, ...] = ()
    note: Text | None = None


class Ambiguity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One disagreement of the sources: the readings, the one chosen, why, and the rules that follow it.

    Ids: D resources, K reactor, J edges (the tables of the specification), DEC the decisions of its README.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^(D|K|J|DEC)-[0-9]{2}[a-z]?$")]
    title: Title
    readings: Annotated[tuple[Text, ...], msgspec.Meta(min_length=2)]
    chosen: Text
    why: Text
    rules: tuple[Text, ...]


class RulebookError(ValueError):
    """The rulebook's files are wrong; `problems` has one line for each mistake, naming file, entry and field."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} mistake" + ("s" if len(self.problems) != 1 else "")
        super().__init__("\n  ".join((f"the rulebook has {count}:", *self.problems)))


class UnknownRuleError(LookupError):
    """An id, glob or area that names no rule; the message suggests what was meant."""

    def __init__(self, names: Iterable[str], known: Iterable[str]) -> None:
        self.names = tuple(names)
        candidates = tuple(known)
        super().__init__("; ".join(_unknown(name, candidates) for name in self.names))


def _unknown(name: str, candidates: tuple[str, ...]) -> str:
    number = re.fullmatch(r"([A-Z]+)[-_ ]?([0-9]{1,6})", name.upper())
    padded = f"{number[1]}-{int(number[2]):03d}" if number else ""
    near = [padded] if padded in candidates else get_close_matches(name.upper(), candidates, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"ids look like WMK-004, globs like WMK-0*, areas are {' '.join(Area)}"
    return f"no rule {name!r}: {hint}"


@dataclass(frozen=True)
class Rulebook:
    """All rules, in the order of the specification, and the ambiguity ledger."""

    rules: tuple[Rule, ...]
    ambiguities: tuple[Ambiguity, ...]

    @cached_property
    def _index(self) -> dict[str, Rule]:
        return {rule.id: rule for rule in self.rules}

    @cached_property
    def digest(self) -> str:
        """`sha256:` and hex digits over the rules' content; formatting, comments and the ledger's prose do not change it."""
        return f"sha256:{sha256(msgspec.json.encode(self.rules, order='sorted')).hexdigest()}"

    def __len__(self) -> int:
        return len(self.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __contains__(self, rule_id: object) -> bool:
        return rule_id in self._index

    def get(self, rule_id: str) -> Rule:
        """Return the rule with this id, whatever its case.

        Raises:
            UnknownRuleError: no rule has this id; the message suggests near ones.
        """
        try:
            return self._index[rule_id.upper()]
        except KeyError:
            raise UnknownRuleError([rule_id], self._index) from None

    def by_area(self, area: Area | str) -> tuple[Rule, ...]:
        """Return an area's rules, by number.

        Raises:
            UnknownRuleError: there is no such area.
        """
        if area.upper() not in tuple(Area):
            raise UnknownRuleError([area], Area)
        return tuple(rule for rule in self.rules if rule.area == area.upper())

    def select(self, patterns: Iterable[str]) -> tuple[Rule, ...]:
        """Return the rules that any of the patterns names, once each, in the rulebook's order; no pattern selects nothing.

        A pattern is an id (`WMK-004`), an area (`WMK`) or a glob over ids (`WMK-*`, `*-001`), in any case.

        Raises:
            UnknownRuleError: some patterns name no rule; all of them are listed.
        """
        wanted, idle = set[str](), []
        for pattern in patterns:
            glob = pattern.upper()
            found = {rule.id for rule in self.rules if glob == rule.area or fnmatchcase(rule.id, glob)}
            if not found:
                idle.append(pattern)
            wanted |= found
        if idle:
            raise UnknownRuleError(idle, (*self._index, *Area))
        return tuple(rule for rule in self.rules if rule.id in wanted)


@cache
def load() -> Rulebook:
    """Return the project's rulebook, read and validated once per process.

    Raises:
        RulebookError: the files are wrong; all mistakes are listed.
    """
    return read(FOLDER)


def read(folder: Path) -> Rulebook:
    """Read and validate a rulebook from a folder of TOML files.

    Raises:
        RulebookError: the files are wrong; all mistakes are listed, each with file and entry.
    """
    problems: list[str] = []
    expected = {**{f"{area.lower()}.toml": area for area in Area}, LEDGER: None}
    extra = {path.name for path in folder.glob("*.toml")} - expected.keys()
    problems += [f"{name}: belongs to no area; known files are {', '.join(expected)}" for name in sorted(extra)]
    rules: list[Rule] = []
    for name, area in expected.items():
        if area is not None:
            rules += [rule for rule in _entries(folder / name, "rule", Rule, problems) if _fits(rule, area, name, problems)]
    ambiguities = _entries(folder / LEDGER, "ambiguity", Ambiguity, problems)
    if not problems:  # what follows compares entries with each other, and would only repeat what is wrong in one of them
        problems += _disagreements(rules, ambiguities)
    if problems:
        raise RulebookError(problems)
    return Rulebook(tuple(sorted(rules, key=lambda rule: IDS.index(rule.id))), tuple(ambiguities))


Entry = TypeVar("Entry", bound=msgspec.Struct)


def _entries(path: Path, table: str, kind: type[Entry], problems: list[str]) -> list[Entry]:
    """Return the valid entries of one file; everything else about the file goes into `problems`."""
    try:
        if path.stat().st_size > LARGEST:
            problems.append(f"{path.name}: larger than {LARGEST} bytes")
            return []
        data = tomli.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        problems.append(f"{path.name}: cannot be read: {reason}")
        return []
    problems += [f"{path.name}: unknown table {key!r}; the file holds only [[{table}]]" for key in data if key != table]
    rows = data.get(table, [])
    if not isinstance(rows, list):
        problems.append(f"{path.name}: {table} must be an array of tables, written [[{table}]]")
        return []
    converted = [_entry(row, kind, f"{path.name}: {_name(row, table, number)}", problems) for number, row in enumerate(rows, 1)]
    return [entry for entry in converted if entry is not None]


def _name(row: Any, table: str, number: int) -> str:
    rule_id = row.get("id") if isinstance(row, dict) else None
    return rule_id if isinstance(rule_id, str) and rule_id else f"{table} number {number}"


def _entry(row: Any, kind: type[Entry], where: str, problems: list[str]) -> Entry | None:
    """Convert one table field by field, so that all its mistakes are found and not only the first."""
    if not isinstance(row, dict):
        problems.append(f"{where}: must be a table")
        return None
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    before, values = len(problems), {}
    for key in row.keys() - fields.keys():
        near = get_close_matches(key, fields, n=1)
        problems.append(f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for name, field in fields.items():
        if name not in row:
            if field.required:
                problems.append(f"{where}: {name} is missing")
            continue
        try:
            values[name] = msgspec.convert(row[name], field.type)
        except msgspec.ValidationError as error:
            problems.append(f"{where}: {name}: {error}{_allowed(field.type)}")
    return kind(**values) if len(problems) == before else None


def _allowed(kind: Any) -> str:
    choices = [option for option in (kind, *get_args(kind)) if isinstance(option, type) and issubclass(option, StrEnum)]
    return f"; allowed are {', '.join(choices[0])}" if choices else ""


def _fits(rule: Rule, area: Area, file: str, problems: list[str]) -> bool:
    """Check what one rule must be in itself."""
    gated = rule.testability is Testability.NEEDS_CAPABILITY
    mistakes = {
        f"area is {rule.area}, but the id begins with {rule.id.partition('-')[0]}": rule.area != rule.id.partition("-")[0],
        f"area is {rule.area}, but this is the file of {area}": rule.area != area,
        f"profile is {rule.profile}; the area's is {AREA_PROFILE[rule.area]}": rule.profile is not AREA_PROFILE[rule.area],
        "testability is needs-capability exactly if a capability is given": gated != (rule.capability is not None),
        "why is given exactly if testability is not black-box": (rule.why is None) != (rule.testability is Testability.BLACK_BOX),
        f"text does not contain its level, {rule.level}": rule.level not in rule.text,
        "not an id of the specification": rule.id not in IDS,
        **{f"{name} names something twice": len(set(values)) != len(values) for name, values in _lists(rule)},
    }
    problems += [f"{file}: {rule.id}: {message}" for message, wrong in mistakes.items() if wrong]
    return not any(mistakes.values())


def _lists(rule: Rule) -> tuple[tuple[str, tuple[object, ...]], ...]:
    return (("accepts", rule.accepts), ("ambiguity", rule.ambiguity), ("source", rule.source), ("adrs", rule.adrs))


def _disagreements(rules: list[Rule], ambiguities: list[Ambiguity]) -> Iterator[str]:
    """Check what entries must be to one another: unique, complete, and citing each other from both sides."""
    present = Counter(rule.id for rule in rules)
    yield from (f"{rule_id}: defined {count} times" for rule_id, count in present.items() if count > 1)
    yield from (f"{rule_id}: missing" for rule_id in IDS if rule_id not in present)
    ledger = Counter(entry.id for entry in ambiguities)
    yield from (f"{LEDGER}: {entry_id}: defined {count} times" for entry_id, count in ledger.items() if count > 1)
    cited = {(entry.id, rule_id) for entry in ambiguities for rule_id in entry.rules}
    citing = {(entry_id, rule.id) for rule in rules for entry_id in rule.ambiguity}
    for entry_id, rule_id in sorted(cited ^ citing):
        if entry_id not in ledger:
            yield f"{rule_id}: ambiguity {entry_id} is not in the ledger"
        elif rule_id not in present:
            yield f"{LEDGER}: {entry_id}: rule {rule_id} does not exist"
        elif (entry_id, rule_id) in cited:
            yield f"{LEDGER}: {entry_id}: names {rule_id}, which does not cite it"
        else:
            yield f"{rule_id}: cites {entry_id}, which does not name it"


if __name__ == "__main__":
    from conformance.ledger import main  # this process runs a second copy of this module; the ledger imports the first

    raise SystemExit(main())
