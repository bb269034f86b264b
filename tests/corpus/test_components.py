"""The corpus is what its catalogue says, and its well-behaved components do what they say."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
import tomli
import wasmtime
import wasmtime.component as wc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.components.build import main as build
from corpus.components.guests import GUESTS

FUEL = 3_000_000  # the host sets it before each call
COMPONENTS = Path(__file__).resolve().parents[2] / "corpus/components"
CATALOGUE = {entry["name"]: entry for entry in tomli.loads((COMPONENTS / "catalogue.toml").read_text())["component"]}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BY_NAME = pytest.mark.parametrize("name", sorted(CATALOGUE))


def counted(number, size):
    text = f"{number:08}"[-size:] if size < 8 else f"{number:08}" + (LETTERS * (size // 26 + 1))[: size - 8]
    return text.encode() if size else b""


def error(kind, text="as configured"):
    return kind, None if kind == "deadline-exceeded" else text


def said(answer):
    assert isinstance(answer, wc.Variant), answer
    return answer.tag, answer.payload


# What is committed


def test_building_again_gives_the_same_bytes(capsys):
    assert build(["--check"]) == 0, capsys.readouterr().err


def test_the_build_runs_from_anywhere(tmp_path):
    done = subprocess.run([sys.executable, COMPONENTS / "build.py", "--check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_catalogue_lists_each_guest_once_and_every_file_beside_it():
    assert len(CATALOGUE) == len(GUESTS)
    assert {path.stem for path in COMPONENTS.glob("*.wasm")} == set(CATALOGUE)
    assert {path.stem for path in COMPONENTS.glob("*.wat")} == set(CATALOGUE)


@BY_NAME
def test_a_component_validates_and_has_the_catalogued_borders(name):
    engine = wasmtime.Engine()
    binary = (COMPONENTS / f"{name}.wasm").read_bytes()
    assert len(binary) < 16 * 1024
    component = wc.Component(engine, binary)
    assert list(component.type.imports(engine)) == CATALOGUE[name]["imports"]
    assert list(component.type.exports(engine)) == CATALOGUE[name]["exports"]


@BY_NAME
def test_a_misbehaving_component_says_which_rules_it_breaks_and_how(name):
    entry = CATALOGUE[name]
    misbehaving = entry["behaviour"] == "misbehaving"
    assert misbehaving == bool(entry.get("breaks")) == bool(entry.get("outcome")) == bool(entry.get("at"))


def test_the_catalogue_declares_a_capability_for_exactly_the_guests_with_wasi_imports():
    free = ("wasi:io/", "wasi:cli/stdin@", "wasi:cli/exit@", "wasi:cli/terminal-")
    gated = {n for n, e in CATALOGUE.items() if any(i.startswith("wasi:") and not i.startswith(free) for i in e["imports"])}
    assert gated == {n for n, e in CATALOGUE.items() if e.get("capabilities")}


# Sources


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 33, 34, 35, 4096, 65536, 1 << 20])
def test_the_counter_gives_numbered_printable_elements_of_the_size_asked_for(drive, size):
    host = drive("counter-source")
    assert host.init(f"count=3,size={size},content-type=text/csv,first=41") is None
    assert [host.pull() for _ in range(4)] == [*((n, "text/csv", counted(n, size)) for n in (41, 42, 43)), None]
    host.teardown()
    assert host.live == 0


def test_the_counter_has_defaults_and_ignores_backpressure(drive):
    host = drive("counter-source")
    assert host.init() is None
    pulled = []
    while (element := host.pull()) is not None:
        host.notify("pause" if len(pulled) % 2 else "ready")
        pulled.append(element)
    assert pulled == [(n, "text/plain", counted(n, 16)) for n in range(10)]


def test_the_counter_can_claim_a_false_sequence_number(drive):
    host = drive("counter-source")
    host.init("sequence=777,count=2")
    assert [host.pull()[0] for _ in range(2)] == [777, 777]


@pytest.mark.parametrize(
    "config",
    [
        "count",
        "count=",
        "count=x",
        "count=1x",
        "count=-1",
        "count=+1",
        "count= 1",
        "count=100000001",
        "count=18446744073709551617",
        "count=1,",
        ",count=1",
        "count=1,,size=2",
        "count=1=2",
        "=1",
        "colour=red",
        "Count=1",
        "size=16777217",
        "content-type=" + "x" * 64,
        "count=1," * 40,
        "x" * 100_000,
        "\u2603",
        "\0",
    ],
)
def test_a_hostile_configuration_is_answered_invalid_input(drive, config):
    assert said(drive("counter-source").init(config))[0] == "invalid-input"


def test_a_refused_configuration_names_the_keys_there_are(drive):
    assert said(drive("faulty").init("colour=red")) == ("invalid-input", "unknown key; known: every, attempts, kind")
    assert said(drive("faulty").init("kind=boring"))[1].startswith("kind: expected one of invalid-input, unavailable")
    assert said(drive("sink-ready").init("a=1")) == ("invalid-input", "this component takes no configuration")


@given(config=st.text(alphabet="count=size,0129x\u00e9", max_size=40) | st.text(max_size=300))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_configuration_traps(drive, config):
    answer = drive("counter-source").init(config)
    assert answer is None or said(answer)[0] == "invalid-input"


def test_the_fast_source_loses_its_rest_when_pulled_while_paused(drive):
    host = drive("fast-source")
    host.init("count=5")
    assert host.pull() is not None
    host.notify("pause")
    assert host.pull() is None
    host.notify("ready")
    assert [host.pull()[0] for _ in range(4)] == [1, 2, 3, 4]
    assert host.pull() is None


@pytest.mark.parametrize("kind", ["invalid-input", "unavailable", "internal", "deadline-exceeded", "fatal"])
def test_the_failing_source_fails_every_nth_pull_and_loses_nothing(drive, kind):
    host = drive("failing-source")
    host.init(f"count=4,every=3,kind={kind}")
    answers = [host.pull() for _ in range(7)]
    assert [a[0] if isinstance(a, tuple) else a and said(a) for a in answers] == [0, 1, error(kind), 2, 3, error(kind), None]


def test_a_source_reports_a_refused_buffer_and_can_go_on(drive):
    host = drive("counter-source", budget=10)
    host.init("count=1,size=100")
    assert said(host.pull()) == ("unavailable", "the host refused a buffer")
    host.budget = 1000
    assert host.pull()[2] == counted(0, 100)
    assert host.live == 0


# Processors


@pytest.mark.parametrize("payload", [b"", b"a", b"hello, World! \xff\x80{`", bytes(range(256)) * 3, b"z" * 65536])
@pytest.mark.parametrize("name", ["uppercase", "uppercase-managed"])
def test_uppercase_raises_ascii_letters_and_nothing_else(drive, name, payload):
    host = drive(name)
    if name == "uppercase-managed":
        host.init()
    assert host.process(payload) == payload.upper()
    assert host.live == 0


def test_uppercase_handles_half_a_megabyte_within_the_default_fuel(drive):
    host = drive("uppercase")
    payload = b"abcd" * (1 << 17)
    assert host.process(payload) == payload.upper()
    assert FUEL - host.store.get_fuel() < 1_000_000


@pytest.mark.parametrize("name", ["clone-freeze", "uppercase", "annotate", "chunk-reader", "burner", "faulty"])
def test_a_processor_lets_go_of_everything_when_the_host_refuses_a_buffer(drive, name):
    host = drive(name, budget=0)
    if "torvyn:streaming/lifecycle@0.1.0" in CATALOGUE[name]["exports"]:
        host.init()
    assert said(host.process(b"payload")) == ("internal", "the host refused a buffer")
    assert host.live == 0


def test_the_managed_processor_holds_the_host_to_its_lifecycle(drive):
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        drive("uppercase-managed").process(b"before init")
    twice = drive("uppercase-managed")
    twice.init("any configuration")
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        twice.init()
    ended = drive("uppercase-managed")
    ended.init()
    ended.teardown()
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        ended.process(b"after teardown")


@pytest.mark.parametrize("payload", [b"", b"x", b"payload" * 1000])
def test_identities_copy_their_input(drive, payload):
    chunked, burner, faulty = drive("chunk-reader"), drive("burner"), drive("faulty")
    chunked.init("chunk=7")
    burner.init("loops=10")
    faulty.init("every=0")
    assert [host.process(payload) for host in (drive("clone-freeze"), chunked, burner, faulty)] == [payload] * 4


def test_annotate_adds_its_suffix(drive):
    host = drive("annotate")
    host.init("suffix= \u2603")
    assert host.process(b"snow") == "snow \u2603".encode()
    assert host.process(b"") == " \u2603".encode()


def test_the_dropper_drops(drive):
    assert drive("dropper").process(b"x") is None


def test_the_burner_burns_what_it_is_told(drive):
    spent = []
    for loops in (0, 1000, 2000):
        host = drive("burner")
        host.init(f"loops={loops}")
        host.process(b"x")
        spent.append(host.store.get_fuel())
    assert spent[0] - spent[1] == spent[1] - spent[2] > 1000


def test_faulty_fails_every_nth_element_until_its_attempts_are_used_up(drive):
    host = drive("faulty")
    host.init("every=2,attempts=2,kind=unavailable")
    assert host.process(b"a", sequence=0) == b"a"
    assert [said(host.process(b"b", sequence=1)) for _ in range(2)] == [error("unavailable")] * 2
    assert host.process(b"b", sequence=1) == b"b"
    assert host.process(b"c", sequence=2) == b"c"
    assert host.live == 0


def test_faulty_without_attempts_fails_for_good(drive):
    host = drive("faulty")
    host.init("every=1")
    assert [said(host.process(b"b", sequence=1)) for _ in range(5)] == [error("internal")] * 5


@pytest.mark.parametrize("kind", ["invalid-input", "unavailable", "internal", "deadline-exceeded", "fatal"])
def test_each_error_has_its_component(drive, kind):
    assert said(drive(f"error-{kind}").process(b"x")) == error(kind, "as built")


def test_a_component_may_refuse_to_be_set_up(drive):
    assert said(drive("init-fails").init()) == ("unavailable", "as built")


# Filter, router, aggregator


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ("", ["0", "10", "x", ""]),
        ("keep=odd", ["7", "x", ""]),
        ("keep=all", ["0", "7", "10", "x", ""]),
        ("keep=none", []),
        ("keep=all,drop-first=1", ["0", "7", "x", ""]),
    ],
)
def test_the_filter_keeps_what_it_is_told_to(drive, config, kept):
    host = drive("number-filter")
    host.init(config)
    assert [text for text in ("0", "7", "10", "x", "") if host.evaluate(text.encode())] == kept


@pytest.mark.parametrize(
    ("config", "ports"),
    [
        ("", [["even"], ["odd"], ["even", "odd"], []]),
        ("even=left,odd=right,other=rest", [["left"], ["right"], ["left", "right"], ["rest"]]),
        ("repeat=2,odd=", [["even"] * 2, [], ["even"] * 2, []]),
        ("repeat=0", [[], [], [], []]),
    ],
)
def test_the_router_names_the_ports_it_is_told_to(drive, config, ports):
    host = drive("parity-router")
    host.init(config)
    assert [host.route(text) for text in (b"00000002ab", b"3", b"10", b"none")] == ports


@pytest.mark.parametrize("inputs", [0, 1, 2, 3, 100])
def test_the_aggregator_joins_groups_and_flushes_the_rest(drive, inputs):
    host = drive("concatenator")
    host.init(f"inputs={inputs}")
    given = [b"one", b"", b"three" * 999, b"four", b"five"]
    made = [answer for payload in given if (answer := host.ingest(payload)) is not None] + host.flush()
    size = max(inputs, 1)
    assert made == [b"".join(given[i : i + size]) for i in range(0, 5, size)]
    assert host.flush() == []
    assert host.live == 0


def test_the_aggregators_burst_follows_what_was_left(drive):
    host = drive("concatenator")
    host.init("inputs=2,burst=100")
    host.ingest(b"left")
    assert host.flush() == [b"left", *(b"%08d" % n for n in range(100))]
    assert host.live == 0


def test_an_aggregator_refused_in_the_middle_of_a_burst_lets_go_of_what_it_made(drive):
    host = drive("concatenator", budget=0)
    host.init("burst=3")
    host.ingest(b"left")
    assert said(host.flush()) == ("internal", "the host refused a buffer")
    assert host.live == 0


# Sinks


def test_the_ready_sink_is_ready(drive):
    host = drive("sink-ready")
    assert host.init() is None
    assert [host.push(b"x") for _ in range(3)] == ["ready"] * 3
    assert host.complete() is None
    host.teardown()


@pytest.mark.parametrize(("config", "answers"), [("", "rprp"), ("every=3", "rrpr"), ("every=1", "pppp"), ("every=0", "rrrr")])
def test_the_pausing_sink_pauses_every_nth_push(drive, config, answers):
    host = drive("sink-pausing")
    host.init(config)
    assert "".join(host.push(b"x")[0] for _ in range(4)) == answers


def test_the_failing_sink_fails_as_configured(drive):
    host = drive("sink-failing")
    host.init("every=2,kind=fatal,complete=unavailable")
    assert host.push(b"x") == "ready"
    assert said(host.push(b"x")) == error("fatal")
    assert said(host.complete()) == error("unavailable")


def test_the_printing_sink_prints_lines_of_any_length(drive):
    host = drive("stdout-sink")
    lines = [b"one", b"", b"long" * 3000]
    assert [host.push(line) for line in lines] == ["ready"] * 3
    assert host.printed == b"".join(line + b"\n" for line in lines)


# Probes


def fields(report):
    """A report as its numbers; the reader of byte fields is returned beside the reader of numbers."""
    at = 0

    def number():
        nonlocal at
        (value,) = struct.unpack_from("<Q", report, at)
        at += 8
        return value

    def data():
        nonlocal at
        size = number()
        at += size
        return report[at - size : at]

    return number, data


def test_the_probe_reports_what_every_host_function_answers(drive):
    host = drive("probe-all")
    number, data = fields(host.process(b"payload", content_type="text/x"))
    assert [number(), data(), data(), data()] == [7, b"text/x", b"ayl", b"payload"]
    assert [data(), data(), number(), data()] == [b"0123456789abcdef" * 2, b"fedcba9876543210", 1234567890, b"flow-1"]
    allocate, write, append, gap, size, capacity = (number() for _ in range(6))
    assert (allocate, write, append, gap, size, capacity) == (0, 0, 0, 2, 9, 256)
    assert [number(), data()] == [9, b"text/probe"]
    assert [number(), number(), number(), data()] == [0, 0, 9, b"probe-all!"]
    assert host.live == 0


def test_wasi_probes_report_what_the_host_told_them(drive):
    number, _ = fields(drive("wasi-wall-clock").process(b"x"))
    assert (number(), number()) == (11, 22)
    number, _ = fields(drive("wasi-monotonic-clock").process(b"x"))
    assert (number(), number()) == (1000, 1001)
    _, data = fields(drive("wasi-random").process(b"x"))
    assert data() == bytes(range(16))
    number, data = fields(drive("wasi-environment", environment=[("A", "1"), ("LONG", "x" * 99)]).process(b"x"))
    assert number() == 2
    assert [data() for _ in range(4)] == [b"A", b"1", b"LONG", b"x" * 99]


def test_the_printing_processor_prints_and_passes_on(drive):
    host = drive("wasi-stdout")
    assert [host.process(b"x"), host.process(b"y")] == [b"x", b"y"]
    assert host.printed == b"hello from a component\n" * 2


def test_the_complaining_processor_prints_and_passes_on(drive):
    host = drive("wasi-stderr")
    assert host.process(b"x") == b"x"
    assert host.printed == b"a complaint\n"


def test_what_is_not_secret_is_reported_too(drive):
    _, data = fields(drive("wasi-insecure-random").process(b"x"))
    assert data() == bytes(range(16))
    number, _ = fields(drive("wasi-insecure-seed").process(b"x"))
    assert (number(), number()) == (3, 5)


def test_a_component_says_what_it_was_told_about_its_capabilities(drive):
    host = drive("capability-query")
    assert [host.process(name) for name in (b"clock:wall", b"nonsense", b"", b"\xff\x80")] == [b"yes", b"no", b"no", b"no"]
    assert host.live == 0


def test_the_greeting_is_printed_when_the_component_is_initialised(drive):
    host = drive("init-prints")
    assert host.printed == b""
    host.init("")
    assert (host.printed, host.process(b"x")) == (b"init ran\n", b"x")


def test_a_component_of_an_ordinary_toolchain_finds_no_input_and_no_terminal_and_leaves_when_asked_to(drive):
    host = drive("wasi-inert")
    number, _ = fields(host.process(b"x"))
    assert (number(), number()) == (2, 0)  # closed; none
    with pytest.raises(Exception, match="exit"):
        host.process(bytes(3333))


def test_a_wasi_component_is_not_instantiated_without_its_import(drive, monkeypatch):
    monkeypatch.delitem(sys.modules[drive.__module__].DEFINITIONS, "wasi:random/random@0.2.0")
    with pytest.raises(wasmtime.WasmtimeError, match="wasi:random/random"):
        drive("wasi-random")


@BY_NAME
def test_a_well_behaved_component_holds_nothing_after_its_calls(drive, name):
    entry = CATALOGUE[name]
    if entry["behaviour"] == "misbehaving" or name == "init-fails":
        return
    host = drive(name)
    if "torvyn:streaming/lifecycle@0.1.0" in entry["exports"]:
        assert host.init() is None
    call = {
        "source": lambda _: host.pull(),
        "processor": host.process,
        "sink": host.push,
        "filter": host.evaluate,
        "router": host.route,
        "aggregator": host.ingest,
    }[entry["role"]]
    for number in range(8):
        call(b"%08d" % number)
    assert host.live == 0
