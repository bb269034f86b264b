"""Copy accounting (COPY): which calls count, whose flow pays, what a whole pipeline copies, and what is left to read at its end."""

from __future__ import annotations

import math

from hypothesis import strategies as st
from msgspec.structs import replace

from conformance.checks import Budget, checks
from conformance.errors import Inconclusive, Refused, Violation
from conformance.machines.accounts import search
from conformance.machines.copies import CopyLockstep, CopyMachine
from conformance.machines.judge import Judge, Step
from conformance.models.copies import CLONE, READ, WRITE, expected_copies, named
from conformance.strategies import EMIT, END, READY, fan_out, line
from conformance.subjects import protocol as p
from conformance.subjects.protocol import Answer, EdgeSpec, Facet, FlowSpec, Script, StageSpec
from conformance.subjects.session import Session
from conformance.traces.offered import within
from conformance.traces.search import offered, run_flow, with_flow

ONE, TWO = "component-1", "component-2"
MIB = 1024 * 1024
U64_MAX = 2**64 - 1


def take(owner: str = ONE, size: int = 300, flow: int = 1) -> Step:
    """Return an allocation."""
    return {"op": "allocate", "owner": owner, "capacity": size, "flow": flow}


def write(handle: str, text: str = "abc", *, offset: int = 0, times: int = 1, **fields: object) -> Step:
    """Return a write."""
    return {"op": "write", "handle": handle, "offset": offset, "text": text, "times": times, **fields}


def read(handle: str, offset: int = 0, length: int = U64_MAX, **fields: object) -> Step:
    """Return a read."""
    return {"op": "read", "handle": handle, "offset": offset, "length": length, **fields}


def on(op: str, handle: str, /, **fields: object) -> Step:
    """Return an operation on a buffer."""
    return {"op": op, "handle": handle, **fields}


STORIES: tuple[tuple[Step, ...], ...] = (
    # writes and reads of all sizes, and of nothing
    (
        take(),
        write("b0"),
        write("b0", "de", offset=3),
        write("b0", "", offset=5),
        read("b0"),
        read("b0", 1, 2),
        read("b0", 5, 9),
        read("b0", 0, 0),
    ),
    # more than a byte can count
    (take(size=4096), *(write("b0", "x", offset=200 * i, times=200) for i in range(4)), read("b0"), read("b0"), read("b0", 0, 100)),
    # more than a page at once
    (take(size=8192), write("b0", "x", times=5000), read("b0"), read("b0", 0, 4097)),
    # chunk by chunk
    (take(), write("b0", "x", times=100), *(read("b0", offset, 32, chunked=True) for offset in range(0, 100, 32))),
    (take(), write("b0", "x", times=64), *(read("b0", offset, 32, chunked=True) for offset in range(0, 64, 32))),
    # what fails
    (
        take(),
        write("b0"),
        write("b0", caller=TWO),
        read("b0", caller=TWO),
        write("b0", "z", times=5000),
        on("borrow", "b0", borrower=TWO),
        write("b0", "late"),
        read("b0", caller=TWO),
        on("end-borrow", "b0", borrower=TWO),
    ),
    # what copies nothing
    (
        take(),
        write("b0"),
        on("set-content-type", "b0"),
        on("freeze", "b0"),
        on("inspect", "b0"),
        on("transfer", "b0", target=TWO),
        on("borrow", "b0", borrower=ONE),
        on("end-borrow", "b0", borrower=ONE),
        on("release", "b0"),
        take(),
        {"op": "release-flow", "flow": 1},
    ),
    # another flow's component reads: the buffer's flow pays
    (take(ONE, flow=2), write("b0"), on("transfer", "b0", target=TWO), take(TWO, flow=1), read("b0"), write("b0", "xyz")),
    # the end of a flow's buffers is not the end of its counters
    (take(flow=2), write("b0"), {"op": "release-flow", "flow": 2}, take(flow=2), write("b1")),
)
CLONES: tuple[tuple[Step, ...], ...] = (
    (take(), write("b0"), on("clone", "b0"), read("b1"), write("b1", "de", offset=3), on("clone", "b1"), on("release", "b0")),
)
AGAIN: tuple[tuple[Step, ...], ...] = (
    (
        {"op": "register-flow", "flow": 1},
        take(),
        write("b0"),
        {"op": "register-flow", "flow": 1},
        read("b0"),
        {"op": "register-flow", "flow": 1},
    ),
)


