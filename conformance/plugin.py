"""The pytest plugin: `pytest --torvyn-subject reference` adds one item per rule and check, named `torvyn::WMK-004[check-name]`.

Without a positional argument only the suite's items are collected; with paths, those tests run as well; an item's own id selects it. `-k`,
`-x`, `--lf`, `--junitxml` and pytest-xdist work as for any test: ids and order depend on nothing but subject, selection and rulebook.

An item passes only for the outcome `pass`. A declared absence is a skip with its reason; everything else fails. Pytest's exit code says
whether an item failed, not whether the subject is conformant: the summary has the verdict, and `torvyn-conformance run` its exit codes.

`pytest --torvyn-component x.wasm` adds the items of a component (`conformance.components.items`), run on the subject or the reference.

Without one of the two options the plugin does nothing, and imports nothing but pytest.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conformance.checks import Registry
    from conformance.execute import CheckResult, Finding
    from conformance.plan import Plan
    from conformance.rulebook import Rulebook
    from conformance.subjects.connect import Connection

NODE = "torvyn"
FINDING = "torvyn_finding"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("torvyn", "conformance with the rules of Torvyn")
    group.addoption(
        "--torvyn-subject", metavar="SUBJECT", help="judge this subject: reference, stdio:COMMAND, python:MODULE:FACTORY, mutant:NAME"
    )
    group.addoption(
        "--torvyn-component",
        metavar="PATH",
        action="append",
        default=[],
        help="validate this component, or those of this project, on the subject (default: the reference); repeatable",
    )
    group.addoption("--torvyn-component-config", metavar="TEXT", help="the configuration of a single component")
    group.addoption("--torvyn-engine", metavar="NAME", action="append", default=[], help="run components on this engine only; repeatable")
    group.addoption(
        "--torvyn-rules", metavar="PATTERN", action="append", default=[], help="only these rules: WMK-004, WMK, 'WMK-*'; repeatable"
    )
    group.addoption("--torvyn-profile", choices=("quick", "deep"), default="quick", help="how much to try (default: quick)")
    group.addoption("--torvyn-seed", type=int, default=0, metavar="N", help="the seed of all examples (default: 0)")
    group.addoption(
        "--torvyn-reply-timeout", type=float, default=30.0, metavar="SECONDS", help="for one answer of a stdio subject (default: 30)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Get ready to judge, when a subject was given."""
    if config.getoption("--torvyn-component"):
        from conformance.components.items import ComponentJudge  # noqa: PLC0415 -- nothing of the suite is loaded without a component

        config.pluginmanager.register(ComponentJudge(config), "torvyn-components")
        return
    if config.getoption("--torvyn-subject") is None:
        return
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist reports to the process that shows the totals
        config.pluginmanager.register(Totals(), "torvyn-totals")
    config.pluginmanager.register(Judge(config), "torvyn-judge")


