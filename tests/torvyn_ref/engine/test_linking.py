"""What a component imports and exports is checked before anything exists, all at once, each by name."""

import gc

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wasmtime.component import _linker

from torvyn_ref.calls import Call, Cause, Element, Failure, FlowContext, Role
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.protocol import ComponentShape, Sandbox
from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.resources import ResourceManager

DROP = "(call $drop-input (local.get $payload) (local.get $context))"
PLAIN = {"process": f"{DROP} (call $drop-element)"}
COUNTING = {"process": f"(drop (call $buffer.size (local.get $payload))) {DROP} (call $drop-element)"}


def errors_of(caught):
    error = caught.value
    return error.errors if isinstance(error, TorvynErrors) else (error,)


def test_the_shape_is_what_the_binary_says(compiled):
    assert compiled("uppercase-managed").shape == ComponentShape(
        ("torvyn:streaming/types@0.1.0", "torvyn:streaming/buffer-allocator@0.1.0"),
        ("torvyn:streaming/processor@0.1.0", "torvyn:streaming/lifecycle@0.1.0"),
    )


def test_the_shape_agrees_with_the_catalogue(compiled, catalogue):
    for name, entry in catalogue.items():
        assert compiled(name).shape == ComponentShape(tuple(entry["imports"]), tuple(entry["exports"])), name


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"(component)", "does not begin like WebAssembly"),
        (b"\x7fELF", "does not begin like WebAssembly"),
        (bytes(wasmtime.wat2wasm("(module)")), "core module"),
        (b"\0asm", "unexpected end"),
        (b"\0asm\x0d\0\x01\0\xff", ""),
    ],
    ids=["empty", "text", "elf", "core", "magic", "garbage"],
)
def test_bytes_that_are_no_component_are_refused_by_name(engine, data, says):
    with pytest.raises(TorvynError) as caught:
        engine.compile(data, where="parts/x.wasm")
    assert (caught.value.subsystem, caught.value.kind, caught.value.where) == ("engine", "invalid-component", "parts/x.wasm")
    assert says in caught.value.message


def test_a_component_cut_short_anywhere_is_refused(engine, wat):
    whole = bytes(wasmtime.wat2wasm(wat("transform", PLAIN)))
    refused = 0
    for end in range(0, len(whole), 97):
        try:
            compiled = engine.compile(whole[:end], where="cut.wasm")
        except TorvynError as error:
            assert error.kind == "invalid-component"  # noqa: PT017 - most cuts raise; those between sections leave a smaller component
            refused += 1
        else:
            with pytest.raises(TorvynError, match="does not export"):
                compiled.instantiate(Role.PROCESSOR, sandbox())
    assert refused > 10


