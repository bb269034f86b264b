from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.contract.versions import PROVIDED, Version, incompatibility
from torvyn_ref.errors import TorvynError

numbers = st.integers(0, 9)
words = st.lists(st.from_regex(r"[0-9]|[1-9][0-9]|[0-9]*[a-z-][0-9a-z-]*", fullmatch=True), max_size=3).map(tuple)
versions = st.builds(Version, numbers, numbers, numbers, words, words)


@given(versions)
def test_a_version_reads_back_the_same(version):
    assert Version.parse(str(version)) == version


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "v1.2.3",
        "01.2.3",
        "1.02.3",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-a..b",
        "1.2.3+",
        "1.2.3+a+b",
        " 1.2.3",
        "1.2.3\n",
    ],
)
def test_what_is_no_semantic_version_is_refused(text):
    with pytest.raises(TorvynError) as refusal:
        Version.parse(text, where="Torvyn.toml, torvyn.version")
    assert (refusal.value.subsystem, refusal.value.kind, refusal.value.code) == ("contract", "invalid-version", "E0113")
    assert refusal.value.where == "Torvyn.toml, torvyn.version"


def test_a_version_of_any_length_is_refused_in_a_short_sentence():
    with pytest.raises(TorvynError) as refusal:
        Version.parse("1.2.3-" + "a" * 100_000)
    assert len(str(refusal.value)) < 600


def test_order_is_that_of_semver():
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
    ]
    assert all(one < two for one, two in pairwise(map(Version.parse, ordered)))
    assert not Version.parse("1.0.0+a") < Version.parse("1.0.0+b")


@pytest.mark.parametrize(
    ("wanted", "provided", "reason"),
    [
        ("0.1.0", "0.1.0", None),
        ("0.1.7", "0.1.0", None),
        ("0.1.0", "0.1.7", None),
        ("0.1.0+build", "0.1.0", None),
        ("0.2.0", "0.1.0", "minor"),
        ("0.0.9", "0.1.0", "minor"),
        ("1.0.0", "0.1.0", "major"),
        ("0.1.1-rc.1", "0.1.0", "prerelease"),
        ("0.1.0-rc.1", "0.1.0", "prerelease"),
        ("0.1.0-rc.1", "0.1.0-rc.1", None),
        ("1.2.0", "1.2.0", None),
        ("1.1.9", "1.2.0", None),
        ("1.3.0", "1.2.0", "minor"),
        ("2.0.0", "1.2.0", "major"),
    ],
)
def test_a_contract_version_is_accepted_or_refused_with_its_reason(wanted, provided, reason):
    found = incompatibility(Version.parse(wanted), Version.parse(provided))
    assert found is None if reason is None else reason in found


@given(versions)
def test_every_version_is_compatible_with_itself(version):
    assert incompatibility(version, version) is None


@given(versions)
def test_nothing_outside_0_1_runs_here(version):
    inside = (version.major, version.minor, version.prerelease) == (0, 1, ())
    assert (incompatibility(version) is None) is inside
    assert str(PROVIDED) == "0.1.0"
