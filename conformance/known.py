"""Known failures: a file of what is broken and known to be, with a link and an end.

The file is TOML. `[[failure]]` names a rule and a check that fail, `[[flaky]]` one that sometimes does, with the rate that was measured and
in how many runs:

    [[failure]]
    rule = "WMK-004"
    check = "low-marks"
    issue = "https://example.org/issues/7"
    expires = 2027-01-31

    [[flaky]]
    rule = "ORD-001"
    check = "first-in-first-out"
    issue = "https://example.org/issues/8"
    expires = 2027-01-31
    rate = 0.15
    runs = 20

The link may also lead to an anchor of a page beside the list, `findings.md#t-22`, which must be there.

A known failure is still a failure, and never lets a subject be `conformant`; what changes is the exit code, which then says whether there
is anything that nobody knew. An entry that no longer fails is stale, one past its last day is expired, and both are red: a list of known
failures that nobody tends hides new ones. A flaky one that fails far more often than was recorded is news as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from math import comb
from pathlib import Path

import msgspec
import tomli

from conformance.errors import SuiteError
from conformance.execute import FLAKY_RUNS, CheckResult, Finding
from conformance.plan import Plan
from conformance.verdict import Outcome

LARGEST = 1_000_000
"""Bytes; a longer list is not read."""

FAILING = frozenset({Outcome.FAIL, Outcome.TIMEOUT, Outcome.CRASH})

LEVEL = 0.01
"""How unlikely a rate must be, if nothing has changed, to be news: one false alarm in a hundred looks at one flaky entry, at most."""

MOST_RUNS = 100_000
"""How many runs a recorded rate may be from; more would only cost the comparison time."""


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry: the rule and the check, where it is followed up, and the last day on which it counts.

    Attributes:
        rate: for a flaky one, and only there, the part of the runs in which the violation was seen, at least 0 and below 1.
        runs: how many runs that rate is from; as many as the suite makes, when left out.
    """

    rule: str
    check: str
    issue: str
    expires: date
    rate: float | None = None
    runs: int | None = None

    @property
    def item(self) -> tuple[str, str]:
        """Return rule and check."""
        return self.rule, self.check

    def wrong(self, folder: Path, *, flaky: bool) -> str:
        """Return what is wrong with this entry of a list in a folder, and nothing when nothing is."""
        if not leads_somewhere(self.issue, folder):
            return f"issue is {self.issue!r}; it must be a link, or an anchor of a page that is there, so that somebody follows it up"
        if not flaky:
            return "" if self.rate is None and self.runs is None else "rate and runs belong to [[flaky]]; what always fails has none"
        if self.rate is None or not 0 <= self.rate < 1:
            found = "missing" if self.rate is None else f"{self.rate:g}"
            return f"rate is {found}; write how often it fails as a number from 0 to below 1, as --write-baseline does"
        if self.runs is not None and not 1 <= self.runs <= MOST_RUNS:
            return f"runs is {self.runs}; write how many runs the rate is from, 1 to {MOST_RUNS}"
        return ""

    def exceeded_by(self, finding: Finding) -> bool:
        """Tell whether a flaky one fails so much oftener than was recorded that chance does not explain it."""
        runs = FLAKY_RUNS if self.runs is None else self.runs
        return chance(finding.seen, finding.runs, round((self.rate or 0.0) * runs), runs) < LEVEL


class KnownFailures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The entries of a file."""

    failure: tuple[Known, ...] = ()
    flaky: tuple[Known, ...] = ()


def chance(seen: int, runs: int, seen_before: int, runs_before: int) -> float:
    """Return how likely at least `seen` of `runs` is, if both measurements are of the same rate (Fisher's exact test, one side).

    The recorded rate is no more than a measurement either: if it were taken for the truth, one that was not seen in 20 runs would be news
    when it is seen once.
    """
    together, most = seen + seen_before, min(seen + seen_before, runs)
    ways = sum(comb(runs, hits) * comb(runs_before, together - hits) for hits in range(seen, most + 1))
    return ways / comb(runs + runs_before, together)


# ---------------------------------------------------------------- the file


def read(path: Path) -> KnownFailures:
    """Read a list of known failures.

    Raises:
        SuiteError: the file cannot be read, or an entry lacks rule, check, issue or expiry; every mistake is named.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise SuiteError(f"{path}: larger than {LARGEST} bytes")
        data = tomli.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SuiteError(f"{path}: cannot be read: {reason}") from error
    problems = [f"{path}: unknown table {key!r}; there are [[failure]] and [[flaky]]" for key in data if key not in {"failure", "flaky"}]
    entries: dict[str, list[Known]] = {"failure": [], "flaky": []}
    for table, found in entries.items():
        rows = data.get(table, [])
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
            try:
                entry = msgspec.convert(row, Known)
            except msgspec.ValidationError as error:
                problems.append(f"{path}: {table} number {number}: {error}; an entry has rule, check, issue (a link) and expires (a date)")
                continue
            wrong = entry.wrong(path.parent, flaky=table == "flaky")
            problems += [f"{path}: {table} number {number}: {wrong}"] if wrong else []
            found.append(entry)
    items = [entry.item for found in entries.values() for entry in found]
    problems += [f"{path}: {rule} [{check}] is listed twice" for rule, check in sorted({item for item in items if items.count(item) > 1})]
    if problems:
        raise SuiteError(*problems)
    return KnownFailures(failure=tuple(entries["failure"]), flaky=tuple(entries["flaky"]))


def leads_somewhere(issue: str, folder: Path) -> bool:
    """Tell whether something is a link, or an anchor of a page that can be found from a folder."""
    if issue.startswith(("https://", "http://")):
        return True
    page, _, anchor = issue.partition("#")
    try:
        return bool(anchor) and f'id="{anchor}"' in (folder / page).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError):
        return False