def sandbox(**more):
    made = {"resources": ResourceManager(), **more}
    return Sandbox(owner=1, flow=1, context=FlowContext("f"), clock=VirtualClock(), **made)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_component_is_refused_or_runs_but_never_breaks_the_host(engine, wat, data):
    damaged = bytearray(wasmtime.wat2wasm(wat("transform", COUNTING)))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(8, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    box = sandbox()
    try:
        instance = engine.compile(bytes(damaged), where="damaged.wasm").instantiate(Role.PROCESSOR, box)
    except TorvynError as error:
        assert error.where == "damaged.wasm" or isinstance(error, TorvynErrors)  # noqa: PT017 - a damaged component may also still run
        return
    try:
        handle = box.resources.allocate(1, 4, 1)
        answer = instance.call(Call.PROCESS, Element(0, 0, "", handle))
        assert answer is None or isinstance(answer, Failure)
    finally:
        instance.close()
    box.resources.force_reclaim(1)
    assert box.resources.live_count == 0


def test_every_missing_import_is_named_with_what_would_help(compiled, wat):
    text = wat("transform", COUNTING).replace(
        '(import "torvyn:streaming/types@0.1.0"',
        """(import "wasi:filesystem/types@0.2.3" (instance))
  (import "wasi:clocks/wall-clock@0.3.0" (instance))
  (import "wasi:sockets/tcp@0.2.0" (instance))
  (import "x:wasi-random/random" (instance))
  (import "torvyn:streaming/extra@0.1.0" (instance))
  (import "bare" (func))
  (import "torvyn:streaming/types@0.1.0\"""",
    )
    with pytest.raises(TorvynError) as caught:
        compiled(text).instantiate(Role.PROCESSOR, sandbox())
    errors = {error.fields["name"]: error for error in errors_of(caught)}
    assert {error.kind for error in errors.values()} == {"missing-import"}
    assert {name: error.hint for name, error in errors.items()} == {
        "wasi:filesystem/types@0.2.3": ("needs capability filesystem:read or filesystem:write, which this runtime does not implement yet"),
        "wasi:clocks/wall-clock@0.3.0": "this runtime provides wasi:clocks/wall-clock in versions 0.2.x",
        "wasi:sockets/tcp@0.2.0": ("needs capability network:tcp-connect or network:tcp-listen, which this runtime does not implement yet"),
        "x:wasi-random/random": "no interface of this runtime has this name",
        "torvyn:streaming/extra@0.1.0": "no interface of this runtime has this name",
        "bare": "no interface of this runtime has this name",
    }
    assert all(error.where == "test.wasm" for error in errors.values())


@pytest.mark.parametrize("version", ["0.1.0", "0.1.7", "0.1.40"])
def test_any_patch_release_of_the_contract_links(guest, wat, version):
    instance = guest(wat("transform", COUNTING).replace("@0.1.0", f"@{version}"), role=Role.PROCESSOR)
    assert instance.feed() is None


@pytest.mark.parametrize("version", ["@0.2.0", "@1.0.0", "@0.1.0-rc.1", "@0.10.0", ""])
def test_another_version_of_the_contract_is_refused(compiled, wat, version):
    component = compiled(wat("transform", COUNTING).replace("@0.1.0", version))
    with pytest.raises(TorvynError) as caught:
        component.instantiate(Role.PROCESSOR, sandbox())
    assert [error.kind for error in errors_of(caught)] == ["missing-import", "missing-export"]
    assert "versions 0.1.x" in errors_of(caught)[0].hint
    assert f"torvyn:streaming/processor{version}" in errors_of(caught)[1].message


@pytest.mark.parametrize(("role", "world"), [(Role.FILTER, "content-filter"), (Role.ROUTER, "content-router"), (Role.AGGREGATOR, None)])
def test_extension_roles_are_found_in_the_core_package_too(guest, wat, role, world):
    bodies = {
        "content-filter": {"evaluate": f"{DROP} (call $ok (i32.const 1))"},
        "content-router": {"route": f"{DROP} (call $ok-list (i32.const 0) (i32.const 0))"},
        None: {"ingest": f"{DROP} (call $none)", "flush": "(call $ok-list (i32.const 0) (i32.const 0))"},
    }[world]
    text = wat(world or "stream-aggregator", bodies)
    moved = text.replace("torvyn:filtering/", "torvyn:streaming/").replace("torvyn:aggregation/", "torvyn:streaming/")
    assert moved != text
    assert guest(moved, role=role).feed() == {Role.FILTER: True, Role.ROUTER: [], Role.AGGREGATOR: None}[role]


def test_a_component_of_another_role_is_refused_with_what_it_exports(compiled):
    with pytest.raises(TorvynError) as caught:
        compiled("uppercase").instantiate(Role.SINK, sandbox())
    assert (caught.value.kind, caught.value.where) == ("missing-export", "uppercase.wasm")
    assert "torvyn:streaming/sink@0.1.x" in caught.value.message
    assert "torvyn:streaming/processor@0.1.0" in caught.value.message


def test_a_function_that_the_contract_does_not_have_is_a_missing_import(compiled, wat):
    text = wat("transform", COUNTING).replace(
        '(export "[method]buffer.size"',
        '(export "[method]buffer.shrink" (func (param "self" (borrow $buffer))))\n    (export "[method]buffer.size"',
    )
    with pytest.raises(TorvynError) as caught:
        compiled(text).instantiate(Role.PROCESSOR, sandbox())
    assert caught.value.fields["name"] == "torvyn:streaming/types@0.1.0 [method]buffer.shrink"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ('(case "deadline-exceeded")', '(case "deadline-exceeded" string)', "deadline-exceeded(string)"),
        ('(field "timestamp-ns" u64)', '(field "timestamp-ns" s64)', "timestamp-ns: s64"),
        ('(field "timestamp-ns" u64)', '(field "timestamp" u64)', "timestamp: u64"),
        ('(case "emit" $output-element) (case "drop")', '(case "emit" $output-element) (case "skip")', "skip"),
    ],
)
def test_an_export_of_another_type_is_refused_before_it_is_called(compiled, wat, before, after, found):
    text = wat("transform", COUNTING)
    assert before in text
    component = compiled(text.replace(before, after))
    with pytest.raises(TorvynError) as caught:
        component.instantiate(Role.PROCESSOR, sandbox())
    (error,) = errors_of(caught)
    assert (error.kind, error.where) == ("wrong-type", "test.wasm")
    assert found in error.fields["found"]
    assert "export torvyn:streaming/processor@0.1.0 process" in error.message


