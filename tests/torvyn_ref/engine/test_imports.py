"""Names, versions and signatures of interfaces."""

import pytest

from torvyn_ref.engine.imports import expand, in_series, split_version


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("wasi:io/streams@0.2.3", ("wasi:io/streams", "0.2.3")),
        ("wasi:io/streams", ("wasi:io/streams", None)),
        ("bare", ("bare", None)),
        ("x:y/z@1.0.0-rc.1+b", ("x:y/z", "1.0.0-rc.1+b")),
        ("x:y/z@latest", ("x:y/z@latest", None)),
        ("@0.1.0", ("@0.1.0", None)),
    ],
)
def test_a_name_is_split_at_its_version(name, parts):
    assert split_version(name) == parts


@pytest.mark.parametrize(
    ("version", "series", "expected"),
    [
        ("0.2.0", "0.2", True),
        ("0.2.19", "0.2", True),
        ("0.20.0", "0.2", False),
        ("0.3.0", "0.2", False),
        ("1.0.2", "0.2", False),
        ("0.2", "0.2", False),
        ("0.2.0-rc-1", "0.2", False),
        ("0.2.01", "0.2", False),
        ("0.2.٣", "0.2", False),
        (None, "0.2", False),
    ],
)
def test_a_series_is_its_releases(version, series, expected):
    assert in_series(version, series) is expected


def test_names_of_types_expand_and_names_of_parameters_stay():
    definitions = {"error": "variant{bad(text)}", "text": "string"}
    assert expand("func(error: text, my-error: list<text>) -> result<_, error>", definitions) == (
        "func(error: string, my-error: list<string>) -> result<_, variant{bad(string)}>"
    )
