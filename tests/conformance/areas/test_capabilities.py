"""The checks of area CAP: what they accept, and that the model behind them says what the rules say."""

from dataclasses import replace

import pytest

from conformance.areas import auditing, capability_texts, covering, granting, guarded_flows, rights
from conformance.checks import Budget
from conformance.errors import Violation
from conformance.models import capabilities as model
from conformance.models.rotation import files_after
from conformance.subjects.inprocess import InProcess
from conformance.subjects.reference import ReferenceParts, SecurityParts, reference_subject
from conformance.subjects.session import Session
from torvyn_ref.config import load
from torvyn_ref.security.audit import AuditLog
from torvyn_ref.security.capability import Capability, parse
from torvyn_ref.security.kinds import SCOPE_TYPES, Kind
from torvyn_ref.security.scopes import NetScope, PathScope


def judge(check, rule, **parts):
    budget = Budget(rules=(rule,))
    check(Session(InProcess(reference_subject(ReferenceParts(security=SecurityParts(**parts))))), budget)
    return budget.evaluations[rule]


def test_a_needless_scope_may_be_ignored():
    def ignoring(text):
        kind = ":".join(text.split(":")[:2])
        return parse(kind) if kind in set(Kind) - set(SCOPE_TYPES) else parse(text)

    assert judge(capability_texts.no_scope_where_none_belongs, "CAP-005", parse=ignoring)


def test_a_needless_scope_may_not_become_part_of_what_is_written():
    class Loose(Capability):
        def __str__(self):
            return f"{self.kind}:x"

    def keeping(text):
        kind = ":".join(text.split(":")[:2])
        return Loose(Kind(kind)) if kind in set(Kind) - set(SCOPE_TYPES) else parse(text)

    with pytest.raises(Violation, match="the scope of"):
        judge(capability_texts.no_scope_where_none_belongs, "CAP-005", parse=keeping)


def test_globs_may_stand_for_themselves():
    class Literal(PathScope):
        def __post_init__(self):
            pass

    def literal(text):
        if any(sign in text for sign in "*?[") and text.startswith("filesystem:read:"):
            return Capability(Kind.FILESYSTEM_READ, Literal(text.removeprefix("filesystem:read:")))
        return parse(text)

    assert judge(capability_texts.globs_open_nothing, "CAP-013", parse=literal)


def test_ranges_may_be_covered_one_by_one_only():
    def single(grant, request):
        if isinstance(grant.scope, NetScope) and grant.scope.ports and request.scope.ports and len(request.scope.ports) == 1:
            wanted = request.scope.ports[0]
            if (wanted.first, wanted.last) == (50, 150) and grant.scope.ports[0].last < 250:
                return False
        return grant.covers(request)

    assert judge(covering.ports_are_covered_or_not, "CAP-020", covers=single)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nocolon", model.MALFORMED),
        ("filesystem:read", model.NO_SCOPE),
        ("magic:x", model.UNKNOWN),
        ("filesystem:read:rel", model.MALFORMED),
        ("filesystem:read:/data/../../etc", model.MALFORMED),
        ("network:udp:a.com:1-2-3", model.MALFORMED),
        ("clock:wall:x", None),
        ("filesystem:read:/data/*", None),
        ("network:udp:10.0.0.1", None),
    ],
)
def test_the_model_reads_as_the_rules_say(text, found):
    assert model.read(text) == found


@pytest.mark.parametrize(
    ("grant", "request_", "covered"),
    [
        ("filesystem:read:/data", "filesystem:read:/data2", False),
        ("filesystem:read:/data", "filesystem:read:/data/../data/in", True),
        ("network:udp:*.a.com", "network:udp:nota.com", False),
        ("network:udp:*.a.com", "network:udp:a.com", True),
        ("network:udp:a.com:1-100,101-200", "network:udp:a.com:50-150", None),
        ("network:udp:a.com:0-65535", "network:udp:a.com", None),
        ("network:udp:*:443", "network:udp", False),
    ],
)
def test_the_model_compares_as_the_rules_say(grant, request_, covered):
    assert model.covers(model.read(grant), model.read(request_)) is covered


def test_the_model_resolves_as_the_rules_say():
    declared = ("clock:wall", "?clock:wall", "filesystem:read:/data/in", "?stdio:stderr")
    found = model.resolve(declared, ("filesystem:read:/data", "clock:wall", "clock:wall"))
    assert found.effective == ("clock:wall", "filesystem:read:/data/in")
    kinds = sorted(kind for kind, _ in found.warnings)
    assert kinds == ["declared-twice", "optional-not-granted", "unused-grant"]
    assert model.resolve(declared, ()).errors == (("missing-required", "clock:wall"), ("missing-required", "filesystem:read:/data/in"))


@pytest.mark.parametrize(
    ("max_bytes", "max_files", "files"),
    [
        (20, 2, {"audit": [4], "audit.1": [2, 3], "audit.2": [0, 1]}),
        (20, 1, {"audit": [4], "audit.1": [2, 3]}),
        (20, 0, {"audit": [4]}),
        (5, 2, {"audit": [4], "audit.1": [3], "audit.2": [2]}),
        (1000, 2, {"audit": [0, 1, 2, 3, 4]}),
    ],
)
def test_the_model_rotates_as_the_rules_say(max_bytes, max_files, files):
    assert files_after([10] * 5, max_bytes, max_files) == files


def test_one_warning_per_component_is_enough_under_allow_all():
    class Once:
        def __init__(self, sink, clock, **options):
            self._log = AuditLog(sink, clock, **options)

        def __getattr__(self, name):
            return getattr(self._log, name)

        def resolved(self, resolution, *, component, flow=None):
            if resolution.warnings:
                self._log.resolved(replace(resolution, warnings=resolution.warnings[:1]), component=component, flow=flow)

    assert judge(granting.allow_all_allows_what_was_declared, "CAP-057", audit=Once)


def test_a_number_that_gets_another_digit_on_the_way_is_no_fault():
    class Going(AuditLog):
        numbers = 97

        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self._sequence = Going.numbers

        def emit(self, *arguments, **options):
            event = super().emit(*arguments, **options)
            Going.numbers = self._sequence
            return event

    assert judge(auditing.rotated_in_time, "CAP-052", audit=Going)


def run(check, rule, **parts):
    budget = Budget(rules=(rule,))
    check(Session(InProcess(reference_subject(ReferenceParts(**parts)))), budget)
    return budget.evaluations[rule]


def test_strict_mode_may_be_the_only_one():
    def strictly(path, **options):
        return load(path, **{**options, "overrides": {"security.strict_allocation": True}})

    assert run(guarded_flows.allocation_is_implied, "CAP-038", load_project=strictly)


def test_strict_mode_that_refuses_what_is_granted_is_caught():
    def never(path, **options):
        project = load(path, **options)
        if project.security.strict_allocation:
            grants = project.security.model_copy(update={"grants": {}})
            return replace(project, manifest=project.manifest.model_copy(update={"security": grants}))
        return project

    with pytest.raises(Violation, match="in strict mode"):
        run(guarded_flows.allocation_is_implied, "CAP-038", load_project=never)


def test_a_host_may_link_an_interface_that_opens_nothing():
    """WASI's environment without a grant, and without variables: nothing is reached."""

    def linked(sandbox):
        if "environment:read" in sandbox.capabilities:
            return sandbox
        return replace(sandbox, capabilities=sandbox.capabilities | {"environment:read"}, environment={})

    assert run(rights.only_what_was_resolved_is_linked, "CAP-041", sandbox=linked)
