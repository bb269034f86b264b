"""The judge's own reader of components: as wasmtime reads them, and never more than an error for anything else."""

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from wasmtime.component import Component

from conformance.components.binary import NoComponentError, read
from tests.conformance.components.conftest import CATALOGUE, CORPUS

UPPERCASE = (CORPUS / "components/uppercase.wasm").read_bytes()


def test_it_reads_what_wasmtime_reads():
    engine = wasmtime.Engine()
    try:
        for entry in CATALOGUE:
            data = (CORPUS / f"components/{entry['name']}.wasm").read_bytes()
            component = Component(engine, data)
            binary = read(data)
            assert list(binary.imports) == list(component.type.imports(engine))
            assert list(binary.exports) == list(component.type.exports(engine))
            assert binary.size == len(data)
            component.close()
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"hello", "does not begin like WebAssembly"),
        (b"\0asm\1\0\0\0", "core module"),
        (b"\0asm\2\0\1\0", "its version is 02000100"),
        (b"\0asm", "its version is missing"),
        (b"\0asm\x0d\0\1\0\x0a\xff\xff\xff\xff\x0f", "claims 4294967295 bytes, and 0 are left"),
        (b"\0asm\x0d\0\1\0\x0a\xff\xff\xff\xff\xff\xff", "too long"),
        (b"\0asm\x0d\0\1\0\x63\0", "section 99"),
        (b"\0asm\x0d\0\1\0\x0a\5\xff\xff\xff\x7f\0", "10000 are read"),
        (b"\0asm\x0d\0\1\0\x0a\4\1\0\1\xff", "not UTF-8"),
    ],
)
def test_what_is_no_component_is_refused_in_words(data, said):
    with pytest.raises(NoComponentError, match=said):
        read(data)


def test_every_beginning_of_a_component_is_a_component_or_an_error():
    for length in range(len(UPPERCASE)):
        try:
            binary = read(UPPERCASE[:length])
        except NoComponentError:
            continue
        assert binary.size == length


@given(data=st.binary(max_size=200), at=st.integers(0, len(UPPERCASE) - 1))
def test_no_bytes_make_it_fail_otherwise(data, at):
    for damaged in (b"\0asm\x0d\0\1\0" + data, UPPERCASE[:at] + data + UPPERCASE[at + len(data) :]):
        try:
            binary = read(damaged)
        except NoComponentError:
            continue
        assert binary.size == len(damaged)
