from pathlib import Path

import pytest
import tomli

from torvyn_ref.calls import Role
from torvyn_ref.contract.world import BUFFER_ALLOCATOR, INTERFACE_OF, LIFECYCLE, TYPES, InterfaceName, identify, role_of_interface
from torvyn_ref.engine.protocol import ComponentShape
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security import Allocator

CATALOGUE = tomli.loads((Path(__file__).parents[3] / "corpus/components/catalogue.toml").read_text(encoding="utf-8"))["component"]


def shape(*exports, imports=(f"{TYPES}@0.1.0",)):
    return ComponentShape(tuple(imports), tuple(exports))


def refusals(*exports, imports=()):
    with pytest.raises(TorvynError) as refusal:
        identify(shape(*exports, imports=imports), where="x.wasm")
    return refusal.value.errors if isinstance(refusal.value, TorvynErrors) else (refusal.value,)


@pytest.mark.parametrize("guest", [pytest.param(guest, id=guest["name"]) for guest in CATALOGUE])
def test_every_corpus_component_is_what_its_catalogue_says(guest):
    world = identify(ComponentShape(tuple(guest["imports"]), tuple(guest["exports"])), where=guest["name"])
    assert world.role == guest["role"]
    assert world.name.rpartition("/")[2] == guest["world"]
    assert world.has_lifecycle is any("lifecycle" in export for export in guest["exports"])
    assert world.allocator() is (Allocator.IMPLIED if world.imports_allocator else Allocator.ABSENT)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("lifecycle", [True, False])
def test_each_role_interface_gives_its_role_with_and_without_lifecycle(role, lifecycle):
    exports = (f"{INTERFACE_OF[role]}@0.1.0", *((f"{LIFECYCLE}@0.1.0",) if lifecycle else ()))
    world = identify(shape(*exports), where="x.wasm")
    assert (world.role, world.has_lifecycle) == (role, lifecycle)


@pytest.mark.parametrize(("name", "role"), [("filter", Role.FILTER), ("router", Role.ROUTER), ("aggregator", Role.AGGREGATOR)])
def test_the_templates_names_are_accepted_too(name, role):
    assert identify(shape(f"torvyn:streaming/{name}@0.1.0"), where="x.wasm").role is role
    assert role_of_interface(f"torvyn:streaming/{name}", where="node") is role


def test_other_exports_are_nobodys_business():
    world = identify(shape("torvyn:streaming/sink@0.1.0", "wasi:cli/run@0.2.0", "acme:things/source@3.0.0", "run"), where="x.wasm")
    assert world.role is Role.SINK
    assert world.packages == (("torvyn:streaming", "0.1.0"),)


@pytest.mark.parametrize("version", ["", "@0.1.0", "@0.1.9"])
def test_patch_versions_and_none_are_accepted(version):
    assert identify(shape(f"torvyn:streaming/processor{version}"), where="x.wasm").role is Role.PROCESSOR


@pytest.mark.parametrize("version", ["0.2.0", "1.0.0", "0.1.0-rc.1"])
def test_another_contract_version_is_refused_with_the_reason(version):
    (error,) = refusals(f"torvyn:streaming/processor@{version}", imports=(f"{TYPES}@{version}",))
    assert (error.kind, error.code, error.fields["wanted"]) == ("version-incompatible", "E0208", version)
    assert "x.wasm: needs torvyn:streaming@" in str(error)


def test_every_wrong_package_version_is_reported_once():
    errors = refusals(
        "torvyn:aggregation/aggregator@0.3.0",
        imports=(f"{TYPES}@0.2.0", f"{BUFFER_ALLOCATOR}@0.2.0", "torvyn:capabilities/capability-query@1.0.0"),
    )
    assert [(error.fields["package"], error.fields["wanted"]) for error in errors] == [
        ("torvyn:aggregation", "0.3.0"),
        ("torvyn:capabilities", "1.0.0"),
        ("torvyn:streaming", "0.2.0"),
    ]


@pytest.mark.parametrize(
    "exports", [(), ("acme:resource/x@1.0.0",), (f"{LIFECYCLE}@0.1.0",), ("source",), ("acme:streaming/source@0.1.0",)]
)
def test_a_component_without_a_role_is_refused(exports):
    (error,) = refusals(*exports)
    assert (error.kind, error.code, error.where) == ("no-exported-interface", "E0120", "x.wasm")
    assert all(export in error.message for export in exports)


def test_a_role_from_the_wrong_package_is_pointed_to_the_right_one():
    (error,) = refusals("torvyn:filters/filter@0.1.0")
    assert error.hint == "the filter interface is torvyn:filtering/filter"


def test_a_component_with_two_roles_is_refused():
    (error,) = refusals("torvyn:streaming/source@0.1.0", "torvyn:streaming/sink@0.1.0")
    assert error.kind == "several-roles"
    assert "torvyn:streaming/sink and torvyn:streaming/source" in error.message


def test_role_and_version_are_judged_together():
    assert {error.kind for error in refusals(f"{LIFECYCLE}@2.0.0")} == {"no-exported-interface", "version-incompatible"}


def test_the_allocator_is_implied_only_where_the_world_has_it():
    imports = (f"{TYPES}@0.1.0", f"{BUFFER_ALLOCATOR}@0.1.0")
    source = identify(shape("torvyn:streaming/source@0.1.0", imports=imports), where="x.wasm")
    sink = identify(shape("torvyn:streaming/sink@0.1.0", imports=imports), where="x.wasm")
    assert (source.allocator(), source.allocator(strict=True)) == (Allocator.IMPLIED, Allocator.BY_GRANT)
    assert (sink.allocator(), sink.allocator(strict=True)) == (Allocator.BY_GRANT, Allocator.BY_GRANT)


@pytest.mark.parametrize(
    ("interface", "kind", "hint"),
    [
        ("torvyn:streaming/procesor", "unknown-interface", "did you mean torvyn:streaming/processor?"),
        ("torvyn:streaming/types", "unknown-interface", "the interfaces with a role are "),
        ("acme:x/sink", "unknown-interface", "the sink interface is torvyn:streaming/sink"),
        ("processor", "invalid-name", "such a name is namespace:package/interface"),
        ("torvyn:streaming/sink@1.0.0", "version-incompatible", "build the component against torvyn:streaming@0.1.0"),
        ("torvyn:streaming/sink@one", "invalid-version", "a version is MAJOR.MINOR.PATCH"),
    ],
)
def test_a_nodes_interface_that_means_no_role_is_refused(interface, kind, hint):
    with pytest.raises(TorvynError) as refusal:
        role_of_interface(interface, where="node 'up'")
    assert (refusal.value.kind, refusal.value.where) == (kind, "node 'up'")
    assert refusal.value.hint.startswith(hint)


@pytest.mark.parametrize("text", ["torvyn:streaming/types@0.1.0", "wasi:io/streams", "a:b/c@1.2.3-rc.1+x"])
def test_an_interface_name_reads_back_the_same(text):
    assert str(InterfaceName.parse(text)) == text
