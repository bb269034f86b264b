"""The decision tables of corpus/vectors/capabilities.toml, held against the reference runtime."""

from pathlib import Path

import pytest
import tomli

from torvyn_ref.errors import TorvynError, TorvynErrors
from torvyn_ref.security import Allocator, CapabilitySet, Kind, Policy, parse, resolve
from torvyn_ref.wasi.table import capability_for

TABLES = tomli.loads((Path(__file__).parents[3] / "corpus/vectors/capabilities.toml").read_text(encoding="utf-8"))


def rows(table):
    return [pytest.param(row, id=f"{table}-{number}") for number, row in enumerate(TABLES[table])]


@pytest.mark.parametrize("row", rows("parse"))
def test_a_capability_text_means_what_the_table_says(row):
    if "error" in row:
        with pytest.raises(TorvynError) as refusal:
            parse(row["text"], where="here")
        assert (refusal.value.subsystem, refusal.value.kind, refusal.value.where) == ("security", row["error"], "here")
    else:
        capability = parse(row["text"])
        assert str(capability) == row["canonical"]
        assert parse(row["canonical"]) == capability


@pytest.mark.parametrize("row", rows("covers"))
def test_a_grant_covers_a_request_as_the_table_says(row):
    assert parse(row["grant"]).covers(parse(row["request"])) is row["covers"]


@pytest.mark.parametrize("row", rows("query"))
def test_has_capability_answers_as_the_table_says(row):
    assert CapabilitySet.of(row["held"]).answers(row["name"]) is row["answer"]


@pytest.mark.parametrize("row", rows("resolve"))
def test_resolution_comes_out_as_the_table_says(row):
    inputs = row["declared"], row["granted"], Policy(row.get("policy", "deny-all"))
    options = {"component": "node", "allocator": Allocator(row.get("allocator", "absent"))}
    if "errors" in row:
        with pytest.raises(TorvynError) as refusal:
            resolve(*inputs, **options)
        errors = refusal.value.errors if isinstance(refusal.value, TorvynErrors) else (refusal.value,)
        found = sorted((error.kind, error.fields["capability"]) for error in errors)
        assert found == sorted((expected["kind"], expected["capability"]) for expected in row["errors"])
        assert all(error.fields["component"] == "node" for error in errors)
    else:
        resolution = resolve(*inputs, **options)
        assert sorted(map(str, resolution.effective)) == sorted(row["effective"])
        found = sorted((str(warning.remark), warning.capability) for warning in resolution.warnings)
        assert found == sorted((expected["remark"], expected["capability"]) for expected in row["warnings"])


@pytest.mark.parametrize("row", rows("wasi"))
def test_a_wasi_import_takes_the_capability_that_the_table_says(row):
    if row.get("unknown"):
        with pytest.raises(KeyError):
            capability_for(row["import"])
    else:
        assert sorted(capability_for(row["import"])) == sorted(row["capabilities"])


def test_every_kind_has_a_row_that_accepts_it():
    accepted = {parse(row["text"]).kind for row in TABLES["parse"] if "canonical" in row}
    assert accepted == set(Kind)


def test_every_row_names_its_rules():
    for table, entries in TABLES.items():
        for row in entries:
            assert row["rules"], (table, row)
            assert all(rule.startswith(("CAP-", "LINK-")) for rule in row["rules"])
