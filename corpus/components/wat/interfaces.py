"""What a guest may import: Torvyn's two host interfaces and the few WASI 0.2 ones the corpus touches.

Each interface is written once, in component text, with its functions listed separately so that a guest imports only
those it calls. The types are those of wit/torvyn-streaming; a test compares the two name by name.
"""

from dataclasses import dataclass

TORVYN = "torvyn:streaming/{}@0.1.0"
WASI = "wasi:{}@0.2.0"


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One imported function: its component type, and the core type it has once lowered."""

    name: str
    """The export name inside the interface, such as `[method]buffer.size`."""
    type: str
    """Parameters and result in component text."""
    core: str
    """Parameters and result in core text; a trailing i32 parameter is the address for the result."""
    memory: bool = False
    """Whether lowering needs the guest's memory and allocator."""


@dataclass(frozen=True, slots=True)
class HostInterface:
    """One imported instance: its types in order, its functions by the id guests call them by."""

    name: str
    declarations: str
    aliases: dict[str, str]
    """The types the rest of the component refers to: the export name, and the id it gets."""
    functions: dict[str, HostFunction]
    resources: tuple[str, ...] = ()
    """The types here for which a guest may call `$drop-NAME`."""
    needs: tuple[str, ...] = ()
    """The ids of the interfaces whose types appear in this one."""


TYPES = HostInterface(
    name=TORVYN.format("types"),
    declarations="""
    (export "buffer" (type $buffer (sub resource)))
    (export "mutable-buffer" (type $mutable-buffer (sub resource)))
    (export "flow-context" (type $flow-context (sub resource)))
    (type $buffer-error' (variant (case "capacity-exceeded") (case "out-of-bounds") (case "allocation-failed" string)))
    (export "buffer-error" (type $buffer-error (eq $buffer-error')))
    (type $element-meta' (record (field "sequence" u64) (field "timestamp-ns" u64) (field "content-type" string)))
    (export "element-meta" (type $element-meta (eq $element-meta')))
    (type $stream-element' (record
      (field "meta" $element-meta) (field "payload" (borrow $buffer)) (field "context" (borrow $flow-context))))
    (export "stream-element" (type $stream-element (eq $stream-element')))
    (type $output-element' (record (field "meta" $element-meta) (field "payload" (own $buffer))))
    (export "output-element" (type $output-element (eq $output-element')))
    (type $process-result' (variant (case "emit" $output-element) (case "drop")))
    (export "process-result" (type $process-result (eq $process-result')))
    (type $process-error' (variant
      (case "invalid-input" string) (case "unavailable" string) (case "internal" string)
      (case "deadline-exceeded") (case "fatal" string)))
    (export "process-error" (type $process-error (eq $process-error')))
    (type $backpressure-signal' (enum "ready" "pause"))
    (export "backpressure-signal" (type $backpressure-signal (eq $backpressure-signal')))""",
    aliases={
        name: name
        for name in (
            "buffer",
            "mutable-buffer",
            "flow-context",
            "buffer-error",
            "element-meta",
            "stream-element",
            "output-element",
            "process-result",
            "process-error",
            "backpressure-signal",
        )
    },
    functions={
        "buffer.size": HostFunction("[method]buffer.size", '(param "self" (borrow $buffer)) (result u64)', "(param i32) (result i64)"),
        "buffer.content-type": HostFunction(
            "[method]buffer.content-type",
            '(param "self" (borrow $buffer)) (result string)',
            "(param i32 i32)",
            memory=True,
        ),
        "buffer.read": HostFunction(
            "[method]buffer.read",
            '(param "self" (borrow $buffer)) (param "offset" u64) (param "len" u64) (result (list u8))',
            "(param i32 i64 i64 i32)",
            memory=True,
        ),
        "buffer.read-all": HostFunction(
            "[method]buffer.read-all",
            '(param "self" (borrow $buffer)) (result (list u8))',
            "(param i32 i32)",
            memory=True,
        ),
        "mutable-buffer.write": HostFunction(
            "[method]mutable-buffer.write",
            '(param "self" (borrow $mutable-buffer)) (param "offset" u64) (param "bytes" (list u8))'
            " (result (result (error $buffer-error)))",
            "(param i32 i64 i32 i32 i32)",
            memory=True,
        ),
        "mutable-buffer.append": HostFunction(
            "[method]mutable-buffer.append",
            '(param "self" (borrow $mutable-buffer)) (param "bytes" (list u8)) (result (result (error $buffer-error)))',
            "(param i32 i32 i32 i32)",
            memory=True,
        ),
        "mutable-buffer.size": HostFunction(
            "[method]mutable-buffer.size",
            '(param "self" (borrow $mutable-buffer)) (result u64)',
            "(param i32) (result i64)",
        ),
        "mutable-buffer.capacity": HostFunction(
            "[method]mutable-buffer.capacity",
            '(param "self" (borrow $mutable-buffer)) (result u64)',
            "(param i32) (result i64)",
        ),
        "mutable-buffer.set-content-type": HostFunction(
            "[method]mutable-buffer.set-content-type",
            '(param "self" (borrow $mutable-buffer)) (param "content-type" string)',
            "(param i32 i32 i32)",
            memory=True,
        ),
        "mutable-buffer.freeze": HostFunction(
            "[method]mutable-buffer.freeze",
            '(param "self" (borrow $mutable-buffer)) (result (own $buffer))',
            "(param i32) (result i32)",
        ),
        "flow-context.trace-id": HostFunction(
            "[method]flow-context.trace-id",
            '(param "self" (borrow $flow-context)) (result string)',
            "(param i32 i32)",
            memory=True,
        ),
        "flow-context.span-id": HostFunction(
            "[method]flow-context.span-id",
            '(param "self" (borrow $flow-context)) (result string)',
            "(param i32 i32)",
            memory=True,
        ),
        "flow-context.deadline-ns": HostFunction(
            "[method]flow-context.deadline-ns",
            '(param "self" (borrow $flow-context)) (result u64)',
            "(param i32) (result i64)",
        ),
        "flow-context.flow-id": HostFunction(
            "[method]flow-context.flow-id",
            '(param "self" (borrow $flow-context)) (result string)',
            "(param i32 i32)",
            memory=True,
        ),
    },
    resources=("buffer", "mutable-buffer", "flow-context"),
)

