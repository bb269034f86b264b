import pytest

from torvyn_ref.calls import Role
from torvyn_ref.contract.link import Candidate, Provider, link
from torvyn_ref.contract.world import BUFFER_ALLOCATOR, TYPES
from torvyn_ref.engine.protocol import ComponentShape
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security import Policy

TORVYN = (f"{TYPES}@0.1.0", f"{BUFFER_ALLOCATOR}@0.1.0")


def node(name, role="processor", *imports, exports=None, declared=(), granted=(), upstreams=(), interface=None):
    """Return a candidate that is in order unless told otherwise."""
    return Candidate(
        node=name,
        interface=interface or f"torvyn:streaming/{role}",
        component=f"{name}.wasm",
        shape=ComponentShape((f"{TYPES}@0.1.0", *imports), tuple(exports or (f"torvyn:streaming/{role}@0.1.0",))),
        declared=tuple(declared),
        granted=tuple(granted),
        upstreams=tuple(upstreams),
    )


def refusals(*candidates, **options):
    with pytest.raises(TorvynError) as refusal:
        link(candidates, **options)
    return refusal.value.errors if isinstance(refusal.value, TorvynErrors) else (refusal.value,)


def test_a_flow_in_order_is_linked_node_by_node():
    linked = link(
        [
            node("up", "source", BUFFER_ALLOCATOR),
            node(
                "mid",
                "processor",
                "wasi:clocks/wall-clock@0.2.3",
                "wasi:io/poll@0.2.3",
                declared=["clock:wall"],
                granted=["clock:wall"],
                upstreams=["up"],
            ),
            node("down", "sink", "torvyn:capabilities/capability-query@0.1.0", upstreams=["mid"]),
        ]
    )
    assert list(linked) == ["up", "mid", "down"]
    assert [one.world.role for one in linked.values()] == [Role.SOURCE, Role.PROCESSOR, Role.SINK]
    assert linked["up"].resolution.effective.canonical == {"torvyn:resource-allocate"}
    assert linked["mid"].resolution.effective.canonical == {"clock:wall"}
    assert [binding.provider for binding in linked["mid"].bindings] == [Provider.TORVYN, Provider.WASI, Provider.WASI]
    assert [binding.provider for binding in linked["down"].bindings] == [Provider.TORVYN, Provider.TORVYN]


def test_a_node_whose_component_plays_another_role_is_refused():
    (error,) = refusals(node("up", interface="torvyn:streaming/sink"))
    assert (error.kind, error.code) == ("interface-mismatch", "E0201")
    assert error.message == "node 'up' says torvyn:streaming/sink but up.wasm exports torvyn:streaming/processor"


def test_a_nodes_interface_may_name_its_version():
    assert link([node("up", interface="torvyn:streaming/processor@0.1.0")])["up"].world.role is Role.PROCESSOR


def test_every_unresolved_import_of_every_node_is_reported():
    errors = refusals(
        node("one", "source", "acme:db/client@1.0.0", "torvyn:runtime/flow-context@0.1.0"),
        node("two", "sink", "acme:db/client@1.0.0", "log"),
    )
    assert {(error.kind, error.code) for error in errors} == {("unresolved-import", "E0200")}
    assert [(error.fields["node"], error.fields["import_name"]) for error in errors] == [
        ("one", "acme:db/client@1.0.0"),
        ("one", "torvyn:runtime/flow-context@0.1.0"),
        ("two", "acme:db/client@1.0.0"),
        ("two", "log"),
    ]
    assert "node 'one' (one.wasm)" in str(errors[0])


def test_errors_of_every_sort_and_node_come_together():
    errors = refusals(
        node("a", "source", "wasi:random/random@0.2.0", interface="torvyn:streaming/sink"),
        node("b", exports=["acme:x/y@1.0.0"], declared=["magic:x"]),
        node("c", "sink", "acme:db/client", declared=["clock:wall"]),
    )
    assert [(error.subsystem, error.kind) for error in errors] == [
        ("contract", "interface-mismatch"),
        ("security", "capability-mismatch"),
        ("contract", "no-exported-interface"),
        ("security", "unknown-capability"),
        ("security", "missing-required"),
        ("contract", "unresolved-import"),
    ]


def test_a_wasi_import_that_is_not_declared_is_refused_even_under_allow_all():
    for policy in Policy:
        (error,) = refusals(node("up", "processor", "wasi:random/random@0.2.0", granted=["random:crypto"]), policy=policy)
        assert (error.subsystem, error.kind, error.code) == ("security", "capability-mismatch", "E0121")
        assert '"random:crypto"' in error.hint


def test_a_wasi_import_that_is_declared_and_not_granted_is_refused():
    (error,) = refusals(node("up", "processor", "wasi:random/random@0.2.0", declared=["random:crypto"]))
    assert (error.kind, error.code) == ("missing-required", "E0520")


@pytest.mark.parametrize(("declared", "granted"), [("?random:crypto", ()), ("wasi-random", ("random:insecure",))])
def test_an_import_is_not_optional_because_its_capability_is(declared, granted):
    errors = refusals(node("up", "processor", "wasi:random/random@0.2.0", declared=[declared], granted=granted))
    assert ("contract", "capability-denied", "E0202") in [(error.subsystem, error.kind, error.code) for error in errors]