def opened(session: Session, *, level: str = "production") -> None:
    """Start over, and tell of flow 1, as a host does before anything happens in it."""
    session.resources.open(level=level)
    if not session.lacks("resources.register-flow"):
        session.resources.register_flow(1)


def play(session: Session, budget: Budget, rule: str, *, level: str = "production", examples: int = 20) -> None:
    """Hold one rule against stories and drawn operations."""
    offers = {name: f"resources.{name}" not in session.declaration.unsupported for name in ("clone", "register-flow")}
    stories = (*STORIES, *(CLONES if offers["clone"] else ()), *(AGAIN if offers["register-flow"] else ()))

    def start(judge: Judge) -> CopyLockstep:
        return CopyLockstep(judge, level=level)

    search(
        session,
        budget,
        rule,
        start,
        stories,
        machine=CopyMachine,
        examples=examples,
        clones=offers["clone"],
        registers=offers["register-flow"],
    )


@checks("COPY-001", facet=Facet.RESOURCES, kind="machine")
def writes_count(session: Session, budget: Budget) -> None:
    """Each write is one copy from the component to the host, of the bytes that it passed."""
    play(session, budget, "COPY-001")


@checks("COPY-002", facet=Facet.RESOURCES, kind="machine")
def reads_count(session: Session, budget: Budget) -> None:
    """Each read is one copy from the host to the component, of the bytes that it got."""
    play(session, budget, "COPY-002")


@checks("COPY-003", facet=Facet.RESOURCES, kind="machine")
def refusals_do_not_count(session: Session, budget: Budget) -> None:
    """A read or write that was refused is no copy."""
    play(session, budget, "COPY-003")


@checks("COPY-004", facet=Facet.RESOURCES, kind="machine")
def nothing_weighs_nothing(session: Session, budget: Budget) -> None:
    """A write or read of no bytes adds none, and at most one operation."""
    play(session, budget, "COPY-004")


@checks("COPY-005", facet=Facet.RESOURCES, kind="machine")
def the_rest_does_not_count(session: Session, budget: Budget) -> None:
    """Allocating, freezing, tagging, lending, moving and releasing copy nothing."""
    play(session, budget, "COPY-005")


@checks("COPY-006", facet=Facet.RESOURCES, kind="machine")
def totals_are_sums(session: Session, budget: Budget) -> None:
    """The totals are the sums of their parts after every operation."""
    play(session, budget, "COPY-006")


@checks("COPY-007", facet=Facet.RESOURCES, kind="machine")
def reasons_are_kept_apart(session: Session, budget: Budget) -> None:
    """Every copy counts for its reason, under a name that the rulebook knows; a return to the pool counts for none."""
    play(session, budget, "COPY-007")


@checks("COPY-008", facet=Facet.RESOURCES, kind="machine")
def metadata_is_no_payload(session: Session, budget: Budget) -> None:
    """Content types and other metadata never show in the payload totals."""
    play(session, budget, "COPY-008")


@checks("COPY-009", facet=Facet.RESOURCES, kind="machine")
def who_copied_to_whom(session: Session, budget: Budget) -> None:
    """A write goes from its component to the host, a read from the host to the component that reads."""
    opened(session)
    handle = session.resources.allocate(ONE, 16)
    session.resources.write(handle, ONE, 0, b"abc")
    if not session.resources.copies(1).routes:
        raise Inconclusive("the subject does not say who copied to whom")
    play(session, budget, "COPY-009")


@checks("COPY-010", facet=Facet.RESOURCES, kind="machine")
def the_buffers_flow_pays(session: Session, budget: Budget) -> None:
    """A copy counts for the flow of the buffer, whoever copies."""
    play(session, budget, "COPY-010")