def test_an_import_of_another_type_is_refused_before_it_is_called(compiled, wat):
    text = wat("transform", {"process": f"(call $flow-context.deadline-ns (local.get $context)) drop {DROP} (call $drop-element)"})
    declared = '(export "[method]flow-context.deadline-ns" (func (param "self" (borrow $flow-context)) (result u64)))'
    assert declared in text
    wrong = text.replace(declared, declared.replace("$flow-context", "$buffer")).replace(
        "(local.get $context)) drop", "(local.get $payload)) drop"
    )
    with pytest.raises(TorvynError):
        compiled(wrong).instantiate(Role.PROCESSOR, sandbox())


def test_a_hostile_type_is_not_walked_to_its_end(compiled):
    """A type of a few lines whose full text would have 2^17 parts; wasmtime's own bound lets it pass."""
    levels = " ".join(f"(type $t{n + 1} (tuple $t{n} $t{n}))" for n in range(16))
    text = f"""(component
      (import "torvyn:streaming/buffer-allocator@0.1.0" (instance
        (type $t0 u8) {levels}
        (export "allocate" (func (param "capacity-hint" $t16))))))"""
    with pytest.raises(TorvynError) as caught:
        compiled(text).instantiate(Role.PROCESSOR, sandbox())
    wrong = next(error for error in errors_of(caught) if error.kind == "wrong-type")
    assert wrong.fields["found"] == "a type larger than any of the contract"


def test_a_refused_instantiation_leaves_nothing_behind(compiled, wat):
    component = compiled(wat("transform", PLAIN, module="\n(func $die (drop (call $allocate (i64.const 1))) unreachable) (start $die)"))
    gc.collect()
    before = len(_linker.FUNCTIONS.handles), len(_linker.RESOURCE_DTORS.handles)
    box = sandbox()
    for _ in range(5):
        with pytest.raises(TorvynError) as caught:
            component.instantiate(Role.PROCESSOR, box)
        assert caught.value.fields["cause"] == Cause.TRAP
    assert (len(_linker.FUNCTIONS.handles), len(_linker.RESOURCE_DTORS.handles)) == before
    assert box.resources.live_count == 0


def test_the_query_for_capabilities_is_answered_from_the_resolved_set(guest, wat):
    """has-capability answers, and whatever is no capability is one that nobody holds (CAP-034, CAP-035)."""
    text = wat("content-filter", {"evaluate": f"(global.set $asked (call $ask)) {DROP} (call $ok (global.get $asked))"}, module=QUERY)
    text = text.replace(
        '(import "torvyn:streaming/types@0.1.0"',
        '(import "torvyn:capabilities/capability-query@0.1.0" (instance $query'
        ' (export "has-capability" (func (param "name" string) (result bool)))))\n  (import "torvyn:streaming/types@0.1.0"',
    )
    text = text.replace("\n  (core module $Main", f"{LOWERED}\n  (core module $Main").replace(
        '(with "host" (instance', '(with "query" (instance (export "has" (func $has))))\n    (with "host" (instance'
    )
    text = text.replace(
        '(import "libc" "memory" (memory 1))',
        '(import "libc" "memory" (memory 1))\n    (import "query" "has" (func $has (param i32 i32) (result i32)))',
        1,
    )
    for granted, expected in ((frozenset({"clock:wall"}), True), (frozenset(), False), (frozenset({"clock:monotonic"}), False)):
        assert guest(text, role=Role.FILTER, capabilities=granted).feed() is expected


QUERY = """
    (global $asked (mut i32) (i32.const 0))
    (data (i32.const 3000) "clock:wall")
    (func $ask (result i32) (call $has (i32.const 3000) (i32.const 10)))"""
LOWERED = """
  (alias export $query "has-capability" (func $host-has))
  (core func $has (canon lower (func $host-has) (memory $memory)))"""