class Judge:
    """One pytest process's subject, plan, and the results so far."""

    def __init__(self, config: pytest.Config) -> None:
        from conformance.checks import Depth, all_checks  # noqa: PLC0415 -- nothing of the suite is loaded without a subject
        from conformance.errors import SubjectError, SuiteError  # noqa: PLC0415 -- as above
        from conformance.plan import make_plan, select  # noqa: PLC0415 -- as above
        from conformance.rulebook import RulebookError, load  # noqa: PLC0415 -- as above
        from conformance.subjects.connect import Connection, find  # noqa: PLC0415 -- as above
        from conformance.subjects.stdio import StdioSettings  # noqa: PLC0415 -- as above

        def option(name: str) -> Any:
            return config.getoption(f"--torvyn-{name}")

        self.subject: str = option("subject")
        self._results: dict[str, CheckResult] = {}
        try:
            self.rulebook: Rulebook = load()
            select(self.rulebook, option("rules"))
            self.registry: Registry = all_checks(self.rulebook)
            settings = StdioSettings(reply_timeout=option("reply-timeout"))
            self._connection: Connection = Connection(find(self.subject, settings))
            self.plan: Plan = make_plan(
                self.rulebook,
                self.registry,
                self._connection.session().declaration,
                selection=option("rules"),
                depth=Depth(option("profile")),
                seed=option("seed"),
            )
        except SubjectError as error:
            raise pytest.UsageError(f"the subject did not introduce itself: {error}\n{error.detail}") from error
        except (SuiteError, RulebookError) as error:
            raise pytest.UsageError(str(error)) from error
        self._wanted = self._take_ids(config)

    def _take_ids(self, config: pytest.Config) -> frozenset[str]:
        """Take our own ids out of pytest's arguments, which it would look for on the disk; without any path, do not collect the tests."""
        ours = frozenset(argument for argument in config.args if argument.startswith(f"{NODE}::"))
        config.args = [argument for argument in config.args if argument not in ours]
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            config.args = []
        return ours

    def finding(self, rule: str, check: str) -> Finding:
        """Return what a check says about a rule; the check runs once for all of its rules."""
        from conformance.execute import run_check  # noqa: PLC0415 -- nothing of the suite is loaded without a subject

        result = self._results.get(check)
        if result is None:
            result = run_check(self.registry.get(check), self._connection, depth=self.plan.depth, seed=self.plan.seed)
            self._results[check] = result
        return next(finding for finding in result.findings if finding.rule == rule)

    def pytest_report_header(self) -> list[str]:
        """Say what is going to be executed, before it is."""
        plan = self.plan
        return [
            f"torvyn: {plan.subject.name} {plan.subject.version} ({self.subject}), {len(plan.items)} items, seed {plan.seed}, {plan.depth}",
            f"torvyn: plan {plan.digest}",
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the suite's items, before anybody selects among them."""
        collector = RuleCollector.from_parent(session, name=NODE, nodeid=NODE)
        collector.judge = self
        report = collector.ihook.pytest_make_collect_report(collector=collector)
        added = [item for item in report.result if not self._wanted or item.nodeid in self._wanted]
        unknown = self._wanted - {item.nodeid for item in added}
        if unknown:
            raise pytest.UsageError(f"no such item: {', '.join(sorted(unknown))} (see --collect-only)")
        report.result = added
        collector.ihook.pytest_collectreport(report=report)  # so that pytest counts them as collected
        items.extend(added)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send an item's finding along with its report, so that it arrives from another process, too."""
        report = yield
        if isinstance(item, RuleItem) and item.finding is not None and call.when == "call":
            finding = item.finding
            said = {"rule": finding.rule, "check": finding.check, "outcome": str(finding.outcome), "evaluations": finding.evaluations}
            setattr(report, FINDING, {**said, "message": finding.message})
        return report

    def pytest_unconfigure(self) -> None:
        """End the subject."""
        self._connection.close()


class RuleCollector(pytest.Collector):
    """Where the items stand in pytest's tree."""

    judge: Judge

    def collect(self) -> Iterator[RuleItem]:
        """Make one item per rule and check, those that are declined included."""
        plan = self.judge.plan
        reasons: dict[tuple[str, str], str] = {(each.rule, each.check): each.reason for each in plan.declined if each.check is not None}
        pairs = sorted({(item.check, item.rule) for item in plan.items} | {(check, rule) for rule, check in reasons})
        for check, rule in pairs:
            name = f"{rule}[{check}]"
            item = RuleItem.from_parent(
                self,
                name=name,
                nodeid=f"{NODE}::{name}",  # as text: pytest compares ids in parts, and --lf reads them back from text
                rule=rule,
                check=check,
                declined=reasons.get((rule, check)),
            )
            if self.config.pluginmanager.hasplugin("xdist"):  # with --dist loadgroup, a check's rules are judged in one run of it
                item.add_marker(pytest.mark.xdist_group(check))
            yield item


class RuleItem(pytest.Item):
    """One rule judged by one check."""

    def __init__(self, *, rule: str, check: str, declined: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule
        self.check = check
        self._declined = declined
        self.finding: Finding | None = None

    @property
    def judge(self) -> Judge:
        """Return the judge of this process."""
        assert isinstance(self.parent, RuleCollector)
        return self.parent.judge

    def runtest(self) -> None:
        """Execute the check, or look up what it said when another rule's item executed it."""
        if self._declined is not None:
            pytest.skip(f"unsupported: {self._declined}")
        finding = self.judge.finding(self.rule, self.check)
        self.finding = finding
        self.user_properties.append(("rule", self.rule))
        self.user_properties.append(("outcome", str(finding.outcome)))
        if finding.outcome == "unsupported":
            pytest.skip(f"unsupported: {finding.message}")
        if finding.outcome != "pass":
            raise NotPassedError(finding)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show a finding by the rule's words, not by a traceback through the suite."""
        if not isinstance(excinfo.value, NotPassedError):
            return super().repr_failure(excinfo, style)
        from conformance.report.json import failure_of  # noqa: PLC0415 -- nothing of the suite is loaded without a subject
        from conformance.report.text import render_failure  # noqa: PLC0415 -- as above

        judge = self.judge
        return render_failure(failure_of(judge.rulebook, judge.plan, judge.subject, excinfo.value.finding))

    def reportinfo(self) -> tuple[str, None, str]:
        """Name the item in reports."""
        return NODE, None, f"{self.rule}[{self.check}]"


class NotPassedError(Exception):
    """An item whose outcome is not `pass`."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.outcome}: {finding.message}")
        self.finding = finding


class Totals:
    """The controlling process: it collects the findings of all workers and says what they amount to."""

    def __init__(self) -> None:
        self._findings: dict[tuple[str, str], Finding] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of one item's finding."""
        said: dict[str, Any] | None = getattr(report, FINDING, None)
        if said is not None:
            from conformance.execute import Finding  # noqa: PLC0415 -- nothing of the suite is loaded without a subject
            from conformance.verdict import Outcome  # noqa: PLC0415 -- as above

            finding = Finding(**{**said, "outcome": Outcome(said["outcome"])})
            self._findings[finding.rule, finding.check] = finding

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Say what was planned, what was executed, and what the findings amount to."""
        from conformance.report.json import build  # noqa: PLC0415 -- nothing of the suite is loaded without a subject
        from conformance.report.text import verdict_line  # noqa: PLC0415 -- as above
        from conformance.verdict import judge as judge_findings  # noqa: PLC0415 -- as above

        judge = config.pluginmanager.get_plugin("torvyn-judge")
        if not isinstance(judge, Judge) or config.getoption("--collect-only"):
            return
        plan = judge.plan
        terminalreporter.section("torvyn")
        if len(self._findings) < len(plan.items):
            terminalreporter.line(f"{len(self._findings)} of {len(plan.items)} planned items were executed: no verdict")
        else:
            judgement = judge_findings(judge.rulebook, plan, self._findings.values())
            terminalreporter.line(verdict_line(build(judge.rulebook, plan, judge.subject, (), judgement)))
        terminalreporter.line(f"plan {plan.digest}")
