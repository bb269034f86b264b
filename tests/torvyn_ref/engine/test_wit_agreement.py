"""What the engine links and calls equals what the WIT says, name by name and type by type (CON-001).

Three witnesses that do not know each other: the files in `wit/`, the engine's tables, and the types in the binary of a probe that imports
everything.
"""

from pathlib import Path

import pytest
import wasmtime
import wasmtime.component as wc

from torvyn_ref.calls import DATA_CALL, Role
from torvyn_ref.contract import wit
from torvyn_ref.engine.interfaces import ALLOCATOR, LIFECYCLE, ROLE_EXPORTS, SERIES, TORVYN_IMPORTS, TYPES
from torvyn_ref.engine.stock_link import RESOURCE_IDS
from torvyn_ref.engine.stock_types import Describer, Resources

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def written():
    """Every function of the WIT files: interface name without version → function name → structural text."""
    packages = {package.name: package for directory in sorted((ROOT / "wit").glob("torvyn-*")) for package in wit.load(directory)}
    interfaces = {interface.name: interface for package in packages.values() for interface in package.interfaces}
    assert {package.version for package in packages} == {f"{SERIES}.0"}
    return {name.unversioned: signatures(interface, interfaces) for name, interface in interfaces.items()}


def signatures(interface, interfaces):
    def text(ty):
        match ty:
            case None:
                return "_"
            case wit.Primitive():
                return str(ty)
            case wit.Own(resource):
                return f"own<{resource.name}>"
            case wit.Borrow(resource):
                return f"borrow<{resource.name}>"
            case wit.ListOf(element):
                return f"list<{text(element)}>"
            case wit.OptionOf(element):
                return f"option<{text(element)}>"
            case wit.ResultOf(ok, error):
                return f"result<{text(ok)}, {text(error)}>"
            case wit.Named(owner, name):
                return definition(interfaces[owner].definition(name))
        raise AssertionError(ty)

    def definition(defined):
        match defined:
            case wit.Record(_, fields):
                return f"record{{{', '.join(f'{field.name}: {text(field.type)}' for field in fields)}}}"
            case wit.Variant(_, cases):
                return f"variant{{{', '.join(case.name if case.type is None else f'{case.name}({text(case.type)})' for case in cases)}}}"
            case wit.Enum(_, cases):
                return f"enum{{{', '.join(case.name for case in cases)}}}"
        raise AssertionError(defined)

    def signature(name, function):
        self_ = [f"self: borrow<{name.removeprefix('[method]').partition('.')[0]}>"] if name.startswith("[method]") else []
        parameters = ", ".join(self_ + [f"{parameter.name}: {text(parameter.type)}" for parameter in function.parameters])
        return f"func({parameters})" + (f" -> {text(function.result)}" if function.result is not None else "")

    return {name: signature(name, function) for name, function in interface.all_functions().items()}


def test_what_is_linked_is_what_is_written(written):
    linked = {
        interface.name: {function.name: interface.signature(function) for function in interface.functions}
        for interface in TORVYN_IMPORTS.values()
    }
    assert linked == {name: written[name] for name in linked}


def test_what_is_called_is_what_is_written(written):
    called = {guest.names[0]: {str(call): text for call, text in guest.functions.items()} for guest in (*ROLE_EXPORTS.values(), LIFECYCLE)}
    assert called == {name: written[name] for name in called}


def test_every_interface_of_the_contract_is_either_linked_or_called(written):
    guests = {guest.names[0] for guest in (*ROLE_EXPORTS.values(), LIFECYCLE)}
    assert written.keys() == guests | TORVYN_IMPORTS.keys()


def test_every_role_has_an_interface_with_its_data_call():
    assert ROLE_EXPORTS.keys() == set(Role)
    assert all(DATA_CALL[role] in guest.functions for role, guest in ROLE_EXPORTS.items())


def test_what_the_probe_imports_is_what_is_linked():
    """Read from the binary: the probe calls every function there is, so its import types are complete."""
    engine = wasmtime.Engine()
    component = wc.Component(engine, (ROOT / "corpus/components/probe-all.wasm").read_bytes())
    instances = {
        name.partition("@")[0]: {exported: item.ty for exported, item in extern.ty.exports(engine).items()}
        for name, extern in component.type.imports(engine).items()
    }
    resources = Resources(RESOURCE_IDS)
    for name, item in instances[TYPES.name].items():
        if isinstance(item, wc.ResourceType):
            resources.learn(name, item)
    describer = Describer(resources)
    imported = {
        name: {exported: describer.function(item) for exported, item in items.items() if isinstance(item, wc.FuncType)}
        for name, items in instances.items()
    }
    linked = {
        interface.name: {function.name: interface.signature(function) for function in interface.functions}
        for interface in (TYPES, ALLOCATOR)
    }
    assert imported == linked
    assert {name for name, item in instances[TYPES.name].items() if isinstance(item, wc.ResourceType)} == set(TYPES.resources)
