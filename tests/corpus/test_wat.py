"""The templates refuse guests that cannot be, and wrap any core text that can."""

import pytest
import wasmtime

from corpus.components.wat import WORLDS, Guest, Number, Text, component
from corpus.components.wat.exports import EXPORTED_INTERFACES, EXPORTS

LET_GO = "(call $drop-input (local.get $payload) (local.get $context))"
DROP = f"{LET_GO} (call $drop-element)"


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_can_be_built_from_the_least_a_guest_has_to_say(drive, world):
    names = [name for interface in WORLDS[world].exports for name in EXPORTED_INTERFACES[interface].functions]
    bodies = {name: "unreachable" for name in names if EXPORTS[name].default is None}
    host = drive(component(world, bodies))
    if "lifecycle" in WORLDS[world].exports:
        assert host.init("anything") is None
        host.teardown()


def test_a_guest_for_one_test_needs_one_body(drive):
    text = component(
        "transform", {"process": f"(global.set $calls (i32.const 1)) {DROP}"}, module="(global $calls (mut i32) (i32.const 0))"
    )
    assert drive(text).process(b"x") is None


def test_literals_may_hold_anything_a_wat_string_can(drive):
    body = f'{LET_GO} (fail internal "a \\"quoted\\" \\\\ snow\u2603man\\0a")'
    answer = drive(component("transform", {"process": body})).process(b"x")
    assert (answer.tag, answer.payload) == ("internal", 'a "quoted" \\ snow\u2603man\n')


@pytest.mark.parametrize(
    ("world", "bodies", "module", "message"),
    [
        ("transform", {"pull": ""}, "", "transform does not export pull"),
        ("transform", {}, "", "transform: no body for process"),
        ("data-sink", {"push": "(call $copy-of (i32.const 0))"}, "", "data-sink does not import allocator"),
        ("transform", {"process": '(fail boring "x")'}, "", "boring is no process-error"),
        ("transform", {"process": DROP}, '(func $f (result i32) (fail internal "x"))', "outside an export"),
        ("transform", {"process": f'(drop (text "{"x" * 2000}"))'}, "", "literals need more than"),
    ],
)
def test_a_guest_that_cannot_be_is_refused(world, bodies, module, message):
    with pytest.raises(ValueError, match=message):
        component(world, bodies, module=module)


def test_a_misspelt_helper_is_reported_when_the_text_is_read():
    with pytest.raises(wasmtime.WasmtimeError, match=r"unknown func.*dorp-input"):
        wasmtime.wat2wasm(component("transform", {"process": "(call $dorp-input)"}))


def test_settings_that_do_not_fit_are_refused():
    many = tuple(Text(f"key-{n}", "too many", "") for n in range(7))
    with pytest.raises(ValueError, match="text settings need"):
        Guest("greedy", "data-sink", "Has too many settings.", {"push": "unreachable"}, settings=many).wat()


def test_a_setting_says_its_range():
    assert [Number("n", "", 1, 9).range, Text("t", "", "").range] == ["0 to 9", "at most 63 bytes, without comma and equals sign"]
