"""Components as pytest items: `pytest --torvyn-component x.wasm` adds `x.wasm::OWN-021[elements]` and so on, one per check and rule.

A check runs once per process for all of its items. An item fails for an error that names its rule, and for a check that did not get to its
end; a check with nothing to try is a skip, with its reason. `x.wasm::others[elements]` fails for whatever else the check saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conformance.components.door import contained
from conformance.components.examine import FOCUS, Examination, Examined
from conformance.components.manifest import find_targets
from conformance.components.model import Level, Outcome, Wishes
from conformance.components.play import Clock
from conformance.components.result import Finding
from conformance.components.text import render_finding
from conformance.components.validate import engines_of, finding_of
from conformance.errors import SubjectError, SuiteError
from conformance.rulebook import RulebookError, load
from conformance.subjects.connect import Connection
from conformance.subjects.stdio import StdioSettings

OTHERS = "others"
"""Stands for every rule that a check is not about."""

REPLY_TIMEOUT = 300.0
"""Seconds at least: compiling a large component takes its time."""

SKIPPED = frozenset({Outcome.INAPPLICABLE, Outcome.UNSUPPORTED})


class ComponentJudge:
    """One pytest process's components, the runtime they run on, and what the checks have said so far."""

    def __init__(self, config: pytest.Config) -> None:
        def option(name: str) -> Any:
            return config.getoption(f"--torvyn-{name}")

        subject = option("subject") or Wishes().subject
        self._wishes = Wishes(
            subject=subject,
            seed=option("seed"),
            deep=option("profile") == "deep",
            engines=tuple(option("engine")),
        )
        self._examined: dict[tuple[str, str], Examined] = {}
        self.components: dict[str, Examination] = {}
        try:
            self.rulebook = load()
            settings = StdioSettings(reply_timeout=max(option("reply-timeout"), REPLY_TIMEOUT))
            self._connection = Connection(contained(subject, settings=settings))
            engines = engines_of(self._connection, self._wishes.engines)
            for path in option("component"):
                for target in find_targets(path, config=option("component-config")):
                    self.components[_name(path, target.name)] = Examination(target, self._connection, self._wishes, engines, Clock())
        except SubjectError as error:
            raise pytest.UsageError(f"the subject did not introduce itself: {error}\n{error.detail}") from error
        except (SuiteError, RulebookError) as error:
            raise pytest.UsageError(str(error)) from error
        self._wanted = self._take_ids(config)

    def _take_ids(self, config: pytest.Config) -> frozenset[str]:
        """Take our own ids out of pytest's arguments; without any path, do not collect the tests."""
        ours = frozenset(argument for argument in config.args if any(argument.startswith(f"{name}::") for name in self.components))
        config.args = [argument for argument in config.args if argument not in ours]
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            config.args = []
        return ours

    def examined(self, component: str, check: str) -> Examined:
        """Return what a check says of a component; it is made once."""
        key = component, check
        if key not in self._examined:
            self._examined[key] = self.components[component].make(check)
        return self._examined[key]

    def findings(self, component: str, check: str, rule: str) -> list[Finding]:
        """Return what a check has found about a rule, or about all that it is not about."""
        known = FOCUS[check][1]
        return [
            finding_of(self.components[component], check, suspicion, self.rulebook)
            for suspicion in self.examined(component, check).found.values()
            if suspicion.rule == rule or (rule == OTHERS and suspicion.rule not in known)
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the items, before anybody selects among them."""
        for name in self.components:
            collector = ComponentCollector.from_parent(session, name=name, nodeid=name)
            collector.judge = self
            report = collector.ihook.pytest_make_collect_report(collector=collector)
            report.result = [item for item in report.result if not self._wanted or item.nodeid in self._wanted]
            collector.ihook.pytest_collectreport(report=report)
            items.extend(report.result)
        unknown = self._wanted - {item.nodeid for item in items}
        if unknown:
            raise pytest.UsageError(f"no such item: {', '.join(sorted(unknown))} (see --collect-only)")

    def pytest_unconfigure(self) -> None:
        """End the subject."""
        self._connection.close()


def _name(path: str, target: str) -> str:
    """Return a component's name in ids: the path as given, and in a project its node."""
    _, colon, node = target.partition(": ")
    return f"{path}::{node.replace(' ', '')}" if colon else path


class ComponentCollector(pytest.Collector):
    """Where a component stands in pytest's tree."""

    judge: ComponentJudge

    def collect(self) -> Iterator[ComponentItem]:
        """Make one item per check and rule."""
        for check, (_, rules) in FOCUS.items():
            for rule in (*rules, OTHERS):
                name = f"{rule}[{check}]"
                item = ComponentItem.from_parent(self, name=name, nodeid=f"{self.name}::{name}", rule=rule, check=check)
                if self.config.pluginmanager.hasplugin("xdist"):  # with --dist loadgroup, a check's rules are judged in one run of it
                    item.add_marker(pytest.mark.xdist_group(f"{self.name}::{check}"))
                yield item


class ComponentItem(pytest.Item):
    """One check of one component, about one rule."""

    def __init__(self, *, rule: str, check: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule
        self.check = check

    def runtest(self) -> None:
        """Make the check, or look up what it said, and take what concerns the rule."""
        collector = self.parent
        assert isinstance(collector, ComponentCollector)
        judge = collector.judge
        found = judge.findings(collector.name, self.check, self.rule)
        self.user_properties.append(("rule", self.rule))
        errors = [finding for finding in found if finding.level is Level.ERROR]
        if errors:
            raise ComponentFailedError("\n\n".join(render_finding(finding) for finding in errors))
        for finding in found:
            self.add_report_section("call", "torvyn", render_finding(finding))
        examined = judge.examined(collector.name, self.check)
        if examined.outcome in SKIPPED:
            pytest.skip(f"{examined.outcome}: {examined.reason}")
        if examined.outcome is not None and examined.outcome is not Outcome.PASS:
            raise ComponentFailedError(f"{self.check} {examined.outcome}: {examined.reason}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show a finding by the rule's words, not by a traceback through the suite."""
        if isinstance(excinfo.value, ComponentFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """Name the item in reports."""
        assert self.parent is not None
        return self.parent.name, None, f"{self.rule}[{self.check}]"


class ComponentFailedError(Exception):
    """An item that did not pass, in words."""
