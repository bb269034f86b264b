"""What `run` does around the checks: it meets the subject, and weighs what is known, claimed and asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from conformance.claims import Claim, ClaimFinding, check_claims
from conformance.errors import SubjectError, SuiteError
from conformance.execute import CheckResult
from conformance.known import Comparison
from conformance.plan import Plan, select
from conformance.rulebook import AREA_PROFILE, Profile, Rulebook
from conformance.subjects import protocol as p
from conformance.subjects.connect import Connection, find
from conformance.subjects.stdio import StdioSettings
from conformance.verdict import EXIT_CODES, EXIT_HARNESS, Judgement, Verdict

Claims = tuple[ClaimFinding, ...]

DAYS = 90
"""How long a baseline counts when nothing else was said."""
MOST_SINGLE = 3
"""Operations of a facet whose over-claims are reasons of their own; more of them are one."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """How a subject introduced itself.

    Attributes:
        declaration: what it said; nobody offering nothing, if it did not.
        failures: why it could not be met.
    """

    declaration: p.Declaration
    failures: tuple[str, ...] = ()


def meet(rulebook: Rulebook, subject: str, settings: StdioSettings, selection: Iterable[str]) -> Meeting:
    """Start the subject and hear who it is.

    A subject that starts and does not introduce itself is not wrong usage: it is judged, and it fails.

    Raises:
        SuiteError: it names no subject, it cannot be started, or the selection names no rule.
    """
    select(rulebook, selection)  # a mistake in the selection is told before anything is started
    connection = Connection(find(subject, settings))
    try:
        return Meeting(connection.session().declaration)
    except SubjectError as error:
        said = "; ".join(line for line in error.detail.splitlines() if line)[:500]
        message = f"the subject did not introduce itself ({error.fault}): {error}{f' [{said}]' if said else ''}"
        return Meeting(p.Declaration(subject, "", p.PROTOCOL, ()), failures=(message,))
    finally:
        connection.close()


def hold_to_its_claims(subject: str, settings: StdioSettings, meeting: Meeting, plan: Plan, results: Iterable[CheckResult]) -> Claims:
    """Hold what the subject claims against what it answers.

    That comes after the checks, and not at all when a worker was lost in them: a subject that ends its process would end this one.
    """
    lost = {item.check for item in plan.items} - {result.check for result in results}
    if meeting.failures or lost:
        return ()
    connection = Connection(find(subject, settings))
    try:
        return check_claims(connection.session())
    except SubjectError as error:
        return (ClaimFinding(kind=Claim.BROKEN, operation="hello", message=f"the subject did not introduce itself again: {error}"),)
    finally:
        connection.close()


def told(claims: Claims) -> list[str]:
    """Return the claims that do not hold as reasons: a facet of which much is declined is one reason, and not one for each operation."""
    declined: dict[str, list[str]] = {}
    for claim in claims:
        if claim.kind is Claim.OVER:
            declined.setdefault(claim.operation.partition(".")[0], []).append(claim.operation)
    many = {facet: names for facet, names in declined.items() if len(names) > MOST_SINGLE}
    whole = [
        f"the subject claims the facet {facet} and declines {len(names)} of its operations; what it leaves out it must declare: "
        f"{', '.join(name.partition('.')[2] for name in names)}"
        for facet, names in many.items()
    ]
    return whole + [claim.message for claim in claims if claim.kind is not Claim.OVER or claim.operation.partition(".")[0] not in many]


def areas_of(profiles: Iterable[Profile]) -> list[str]:
    """Return the areas of some profiles."""
    wanted = set(profiles)
    return [str(area) for area, profile in AREA_PROFILE.items() if profile in wanted]


def follow_up(file: Path | None, issue: str | None, expires: str | None) -> tuple[str, date] | None:
    """Return link and last day for a baseline; None when none is to be written.

    Raises:
        SuiteError: there is a file and no link, or a link and no file, or the date is none.
    """
    if file is None:
        if issue is not None or expires is not None:
            raise SuiteError("--issue and --expires say who follows up what --write-baseline writes; there is no --write-baseline")
        return None
    if issue is None or not issue.startswith(("https://", "http://")):
        raise SuiteError("--write-baseline needs --issue with a link: a failure that nobody follows up is not known, it is forgotten")
    if expires is None:
        return issue, datetime.now(UTC).date() + timedelta(days=DAYS)
    try:
        return issue, date.fromisoformat(expires)
    except ValueError as error:
        raise SuiteError(f"--expires is {expires!r}; write a date like 2027-01-31") from error


def start_transcript(file: Path | None, subject: str, jobs: int) -> Path | None:
    """Empty the file that a transcript is going to be written to.

    Raises:
        SuiteError: there is nothing to write down, more than one process would write, or the file cannot be written.
    """
    if file is None:
        return None
    if not subject.startswith("stdio:"):
        raise SuiteError(f"--transcript writes down the lines of a stdio subject; {subject!r} has none")
    if jobs > 1:
        raise SuiteError("--transcript needs --jobs 1: the lines of several processes would be mixed")
    try:
        file.write_bytes(b"")
    except OSError as error:
        raise SuiteError(f"the transcript cannot be written to {file}: {error.strerror}") from error
    return file


def surprised(judgement: Judgement, compared: Comparison, *, met: bool = True) -> Judgement:
    """Return a judgement whose exit code says whether anything happened that the list of known failures does not have.

    The verdict stays what it is: a known failure is one.
    """
    reasons = (*compared.problems, *judgement.reasons)
    if judgement.exit_code == EXIT_HARNESS:
        return replace(judgement, reasons=reasons)
    if compared.problems or not met:
        return replace(judgement, reasons=reasons, exit_code=EXIT_CODES[Verdict.NOT_CONFORMANT])
    if judgement.verdict is Verdict.NOT_CONFORMANT:
        return replace(judgement, reasons=reasons, exit_code=EXIT_CODES[Verdict.INDETERMINATE])
    return replace(judgement, reasons=reasons)