ALLOCATOR = HostInterface(
    name=TORVYN.format("buffer-allocator"),
    needs=("types",),
    declarations="""
    (export "buffer" (type $b (eq $buffer)))
    (export "mutable-buffer" (type $m (eq $mutable-buffer)))
    (export "buffer-error" (type $e (eq $buffer-error)))""",
    aliases={},
    functions={
        "allocator.allocate": HostFunction(
            "allocate",
            '(param "capacity-hint" u64) (result (result (own $m) (error $e)))',
            "(param i64 i32)",
            memory=True,
        ),
        "allocator.clone-into-mutable": HostFunction(
            "clone-into-mutable",
            '(param "source" (borrow $b)) (result (result (own $m) (error $e)))',
            "(param i32 i32)",
            memory=True,
        ),
    },
)

IO_ERROR = HostInterface(
    name=WASI.format("io/error"),
    declarations="""
    (export "error" (type $io-error (sub resource)))""",
    aliases={"error": "io-error"},
    functions={},
)

IO_STREAMS = HostInterface(
    name=WASI.format("io/streams"),
    needs=("io-error",),
    declarations="""
    (export "output-stream" (type $output-stream (sub resource)))
    (export "error" (type $error (eq $io-error)))
    (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))""",
    aliases={"output-stream": "output-stream"},
    functions={
        "output-stream.blocking-write-and-flush": HostFunction(
            "[method]output-stream.blocking-write-and-flush",
            '(param "self" (borrow $output-stream)) (param "contents" (list u8)) (result (result (error $stream-error)))',
            "(param i32 i32 i32 i32)",
            memory=True,
        ),
    },
    resources=("output-stream", "io-error"),
)

STDOUT = HostInterface(
    name=WASI.format("cli/stdout"),
    needs=("io-streams",),
    declarations="""
    (export "output-stream" (type $stream (eq $output-stream)))""",
    aliases={},
    functions={"stdout.get-stdout": HostFunction("get-stdout", "(result (own $stream))", "(result i32)")},
)

ENVIRONMENT = HostInterface(
    name=WASI.format("cli/environment"),
    declarations="",
    aliases={},
    functions={
        "environment.get-environment": HostFunction("get-environment", "(result (list (tuple string string)))", "(param i32)", memory=True)
    },
)

WALL_CLOCK = HostInterface(
    name=WASI.format("clocks/wall-clock"),
    declarations="""
    (type $datetime' (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $datetime')))""",
    aliases={},
    functions={"wall-clock.now": HostFunction("now", "(result $datetime)", "(param i32)", memory=True)},
)

MONOTONIC_CLOCK = HostInterface(
    name=WASI.format("clocks/monotonic-clock"),
    declarations="""
    (type $instant' u64)
    (export "instant" (type $instant (eq $instant')))""",
    aliases={},
    functions={"monotonic-clock.now": HostFunction("now", "(result $instant)", "(result i64)")},
)

