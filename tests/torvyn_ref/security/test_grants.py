import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security import Allocator, CapabilitySet, Policy, Remark, parse, resolve
from torvyn_ref.security.grants import ALLOCATOR_IMPORT, declared_kinds
from torvyn_ref.security.kinds import Kind

WORDS = [
    "clock:wall",
    "clock:monotonic",
    "filesystem:read:/",
    "filesystem:read:/a",
    "filesystem:read:/a/b",
    "filesystem:write:/a",
    "network:tcp-connect",
    "network:tcp-connect:*.x.com:443",
    "network:tcp-connect:a.x.com",
    "network:tcp-connect:a.x.com:443",
    "torvyn:resource-allocate",
    "torvyn:resource-allocate:small",
    "torvyn:custom-metrics",
]
grants = st.lists(st.sampled_from(WORDS), max_size=5)
declarations = st.lists(st.tuples(st.sampled_from(["", "?"]), st.sampled_from(WORDS)).map("".join), max_size=5)


def outcome(declared, granted, policy=Policy.DENY_ALL, allocator=Allocator.ABSENT):
    """Resolve, and return the resolution or the errors."""
    try:
        return resolve(declared, granted, policy, component="node", allocator=allocator), ()
    except TorvynErrors as refusal:
        return None, refusal.errors
    except TorvynError as refusal:
        return None, (refusal,)


@given(declarations, grants)
def test_nothing_is_effective_that_was_not_both_declared_and_granted(declared, granted):
    resolution, _ = outcome(declared, granted)
    if resolution is not None:
        asked = {parse(entry.removeprefix("?")) for entry in declared}
        for capability in resolution.effective:
            assert capability in asked
            assert any(parse(grant).covers(capability) for grant in granted)


@given(declarations, grants)
def test_resolution_fails_exactly_when_some_required_capability_has_no_single_covering_grant(declared, granted):
    required = {parse(entry) for entry in declared if not entry.startswith("?")}
    held = [parse(grant) for grant in granted]
    missing = {str(request) for request in required if not any(grant.covers(request) for grant in held)}
    resolution, errors = outcome(declared, granted)
    assert (resolution is None) is bool(missing)
    assert sorted(error.fields["capability"] for error in errors) == sorted(missing)
    for error in errors:
        similar = any(grant.kind is parse(error.fields["capability"]).kind for grant in held)
        assert (error.kind, error.code) == (("incompatible-scope", "E0521") if similar else ("missing-required", "E0520"))


@given(declarations, grants)
def test_every_grant_is_either_behind_a_decision_or_reported_unused(declared, granted):
    resolution, _ = outcome(declared, granted)
    if resolution is not None:
        unused = [warning.capability for warning in resolution.warnings if warning.remark is Remark.UNUSED_GRANT]
        used = {decision.granted for decision in resolution.decisions}
        assert used <= set(granted)
        assert set(granted) == used | set(unused)
        assert len(unused) == len(granted) - len({*used})


@given(declarations, grants)
def test_allow_all_grants_everything_declared_and_nothing_else(declared, granted):
    resolution, errors = outcome(declared, granted, Policy.ALLOW_ALL)
    assert not errors
    assert set(resolution.effective) == {parse(entry.removeprefix("?")) for entry in declared}
    allowed = {warning.capability for warning in resolution.warnings if warning.remark is Remark.ALLOWED_BY_POLICY}
    ungranted = {str(request) for request in resolution.effective if not any(parse(grant).covers(request) for grant in granted)}
    assert allowed == ungranted


@given(grants)
def test_deny_all_gives_a_component_without_declarations_nothing(granted):
    resolution, errors = outcome([], granted)
    assert not errors
    assert len(resolution.effective) == 0
    assert len(resolution.warnings) == len(granted)


@given(declarations, grants, st.sampled_from(list(Allocator)))
def test_adding_a_grant_never_takes_anything_but_pools_away(declared, granted, allocator):
    before, _ = outcome(declared, granted, allocator=allocator)
    if before is not None:
        for extra in WORDS:
            after, _ = outcome(declared, [*granted, extra], allocator=allocator)
            pools = parse(extra).kind is Kind.RESOURCE_ALLOCATE
            assert pools or set(before.effective) <= set(after.effective)


@pytest.mark.parametrize("grant", [None, "torvyn:resource-allocate", "torvyn:resource-allocate:small"])
@pytest.mark.parametrize("allocator", list(Allocator))
def test_the_allocator_is_open_exactly_when_implied_or_granted(allocator, grant):
    resolution, errors = outcome([], [grant] if grant else [], allocator=allocator)
    if allocator is Allocator.ABSENT:
        assert len(resolution.effective) == 0
    elif grant:
        assert [str(capability) for capability in resolution.effective] == [grant]
    elif allocator is Allocator.IMPLIED:
        assert [str(capability) for capability in resolution.effective] == ["torvyn:resource-allocate"]
        assert resolution.decisions[0].granted == ALLOCATOR_IMPORT
    else:
        assert [error.kind for error in errors] == ["missing-required"]


def test_errors_name_the_node_and_what_to_write_where():
    _, errors = outcome(["filesystem:read:/data"], ["filesystem:read:/tmp"])
    assert str(errors[0]) == (
        "[E0521] node: requires filesystem:read:/data, and no single grant covers it; granted: filesystem:read:/tmp "
        '(under [security.grants.node], add "filesystem:read:/data" to capabilities, if the component may have it)'
    )


def test_an_unreadable_grant_is_reported_alone_and_unreadable_declarations_with_what_is_missing():
    _, errors = outcome(["clock:wall"], ["clock:wal"])
    assert [error.kind for error in errors] == ["unknown-capability"]
    _, errors = outcome(["clock:wal", "random:crypto"], [])
    assert [error.kind for error in errors] == ["unknown-capability", "missing-required"]


def test_a_decision_says_who_asked_who_granted_and_what_came_of_it():
    resolution, _ = outcome(["filesystem:read:/a/b", "wasi-clocks"], ["filesystem:read:/a", "clock:wall"])
    assert [(one.requested, one.granted, str(one.effective)) for one in resolution.decisions] == [
        ("filesystem:read:/a/b", "filesystem:read:/a", "filesystem:read:/a/b"),
        ("wasi-clocks", "clock:wall", "clock:wall"),
    ]


def test_a_resolved_set_is_fixed_and_survives_as_text():
    resolution, _ = outcome(["filesystem:read:/a", "clock:wall"], ["filesystem:read:/", "clock:wall"])
    with pytest.raises(AttributeError):
        resolution.effective.capabilities = ()
    assert set(CapabilitySet.of(resolution.effective.canonical)) == set(resolution.effective)
    assert resolution.effective.canonical == {"filesystem:read:/a", "clock:wall"}


def test_declared_kinds_include_optional_ones_and_skip_what_cannot_be_read():
    assert declared_kinds(["?clock:wall", "wasi-stdout", "nonsense"]) == {Kind.WALL_CLOCK, Kind.STDOUT}


def test_policies_are_the_configurations_words():
    assert [Policy("deny-all"), Policy("allow-all")] == list(Policy)
    with pytest.raises(ValueError, match="ask"):
        Policy("ask")