@checks("COPY-010", facet=Facet.RESOURCES, kind="example")
def a_claimed_flow_does_not_pay(session: Session, budget: Budget) -> None:
    """Whoever reads or writes and says that it runs in another flow is refused, or charged to the buffer's flow; nobody pays for others."""
    for stranger in (2, 7):
        opened(session)
        if not session.lacks("resources.register-flow"):
            session.resources.register_flow(stranger)
        handle = session.resources.allocate(ONE, 64, 1)
        session.resources.write(handle, ONE, 0, b"abcde", claimed_flow=1)  # a true word is no offence
        copied = [5]
        for size, attempt in (
            (3, lambda: session.resources.write(handle, ONE, 5, b"fgh", claimed_flow=stranger)),  # noqa: B023 -- called in the loop
            (4, lambda: session.resources.read(handle, ONE, 0, 4, claimed_flow=stranger)),  # noqa: B023 -- called in the loop
        ):
            try:
                attempt()
            except Refused:
                continue
            copied.append(size)
        for flow, due in ((stranger, (0, 0)), (1, (len(copied), sum(copied)))):
            seen = session.resources.copies(flow)
            found = (seen.total_copy_ops, seen.total_payload_bytes)
            budget.expect_equal("COPY-010", found, due, f"operations and bytes of flow {flow} after claims of flow {stranger}")


@checks("COPY-011", facet=Facet.RESOURCES, kind="example")
def always_on(session: Session, budget: Budget) -> None:
    """The same operations give the same totals at every level of observation."""
    totals = {}
    for level in ("production", "off", "diagnostic"):
        opened(session, level=level)
        handle = session.resources.allocate(ONE, 64)
        for text in (b"abc", b"defgh"):
            session.resources.write(handle, ONE, 0, text)
        session.resources.read(handle, ONE, 0, 4)
        seen = session.resources.copies(1)
        totals[level] = (seen.total_copy_ops, seen.total_payload_bytes)
        budget.expect_equal("COPY-011", totals[level], (3, 12), f"operations and bytes at level {level}")


@checks("COPY-012", facet=Facet.RESOURCES, kind="machine")
def unknown_flows_are_zero(session: Session, budget: Budget) -> None:
    """A flow that nobody has used has an all-zero summary, whatever the others do."""
    play(session, budget, "COPY-012", examples=2)


@checks("COPY-013", facet=Facet.RESOURCES, kind="example")
def summaries_outlive_flows(session: Session, budget: Budget) -> None:
    """A flow whose buffers are gone still has its summary; once it has been taken, its counters read zero."""
    opened(session)
    handle = session.resources.allocate(ONE, 64)
    session.resources.write(handle, ONE, 0, b"abcde")
    session.resources.read(handle, ONE, 0, 3)
    session.resources.release_flow(1)
    final = session.resources.close_copies(1)
    budget.expect_equal("COPY-013", (final.total_copy_ops, final.total_payload_bytes), (2, 8), "the final summary")
    for what in ("after the summary was taken", "once more"):
        left = session.resources.copies(1)
        budget.expect_equal("COPY-013", (left.total_copy_ops, left.total_payload_bytes), (0, 0), f"operations and bytes {what}")
        left = session.resources.close_copies(1)
        budget.expect_equal("COPY-013", (left.total_copy_ops, left.total_payload_bytes), (0, 0), f"a second final summary, {what}")


@checks("COPY-014", facet=Facet.RESOURCES, kind="machine")
def registering_resets_nothing(session: Session, budget: Budget) -> None:
    """A flow that is registered again keeps its counters."""
    play(session, budget, "COPY-014")


@checks("COPY-016", facet=Facet.RESOURCES, kind="machine")
def chunks_count(session: Session, budget: Budget) -> None:
    """A buffer read in chunks counts one operation a chunk, and its size in bytes."""
    play(session, budget, "COPY-016", examples=2)
    sizes = st.tuples(st.integers(1, 200), st.integers(1, 64))

    def law(drawn: tuple[int, int]) -> None:
        size, chunk = drawn
        opened(session)
        handle = session.resources.allocate(ONE, size)
        session.resources.write(handle, ONE, 0, b"x" * size)
        for offset in range(0, size, chunk):
            session.resources.read(handle, ONE, offset, min(chunk, size - offset))
        seen = session.resources.copies(1)
        found = (named(seen.ops_by_reason).get(READ), seen.total_payload_bytes)
        budget.expect_equal("COPY-016", found, (math.ceil(size / chunk), 2 * size), f"reads and bytes of {size} bytes in chunks of {chunk}")

    budget.for_all(sizes, law, max_examples=6)


