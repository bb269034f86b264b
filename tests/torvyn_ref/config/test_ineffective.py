"""A key that does nothing says so."""

import pytest

from torvyn_ref import config
from torvyn_ref.config import ineffective, schema, settings

PROJECT = """
[torvyn]
name = "p"
version = "0.1.0"
contract_version = "0.1.0"
{more}
[flow.main]
{flow}
[flow.main.nodes.a]
component = "a.wasm"
interface = "torvyn:streaming/source"
{node}
[flow.main.nodes.b]
component = "b.wasm"
interface = "torvyn:streaming/sink"
[[flow.main.edges]]
from = "a:default"
to = "b:default"
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    def load(more="", flow="", node="", **options):
        file = tmp_path / "Torvyn.toml"
        file.write_text(PROJECT.format(more=more, flow=flow, node=node))
        return config.load(file, **options).warnings

    return load


def test_nothing_written_is_nothing_warned_of(load):
    assert load() == ()


@pytest.mark.parametrize(
    ("where", "text", "key"),
    [
        ("more", "[runtime]\nworker_threads = 4", "runtime.worker_threads"),
        ("more", '[runtime.scheduling]\npolicy = "round-robin"', "runtime.scheduling.policy"),
        ("more", "[runtime.scheduling]\ndefault_priority = 3", "runtime.scheduling.default_priority"),
        ("more", "[observability]\ntracing_sample_rate = 0.5", "observability.tracing_sample_rate"),
        ("flow", 'scheduling_policy = "priority"', "flow.main.scheduling_policy"),
        ("node", "priority = 9", "flow.main.nodes.a.priority"),
    ],
)
def test_a_key_without_effect_is_accepted_with_a_warning_that_says_why(load, where, text, key):
    (warning,) = load(**{where: text})
    assert warning.startswith(f"{key} has no effect: ")


def test_an_override_without_effect_is_warned_of_too(load):
    (warning,) = load(overrides={"runtime.worker_threads": "2"})
    assert warning.startswith("runtime.worker_threads has no effect")


def test_every_key_of_the_list_exists(load):
    tables = {"runtime": settings.Runtime, "scheduling": settings.Scheduling, "observability": settings.Observability}
    for path in ineffective.RUNTIME:
        assert path[-1] in tables[path[-2]].model_fields
    assert set(ineffective.FLOW) <= set(schema.Flow.model_fields)
    assert set(ineffective.NODE) <= set(schema.Node.model_fields)
