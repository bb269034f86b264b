"""A host small enough to trust: it drives one component through wasmtime's own component interface."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import wasmtime
import wasmtime.component as wc

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "corpus/components"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

BUFFER, MUTABLE, CONTEXT, STREAM, IO_ERROR, INPUT, TERMINAL = range(1, 8)
FUEL = 3_000_000
CONTEXT_REP = 99


class Compiler:
    """One engine for the session, and each component compiled once; all closed before the interpreter ends."""

    def __init__(self):
        config = wasmtime.Config()
        config.consume_fuel = True
        self.engine = wasmtime.Engine(config)
        self.compiled = {}

    def component(self, name_or_text):
        if name_or_text not in self.compiled:
            by_name = "(" not in name_or_text
            path = COMPONENTS / f"{name_or_text}.wasm"
            source = path.read_bytes() if by_name else bytes(wasmtime.wat2wasm(name_or_text))
            self.compiled[name_or_text] = wc.Component(self.engine, source)
        return self.compiled[name_or_text]

    def close(self):
        for component in self.compiled.values():
            component.close()
        self.engine.close()


class Refused(Exception):
    """The host's own state said no where the engine had nothing to say."""


@dataclass
class Mutable:
    capacity: int
    data: bytearray = field(default_factory=bytearray)
    content_type: str = ""
    frozen: bool = False


@dataclass
class Frozen:
    data: bytes
    content_type: str = ""


def record(**fields):
    made = wc.Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


class Host:
    """One component in one store, with every buffer it ever asked for."""

    def __init__(self, engine, component, *, budget=64 << 20, environment=(), strict=True):
        self.store = wasmtime.Store(engine)
        self.store.set_limits(memory_size=16 << 20)
        self.store.set_fuel(FUEL)  # instantiating copies data segments, which is metered too
        self.budget = budget
        self.strict = strict
        self.environment = list(environment)
        self.table = {}
        self.next = 100
        self.printed = bytearray()
        self.rights = ("clock:wall",)
        linker = wc.Linker(engine)
        with linker.root() as root:
            for name, define in DEFINITIONS.items():
                if name in component.type.imports(engine):
                    with root.add_instance(name) as instance:
                        define(self, instance)
        self.instance = linker.instantiate(self.store, component)

    def put(self, value):
        self.next += 1
        self.table[self.next] = value
        return self.next

    def at(self, handle):
        """What the guest's handle stands for; touching every handle is what wasmtime-py asks of a host function."""
        return self.table[handle.to_host(self.store).rep]

    @property
    def live(self):
        return sum(1 for value in self.table.values() if not getattr(value, "frozen", False))

    def call(self, interface, name, *arguments):
        self.store.set_fuel(FUEL)
        index = self.instance.get_export_index(self.store, interface)
        function = self.instance.get_func(self.store, self.instance.get_export_index(self.store, name, index))
        return function(self.store, *arguments)

    def lend(self, call, payload, *, sequence=0, content_type="text/plain"):
        rep = self.put(Frozen(payload, content_type))
        element = record(
            meta=record(sequence=sequence, timestamp_ns=7, content_type=content_type),
            payload=wc.ResourceHost.borrow(rep, BUFFER),
            context=wc.ResourceHost.borrow(CONTEXT_REP, CONTEXT),
        )
        try:
            return call(element)
        finally:
            self.table.pop(rep, None)

    def taken(self, element):
        """An output element as (sequence, content type, payload); its buffer is ours, and released."""
        rep = element.payload.to_host(self.store).rep
        meta = element.meta
        return meta.sequence, getattr(meta, "content-type"), self.table.pop(rep).data

    def init(self, config=""):
        return self.call("torvyn:streaming/lifecycle@0.1.0", "init", config)

    def teardown(self):
        return self.call("torvyn:streaming/lifecycle@0.1.0", "teardown")

    def process(self, payload, **meta):
        processor = "torvyn:streaming/processor@0.1.0"
        answer = self.lend(lambda element: self.call(processor, "process", element), payload, **meta)
        return self.taken(answer)[2] if isinstance(answer, wc.Record) else answer

    def pull(self):
        answer = self.call("torvyn:streaming/source@0.1.0", "pull")
        return self.taken(answer) if isinstance(answer, wc.Record) else answer

    def notify(self, signal):
        self.call("torvyn:streaming/source@0.1.0", "notify-backpressure", signal)

    def push(self, payload, **meta):
        sink = "torvyn:streaming/sink@0.1.0"
        return self.lend(lambda element: self.call(sink, "push", element), payload, **meta)

    def complete(self):
        return self.call("torvyn:streaming/sink@0.1.0", "complete")

    def evaluate(self, payload):
        return self.lend(lambda e: self.call("torvyn:filtering/filter@0.1.0", "evaluate", e), payload)

    def route(self, payload):
        return self.lend(lambda e: self.call("torvyn:filtering/router@0.1.0", "route", e), payload)

    def ingest(self, payload):
        answer = self.lend(lambda e: self.call("torvyn:aggregation/aggregator@0.1.0", "ingest", e), payload)
        return self.taken(answer)[2] if isinstance(answer, wc.Record) else answer

    def flush(self):
        answer = self.call("torvyn:aggregation/aggregator@0.1.0", "flush")
        return [self.taken(element)[2] for element in answer] if isinstance(answer, list) else answer