def test_an_alias_declares_and_a_capability_grants():
    candidate = node("up", "processor", "wasi:clocks/wall-clock@0.2.0", declared=["wasi-clocks"], granted=["clock:wall"])
    assert link([candidate])["up"].resolution.effective.canonical == {"clock:wall"}


@pytest.mark.parametrize(
    "name", ["x:wasi:random/randomizer", "acme:wasi/random", "wasi:random/randomizer@0.2.0", "wasi:random/random@0.3.0"]
)
def test_an_import_is_matched_by_its_whole_name_and_version(name):
    errors = refusals(node("up", "processor", name, declared=["random:crypto"], granted=["random:crypto"]))
    assert [error.kind for error in errors] == ["unresolved-import"]


def test_a_wasi_interface_that_the_engine_does_not_serve_is_unresolved():
    candidate = node("up", "processor", "wasi:clocks/wall-clock@0.2.0", declared=["clock:wall"], granted=["clock:wall"])
    (error,) = refusals(candidate, wasi={"wasi:random/random"})
    assert (error.kind, error.hint) == ("unresolved-import", "this engine does not serve that WASI interface")


def test_inert_wasi_is_for_everyone():
    linked = link([node("up", "sink", "wasi:io/streams@0.2.0", "wasi:cli/stdin@0.2.0", "wasi:cli/exit@0.2.0")])
    assert {binding.provider for binding in linked["up"].bindings[1:]} == {Provider.WASI}


LIBRARY = {"exports": ["torvyn:streaming/source@0.1.0", "acme:db/client@1.2.0"]}


def test_an_upstream_serves_an_import_where_the_engine_can_do_that():
    consumer = node("down", "sink", "acme:db/client@1.1.0", upstreams=["up"])
    linked = link([node("up", "source", **LIBRARY), consumer], upstream_exports=True)
    assert [(binding.provider, binding.node) for binding in linked["down"].bindings] == [(Provider.TORVYN, None), (Provider.UPSTREAM, "up")]


def test_this_runtime_says_why_an_upstream_cannot_serve_an_import():
    (error,) = refusals(node("up", "source", **LIBRARY), node("down", "sink", "acme:db/client@1.1.0", upstreams=["up"]))
    assert (error.kind, error.hint) == ("unresolved-import", "upstream 'up' exports it, but components meet only through streams")


def test_only_direct_upstreams_and_compatible_versions_serve():
    flow = [node("up", "source", **LIBRARY), node("mid", upstreams=["up"])]
    for consumer in (
        node("down", "sink", "acme:db/client@1.1.0", upstreams=["mid"]),
        node("down", "sink", "acme:db/client@2.0.0", upstreams=["up"]),
        node("down", "sink", "acme:db/clients@1.1.0", upstreams=["up"]),
    ):
        assert [error.kind for error in refusals(*flow, consumer, upstream_exports=True)] == ["unresolved-import"]


def test_two_upstreams_that_export_the_same_are_ambiguous_and_two_streams_from_one_are_not():
    flow = [node("one", "source", **LIBRARY), node("two", "source", **LIBRARY)]
    (error,) = refusals(*flow, node("down", "sink", "acme:db/client@1.0.0", upstreams=["one", "two"]), upstream_exports=True)
    assert (error.kind, error.code, error.fields["providers"]) == ("ambiguous-provider", "E0206", ["one", "two"])
    linked = link([*flow, node("down", "sink", "acme:db/client@1.0.0", upstreams=["one", "one"])], upstream_exports=True)
    assert linked["down"].bindings[-1].node == "one"


def test_wasi_and_torvyn_come_before_an_upstream():
    exports = ["torvyn:streaming/source@0.1.0", "wasi:io/poll@0.2.0", f"{TYPES}@0.1.0"]
    linked = link(
        [node("up", "source", exports=exports), node("down", "sink", "wasi:io/poll@0.2.0", upstreams=["up"])], upstream_exports=True
    )
    assert [binding.provider for binding in linked["down"].bindings] == [Provider.TORVYN, Provider.WASI]


def test_a_strict_runtime_wants_the_allocator_granted():
    (error,) = refusals(node("up", "source", BUFFER_ALLOCATOR), strict=True)
    assert (error.kind, error.where) == ("missing-required", "up")
    granted = node("up", "source", BUFFER_ALLOCATOR, granted=["torvyn:resource-allocate:small"])
    assert link([granted], strict=True)["up"].resolution.effective.canonical == {"torvyn:resource-allocate:small"}


def test_a_sink_that_allocates_needs_the_grant_because_its_world_has_no_allocator():
    (error,) = refusals(node("down", "sink", BUFFER_ALLOCATOR))
    assert error.kind == "missing-required"
    assert "torvyn:streaming/buffer-allocator" in error.message
    granted = node("down", "sink", BUFFER_ALLOCATOR, granted=["torvyn:resource-allocate"])
    assert link([granted])["down"].resolution.effective.canonical == {"torvyn:resource-allocate"}


def test_the_version_of_a_torvyn_import_is_the_worlds_matter_and_reported_once():
    (error,) = refusals(
        Candidate("up", "torvyn:streaming/sink", "up.wasm", ComponentShape((f"{TYPES}@0.2.0",), ("torvyn:streaming/sink@0.2.0",)))
    )
    assert error.kind == "version-incompatible"
