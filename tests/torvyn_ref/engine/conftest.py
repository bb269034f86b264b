"""One harness for every engine: a sandbox, an upstream that lends elements, and a look at what is left behind.

Tests that take `engine`, `compiled` or `guest` say what any engine must do; a second engine joins by a line in `ENGINES`.
"""

import sys
import tomllib
from pathlib import Path

import pytest
import wasmtime

from torvyn_ref.calls import DATA_CALL, Call, Element, FlowContext, Output, Role
from torvyn_ref.clock import VirtualClock
from torvyn_ref.engine.direct import DirectEngine
from torvyn_ref.engine.protocol import Limits, Sandbox
from torvyn_ref.engine.stock import StockEngine
from torvyn_ref.ids import FlowId, Owner
from torvyn_ref.resources import ResourceManager

ROOT = Path(__file__).resolve().parents[3]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from corpus.components.wat import WORLDS, component  # noqa: E402 - the corpus is no installed package: it is found by the line above

COMPONENTS = ROOT / "corpus/components"
CATALOGUE = {entry["name"]: entry for entry in tomllib.loads((COMPONENTS / "catalogue.toml").read_text())["component"]}
CONTEXT = FlowContext("a1", "0123456789abcdef0123456789abcdef", "0123456789abcdef", 77)
OWNER, UPSTREAM, FLOW = Owner(1), Owner(2), FlowId(1)

ENGINES = {"stock": lambda: StockEngine(threaded=False), "direct": lambda: DirectEngine(threaded=False)}


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    made = ENGINES[request.param]()
    yield made
    made.close()


@pytest.fixture(scope="session")
def compiled(engine):
    """Compile a component of the corpus by name, or text, or bytes: each once."""
    cache = {}

    def compile_(source):
        if source not in cache:
            if isinstance(source, str) and "(" not in source:
                data = (COMPONENTS / f"{source}.wasm").read_bytes()
            else:
                data = bytes(wasmtime.wat2wasm(source)) if isinstance(source, str) else source
            cache[source] = engine.compile(data, where=f"{source}.wasm" if isinstance(source, str) and "(" not in source else "test.wasm")
        return cache[source]

    return compile_


class Guest:
    """An instance, the manager its buffers live in, and the upstream that feeds it."""

    def __init__(self, compiled, role, **sandbox):
        self.resources = sandbox.setdefault("resources", ResourceManager())
        self.clock = sandbox.setdefault("clock", VirtualClock())
        self.sandbox = Sandbox(owner=OWNER, flow=FLOW, context=CONTEXT, **sandbox)
        self.data_call = DATA_CALL[role]
        self.instance = compiled.instantiate(role, self.sandbox)
        self.sequence = 0

    def call(self, call, argument=None):
        return self.instance.call(call, argument)

    def feed(self, payload=b"12 hello", call=None, *, content_type="text/plain", timestamp_ns=5, sequence=None):
        """Lend one element and return the answer; the element is gone afterwards."""
        with self.lending(payload, content_type) as handle:
            element = Element(self.sequence if sequence is None else sequence, timestamp_ns, content_type, handle)
            self.sequence += 1
            return self.call(call or self.data_call, element)

    def next(self, payload=b"12 hello"):
        """Make the role's data call, whatever the role."""
        return self.call(Call.PULL) if self.data_call is Call.PULL else self.feed(payload)

    def lending(self, payload, content_type="text/plain"):
        return Loan(self.resources, payload, content_type)

    def take(self, output):
        """Return an output's bytes and release it."""
        assert isinstance(output, Output), output
        data = self.resources.peek(output.handle, OWNER)
        self.resources.release(output.handle, OWNER)
        return data

    def left(self):
        """Close, take everything back, and return how many buffers are live after it."""
        self.instance.close()
        self.resources.force_reclaim(OWNER)
        return self.resources.live_count


class Loan:
    def __init__(self, resources, payload, content_type):
        self.resources, self.payload, self.content_type = resources, payload, content_type

    def __enter__(self):
        self.handle = self.resources.allocate(UPSTREAM, len(self.payload), FLOW)
        self.resources.write(self.handle, UPSTREAM, 0, self.payload)
        self.resources.set_content_type(self.handle, UPSTREAM, self.content_type)
        self.resources.freeze(self.handle, UPSTREAM)
        self.resources.borrow(self.handle, OWNER)
        return self.handle

    def __exit__(self, *_):
        self.resources.end_borrow(self.handle, OWNER)
        self.resources.release(self.handle, UPSTREAM)


@pytest.fixture
def guest(compiled):
    """Instantiate a component of the corpus by name, or `(world, bodies)` written for one test, and close it after the test."""
    made = []

    def instantiate(source, bodies=None, *, config=None, module="", role=None, fuel=1_000_000, limits=None, **sandbox):
        if bodies is not None:
            role = role or Role(WORLDS[source].role)
            source = component(source, bodies, module=f"\n{module}")  # on a line of its own: a comment comes before it
        role = role or Role(CATALOGUE[source]["role"])
        limits = limits or Limits(fuel=fuel)
        guest = Guest(compiled(source), role, limits=limits, **sandbox)
        made.append(guest)
        if config is not None:
            assert guest.call(Call.INIT, config) is None
        return guest

    yield instantiate
    for guest in made:
        guest.instance.close()


@pytest.fixture(scope="session")
def catalogue():
    return CATALOGUE


@pytest.fixture(scope="session")
def wat():
    """The text of a component: `wat(world, bodies, module="")`."""
    return component


def pytest_generate_tests(metafunc):
    """Give `misbehaving` every guest of the corpus that breaks a rule, `deadly` those that do not live through it."""
    outcomes = {name: entry["outcome"] for name, entry in CATALOGUE.items() if entry["behaviour"] == "misbehaving"}
    if "misbehaving" in metafunc.fixturenames:
        metafunc.parametrize("misbehaving", outcomes)
    if "deadly" in metafunc.fixturenames:
        metafunc.parametrize("deadly", [name for name, outcome in outcomes.items() if outcome not in {"leak", "error", "hidden"}])