def define_types(host, types):
    def drop(_store, rep):
        host.table.pop(rep, None)

    types.add_resource("buffer", wc.ResourceType.host(BUFFER), drop)
    types.add_resource("mutable-buffer", wc.ResourceType.host(MUTABLE), drop)
    types.add_resource("flow-context", wc.ResourceType.host(CONTEXT), lambda _store, _rep: None)

    def context(answer):
        def method(store, self):
            assert self.to_host(store).rep == CONTEXT_REP
            return answer

        return method

    def read(_store, self, offset, length):
        data = host.at(self).data
        return data[min(offset, len(data)) : min(offset + length, len(data))]

    def unfrozen(self):
        mutable = host.at(self)
        if mutable.frozen and host.strict:
            raise Refused("the handle was frozen")
        return mutable

    def write(_store, self, offset, data):
        mutable = unfrozen(self)
        if offset > len(mutable.data):
            return wc.Variant("out-of-bounds")
        if offset + len(data) > mutable.capacity:
            return wc.Variant("capacity-exceeded")
        mutable.data[offset : offset + len(data)] = data
        return None

    def append(store, self, data):
        mutable = unfrozen(self)
        if len(mutable.data) + len(data) > mutable.capacity:
            return wc.Variant("capacity-exceeded")
        mutable.data += data
        return None

    def set_content_type(_store, self, content_type):
        unfrozen(self).content_type = content_type

    def freeze(_store, self):
        mutable = unfrozen(self)
        mutable.frozen = True
        return wc.ResourceHost.own(host.put(Frozen(bytes(mutable.data), mutable.content_type)), BUFFER)

    for name, function in {
        "[method]buffer.size": lambda _store, self: len(host.at(self).data),
        "[method]buffer.content-type": lambda _store, self: host.at(self).content_type,
        "[method]buffer.read": read,
        "[method]buffer.read-all": lambda _store, self: host.at(self).data,
        "[method]mutable-buffer.write": write,
        "[method]mutable-buffer.append": append,
        "[method]mutable-buffer.size": lambda _store, self: len(host.at(self).data),
        "[method]mutable-buffer.capacity": lambda _store, self: host.at(self).capacity,
        "[method]mutable-buffer.set-content-type": set_content_type,
        "[method]mutable-buffer.freeze": freeze,
        "[method]flow-context.trace-id": context("0123456789abcdef" * 2),
        "[method]flow-context.span-id": context("fedcba9876543210"),
        "[method]flow-context.deadline-ns": context(1234567890),
        "[method]flow-context.flow-id": context("flow-1"),
    }.items():
        types.add_func(name, function)


def define_allocator(host, allocator):
    def make(capacity, data=b"", content_type=""):
        held = sum(value.capacity for value in host.table.values() if isinstance(value, Mutable))
        if held + capacity > host.budget:
            return wc.Variant("allocation-failed", "budget")
        made = host.put(Mutable(max(capacity, 256), bytearray(data), content_type))
        return wc.ResourceHost.own(made, MUTABLE)

    def clone(_store, source):
        lent = host.at(source)
        return make(len(lent.data), lent.data, lent.content_type)

    allocator.add_func("allocate", lambda _store, capacity: make(capacity))
    allocator.add_func("clone-into-mutable", clone)


