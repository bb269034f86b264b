"""Both engines agree: over the whole corpus, over guests written for one case each, and over guests that Hypothesis writes.

`TORVYN_DEEP=1` writes twenty times as many.
"""

import os
from pathlib import Path

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.components.wat import WORLDS, component
from tests.torvyn_ref.engine.differential import LEGITIMATE, EnginesDisagree, Seen, agree, data_calls
from torvyn_ref.calls import Call, Role, Signal
from torvyn_ref.engine.direct import DirectEngine
from torvyn_ref.engine.protocol import Limits
from torvyn_ref.engine.stock import StockEngine

COMPONENTS = Path(__file__).resolve().parents[3] / "corpus/components"
NAMES = sorted(path.stem for path in COMPONENTS.glob("*.wasm"))
GRANTS = frozenset({"stdio:stdout", "clock:monotonic", "clock:wall", "random:secure", "environment:read"})
DEEP = 20 if os.environ.get("TORVYN_DEEP") else 1

CONFIGURATIONS = {
    "none": "",
    "one comma": ",",
    "no value": "count",
    "empty value": "count=",
    "empty key": "=1",
    "unknown key": "colour=green",
    "too large": "count=99999999999999999999",
    "negative": "count=-1",
    "twice": "count=1,count=2",
    "not ASCII": "count=٣,ünï=✓",
    "NUL": "count=1\0",
    "long": "x" * 300,
    "longer than a short piece": "y=" + "é" * 8192,
    "longer than guest memory has": "z" * 200_000,
}
PAYLOADS = [b"12 hello", b"", b"7", b"\xff\xfe\x00", b"10"]
LARGE = [bytes(range(256)), bytes(257), bytes(range(256)) * 65, b"x" * 70_000]


@pytest.fixture(scope="module")
def engines():
    made = StockEngine(threaded=False), DirectEngine(threaded=False)
    yield made
    for engine in made:
        engine.close()


def life_of(role, *, config=""):
    """Init, data, everything else that the role has, data again, teardown, and data after that."""
    calls = [(Call.INIT, config), *data_calls(role, PAYLOADS)]
    calls += {
        Role.SOURCE: [(Call.NOTIFY, Signal.PAUSE), (Call.PULL, None), (Call.NOTIFY, Signal.READY)],
        Role.SINK: [(Call.COMPLETE, None)],
        Role.AGGREGATOR: [(Call.FLUSH, None)],
    }.get(role, [])
    return [*calls, *data_calls(role, PAYLOADS[:3]), (Call.TEARDOWN, None), *data_calls(role, PAYLOADS[:1])]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", NAMES)
def test_they_agree_on_the_corpus_in_every_role(engines, name, role):
    data = (COMPONENTS / f"{name}.wasm").read_bytes()
    fuel = Limits(fuel=200_000, call_timeout_ms=None)
    agree(engines, data, role, life_of(role), where=name, capabilities=GRANTS, environment={"A": "1", "LANG": "ünï"}, limits=fuel)


@pytest.mark.parametrize("name", NAMES)
def test_they_agree_on_what_is_not_granted(engines, name):
    data = (COMPONENTS / f"{name}.wasm").read_bytes()
    for role in Role:
        agree(engines, data, role, [], where=name)


@pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_they_agree_on_hostile_configurations(engines, config, catalogue):
    for name in (
        "counter-source",
        "annotate",
        "faulty",
        "parity-router",
        "concatenator",
        "sink-failing",
        "init-fails",
        "uppercase-managed",
    ):
        role = Role(catalogue[name]["role"])
        calls = [(Call.INIT, config), *data_calls(role, PAYLOADS[:2])]
        agree(engines, (COMPONENTS / f"{name}.wasm").read_bytes(), role, calls, where=name)


@pytest.mark.parametrize("name", ["uppercase", "clone-freeze", "sink-ready", "number-filter", "concatenator", "hoarder"])
def test_they_agree_on_large_payloads(engines, name, catalogue):
    role = Role(catalogue[name]["role"])
    agree(engines, (COMPONENTS / f"{name}.wasm").read_bytes(), role, data_calls(role, LARGE), where=name)


@pytest.mark.parametrize("name", ["memory-bomb", "counter-source", "uppercase", "recursion"])
@pytest.mark.parametrize(
    "limits",
    [Limits(fuel=1), Limits(fuel=0), Limits(memory_bytes=65535), Limits(memory_bytes=131072), Limits(memories=0), Limits(table_elements=0)],
    ids=str,
)
def test_they_agree_on_limits(engines, name, limits, catalogue):
    role = Role(catalogue[name]["role"])
    calls = [] if limits.fuel == 1 else data_calls(role, PAYLOADS)
    agree(engines, (COMPONENTS / f"{name}.wasm").read_bytes(), role, calls, where=name, limits=limits)


