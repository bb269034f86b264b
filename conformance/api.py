"""One call for a runtime's own tests: hold a Python resource manager to the rules of ownership, pools, budgets and copies.

    from conformance.api import check_resources

    def test_our_buffers():
        check_resources(OurResources())

`OurResources` has one method per message `resources.*` (`conformance.subjects.inprocess.ResourcesFacet`). The checks are those of
`torvyn-conformance run`, and the report names the rule, what was expected and found, and the shortest list of operations that shows it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from conformance.checks import Depth, all_checks
from conformance.errors import Refused
from conformance.execute import CHECK_TIMEOUT, Finding, narrow, run_check
from conformance.plan import make_plan
from conformance.rulebook import load
from conformance.subjects.connect import Connection, Door
from conformance.subjects.inprocess import Checked, InProcess, PythonSubject, ResourcesFacet
from conformance.subjects.protocol import Facet
from conformance.verdict import Outcome

RESOURCE_RULES = ("OWN", "POOL", "BUF", "BUDGET", "COPY")
"""The areas that `check_resources` looks at, as far as the facet resources shows them."""

BAD = frozenset({Outcome.FAIL, Outcome.FLAKY, Outcome.TIMEOUT, Outcome.CRASH, Outcome.ERROR})
"""The outcomes with which no MUST is kept."""


@dataclass(frozen=True, slots=True)
class ResourceReport:
    """What `check_resources` has found, one finding for each check of each rule. No MUST is broken, or there would be no report.

    Attributes:
        findings: of everything that was executed.
    """

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> tuple[str, ...]:
        """Return the rules that hold."""
        return self._rules(Outcome.PASS, besides=False)

    @property
    def open(self) -> tuple[str, ...]:
        """Return the rules of which at least one check did not end with a pass: advice not taken, or nothing shown."""
        return self._rules(Outcome.PASS, besides=True)

    def _rules(self, outcome: Outcome, *, besides: bool) -> tuple[str, ...]:
        others = {finding.rule for finding in self.findings if finding.outcome is not outcome}
        return tuple(dict.fromkeys(finding.rule for finding in self.findings if (finding.rule in others) is besides))


class ResourcesBrokenError(AssertionError):
    """A resource manager broke a MUST, or could not be judged.

    Attributes:
        findings: what was found, one for each rule and check.
    """

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(_show(finding) for finding in findings))
        self.findings = findings


def _no_refusal(_error: Exception) -> None:
    """Take every exception for a crash."""


def check_resources(
    subject: ResourcesFacet | PythonSubject,
    *,
    rules: Iterable[str] = RESOURCE_RULES,
    depth: Depth = Depth.QUICK,
    seed: int = 0,
    capabilities: Iterable[str] = (),
    refusal: Callable[[Exception], Refused | None] = _no_refusal,
) -> ResourceReport:
    """Run every check of the facet resources against a Python object, and return what was found.

    Args:
        subject: the facet's methods, or a whole subject (of which only the facet resources is driven).
        rules: patterns of rule ids ("OWN", "POOL-011", "BUDGET-00*").
        depth: quick for every change (a few seconds), deep for a release.
        seed: the same seed draws the same operations.
        capabilities: what the subject declares on the facet (`gap=zero-fill`, `exhaustion_error`, ...), for a bare facet object.
        refusal: translates an exception of the runtime into `conformance.errors.Refused`, for a bare facet object; None says crash.

    Raises:
        ResourcesBrokenError: a MUST is broken, or the subject crashed or answered nonsense; every such finding in one message.
        SuiteError: a pattern names no rule.
    """
    if isinstance(subject, PythonSubject):
        whole = subject
    else:
        claims = {Facet.RESOURCES: tuple(capabilities)}
        whole = PythonSubject(name=type(subject).__name__, version="", resources=subject, capabilities=claims, refusal=refusal)
    door = Door(whole.name, lambda: Checked(InProcess(whole)), in_process=True)
    rulebook, registry = load(), all_checks()
    plan = make_plan(rulebook, registry, whole.declaration(), selection=rules, depth=depth, seed=seed)
    levels = {rule.id: rule.level for rule in rulebook.rules}
    connection = Connection(door)
    findings: list[Finding] = []
    try:
        for name, wanted in plan.by_check().items():
            check = registry.get(name)
            if check.facet is Facet.RESOURCES:
                result = run_check(check, connection, depth=depth, seed=seed, check_timeout=CHECK_TIMEOUT)
                findings.extend(narrow(result, wanted).findings)
    finally:
        connection.close()
    broken = tuple(finding for finding in findings if finding.outcome in BAD and levels[finding.rule].startswith("MUST"))
    if broken:
        raise ResourcesBrokenError(broken)
    return ResourceReport(tuple(findings))


def _show(finding: Finding) -> str:
    lines = [f"{finding.rule} ({finding.check}): {finding.outcome}: {finding.message}"]
    if finding.expected or finding.found:
        lines.append(f"  expected {finding.expected}, found {finding.found}")
    steps = finding.evidence.get("steps", ()) if isinstance(finding.evidence, dict) else ()
    lines += [f"  {json.dumps(step)}" for step in steps]
    return "\n".join(lines)