@checks("COPY-018", facet=Facet.RESOURCES, kind="machine")
def counters_only_grow(session: Session, budget: Budget) -> None:
    """No counter ever falls while its flow lives; in a deep run, not even at 2^32 bytes."""
    play(session, budget, "COPY-018")
    if budget.depth == "deep" and "resources.clone" not in session.declaration.unsupported:
        beyond_32_bits(session, budget)


def beyond_32_bits(session: Session, budget: Budget) -> None:
    """Clone 16 MiB until more than 2^32 bytes have been copied: nothing but handles crosses the protocol."""
    opened(session)
    handle = session.resources.allocate("host", 16 * MIB)
    for offset in range(0, 16 * MIB, MIB):
        session.resources.write(handle, "host", offset, bytes(MIB))
    start = session.resources.copies(1).total_payload_bytes
    for number in range(1, 258):
        session.resources.release(session.resources.clone(handle, "host"), "host")
        found = session.resources.copies(1).total_payload_bytes - start
        budget.expect_equal("COPY-018", found, number * 16 * MIB, f"bytes after {number} clones of 16 MiB")


# ---------------------------------------------------------------- whole flows

BIG = Script((replace(EMIT, size=100),) * 5, END)
READING = {"sink": Script((), replace(READY, reads=1))}


def flow(*roles: str, scripts: dict[str, Script] | None = None) -> FlowSpec:
    """Return a straight flow of five elements of 100 bytes whose sink reads."""
    return line(*roles, scripts={"source": BIG, **READING, **(scripts or {})})


def routed(sinks: int) -> FlowSpec:
    """Return a source, a router that looks at metadata only, and sinks that read."""
    names = [f"sink{number}" for number in range(sinks)]
    stages = (
        StageSpec("source", "source", BIG),
        StageSpec("router", "router", Script((), Answer("route", ports=("a",)))),
        *(StageSpec(name, "sink", READING["sink"]) for name in names),
    )
    return FlowSpec(stages, (EdgeSpec("source", "router"), *(EdgeSpec("router", name, "a") for name in names)))


METADATA_ONLY = flow("filter")
READS_ONLY = flow("filter", scripts={"filter": Script((), Answer("pass", reads=1))})
CLONING = flow("processor", scripts={"processor": Script((), Answer("emit", clones=True))})
WASTEFUL = flow("processor", scripts={"processor": Script((), Answer("emit", reads=2, chunk=33))})
TOPOLOGIES = (
    flow(),
    flow("processor"),
    flow("processor", "processor", "processor"),
    METADATA_ONLY,
    READS_ONLY,
    routed(1),
    routed(3),
    fan_out(3, elements=4, sinks=(READING["sink"],) * 3),
    flow("processor", scripts={"processor": Script((), Answer("drop", reads=1))}),
    flow("filter", "processor", scripts={"filter": Script((Answer("reject"), Answer("pass")) * 3)}),
    CLONING,
    WASTEFUL,
    line("processor", elements=5),
)
"""One flow per line of the topology oracle; the last one has a sink that never reads."""


def run_counted(session: Session, spec: FlowSpec) -> tuple[p.FlowRunReply, p.FlowCopies]:
    """Run a flow and return its reply, with its copies.

    Raises:
        Inconclusive: the subject does not report the copies of a flow, or the flow did not come to its natural end.
    """
    reply = run_flow(session, spec)
    if reply.copies is None:
        raise Inconclusive("the subject does not report the copies of a flow")
    if reply.state != "Completed":
        raise Inconclusive(f"the flow ended as {reply.state}: there is nothing to compare with")
    return reply, reply.copies


def forsaken(spec: FlowSpec, reply: p.FlowRunReply) -> bool:
    """Tell whether a branch never got anything: ORD-011 judges that, and what was not delivered was not copied."""
    forks = len({edge.source for edge in spec.edges}) < len(spec.edges)
    return forks and any(reply.stages[stage.name].invocations == 0 for stage in spec.stages if stage.name in reply.stages)