def define_stdout(host, instance):
    instance.add_resource("output-stream", wc.ResourceType.host(STREAM), lambda _store, _rep: None)
    instance.add_func("get-stdout", lambda _store: wc.ResourceHost.own(1, STREAM))


def define_streams(host, streams):
    def write(store, self, contents):
        assert self.to_host(store).rep == 1
        assert len(contents) <= 4096
        host.printed += contents
        return wc.Variant("ok")

    def read(store, self, _length):
        assert self.to_host(store).rep == 1  # and the answer, None, says that the stream is closed

    streams.add_resource("output-stream", wc.ResourceType.host(STREAM), lambda _store, _rep: None)
    streams.add_resource("input-stream", wc.ResourceType.host(INPUT), forget)
    streams.add_resource("error", wc.ResourceType.host(IO_ERROR), lambda _store, _rep: None)
    streams.add_func("[method]output-stream.blocking-write-and-flush", write)
    streams.add_func("[method]input-stream.blocking-read", read)


def define_stderr(host, instance):
    instance.add_resource("output-stream", wc.ResourceType.host(STREAM), forget)
    instance.add_func("get-stderr", lambda _store: wc.ResourceHost.own(1, STREAM))


def define_stdin(host, instance):
    instance.add_resource("input-stream", wc.ResourceType.host(INPUT), forget)
    instance.add_func("get-stdin", lambda _store: wc.ResourceHost.own(1, INPUT))


def define_terminal(host, instance):
    instance.add_resource("terminal-output", wc.ResourceType.host(TERMINAL), forget)
    instance.add_func("get-terminal-stdout", lambda _store: None)


def forget(_store, _rep):
    """A handle that stands for nothing."""


def leave(_store, _status):
    raise Refused("the guest called exit")


def counting_clock():
    ticks = iter(range(1_000, 2_000))
    return lambda _store: next(ticks)


DEFINITIONS = {
    "torvyn:streaming/types@0.1.0": define_types,
    "torvyn:streaming/buffer-allocator@0.1.0": define_allocator,
    "wasi:io/error@0.2.0": lambda _host, i: i.add_resource("error", wc.ResourceType.host(IO_ERROR), lambda _s, _r: None),
    "wasi:io/streams@0.2.0": define_streams,
    "wasi:cli/stdout@0.2.0": define_stdout,
    "wasi:cli/environment@0.2.0": lambda host, i: i.add_func("get-environment", lambda _store: host.environment),
    "wasi:clocks/wall-clock@0.2.0": lambda _host, i: i.add_func("now", lambda _store: record(seconds=11, nanoseconds=22)),
    "wasi:clocks/monotonic-clock@0.2.0": lambda _host, i: i.add_func("now", counting_clock()),
    "wasi:random/random@0.2.0": lambda _host, i: i.add_func("get-random-bytes", lambda _store, n: bytes(range(n))),
    "wasi:random/insecure@0.2.0": lambda _host, i: i.add_func("get-insecure-random-bytes", lambda _store, n: bytes(range(n))),
    "wasi:random/insecure-seed@0.2.0": lambda _host, i: i.add_func("insecure-seed", lambda _store: (3, 5)),
    "wasi:cli/stderr@0.2.0": define_stderr,
    "wasi:cli/stdin@0.2.0": define_stdin,
    "wasi:cli/exit@0.2.0": lambda _host, i: i.add_func("exit", leave),
    "wasi:cli/terminal-output@0.2.0": lambda _host, i: i.add_resource("terminal-output", wc.ResourceType.host(TERMINAL), forget),
    "wasi:cli/terminal-stdout@0.2.0": define_terminal,
    "torvyn:capabilities/capability-query@0.1.0": lambda host, i: i.add_func("has-capability", lambda _store, name: name in host.rights),
}


@pytest.fixture(scope="session")
def compiler():
    compiler = Compiler()
    yield compiler
    compiler.close()


@pytest.fixture
def drive(compiler):
    """Instantiate a component of the corpus by name, or one given as text; stores are closed at the end."""
    hosts = []

    def start(name_or_text, **options):
        host = Host(compiler.engine, compiler.component(name_or_text), **options)
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        host.store.close()
