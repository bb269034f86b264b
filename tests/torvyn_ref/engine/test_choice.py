"""The engine that a project chooses: the direct one where it can, the stock one else, and the reason for all to see."""

import logging
import os
import threading
from pathlib import Path

import pytest
import wasmtime
from wasmtime.component import Component

from torvyn_ref.calls import Call, Element, FlowContext, Role, Signal
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.choice import ENGINES, make_engine
from torvyn_ref.engine.compilecache import CompileCache
from torvyn_ref.engine.direct import engine as direct_engine
from torvyn_ref.engine.direct.errors import Malformed
from torvyn_ref.engine.protocol import Sandbox
from torvyn_ref.errors import TorvynError
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ResourceManager

ROOT = Path(__file__).resolve().parents[3]
COMPONENTS = ROOT / "corpus/components"
CHOICES = ("auto", "direct", "stock")
READY = (COMPONENTS / "sink-ready.wasm").read_bytes()
OWNER, UPSTREAM, FLOW = Owner(1), Owner(2), FlowId(1)

LIFT_PUSH = "(canon lift (core func $main.push)"
COMPOSED = """
(component
  (component $inner
    (core module $m (func (export "f")))
    (core instance $i (instantiate $m))
    (func (export "f") (canon lift (core func $i "f"))))
  (instance $x (instantiate $inner))
  (export "f" (func $x "f")))
"""


@pytest.fixture(scope="session")
def utf16():
    """A sink that wants the content type in UTF-16: valid, and no shape for the direct engine."""
    text = (COMPONENTS / "sink-ready.wat").read_text()
    assert text.count(LIFT_PUSH) == 1
    return bytes(wasmtime.wat2wasm(text.replace(LIFT_PUSH, f"{LIFT_PUSH} string-encoding=utf16")))