RANDOM = HostInterface(
    name=WASI.format("random/random"),
    declarations="",
    aliases={},
    functions={
        "random.get-random-bytes": HostFunction("get-random-bytes", '(param "len" u64) (result (list u8))', "(param i64 i32)", memory=True)
    },
)

STDERR = HostInterface(
    name=WASI.format("cli/stderr"),
    needs=("io-streams",),
    declarations="""
    (export "output-stream" (type $stream (eq $output-stream)))""",
    aliases={},
    functions={"stderr.get-stderr": HostFunction("get-stderr", "(result (own $stream))", "(result i32)")},
)

INSECURE = HostInterface(
    name=WASI.format("random/insecure"),
    declarations="",
    aliases={},
    functions={
        "insecure.get-insecure-random-bytes": HostFunction(
            "get-insecure-random-bytes", '(param "len" u64) (result (list u8))', "(param i64 i32)", memory=True
        )
    },
)

INSECURE_SEED = HostInterface(
    name=WASI.format("random/insecure-seed"),
    declarations="",
    aliases={},
    functions={"insecure-seed.insecure-seed": HostFunction("insecure-seed", "(result (tuple u64 u64))", "(param i32)", memory=True)},
)

IO_INPUT = HostInterface(
    name=WASI.format("io/streams"),
    needs=("io-error",),
    declarations="""
    (export "input-stream" (type $input-stream (sub resource)))
    (export "error" (type $error (eq $io-error)))
    (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))""",
    aliases={"input-stream": "input-stream"},
    functions={
        "input-stream.blocking-read": HostFunction(
            "[method]input-stream.blocking-read",
            '(param "self" (borrow $input-stream)) (param "len" u64) (result (result (list u8) (error $stream-error)))',
            "(param i32 i64 i32)",
            memory=True,
        ),
    },
    resources=("input-stream",),
)
"""The other half of `io-streams`, under the same name: a guest imports one of the two."""

STDIN = HostInterface(
    name=WASI.format("cli/stdin"),
    needs=("io-input",),
    declarations="""
    (export "input-stream" (type $stream (eq $input-stream)))""",
    aliases={},
    functions={"stdin.get-stdin": HostFunction("get-stdin", "(result (own $stream))", "(result i32)")},
)

EXIT = HostInterface(
    name=WASI.format("cli/exit"),
    declarations="",
    aliases={},
    functions={"exit.exit": HostFunction("exit", '(param "status" (result))', "(param i32)")},
)

TERMINAL_OUTPUT = HostInterface(
    name=WASI.format("cli/terminal-output"),
    declarations="""
    (export "terminal-output" (type $terminal-output (sub resource)))""",
    aliases={"terminal-output": "terminal-output"},
    functions={},
    resources=("terminal-output",),
)

TERMINAL_STDOUT = HostInterface(
    name=WASI.format("cli/terminal-stdout"),
    needs=("terminal-output",),
    declarations="""
    (export "terminal-output" (type $terminal (eq $terminal-output)))""",
    aliases={},
    functions={
        "terminal-stdout.get-terminal-stdout": HostFunction(
            "get-terminal-stdout", "(result (option (own $terminal)))", "(param i32)", memory=True
        )
    },
)

CAPABILITY_QUERY = HostInterface(
    name="torvyn:capabilities/capability-query@0.1.0",
    declarations="",
    aliases={},
    functions={
        "capability-query.has-capability": HostFunction(
            "has-capability", '(param "name" string) (result bool)', "(param i32 i32) (result i32)", memory=True
        )
    },
)
"""In no standard world: a component that wants it imports it itself."""

INTERFACES: dict[str, HostInterface] = {
    "types": TYPES,
    "allocator": ALLOCATOR,
    "io-error": IO_ERROR,
    "io-streams": IO_STREAMS,
    "stdout": STDOUT,
    "environment": ENVIRONMENT,
    "wall-clock": WALL_CLOCK,
    "monotonic-clock": MONOTONIC_CLOCK,
    "random": RANDOM,
    "stderr": STDERR,
    "insecure": INSECURE,
    "insecure-seed": INSECURE_SEED,
    "io-input": IO_INPUT,
    "stdin": STDIN,
    "exit": EXIT,
    "terminal-output": TERMINAL_OUTPUT,
    "terminal-stdout": TERMINAL_STDOUT,
    "capability-query": CAPABILITY_QUERY,
}
"""Every interface by the id it has in component text, each after those it needs."""
