"""What the probe imports, and what every component exports, is what the WIT files say: name by name, type by type."""

from pathlib import Path

import pytest
import tomli
import wasmtime
import wasmtime.component as wc
from wasmtime.component import _types as wt

from torvyn_ref.contract import wit

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = [entry["name"] for entry in tomli.loads((ROOT / "corpus/components/catalogue.toml").read_text())["component"]]
PRIMITIVES = {
    "Bool": "bool",
    "U8": "u8",
    "U32": "u32",
    "U64": "u64",
    "String": "string",
}


@pytest.fixture(scope="module")
def contract():
    packages = [
        wit.load(ROOT / "wit" / name)[0] for name in ("torvyn-streaming", "torvyn-filtering", "torvyn-aggregation", "torvyn-capabilities")
    ]
    return {str(interface.name): interface for package in packages for interface in package.interfaces}


def of_wit(contract, kind):
    """A type from the WIT files, names of value types followed."""
    match kind:
        case wit.Primitive():
            return kind.value
        case wit.Own(resource):
            return "own", resource.name
        case wit.Borrow(resource):
            return "borrow", resource.name
        case wit.ListOf(element):
            return "list", of_wit(contract, element)
        case wit.OptionOf(element):
            return "option", of_wit(contract, element)
        case wit.ResultOf(ok, error):
            return "result", ok and of_wit(contract, ok), error and of_wit(contract, error)
        case wit.Named(interface, name):
            return definition_of_wit(contract, contract[str(interface)].definition(name))
    raise AssertionError(kind)


def definition_of_wit(contract, definition):
    match definition:
        case wit.Record(_, fields):
            return "record", [(field.name, of_wit(contract, field.type)) for field in fields]
        case wit.Variant(_, cases):
            return "variant", [(case.name, case.type and of_wit(contract, case.type)) for case in cases]
        case wit.Enum(_, cases):
            return "enum", [case.name for case in cases]
        case wit.Resource():
            return "resource"
    raise AssertionError(definition)


def exports_of_wit(contract, name):
    """An interface as the exports of an instance."""
    interface = contract[name]
    found = {}
    for use in interface.uses:
        origin = contract[str(use.target.interface)]
        found[use.name] = definition_of_wit(contract, origin.definition(use.target.name))
    for definition in interface.types:
        found[definition.name] = definition_of_wit(contract, definition)
        for function in definition.functions if isinstance(definition, wit.Resource) else ():
            lent = [("self", ("borrow", definition.name))]
            found[function.component_name(definition.name)] = function_of_wit(contract, function, lent)
    for function in interface.functions:
        found[function.name] = function_of_wit(contract, function, [])
    return found


def function_of_wit(contract, function, lent):
    parameters = [(field.name, of_wit(contract, field.type)) for field in function.parameters]
    return "func", lent + parameters, function.result and of_wit(contract, function.result)


def of_binary(kind, resources):
    """A type as wasmtime reports it. Resources are told apart by identity, so they are named by where they came from."""
    match kind:
        case None:
            return None
        case wt.OwnType(ty):
            return "own", next(name for name, known in resources if known == ty)
        case wt.BorrowType(ty):
            return "borrow", next(name for name, known in resources if known == ty)
        case wt.ListType():
            return "list", of_binary(kind.element, resources)
        case wt.OptionType():
            return "option", of_binary(kind.payload, resources)
        case wt.ResultType():
            return "result", of_binary(kind.ok, resources), of_binary(kind.err, resources)
        case wt.RecordType():
            return "record", [(name, of_binary(field, resources)) for name, field in kind.fields]
        case wt.VariantType():
            return "variant", [(name, of_binary(case, resources)) for name, case in kind.cases]
        case wt.EnumType():
            return "enum", list(kind.names)
        case wt.ResourceType():
            return "resource"
        case wt.FuncType():
            return "func", [(name, of_binary(p, resources)) for name, p in kind.params], of_binary(kind.result, resources)
    return PRIMITIVES[type(kind).__name__]


def exports_of_binary(instance, engine, resources):
    exported = {name: item.ty for name, item in instance.exports(engine).items()}
    here = [(name, kind) for name, kind in exported.items() if isinstance(kind, wt.ResourceType)]
    return {name: of_binary(kind, [*here, *resources]) for name, kind in exported.items()}, here


def test_the_probe_imports_the_host_interfaces_whole(contract):
    engine = wasmtime.Engine()
    component = wc.Component.from_file(engine, str(ROOT / "corpus/components/probe-all.wasm"))
    resources = []
    imports = component.type.imports(engine)
    assert list(imports) == ["torvyn:streaming/types@0.1.0", "torvyn:streaming/buffer-allocator@0.1.0"]
    for name, instance in imports.items():
        found, here = exports_of_binary(instance.ty, engine, resources)
        resources += here
        assert found == exports_of_wit(contract, name)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_component_imports_part_of_an_interface_and_exports_the_whole_of_one(contract, name):
    engine = wasmtime.Engine()
    component = wc.Component.from_file(engine, str(ROOT / f"corpus/components/{name}.wasm"))
    resources = []
    for imported, instance in component.type.imports(engine).items():
        if imported.startswith("torvyn:"):
            found, here = exports_of_binary(instance.ty, engine, resources)
            resources += here
            assert found.items() <= exports_of_wit(contract, imported).items()
    for exported, instance in component.type.exports(engine).items():
        found, _ = exports_of_binary(instance.ty, engine, resources)
        assert found == exports_of_wit(contract, exported)
