"""Keys of Torvyn.toml about time, pressure and failure: what is written reaches the driver, in its unit; what makes no sense is told."""

import pytest

from torvyn_ref import config
from torvyn_ref.errors import TorvynError
from torvyn_ref.flow import FlowSettings
from torvyn_ref.flow.breaker import BreakerSettings
from torvyn_ref.flow.settings import FanOut
from torvyn_ref.host import Host
from torvyn_ref.streams import OverflowPolicy

MS, US = 1_000_000, 1_000
LIMITED = 'backpressure_policy = "rate-limit"'


@pytest.fixture
def prepared(project, tmp_path):
    """Prepare source → processor → sink with some more lines in its Torvyn.toml."""
    made = []

    def prepare(more="", edges=None):
        host = Host(config.load(project.write(edges=edges, more=more), environment={}), cache_root=tmp_path / "cache")
        flow = host.prepare()
        made.append(flow)
        return flow.driver

    yield prepare
    for flow in made:
        flow.close()


def refused(prepared, more, **options):
    with pytest.raises((TorvynError, ExceptionGroup)) as caught:
        prepared(more, **options)
    errors = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else (caught.value,)
    return [f"{error.where}: {error.message} {error.hint or ''}" for error in errors]


@pytest.mark.parametrize(
    ("section", "key", "value", "setting", "expected"),
    [
        ("runtime", "component_timeout_ms", 7, "call_timeout_ns", 7 * MS),
        ("runtime", "component_init_timeout_ms", 7, "init_timeout_ns", 7 * MS),
        ("runtime", "component_teardown_timeout_ms", 7, "teardown_timeout_ns", 7 * MS),
        ("runtime", "cooperative_cancel_timeout_ms", 7, "cooperative_ns", 7 * MS),
        ("runtime", "cooperative_cancel_timeout_ms", 0, "cooperative_ns", 0),
        ("runtime", "interrupt_grace_ms", 7, "interrupt_grace_ns", 7 * MS),
        ("runtime", "drain_timeout_ms", 0, "drain_timeout_ns", 0),
        ("runtime", "sink_pause_delay_us", 7, "sink_pause_delay_ns", 7 * US),
        ("flow.main", "deadline_ms", 7, "deadline_ns", 7 * MS),
        ("flow.main", "fan_out", "independent-per-branch", "fan_out", FanOut.INDEPENDENT),
        ("flow.main", "fan_out", "min-credit", "fan_out", FanOut.MIN_CREDIT),
        ("flow.main.error_policy", "breaker_threshold", 3, "breaker", BreakerSettings(3, 1000 * MS)),
        ("flow.main.error_policy", "breaker_threshold", 0, "breaker", None),
    ],
)
def test_a_key_reaches_the_driver_in_its_unit_and_changes_nothing_else(prepared, section, key, value, setting, expected):
    text = f'"{value}"' if isinstance(value, str) else value
    before, after = prepared().settings, prepared(f"[{section}]\n{key} = {text}").settings
    assert getattr(after, setting) == expected
    changed = {name for name in FlowSettings.__dataclass_fields__ if getattr(before, name) != getattr(after, name)}
    assert changed <= {setting}


def test_the_defaults_are_those_of_the_driver(prepared):
    settings, default = prepared().settings, FlowSettings()
    for name in (
        "init_timeout_ns",
        "teardown_timeout_ns",
        "cooperative_ns",
        "interrupt_grace_ns",
        "drain_timeout_ns",
        "fan_out",
        "breaker",
    ):
        assert getattr(settings, name) == getattr(default, name), name


def test_a_circuit_stays_open_for_as_long_as_is_written(prepared):
    driver = prepared("[flow.main.error_policy]\nbreaker_threshold = 2\nbreaker_cooldown_ms = 30")
    assert driver.settings.breaker == BreakerSettings(2, 30 * MS)
    assert all(stage.breaker is not None for stage in driver.stages)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("runtime", "component_timeout_ms", "0"),
        ("runtime", "component_init_timeout_ms", "0"),
        ("runtime", "component_teardown_timeout_ms", "5001"),
        ("runtime", "cooperative_cancel_timeout_ms", "-1"),
        ("runtime", "interrupt_grace_ms", "-1"),
        ("runtime", "interrupt_grace_ms", '"soon"'),
        ("runtime", "sink_pause_delay_us", "0"),
        ("flow.main", "fan_out", '"independent"'),
        ("flow.main.error_policy", "breaker_threshold", "-1"),
        ("flow.main.error_policy", "breaker_cooldown_ms", "0.5"),
        ("runtime.backpressure", "rate_per_s", "0.0"),
        ("runtime.backpressure", "rate_per_s", "inf"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_its_key(prepared, section, key, value):
    (told,) = refused(prepared, f"[{section}]\n{key} = {value}")
    assert key in told


# ---- rate limits come from three levels


def rates(driver):
    return [(edge.stream.config.policy, edge.stream.config.rate_per_s) for edge in driver.edges]


RATE_LIMIT, BLOCK = OverflowPolicy.RATE_LIMIT, OverflowPolicy.BLOCK


@pytest.mark.parametrize(
    ("more", "edge", "expected"),
    [
        (f"[runtime.backpressure]\n{LIMITED}\nrate_per_s = 5.0", "", [(RATE_LIMIT, 5.0), (RATE_LIMIT, 5.0)]),
        (f"[flow.main.backpressure]\n{LIMITED}\nrate_per_s = 5.0", "", [(RATE_LIMIT, 5.0), (RATE_LIMIT, 5.0)]),
        ("", f"backpressure = {{ {LIMITED}, rate_per_s = 2.5 }}", [(RATE_LIMIT, 2.5), (BLOCK, None)]),
        (
            f"[runtime.backpressure]\nrate_per_s = 1.0\n[flow.main.backpressure]\n{LIMITED}\nrate_per_s = 5.0",
            "backpressure = { rate_per_s = 2.5 }",
            [(RATE_LIMIT, 2.5), (RATE_LIMIT, 5.0)],
        ),
        ("[runtime.backpressure]\nrate_per_s = 1.0", f"backpressure = {{ {LIMITED} }}", [(RATE_LIMIT, 1.0), (BLOCK, None)]),
        ("[runtime.backpressure]\nrate_per_s = 1.0", "", [(BLOCK, None), (BLOCK, None)]),
    ],
)
def test_an_edges_rate_goes_before_the_flows_and_the_runtimes_and_belongs_to_rate_limits(prepared, more, edge, expected):
    edges = [("numbers", "capitals", *([edge] if edge else [])), ("capitals", "end")]
    assert rates(prepared(more, edges=edges)) == expected


def test_a_rate_limit_without_a_rate_is_refused(prepared):
    told = refused(prepared, f"[flow.main.backpressure]\n{LIMITED}")
    assert any("rate_per_s" in line for line in told)


def test_a_grace_that_is_written_is_warned_of(project):
    """A real guest is gone with its interruption, and a key that does nothing says so."""
    loaded = config.load(project.write(more="[runtime]\ninterrupt_grace_ms = 7"), environment={})
    assert any("interrupt_grace_ms has no effect" in warning for warning in loaded.warnings)