@pytest.fixture
def engine():
    """Start engines that end with the test."""
    made = []

    def make(choice, **options):
        made.append(make_engine(choice, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def push_once(compiled):
    """Push one element into a sink and return its answer."""
    resources = ResourceManager()
    instance = compiled.instantiate(Role.SINK, Sandbox(OWNER, FLOW, resources, FlowContext("f"), VirtualClock()))
    handle = resources.allocate(UPSTREAM, 4, FLOW)
    resources.set_content_type(handle, UPSTREAM, "text/plain")
    resources.freeze(handle, UPSTREAM)
    resources.borrow(handle, OWNER)
    try:
        assert instance.call(Call.INIT, "") is None
        return instance.call(Call.PUSH, Element(0, 0, "text/plain; é", handle))
    finally:
        resources.end_borrow(handle, OWNER)
        resources.release(handle, UPSTREAM)
        instance.close()
        assert resources.live_count == 0


def refusal(engine, component):
    with pytest.raises(TorvynError) as caught:
        engine.compile(component, where="x.wasm")
    return caught.value


# ---- which engine runs


@pytest.mark.parametrize("choice", CHOICES)
def test_an_engine_is_started_by_its_name(engine, choice):
    assert engine(choice, threaded=False).name == choice
    assert set(ENGINES) == set(CHOICES)


def test_a_name_that_is_no_engines_is_refused():
    with pytest.raises(TorvynError) as caught:
        make_engine("scripted")
    assert (caught.value.kind, caught.value.hint) == ("engine-unavailable", "use one of auto, direct, stock")


def test_the_whole_corpus_runs_directly(engine):
    auto = engine("auto", threaded=False)
    fallen = {
        path.stem: reason
        for path in sorted(COMPONENTS.glob("*.wasm"))
        if (reason := auto.compile(path.read_bytes(), where=path.name).fallback_reason)
    }
    assert fallen == {}


@pytest.mark.parametrize(("choice", "runs"), [("auto", "direct"), ("direct", "direct"), ("stock", "stock")])
def test_a_component_that_both_engines_know_runs_where_it_should(engine, choice, runs):
    compiled = engine(choice).compile(READY, where="x.wasm")
    assert (compiled.engine_name, compiled.fallback_reason) == (runs, None)
    assert push_once(compiled) is Signal.READY


def test_an_unsupported_shape_falls_back_to_the_stock_engine_and_says_why(engine, utf16, caplog):
    caplog.set_level(logging.INFO, "torvyn.engine")
    compiled = engine("auto").compile(utf16, where="x.wasm")
    assert compiled.engine_name == "stock"
    assert "utf16" in compiled.fallback_reason
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("torvyn.engine", f"x.wasm runs on the stock engine: {compiled.fallback_reason}")
    assert compiled.shape == engine("stock").compile(READY, where="x.wasm").shape
    assert push_once(compiled) is Signal.READY


@pytest.mark.parametrize("shape", ["utf16", "composed"])
def test_the_direct_engine_alone_refuses_an_unsupported_shape_by_name(engine, utf16, shape):
    component = utf16 if shape == "utf16" else bytes(wasmtime.wat2wasm(COMPOSED))
    error = refusal(engine("direct"), component)
    assert (error.kind, error.where, error.hint) == ("unsupported-component", "x.wasm", 'use engine = "auto" or "stock"')
    assert shape in error.message
    assert engine("auto").compile(component, where="x.wasm").fallback_reason == error.message


BROKEN = {
    "empty": b"",
    "text": b"(component)",
    "a core module": b"\0asm\x01\0\0\0",
    "cut short": READY[:-1],
    "damaged": READY[:40] + b"\xff" + READY[41:],
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_no_engine_takes_is_refused_once_and_in_the_same_words(engine, broken, monkeypatch):
    errors = [str(refusal(engine(choice), BROKEN[broken])) for choice in CHOICES]
    assert len(set(errors)) == 1
    monkeypatch.setattr(direct_engine, "read", lambda _: pytest.fail("what wasmtime refuses is not even read"))
    error = refusal(engine("auto"), BROKEN[broken])
    assert (error.kind, error.__cause__) == ("invalid-component", None)


def test_a_disagreement_of_the_engines_is_not_papered_over(engine, monkeypatch):
    def unreadable(_):
        raise Malformed("a section that nobody knows", 8)

    monkeypatch.setattr(direct_engine, "read", unreadable)
    assert refusal(engine("auto"), READY).kind == "engines-disagree"


# ---- what engines share


def test_both_halves_of_auto_share_one_ticker_that_ends_with_it(engine, utf16):
    def tickers():
        return [thread for thread in threading.enumerate() if thread.name == "torvyn-epoch"]

    before = len(tickers())
    auto = engine("auto")
    for component in (READY, utf16):
        push_once(auto.compile(component, where="x.wasm"))
    assert len(tickers()) == before + 1
    auto.close()
    auto.close()
    assert len(tickers()) == before


def test_several_engines_live_in_one_process(engine):
    for choice in CHOICES * 2:
        assert push_once(engine(choice).compile(READY, where="x.wasm")) is Signal.READY


def test_the_same_bytes_are_validated_and_compiled_once_per_engine(engine, utf16, monkeypatch):
    made = []
    init = Component.__init__
    monkeypatch.setattr(Component, "__init__", lambda self, *arguments: (made.append(arguments[1]), init(self, *arguments))[1])
    auto = engine("auto", threaded=False)
    for component in (READY, utf16, READY, utf16):
        auto.compile(component, where="x.wasm")
    assert made == [READY, utf16]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_second_run_compiles_nothing(engine, utf16, choice, tmp_path, monkeypatch):
    components = [READY, *([utf16] if choice != "direct" else [])]

    def run():
        cache = CompileCache(tmp_path / "cache", key_file=tmp_path / "key")
        started = engine(choice, cache=cache, threaded=False)
        answers = [push_once(started.compile(component, where="x.wasm")) for component in components]
        started.close()
        return cache, answers

    first, answers = run()
    assert first.hits == 0

    def refuse(_, _engine, wasm):
        assert wasm == b"\0asm\x01\0\0\0", "compiled again"

    compile_module = wasmtime.Module.__init__
    monkeypatch.setattr(Component, "__init__", refuse)
    monkeypatch.setattr(wasmtime.Module, "__init__", lambda *arguments: (refuse(*arguments), compile_module(*arguments))[1])
    second, again = run()
    assert (second.hits, second.misses, again) == (first.misses, 0, answers)


# ---- in a project


def stages(data):
    return {stage["name"]: (stage["engine"], stage["fallback_reason"]) for stage in data["stages"]}


def run_json(ref, *arguments):
    ran = ref("run", *arguments, "--format", "json", "--audit", os.devnull)
    assert (ran.code, ran.err) == (0, "")
    return ran.json["data"]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "corpus/flows").glob("*/Torvyn.toml")))