def natural_flows() -> st.SearchStrategy[FlowSpec]:
    """Draw straight flows in which nothing is lost and every stage copies in its own way."""
    middle = st.sampled_from(
        (
            ("processor", Answer("emit")),
            ("processor", Answer("emit", clones=True)),
            ("processor", Answer("emit", reads=1, chunk=7)),
            ("processor", Answer("drop", reads=1)),
            ("filter", Answer("pass")),
            ("filter", Answer("pass", reads=2)),
            ("router", Answer("route", ports=("a",))),
            ("router", Answer("route")),
        )
    )
    schedules = st.sampled_from(("consumer-first", "producer-first"))

    def build(drawn: tuple[list[int], list[tuple[str, Answer]], int, str]) -> FlowSpec:
        sizes, stages, reads, schedule = drawn
        spec = line(*(role for role, _ in stages), capacity=2, schedule=schedule)
        scripts = [Script(tuple(replace(EMIT, size=size) for size in sizes), END)]
        scripts += [Script((), answer) for _, answer in stages] + [Script((), replace(READY, reads=reads))]
        named_ = zip(spec.stages, scripts, strict=True)
        return replace(spec, stages=tuple(StageSpec(stage.name, stage.role, script) for stage, script in named_))

    return st.tuples(st.lists(st.integers(0, 300), max_size=4), st.lists(middle, max_size=3), st.integers(0, 2), schedules).map(build)


@checks("COPY-015", facet=Facet.FLOWS, kind="example")
def pipelines_copy_what_their_stages_do(session: Session, budget: Budget) -> None:
    """A whole flow copies what its stages read and write, and not once more: 2 per element without a processor, 2 more with each."""
    lacking = frozenset(session.declaration.unsupported)

    def law(spec: FlowSpec) -> None:
        spec = within(spec, lacking)
        reply, copies = run_counted(session, spec)
        work = expected_copies(spec)
        ops = named(copies.ops_by_reason)
        found = (copies.total_payload_bytes, *(ops.get(reason, 0) for reason in (READ, WRITE, CLONE)), copies.total_copy_ops)
        expected = (work.total_bytes, *(work.ops[reason] for reason in (READ, WRITE, CLONE)), work.ops.total())
        budget.touch("COPY-015")
        if found != expected and not forsaken(spec, reply):
            violation = Violation("COPY-015", "bytes, reads, writes, clones and all copies of the flow", expected=expected, found=found)
            raise with_flow(violation, spec, reply)

    for spec in TOPOLOGIES:
        if offered(session, spec):
            law(spec)
    budget.for_all(natural_flows(), law, max_examples=15)


@checks("COPY-013", facet=Facet.FLOWS, kind="example")
def flows_end_with_a_summary(session: Session, budget: Budget) -> None:
    """A flow's copies can be had when it is over, even when it ended badly."""
    for spec in (TOPOLOGIES[1], flow("processor", scripts={"processor": Script((Answer("trap"),), EMIT)})):
        reply = run_flow(session, spec)
        if reply.copies is None:
            raise Inconclusive("the subject does not report the copies of a flow")
        budget.expect("COPY-013", reply.copies.total_copy_ops, "the summary of a finished flow is empty", expected="> 0", found=0)


@checks("COPY-017", facet=Facet.FLOWS, kind="example")
def amplification_is_exact(session: Session, budget: Budget) -> None:
    """A stage's amplification is what it reads and writes per byte that enters it: 0 for metadata, 1 for a reader, 2 for an identity."""
    for spec in (METADATA_ONLY, READS_ONLY, TOPOLOGIES[1], TOPOLOGIES[2], WASTEFUL, routed(2)):
        reply, copies = run_counted(session, spec)
        if session.lacks("flows.run/amplification"):
            return
        if not copies.amplification:
            raise Inconclusive("the subject does not report amplification")
        for name, work in expected_copies(spec).stages.items():
            wanted, found = work.amplification, copies.amplification.get(name)
            budget.touch("COPY-017")
            same = found is None if wanted is None else found is not None and math.isclose(found, wanted, abs_tol=1e-9)
            if not same and work.entered:
                raise with_flow(Violation("COPY-017", f"the amplification of {name}", expected=wanted, found=found), spec, reply)
