"""The reader says what is wrong and where, or what it lacks; nothing else comes out of it."""

import contextlib

import pytest
import wasmtime

from torvyn_ref.engine.direct import definitions as d
from torvyn_ref.engine.direct.errors import Malformed, Unsupported
from torvyn_ref.engine.direct.reader import MOST_NESTING, PREAMBLE, read


def section(number, body):
    return PREAMBLE + bytes([number, len(body)]) + body


MALFORMED = {
    "nothing": (b"", "does not begin like a component"),
    "another file": (b"PK\x03\x04" + bytes(20), "does not begin like a component"),
    "a core module": (b"\0asm\x01\0\0\0", "core module"),
    "a section beyond the end": (PREAMBLE + b"\x07\x7f", "does not fit"),
    "a section without a size": (PREAMBLE + b"\x07", "too early"),
    "an unknown section": (PREAMBLE + b"\x0d\x00", "no section 13"),
    "a longer section": (section(7, b"\x00\x00"), "longer than what it holds"),
    "more items than bytes": (section(7, b"\xff\xff\xff\xff\x0f"), "do not fit"),
    "a number without end": (section(7, b"\x80\x80\x80\x80\x80\x80"), "longer than it may be"),
    "a number beyond 32 bits": (section(7, b"\xff\xff\xff\xff\x7f"), "32 bits"),
    "a name beyond the end": (section(10, b"\x01\x00\x7f"), "name of 127 bytes"),
    "a name that is not UTF-8": (section(10, b"\x01\x00\x01\xff"), "not UTF-8"),
    "an inner component cut short": (section(4, PREAMBLE[:7]), "does not begin like one"),
    "an alias of no form": (section(6, b"\x01\x03\x09"), "alias form"),
    "an item of no sort": (section(6, b"\x01\x09\x00"), "no sort"),
    "a core item of no sort": (section(6, b"\x01\x00\x09\x00"), "no core sort"),
    "a bound of no kind": (section(10, b"\x01\x00\x01a\x03\x09"), "bound"),
    "an import of no kind": (section(10, b"\x01\x00\x01a\x09"), "kind of import"),
    "a flag that is neither": (section(7, b"\x01\x3f\x7f\x02"), "where 0x00 or 0x01"),
    "an instance of no form": (section(5, b"\x01\x02"), "instance form"),
    "a core instance of no form": (section(2, b"\x01\x02"), "core instance form"),
    "a declaration of no form": (section(7, b"\x01\x42\x01\x09"), "declaration"),
}
UNSUPPORTED = {
    "a start section": (section(9, b"\x00\x00\x00"), "a start section"),
    "a value section": (section(12, b"\x00"), "a value section"),
    "an asynchronous built-in": (section(8, b"\x01\x05\x00"), "built-in 0x05"),
    "utf16": (section(8, b"\x01\x01\x00\x00\x01\x01"), "utf16"),
    "latin1": (section(8, b"\x01\x01\x00\x00\x01\x02"), "latin1"),
    "an asynchronous option": (section(8, b"\x01\x01\x00\x00\x01\x06"), "option 0x06"),
    "a stream": (section(7, b"\x01\x66\x00"), "stream"),
    "a future": (section(7, b"\x01\x65\x00"), "future"),
    "a list of fixed length": (section(7, b"\x01\x67\x7d\x04"), "fixed length"),
    "an unknown constructor": (section(7, b"\x01\x20"), "0x20"),
    "an error context as a part": (section(7, b"\x01\x70\x64"), "error-context"),
    "a core type of structures": (section(3, b"\x01\x5f\x00"), "core type 0x5f"),
    "a core type with a structure inside": (section(3, b"\x01\x60\x01\x64\x00"), "0x64"),
    "a value as an item": (section(6, b"\x01\x02\x00"), "values"),
    "an imported value": (section(10, b"\x01\x00\x01a\x02\x7d"), "value"),
    "a name with a suffix": (section(10, b"\x01\x02\x01a"), "0x02"),
}


@pytest.mark.parametrize(("data", "says"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_component_is_said_with_its_place(data, says):
    with pytest.raises(Malformed, match=says) as caught:
        read(data)
    assert 0 <= caught.value.offset <= len(data)
    assert f"byte {caught.value.offset}" in str(caught.value)


@pytest.mark.parametrize(("data", "says"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_is_not_implemented_is_said_by_name(data, says):
    with pytest.raises(Unsupported, match=says):
        read(data)


@pytest.mark.parametrize("kind", ["components", "types"])
def test_nesting_is_bounded(kind):
    data = b""
    for _ in range(MOST_NESTING + 1):
        if kind == "components":
            inner = PREAMBLE + data
            data = b"\x04" + len(inner).to_bytes(1, "little") + inner if len(inner) < 128 else b"\x04" + leb(len(inner)) + inner
        else:
            data = b"\x42\x01\x01" + (data or b"\x7d")
    whole = PREAMBLE + (data if kind == "components" else b"\x07" + leb(len(data) + 1) + b"\x01" + data)
    with pytest.raises(Unsupported, match="inside each other"):
        read(whole)


def leb(number):
    return bytes([number & 0x7F | 0x80, number >> 7]) if number > 127 else bytes([number])


def test_every_prefix_of_a_component_is_refused_or_read(tmp_path):
    data = bytes(
        wasmtime.wat2wasm(
            '(component (import "a" (instance (export "f" (func (param "x" (list string)))))) (type (record (field "a" u8))))'
        )
    )
    assert len(read(data)) > 0
    for length in range(len(data)):
        with contextlib.suppress(Malformed, Unsupported):
            read(data[:length])


def test_definitions_come_in_order():
    data = bytes(wasmtime.wat2wasm("(component (type (list u8)) (core module (memory 1)) (type (option 0)))"))
    kinds = [type(definition) for definition in read(data)]
    assert kinds[:3] == [d.TypeDefinition, d.CoreModule, d.TypeDefinition]