# ---- guests written for one case each

DROP = "(call $drop-input (local.get $payload) (local.get $context))"
MADE = '(local $made i32) (local.set $made (call $buffer-of (text "made")))'
OK = "(call $drop-element)"
BEYOND = "(i32.const 1) (i32.const -1)"
EMIT = "(call $emit (i64.const 1) (i64.const 2) (i32.const 512) (i32.const 4) {})"


def _escaped(data):
    return "".join(f"\\{byte:02x}" for byte in data)


CASES = {
    "a borrow returned as own": f"(call $drop-flow-context (local.get $context)) {EMIT.format('(local.get $payload)')}",
    "a borrow left": f"(call $drop-flow-context (local.get $context)) {OK}",
    "an own returned twice": f"{MADE} {DROP} (global.set $kept (local.get $made)) {EMIT.format('(local.get $made)')}",
    "a spent own returned": f"{DROP} {EMIT.format('(global.get $kept)')}",
    "a handle of another type returned": f"{DROP} {EMIT.format('(call $allocate (i64.const 3))')}",
    "the result outside": f"{DROP} (i32.const -8)",
    "the result at the end": f"{DROP} (i32.const 65528)",
    "the result not aligned": f"{DROP} (i32.const 65)",
    "a discriminant of no case": f"{DROP} (i32.store8 (i32.const 64) (i32.const 2)) (i32.const 64)",
    "a discriminant of no error": f"{DROP} (call $fail-at (i32.const 8) (i32.const 5) (i32.const 0) (i32.const 0))",
    "an empty text at a wild address": f"{DROP} (call $fail-at (i32.const 8) (i32.const 0) (i32.const 65536) (i32.const 0))",
    "an empty text beyond memory": f"{DROP} (call $fail-at (i32.const 8) (i32.const 0) (i32.const 65537) (i32.const 0))",
    "a text that overflows": f"{DROP} (call $fail-at (i32.const 8) (i32.const 0) (i32.const 16) (i32.const -1))",
    "an append that overflows": f"{DROP} (drop (call $append (call $allocate (i64.const 9)) (i32.const -16) (i32.const 64))) {OK}",
    "an answer to a wild address": f"(call $buffer.read-all (local.get $payload) (i32.const -4)) {OK}",
    "an answer to an odd address": f"(call $buffer.read-all (local.get $payload) (i32.const 17)) {OK}",
    "an answer to where memory will be once it has grown": f"(call $buffer.read-all (local.get $payload) (i32.const 65536)) {OK}",
    "a content type beyond memory": f"(call $mutable-buffer.set-content-type (call $allocate (i64.const 1)) {BEYOND}) {OK}",
    "division": f"{DROP} (drop (i32.div_u (i32.const 1) (i32.const 0))) {OK}",
    "memory grown away": f"{DROP} (drop (memory.grow (i32.const 60000))) {OK}",
    "a hundred handles": f"""(local $n i32) {DROP} (local.set $n (i32.const 100))
        (loop $more (drop (call $allocate (i64.const 1))) (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.set $n (i32.const 2))
        (loop $more (call $drop-mutable-buffer (local.get $n))
          (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 3))) (i32.const 90)))) {OK}""",
} | {
    f"text of bytes {data.hex()}": f'{DROP} (call $fail-at (i32.const 8) (i32.const 0) (text "{_escaped(data)}"))'
    for data in (
        b"\xff",
        b"\xc0\x80",  # overlong NUL
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",  # surrogate
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",  # beyond Unicode
        b"\xf8\x88\x80\x80\x80",
        b"\xe2\x9c",  # cut short
        b"\x80",
        b"\xf4\x8f\xbf\xbf",  # the last one
        b"\xef\xbf\xbf\xed\x9f\xbf",
        b"\x00",
    )
}


@pytest.mark.parametrize("body", CASES.values(), ids=CASES)
def test_they_agree_on(engines, body):
    text = component("transform", {"process": body}, module="\n(global $kept (mut i32) (i32.const 0))")
    agree(engines, bytes(wasmtime.wat2wasm(text)), Role.PROCESSOR, data_calls(Role.PROCESSOR, PAYLOADS[:3]))


