"""The configuration vectors (corpus/vectors/config.toml), run on the reference."""

from pathlib import Path
from types import MappingProxyType

import pytest
import tomli

from torvyn_ref import config
from torvyn_ref.errors import TorvynError, TorvynErrors

VECTORS = tomli.loads((Path(__file__).parents[3] / "corpus/vectors/config.toml").read_text())


def errors_of(error):
    return error.errors if isinstance(error, TorvynErrors) else (error,)


def load(case, folder):
    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@project", VECTORS["project"]))

    write(folder / "Torvyn.toml", case["manifest"])
    if "pipeline" in case:
        write(folder / "pipeline.toml", case["pipeline"])
    if "user" in case:
        write(folder / "home/.config/torvyn/config.toml", case["user"])
    environment = {"HOME": str(folder / "home"), **case.get("environment", {})}
    return config.load(folder, environment=environment, overrides=case.get("overrides"))


def value_at(manifest, path):
    """Follow a dotted path through the typed models, by the names the file uses."""
    found = manifest
    for key in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(found, MappingProxyType):
            found = found[key]
        elif isinstance(found, tuple):
            found = found[int(key)]
        else:
            fields = type(found).model_fields
            found = getattr(found, next(name for name, field in fields.items() if key in (name, field.alias)))
    return list(found) if isinstance(found, tuple) else found


@pytest.mark.parametrize("case", VECTORS["case"], ids=lambda case: case["name"])
def test_the_reference_agrees_with_the_vector(case, tmp_path):
    if "errors" in case:
        with pytest.raises(TorvynError) as raised:
            load(case, tmp_path)
        found = errors_of(raised.value)
        assert sorted((error.kind, error.fields["field"]) for error in found) == sorted((e["kind"], e["field"]) for e in case["errors"])
        assert {error.subsystem for error in found} == {"config"}
        assert all(error.code and error.where for error in found)
        for expected in case["errors"]:
            if "file" in expected:
                assert any(Path(e.fields["file"]).name == expected["file"] for e in found if e.fields["field"] == expected["field"])
        return
    assert {"values", "streams", "flows"} & set(case), "a vector that expects nothing cannot fail"
    project = load(case, tmp_path)
    assert {path: value_at(project.manifest, path) for path in case.get("values", {})} == case.get("values", {})
    for stream in case.get("streams", ()):
        flow = project.flow(stream["flow"])
        settings = project.stream_settings(flow, flow.edges[stream["edge"]])
        assert (settings.queue_depth, settings.policy, settings.low_watermark_ratio) == (
            stream["queue_depth"],
            stream["policy"],
            stream["low_watermark_ratio"],
        )
    if "flows" in case:
        assert list(project.flows) == case["flows"]
        assert project.default_flow == case["flows"][0]


@pytest.mark.parametrize("size", VECTORS["size"], ids=lambda size: repr(size["text"]))
def test_a_size_reads_as_the_vector_says(size):
    if "bytes" in size:
        assert config.parse_size(size["text"]) == size["bytes"]
    else:
        with pytest.raises(ValueError, match="size"):
            config.parse_size(size["text"])


def test_every_case_has_a_name_of_its_own_and_at_least_one_rule():
    names = [case["name"] for case in VECTORS["case"]]
    assert len(names) == len(set(names))
    assert all(case["rules"] for case in VECTORS["case"])