def test_a_flow_does_the_same_on_every_engine(ref, corpus_flow, tmp_path, name):
    found = {}
    for choice in CHOICES:
        output = tmp_path / choice
        flow = ("run", corpus_flow(name), "--config", f"runtime.engine={choice}", "--audit", os.devnull)
        ran = ref(*flow, "--format", "json", "--output", output)
        assert ran.code == 0
        data = ran.json["data"]
        assert {engine for engine, _ in stages(data).values()} == {"stock" if choice == "stock" else "direct"}
        counts = [(stage["name"], stage["invocations"], stage["errors"]) for stage in data["stages"]]
        streams = [{key: value for key, value in stream.items() if not key.endswith("_ns")} for stream in data["streams"]]
        same = [data[key] for key in ("state", "reason", "elements", "copies", "pressure_events", "live_buffers", "reclaimed_buffers")]
        found[choice] = (output.read_bytes(), ran.err, same, counts, streams)
    assert found["auto"] == found["direct"] == found["stock"]


@pytest.fixture
def mixed(project, utf16):
    """A flow whose sink the direct engine does not implement: its Torvyn.toml."""
    project.root.joinpath("wide.wasm").write_bytes(utf16)
    return project.write(("numbers", "source", "counter-source"), ("capitals", "processor", "uppercase"), ("end", "sink", "wide.wasm"))


def test_engines_meet_in_one_flow_and_the_run_says_which_ran_what(ref, mixed):
    data = run_json(ref, mixed)
    reason = stages(data)["end"][1]
    assert "utf16" in reason
    assert stages(data) == {"numbers": ("direct", None), "capitals": ("direct", None), "end": ("stock", reason)}
    assert data["elements"]["delivered"] == 10
    ran = ref("run", mixed, "--audit", os.devnull)
    assert f"\nend runs on the stock engine: {reason}\n" in ran.err
    assert "direct" in ran.err
    checked = ref("check", mixed, "--format", "json").json["data"]["flows"]["main"]
    assert [(stage["engine"], stage["fallback_reason"]) for stage in checked] == list(stages(data).values())


def test_a_project_that_insists_on_one_engine_gets_it_or_an_error_with_its_place(ref, mixed):
    assert set(stages(run_json(ref, mixed, "--config", "runtime.engine=stock")).values()) == {("stock", None)}
    ran = ref("run", mixed, "--config", "runtime.engine=direct")
    (error,) = ran.errors
    assert ran.code != 0
    assert f"{mixed}: flow.main.nodes.end.component" in error
    assert "the direct engine does not implement" in error
    assert "utf16" in error
    assert '(use engine = "auto" or "stock")' in error


def cached(root):
    return {path.name: path.stat().st_ino for path in root.glob(".torvyn/cache/compiled/*")}


def test_a_project_keeps_compiled_code_between_runs(ref, corpus_flow, isolated):
    file = corpus_flow("linear")
    run_json(ref, file)
    kept = cached(file.parent)
    assert kept
    assert (isolated / ".torvyn/compile-cache.key").is_file()
    run_json(ref, file)
    assert cached(file.parent) == kept, "nothing was written again"


def test_the_cache_lies_where_the_project_says_or_nowhere(ref, corpus_flow):
    file = corpus_flow("linear")
    run_json(ref, file, "--config", "runtime.compilation_cache_dir=")
    assert [path.name for path in file.parent.iterdir()] == ["Torvyn.toml"]
    run_json(ref, file, "--config", "runtime.compilation_cache_dir=build/machine-code")
    assert list(file.parent.glob("build/machine-code/compiled/*.cwasm"))


def test_a_cache_that_cannot_be_used_costs_a_run_one_warning(ref, corpus_flow, caplog):
    file = corpus_flow("linear")
    file.parent.joinpath(".torvyn").write_bytes(b"in the way")
    ran = ref("run", file, "--format", "json", "--audit", os.devnull)
    assert (ran.code, ran.json["data"]["elements"]["delivered"]) == (0, 10)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("torvyn.engine", "WARNING")
    assert str(file.parent / ".torvyn/cache/compiled") in record.getMessage()