HEADING = "# Written by `torvyn-conformance {}`. What is listed is broken; the list only says that it is known.\n"


def entry(table: str, rule: str, check: str, message: str, *, issue: str, expires: date) -> str:
    """Return one entry of a list, as TOML."""
    return (
        f"\n[[{table}]]\n# {' '.join(message.split())[:120]}\nrule = {_text(rule)}\ncheck = {_text(check)}\n"
        f"issue = {_text(issue)}\nexpires = {expires.isoformat()}\n"
    )


def baseline(results: Iterable[CheckResult], *, issue: str, expires: date) -> str:
    """Return a list of everything that fails or flickers in a run, as TOML."""
    lines = [HEADING.format("run --write-baseline")]
    for result in results:
        for finding in result.findings:
            table = "failure" if finding.outcome in FAILING else "flaky" if finding.outcome is Outcome.FLAKY else ""
            if table:
                lines.append(entry(table, finding.rule, finding.check, finding.message, issue=issue, expires=expires))
                if table == "flaky" and finding.runs:
                    lines.append(f"rate = {finding.seen / finding.runs:.4g}\nruns = {finding.runs}\n")
    return "".join(lines)


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()  # a JSON string is a TOML string


# ---------------------------------------------------------------- a run


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A run held against the list.

    Attributes:
        results: the run's results, with `xfail` for what is known to fail and `xpass` for what is said to fail and does not.
        unexpected: failures and flickers that are not on the list.
        stale: entries that the run contradicts; expired: entries past their last day.
    """

    results: tuple[CheckResult, ...]
    unexpected: tuple[str, ...]
    stale: tuple[str, ...]
    expired: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Return everything that somebody has to look at."""
        return (*self.unexpected, *self.stale, *self.expired)


def compare(known: KnownFailures, plan: Plan, results: Iterable[CheckResult], today: date) -> Comparison:
    """Hold a run against the list.

    An entry that was not executed is stale if nothing could execute it: there is no such rule or check, or the subject does not offer it.
    What was only left out by `--rules` is left alone.
    """
    expired = tuple(entry for entry in (*known.failure, *known.flaky) if entry.expires < today)
    failing = {entry.item: entry for entry in known.failure if entry not in expired}
    flickering = {entry.item: entry for entry in known.flaky if entry not in expired}
    unexpected: list[str] = []
    stale: list[str] = []

    def look(finding: Finding) -> Finding:
        item = finding.rule, finding.check
        name = f"{finding.rule} [{finding.check}]"
        if item in failing:
            if finding.outcome in FAILING:
                message = f"known until {failing[item].expires} ({failing[item].issue}): {finding.message}"
                return msgspec.structs.replace(finding, outcome=Outcome.XFAIL, message=message)
            if finding.outcome is Outcome.PASS:
                stale.append(f"{name} is listed as failing and passes: take it off the list ({failing[item].issue})")
                return msgspec.structs.replace(finding, outcome=Outcome.XPASS, message="passed, although it is listed as a known failure")
            stale.append(f"{name} is listed as failing and is {finding.outcome}: {finding.message}")
        elif item in flickering and finding.runs:
            entry = flickering[item]
            if entry.exceeded_by(finding):
                rates = f"{finding.seen} of {finding.runs} runs, recorded {entry.rate:.2g}"
                often = "fails every time" if finding.seen == finding.runs else "fails far oftener than was recorded"
                unexpected.append(f"{name} is listed as flaky and {often} ({rates}; {entry.issue}): {finding.message}")
            elif finding.outcome is Outcome.FAIL:  # every run failed, as the recorded rate makes likely enough
                return msgspec.structs.replace(finding, outcome=Outcome.FLAKY)
        elif finding.outcome in FAILING:
            what = f"is listed as flaky and is a {finding.outcome}" if item in flickering else "fails and is not listed"
            unexpected.append(f"{name} {what}: {finding.message}")
        elif finding.outcome is Outcome.FLAKY:
            unexpected.append(f"{name} flickers and is not listed: {finding.message}")
        return finding

    looked = tuple(msgspec.structs.replace(result, findings=tuple(look(finding) for finding in result.findings)) for result in results)
    executed = {(finding.rule, finding.check) for result in looked for finding in result.findings}
    left_out = {declined.rule for declined in plan.declined if declined.reason == "not selected"}
    stale += [
        f"{entry.rule} [{entry.check}] is listed, and no such check was executed"
        for entry in (*failing.values(), *flickering.values())
        if entry.item not in executed and entry.rule not in left_out
    ]
    return Comparison(
        results=looked,
        unexpected=tuple(unexpected),
        stale=tuple(stale),
        expired=tuple(f"{entry.rule} [{entry.check}] was known until {entry.expires} ({entry.issue})" for entry in expired),
    )