POST_RETURN = '(func (export "done") (param i32) (global.set $top (global.get $base)))'
REALLOC = "(global.set $top (i32.wrap_i64 (local.get $end)))\n      (local.get $at)"
CHANGED = {
    "post-return traps": (POST_RETURN, '(func (export "done") (param i32) unreachable)'),
    "post-return calls out": (POST_RETURN, '(func (export "done") (param i32) (call $drop-buffer (i32.const 1)))'),
    "post-return makes a buffer": (POST_RETURN, '(func (export "done") (param i32) (drop (call $allocate (i64.const 1))))'),
    "post-return spins": (POST_RETURN, '(func (export "done") (param i32) (loop $l (br $l)))'),
    "realloc gives the end of memory": (REALLOC, "(i32.const 65535)"),
    "realloc gives what is beyond memory": (REALLOC, "(i32.const -16)"),
    "realloc traps": (REALLOC, "unreachable"),
    "realloc gives the same place again": (REALLOC, "(i32.const 8192)"),
    "realloc spins": (REALLOC, "(loop $l (br $l)) unreachable"),
}


@pytest.mark.parametrize(("old", "new"), CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("size", [5, 20_000])
def test_they_agree_when(engines, old, new, size):
    body = f"(call $read-all (local.get $payload)) {MADE} {DROP} {EMIT.format('(local.get $made)')}"
    text = component("transform", {"process": body.replace("(local $made i32)", "").join(["(local $made i32)", ""])})
    assert old in text
    data = bytes(wasmtime.wat2wasm(text.replace(old, new)))
    agree(engines, data, Role.PROCESSOR, data_calls(Role.PROCESSOR, [bytes(size), b"x"]), limits=Limits(fuel=100_000))


def test_they_agree_that_a_results_address_is_looked_at_before_the_guest_is_asked_for_memory(engines):
    """The address lies beyond the end, and would not once realloc had made the memory grow."""
    text = component("transform", {"process": f"(call $buffer.read-all (local.get $payload) (i32.const 65536)) {DROP} {OK}"})
    seen = agree(engines, bytes(wasmtime.wat2wasm(text)), Role.PROCESSOR, data_calls(Role.PROCESSOR, LARGE[-1:]))
    assert seen[1].answer == ("fatal", "trap", True, "out-of-bounds")


def test_a_realloc_that_calls_out_is_stopped_by_both(engines):
    """It lives in a module that is instantiated before anything is imported, so it gets at the host through a table."""
    text = component("transform", {"process": f"(call $read-all (local.get $payload)) {DROP} {OK}"})
    text = text.replace(
        '(memory (export "memory") 1)', '(memory (export "memory") 1) (table (export "table") 1 funcref) (type $f (func (param i32)))'
    )
    text = text.replace(REALLOC, "(call_indirect (type $f) (i32.const 1) (i32.const 0))\n" + REALLOC)
    text = text.replace(
        '(import "libc" "memory" (memory 1))', '(import "libc" "memory" (memory 1)) (import "libc" "table" (table 1 funcref))'
    )
    text = text.replace('(func (export "done")', '(elem (i32.const 0) func $drop-buffer) (func (export "done")')
    seen = agree(engines, bytes(wasmtime.wat2wasm(text)), Role.PROCESSOR, data_calls(Role.PROCESSOR, PAYLOADS[:2]))
    assert seen[1].answer[:3] == ("fatal", "trap", True)
    assert seen[1].calls == ()


CONTEXT_EXPORT = '(export "flow-context" (type $flow-context (sub resource)))'
LIBC = "(core module $Libc"
ODD_IMPORTS = {
    "a resource that the interface lacks": (CONTEXT_EXPORT, f'{CONTEXT_EXPORT} (export "gadget" (type (sub resource)))'),
    "another name for a resource": (CONTEXT_EXPORT, f'{CONTEXT_EXPORT} (export "gadget" (type (eq $buffer)))'),
    "an interface twice": (LIBC, f'(import "torvyn:streaming/types@0.1.1" (instance (export "buffer" (type (sub resource))))) {LIBC}'),
    "an unknown interface": (LIBC, f'(import "torvyn:streaming/other@0.1.0" (instance (export "f" (func)))) {LIBC}'),
    "a function of no interface": (LIBC, f'(import "f" (func)) {LIBC}'),
}


@pytest.mark.parametrize(("old", "new"), ODD_IMPORTS.values(), ids=ODD_IMPORTS)
def test_they_agree_on_a_component_that_imports(engines, old, new):
    text = component("transform", {"process": f"{DROP} {OK}"})
    assert old in text
    agree(engines, bytes(wasmtime.wat2wasm(text.replace(old, new, 1))), Role.PROCESSOR, data_calls(Role.PROCESSOR, PAYLOADS[:1]))


# ---- guests that Hypothesis writes

SMALL = (0, 1, 3, 8, 100)
SIZES = (*SMALL, *SMALL, 2**16, 2**24, 2**24 + 1, 2**32, 2**63, 2**64 - 1)
SPANS = ((512, 0), (512, 4), (512, 4), (520, 40), (65536, 0), (65537, 0), (65530, 6), (65530, 7), (-1, 1), (0, -1))
PLACES = (16, 16, 16, 16, 16, 16, 20, 65528, 17, 65532, 65536, -4)
FORGED = tuple(f"(i32.const {number})" for number in (0, 1, 3, 77, -1))
SLOTS = ("$h0", "$h1", "$h2")
ONE_IN = 12
"""So often a statement gets any handle, and not one of the kind that it takes."""


class Writer:
    """Writes statements that mostly make sense, because it knows what each slot holds."""

    def __init__(self, draw):
        self.draw = draw
        self.slots = dict.fromkeys(SLOTS, "none")
        self.lent = {"(local.get $payload)": "buffer", "(local.get $context)": "context"}
        self.lines = []

    def one(self, choices):
        return self.draw(st.sampled_from(choices))

    def handle(self, *kinds):
        held = self.lent | {f"(global.get {slot})": kind for slot, kind in self.slots.items()}
        fitting = [handle for handle, kind in held.items() if kind in kinds]
        if not fitting or self.draw(st.integers(1, ONE_IN)) == ONE_IN:
            return self.one((*held, *FORGED))
        return self.one(fitting)

    def put(self, kind, value):
        slot = self.one(SLOTS)
        self.slots[slot] = kind
        self.lines.append(f"(global.set {slot} {value})")

    def gone(self, handle, kind="none"):
        self.lent.pop(handle, None)
        slot = handle.removeprefix("(global.get ").removesuffix(")")
        if slot in self.slots:
            self.slots[slot] = kind

    def span(self):
        at, length = self.one(SPANS)
        return f"(i32.const {at}) (i32.const {length})"

    def place(self):
        return f"(i32.const {self.one(PLACES)})"

    def size(self):
        return f"(i64.const {self.one(SIZES)})"

    def statement(self):
        say, any_kind = self.lines.append, ("buffer", "mutable", "context")
        match self.one(("allocate", "allocate", "ready", "freeze", "raw", "clone", "append", "append", "write", "type", "read", "all",
                        "told", "text", "number", "drop", "drop", "note", "copy", "grow")):  # fmt: skip
            case "allocate":
                self.put("mutable", f"(call $allocate (i64.const {self.one(SMALL)}))")
            case "ready":
                self.put("buffer", '(call $buffer-of (text "bytes"))')
            case "freeze":
                handle = self.handle("mutable")
                self.gone(handle, "spent")
                self.put("buffer", f"(call $mutable-buffer.freeze {handle})")
            case "raw":
                say(f"(call $allocator.allocate {self.size()} {self.place()})")
            case "clone":
                say(f"(call $allocator.clone-into-mutable {self.handle('buffer')} {self.place()})")
                self.put("mutable", "(i32.load (i32.const 20))")
            case "append":
                say(f"(call $mutable-buffer.append {self.handle('mutable')} {self.span()} {self.place()})")
            case "write":
                say(f"(call $mutable-buffer.write {self.handle('mutable')} {self.size()} {self.span()} {self.place()})")
            case "type":
                say(f"(call $mutable-buffer.set-content-type {self.handle('mutable')} {self.span()})")
            case "read":
                say(f"(call $buffer.read {self.handle('buffer')} {self.size()} {self.size()} {self.place()})")
                say("(call $note (i32.load (i32.const 20)))")
            case "all":
                say(f"(call $buffer.read-all {self.handle('buffer')} {self.place()}) (call $note (i32.load (i32.const 16)))")
            case "told":
                say(f"(call $flow-context.{self.one(('trace-id', 'span-id', 'flow-id'))} {self.handle('context')} {self.place()})")
            case "text":
                say(f"(call $buffer.content-type {self.handle('buffer')} {self.place()})")
            case "number":
                function, kind = self.one((("buffer.size", "buffer"), ("mutable-buffer.size", "mutable"),
                                           ("mutable-buffer.capacity", "mutable"), ("flow-context.deadline-ns", "context")))  # fmt: skip
                say(f"(call $note (i32.wrap_i64 (call ${function} {self.handle(kind)})))")
            case "drop":
                function, kinds = self.one(
                    (("buffer", ("buffer",)), ("mutable-buffer", ("mutable", "spent")), ("flow-context", ("context",)))
                )
                handle = self.handle(*kinds)
                self.gone(handle)
                say(f"(call $drop-{function} {handle})")
            case "note":
                say(f"(call $note {self.handle(*any_kind)})")
            case "copy":
                handle = self.handle(*any_kind)
                self.put("none", handle)
            case "grow":
                say(f"(call $note (memory.grow (i32.const {self.one((0, 1, 60_000))})))")

    def end(self):
        if self.draw(st.integers(1, ONE_IN)) < ONE_IN:
            for handle in list(self.lent):
                self.lines.append(f"(call $drop-{'buffer' if 'payload' in handle else 'flow-context'} {handle})")
                self.gone(handle)
        match self.one(("drop", "notes", "notes", "emit", "emit", "fail", "odd")):
            case "drop":
                return OK
            case "notes":
                return EMIT.format("(call $buffer-of (i32.const 1024) (global.get $noted))")
            case "emit":
                handle = self.handle("buffer")
                self.gone(handle)
                return f"(call $emit (i64.const -1) (i64.const 3) {self.span()} {handle})"
            case "fail":
                return f"(call $fail-at (i32.const 8) (i32.const {self.one((0, 3, 4, 5, 255))}) {self.span()})"
        return self.one(("unreachable", "(i32.const 65)", "(i32.const -8)", "(i32.const 65508)", "(i32.const 65480)"))


@st.composite
def written(draw):
    """Two bodies: for the first call, and for those after it, which find the slots as the first left them."""
    writer, bodies = Writer(draw), []
    for _ in range(2):
        writer.lent = {"(local.get $payload)": "buffer", "(local.get $context)": "context"}
        writer.lines = []
        for _ in range(draw(st.integers(0, 7))):
            writer.statement()
        last = writer.end()
        bodies.append("\n".join([*writer.lines, last]))
    return bodies


NOTES = """
    (global $h0 (mut i32) (i32.const 0)) (global $h1 (mut i32) (i32.const 0)) (global $h2 (mut i32) (i32.const 0))
    (global $noted (mut i32) (i32.const 0))
    ;; Keeps a number where the last result can show it.
    (func $note (param $number i32)
      (i32.store offset=1024 (global.get $noted) (local.get $number))
      (global.set $noted (i32.add (global.get $noted) (i32.const 4))))"""


@settings(max_examples=120 * DEEP, deadline=None, suppress_health_check=list(HealthCheck))
@given(bodies=written())
def test_they_agree_on_guests_that_nobody_wrote(engines, bodies):
    """The first body runs on the first call, the last on those after it."""
    first = f"(i32.store8 (i32.const 15) (i32.const 1)) {bodies[0]}"
    both = f"(if (result i32) (i32.eqz (i32.load8_u (i32.const 15))) (then {first}) (else {bodies[1]}))"
    text = component("transform", {"process": both}, module=NOTES)
    agree(engines, bytes(wasmtime.wat2wasm(text)), Role.PROCESSOR, data_calls(Role.PROCESSOR, [b"payload"] * 3))


# ---- the comparison itself


@pytest.mark.parametrize("swap", [False, True])
def test_a_difference_is_called_by_its_name(engines, swap):
    class Other(type(engines[1])):
        """Runs another component than the one it was given."""

        def __init__(self, engine):
            self.engine = engine

        def compile(self, component, *, where):
            del component
            return self.engine.compile((COMPONENTS / "dropper.wasm").read_bytes(), where=where)

    pair = (engines[0], Other(engines[1])) if not swap else (Other(engines[0]), engines[1])
    data = (COMPONENTS / "error-internal.wasm").read_bytes()
    with pytest.raises(EnginesDisagree, match="engines-disagree: generated, step 1"):
        agree(pair, data, Role.PROCESSOR, data_calls(Role.PROCESSOR, [b"x"]))


def test_what_is_compared_includes_host_calls_and_what_is_left(engines):
    data = (COMPONENTS / "leak-frozen.wasm").read_bytes()
    seen = agree(engines, data, Role.PROCESSOR, data_calls(Role.PROCESSOR, [b"x"]))
    assert all(isinstance(step, Seen) for step in seen)
    assert ("drop buffer", 1) in seen[1].calls or any(call[0] == "allocate" for call in seen[1].calls)
    assert seen[1].left


def test_every_legitimate_difference_has_its_reason():
    assert all(len(reason.split()) > 4 for reason in LEGITIMATE.values())
    assert WORLDS
