import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.artifact import (
    CONFIG_TYPE,
    IMAGE_MANIFEST,
    TITLE,
    WASM_TYPE,
    Descriptor,
    assemble,
    check_component,
    digest_of,
    parse_manifest,
    verified,
)

HEADER = b"\x00asm\x0d\x00\x01\x00"
LAYER = {"mediaType": WASM_TYPE, "digest": "sha256:" + "0" * 64, "size": 8}
GOOD = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": {**LAYER, "mediaType": CONFIG_TYPE}, "layers": [LAYER]}


def parse(data):
    return parse_manifest(data if isinstance(data, bytes) else json.dumps(data).encode(), where="here")


def attempt(call, *arguments):
    """What a call returned, and the typed error it raised instead; anything else it raises is a failure."""
    try:
        return call(*arguments), None
    except TorvynError as error:
        return None, error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (HEADER[:7], "7 bytes"),
        (b"\x00asm\x01\x00\x00\x00rest", "core WebAssembly module"),
        (b"\x00asm\x0c\x00\x01\x00", "unknown version"),
        (b"\x7fELF....", "something else"),
    ],
)
def test_what_is_no_component_is_refused_by_what_it_is(content, words):
    with pytest.raises(TorvynError, match=words) as raised:
        check_component(content, where="here")
    assert raised.value.kind == "not-a-component"


def test_a_component_header_is_enough_for_packaging():
    check_component(HEADER, where="here")


def without(key):
    return {name: value for name, value in GOOD.items() if name != key}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"schemaVersion": 2, "schemaVersion": 2}',
        b'{"schemaVersion": ' + b"9" * 10_000 + b"}",
        {},
        without("config"),
        without("layers"),
        without("schemaVersion"),
        {**GOOD, "schemaVersion": 1},
        {**GOOD, "mediaType": "application/vnd.oci.image.index.v1+json"},
        {**GOOD, "layers": []},
        {**GOOD, "layers": [LAYER] * 65},
        {**GOOD, "layers": [None]},
        {**GOOD, "layers": [{**LAYER, "size": -1}]},
        {**GOOD, "layers": [{**LAYER, "size": 1.5}]},
        {**GOOD, "layers": [{**LAYER, "size": True}]},
        {**GOOD, "layers": [{**LAYER, "size": 2**63}]},
        {**GOOD, "layers": [{**LAYER, "digest": "sha256:../../x"}]},
        {**GOOD, "layers": [{**LAYER, "digest": None}]},
        {**GOOD, "layers": [{**LAYER, "mediaType": ""}]},
        {**GOOD, "layers": [{**LAYER, "annotations": {"a": 1}}]},
        {**GOOD, "annotations": []},
    ],
)
def test_a_malformed_manifest_is_refused(data):
    with pytest.raises(TorvynError) as raised:
        parse(data)
    assert raised.value.kind == "invalid-manifest"
    assert raised.value.where == "here"


def test_a_good_manifest_is_read():
    assert parse(GOOD).layers == (Descriptor(WASM_TYPE, LAYER["digest"], 8),)
    assert parse(without("mediaType")).config.media_type == CONFIG_TYPE


def test_upper_case_digits_in_a_digest_are_read():
    layer = {**LAYER, "digest": "sha256:" + "AB" * 32}
    assert parse({**GOOD, "layers": [layer]}).layers[0].digest == "sha256:" + "ab" * 32


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([WASM_TYPE, IMAGE_MANIFEST, LAYER["digest"], 2]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*LAYER, *GOOD, "annotations"]), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from([*GOOD, "annotations"]), values)
    | st.builds(lambda over: {**GOOD, **over}, st.dictionaries(st.sampled_from([*GOOD, "annotations"]), values, max_size=2))
)
def test_whatever_a_manifest_says_it_is_read_or_refused(data):
    found, error = attempt(parse, data)
    if error is not None:
        assert error.kind == "invalid-manifest"
    else:
        assert found.layers
        assert all(0 <= one.size < 2**63 and len(one.digest) == 71 for one in found.descriptors)


@given(st.binary(max_size=64))
def test_whatever_bytes_a_manifest_holds_only_a_typed_error_comes_out(raw):
    with pytest.raises(TorvynError):
        parse(raw)


def split(content, cuts):
    marks = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    return [content[start:end] for start, end in pairwise(marks)]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_the_right_bytes_pass_however_they_are_cut(content, cuts):
    assert b"".join(verified(split(content, cuts), Descriptor.of(content, "x"), where="here")) == content


@given(st.binary(min_size=1, max_size=100), st.integers(0, 99), st.integers(1, 255), st.lists(st.integers(0, 100), max_size=4))
def test_a_single_changed_byte_never_passes(content, at, change, cuts):
    at %= len(content)
    changed = content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]
    with pytest.raises(TorvynError) as raised:
        list(verified(split(changed, cuts), Descriptor.of(content, "x"), where="here"))
    assert raised.value.kind == "digest-mismatch"


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_another_length_is_a_size_mismatch(content, other):
    descriptor = Descriptor.of(content, "x")
    if len(content) == len(other):
        other += b"!"
    with pytest.raises(TorvynError) as raised:
        list(verified([other], descriptor, where="here"))
    assert raised.value.kind == "size-mismatch"


def test_an_endless_stream_is_stopped_at_the_promised_size():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield b"x" * 10

    with pytest.raises(TorvynError):
        list(verified(endless(), Descriptor("x", digest_of(b""), 25), where="here"))
    assert len(taken) == 3


def test_assembling_is_deterministic_and_every_size_is_true():
    layers = [(HEADER, WASM_TYPE, "component.wasm"), (b"[torvyn]\n", "text/x-toml", "Torvyn.toml")]
    one = assemble(layers, config={"b": 1, "a": 2}, annotations={"z": "1", "y": "2"})
    two = assemble(list(layers), config={"a": 2, "b": 1}, annotations={"y": "2", "z": "1"})
    assert (one.manifest, one.digest) == (two.manifest, two.digest)
    manifest = parse(one.manifest)
    assert [layer.annotations[TITLE] for layer in manifest.layers] == ["component.wasm", "Torvyn.toml"]
    assert all(len(one.blobs[found.digest]) == found.size for found in manifest.descriptors)
    assert set(one.blobs) == {found.digest for found in manifest.descriptors}
