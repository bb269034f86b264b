from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.reference import (
    FileReference,
    LayoutReference,
    NameReference,
    OciReference,
    parse_digest,
    parse_oci,
    parse_reference,
)

TABLE = tomli.loads((Path(__file__).parents[3] / "corpus/vectors/oci-references.toml").read_text())
KINDS = {"oci": OciReference, "layout": LayoutReference, "file": FileReference, "name": NameReference}


def attempt(call, *arguments):
    """What a call returned, and the typed error it raised instead; anything else it raises is a failure."""
    try:
        return call(*arguments), None
    except TorvynError as error:
        return None, error


def expand(vector):
    digits = TABLE["hex"]
    return {key: value.replace("HEXUP", digits.upper()).replace("HEX", digits) for key, value in vector.items()}


@pytest.mark.parametrize("vector", [expand(vector) for vector in TABLE["oci"]], ids=lambda vector: repr(vector["text"])[:60])
def test_an_oci_reference_reads_as_the_vector_says(vector):
    if "registry" not in vector:
        with pytest.raises(TorvynError) as raised:
            parse_oci(vector["text"])
        assert (raised.value.subsystem, raised.value.kind) == ("packaging", "invalid-reference")
        return
    found = parse_oci(vector["text"])
    assert found == OciReference(vector["registry"], vector["repository"], vector.get("tag"), vector.get("digest"))
    assert found.rendered() == vector["rendered"]
    assert found.wanted_tag == vector.get("tag", "latest")


@pytest.mark.parametrize("vector", [expand(vector) for vector in TABLE["component"]], ids=lambda vector: repr(vector["text"])[:60])
def test_a_component_reference_reads_as_the_vector_says(vector):
    vector = dict(vector)
    text = vector.pop("text")
    if "kind" not in vector:
        with pytest.raises(TorvynError) as raised:
            parse_reference(text)
        assert raised.value.kind == "invalid-reference"
        return
    assert parse_reference(text) == KINDS[vector.pop("kind")](**vector)


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
registries = st.builds(
    lambda names, port: ".".join(names) + (f":{port}" if port else ""),
    st.lists(labels, min_size=1, max_size=3),
    st.none() | st.integers(1, 65535),
)
parts = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*", fullmatch=True).filter(lambda part: len(part) < 40)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
digests = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
references = st.builds(
    OciReference, registries, st.lists(parts, min_size=1, max_size=3).map("/".join), st.none() | tags, st.none() | digests
)


@given(references)
def test_every_part_survives_writing_and_reading(reference):
    assert parse_oci(str(reference)) == reference == parse_reference(str(reference))
    rendered = parse_oci(reference.rendered())
    assert rendered.pinned == reference.pinned


@given(
    st.text(max_size=60)
    | st.text("oci:/@.-_aA0[] \n", max_size=40)
    | st.builds(lambda one, cut, put: str(one)[:cut] + put, references, st.integers(0, 60), st.text(max_size=5))
)
def test_whatever_is_parsed_is_refused_or_safe(text):
    for parse in (parse_reference, parse_oci):
        found, error = attempt(parse, text)
        if error is not None:
            assert error.kind == "invalid-reference"
            assert len(str(error)) < 1000
            continue
        assert "\0" not in str(found)
        if isinstance(found, OciReference):
            assert ".." not in found.repository.split("/")
            assert not found.repository.startswith("/")
            assert found.repository == found.repository.lower()
            assert "@" not in found.registry
            assert "/" not in found.registry
            assert parse_oci(str(found)) == found
            if found.digest is not None:
                assert parse_digest(found.digest) == found.digest


def test_an_endless_reference_is_refused_by_its_length():
    with pytest.raises(TorvynError, match="longer than"):
        parse_reference("oci://r/" + "a-" * 100_000)


@pytest.mark.parametrize(
    "text", ["sha256:" + "0" * 63, "sha256:" + "g" * 64, "sha256" + "0" * 64, "", "sha256:" + "0" * 64 + "\n", "sha256:" + "\u0660" * 64]
)
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(TorvynError):
        parse_digest(text)
