"""Trace files: what a subject did, as JSON Lines that outlive the run (docs/traces.md).

The first line is a header, the last a footer that counts and digests what lies between: a file that was cut off or changed is noticed. A
trace of one flow carries the flow's specification and the events; a trace of any other conversation carries requests and replies. Either
has all that is needed to run it again.

Files come from strangers: every length is bounded, every line is typed, and a file is either a trace or one clear error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Annotated, Literal

import msgspec

from conformance.errors import SuiteError
from conformance.models.topology import ROLES, defects
from conformance.subjects import protocol as p
from conformance.traces import events as e

FORMAT = 1
FILE_BYTES = 256 * 1024 * 1024
LINE_BYTES = p.LINE_BYTES
LINES = 2_000_000
STAGES = 4096
"""No trace has more bytes, no line is longer, no trace has more lines, no flow in one has more stages or edges."""

MOST_CAPACITY = 2**53
"""Above it, capacity times ratio is no longer exact in a double."""

SHOWN_PROBLEMS = 8


class TraceFileError(SuiteError):
    """A file is no trace, or a damaged one."""


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", omit_defaults=True, forbid_unknown_fields=True):
    """A line that is no event of a flow."""


class Shows(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a counterexample shows: the broken rule, who found it, and how it differs.

    Attributes:
        at: the line between header and footer, counted from 0, at which it shows; None where only the whole does.
    """

    rule: str
    message: str
    check: str = ""
    expected: str = ""
    found: str = ""
    at: int | None = None


class Header(Line, frozen=True, kw_only=True, tag="header"):
    """The first line.

    Attributes:
        format: the version of this file format.
        suite: who wrote the file, with its version.
        subject: whose behaviour it is, with its version.
        clock: `virtual` when time passed only where the flow waited or a component said so, else `monotonic`.
        seed: the seed of the run that found it.
        flow: the flow that was run; without one the lines are exchanges.
        limit: the operator's bound: once the sources have brought in so many elements together, they count as exhausted; None is no bound.
        claims: the optional capabilities that the subject declared, by facet; a rule that needs one is judged only where it is claimed.
        shows: the violation for which the file was kept; None for an ordinary recording.
        note: for readers: where it comes from, what to look at.
    """

    format: int
    suite: str
    subject: str
    clock: Literal["virtual", "monotonic"] = "virtual"
    seed: int | None = None
    flow: p.FlowSpec | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    claims: dict[str, tuple[str, ...]] = {}
    shows: Shows | None = None
    note: str = ""


class Exchange(Line, frozen=True, kw_only=True, tag="exchange"):
    """One request and its reply; None when there was none, because the subject died, hung or babbled."""

    request: p.AnyRequest
    reply: p.AnyReply | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the runtime said of the finished flow, besides its events; fields as in `flow-run`."""

    state: str
    streams: tuple[p.StreamStats, ...]
    stages: dict[str, p.StageStats]
    live_buffers: int
    copies: p.FlowCopies | None = None
    duration_ns: int | None = None


class Footer(Line, frozen=True, kw_only=True, tag="footer"):
    """The last line: how many lines lie between header and footer, the SHA-256 over their bytes in hex (or nothing), the summary."""

    lines: int
    sha256: str = ""
    summary: Summary | None = None


AnyLine = Header | Exchange | Footer | e.AnyEvent


@dataclass(frozen=True, slots=True)
class TraceFile:
    """A whole trace: of one flow (`header.flow`, `events`, `summary`), or of a conversation (`exchanges`)."""

    header: Header
    events: tuple[e.AnyEvent, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    summary: Summary | None = None

    @property
    def scripted(self) -> bool:
        """Tell whether components follow scripts: not where the header has none and one does what none without a script does."""
        flow = self.header.flow
        if flow is None or any(stage.script != p.Script() for stage in flow.stages):
            return True
        return not any(_takes_a_script(event) for event in self.events)

    @property
    def reply(self) -> p.FlowRunReply | None:
        """Return the runtime's answer as a live run would have given it; None for a conversation or a bare trace."""
        if self.summary is None:
            return None
        fields = {name: getattr(self.summary, name) for name in Summary.__struct_fields__}
        return p.FlowRunReply(trace=self.events, **fields)


def _takes_a_script(event: e.AnyEvent) -> bool:
    """Tell what no component without a script does: there a source ends at once, nobody has a lifecycle, no flush counts."""
    match event:
        case e.Returned(fn="pull"):
            return event.outcome != "end"
        case e.Returned():
            return event.count is not None
        case e.Called():
            return event.fn in {"init", "teardown"}
        case _:
            return False


# ---------------------------------------------------------------- writing


def of_flow(header: Header, reply: p.FlowRunReply) -> TraceFile:
    """Return the trace of a flow that a subject has run; `header.flow` is its specification."""
    fields = {name: getattr(reply, name) for name in Summary.__struct_fields__}
    return TraceFile(header, events=reply.trace, summary=Summary(**fields))


def encode(trace: TraceFile) -> bytes:
    """Return a trace as it stands in a file."""
    encoder = msgspec.json.Encoder()
    body = b"".join(encoder.encode(line) + b"\n" for line in (*trace.events, *trace.exchanges))
    footer = Footer(lines=len(trace.events) + len(trace.exchanges), sha256=sha256(body).hexdigest(), summary=trace.summary)
    return encoder.encode(trace.header) + b"\n" + body + encoder.encode(footer) + b"\n"


# ---------------------------------------------------------------- reading


def read(path: Path) -> TraceFile:
    """Read a trace file.

    Raises:
        TraceFileError: it is none, it is damaged, or it is too large; one message, with the line.
    """
    try:
        with path.open("rb") as stream:
            return load(stream, str(path))
    except OSError as error:
        raise TraceFileError(f"{path}: cannot be read: {error.strerror}") from error


def decode(data: bytes, name: str = "the trace") -> TraceFile:
    """Read a trace from memory.

    Raises:
        TraceFileError: as `read`.
    """
    import io  # noqa: PLC0415 -- only here

    return load(io.BytesIO(data), name)


def load(stream: IO[bytes], name: str) -> TraceFile:
    """Read a trace from an open stream, line by line.

    Raises:
        TraceFileError: as `read`.
    """
    lines = _lines(stream, name)
    first = next(lines, None)
    if first is None:
        raise TraceFileError(f"{name}: is empty; a trace starts with a header line")
    header = _header(*first, name)
    digest = sha256()
    events: list[e.AnyEvent] = []
    exchanges: list[Exchange] = []
    footer: Footer | None = None
    for number, data in lines:
        if footer is not None:
            raise TraceFileError(f"{name}, line {number}: follows the footer, which must be the last line")
        line = _decode(data, f"{name}, line {number}")
        match line:
            case Footer():
                footer = line
                continue
            case Header():
                raise TraceFileError(f"{name}, line {number}: is a second header")
            case Exchange():
                exchanges.append(line)
            case _:
                events.append(line)
        digest.update(data)
    if footer is None:
        raise TraceFileError(f"{name}: has no footer after {len(events) + len(exchanges)} lines: it was cut off while it was written")
    _whole(header, events, exchanges, footer, digest.hexdigest(), name)
    return TraceFile(header, tuple(events), tuple(exchanges), footer.summary)


_DECODER: msgspec.json.Decoder[AnyLine] = msgspec.json.Decoder(AnyLine)


def _lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers, from 1, never more than the bounds allow."""
    total = number = 0
    while True:
        data = stream.readline(LINE_BYTES + 1)
        if not data:
            return
        number += 1
        total += len(data)
        if len(data) > LINE_BYTES:
            raise TraceFileError(f"{name}, line {number}: is longer than {LINE_BYTES} bytes")
        if total > FILE_BYTES:
            raise TraceFileError(f"{name}: is larger than {FILE_BYTES} bytes")
        if number > LINES:
            raise TraceFileError(f"{name}: has more than {LINES} lines")
        yield number, data


def _decode(data: bytes, where: str) -> AnyLine:
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        hint = " (the last line was cut off)" if not data.endswith(b"\n") else ""
        raise TraceFileError(f"{where}: is no line of a trace: {error}{hint}") from error


def _header(number: int, data: bytes, name: str) -> Header:
    line = _decode(data, f"{name}, line {number}")
    if not isinstance(line, Header):
        raise TraceFileError(f'{name}, line 1: a trace starts with a header, this is a "{line.__struct_config__.tag}"')
    if line.format != FORMAT:
        raise TraceFileError(f"{name}, line 1: has format {line.format}, this suite reads format {FORMAT}")
    if line.flow is not None:
        if max(len(line.flow.stages), len(line.flow.edges)) > STAGES:
            raise TraceFileError(f"{name}, line 1: the flow has more than {STAGES} stages or edges")
        if problems := mistakes(line.flow):
            raise TraceFileError(*(f"{name}, line 1: the flow cannot be judged: {problem}" for problem in problems[:SHOWN_PROBLEMS]))
    return line


def mistakes(flow: p.FlowSpec) -> tuple[str, ...]:
    """Return what keeps a flow from being judged: what is wrong with its graph, and what it says that no valid flow does."""
    return (*(defect.message for defect in defects(flow)), *_unfit(flow))


def _unfit(flow: p.FlowSpec) -> Iterator[str]:
    """Yield what a flow says that no valid flow does, besides its graph."""
    for stage in flow.stages:
        if stage.role not in ROLES:
            yield f"{stage.name!r} has the role {stage.role!r}; the roles are {', '.join(sorted(ROLES))}"
    for number, edge in enumerate(flow.edges):
        if not 1 <= edge.capacity <= MOST_CAPACITY:
            yield f"stream {number} has the capacity {edge.capacity}; it lies in 1..{MOST_CAPACITY}"
        if not 0 <= edge.low_watermark_ratio < 1:
            yield f"stream {number} has the low watermark ratio {edge.low_watermark_ratio}; it lies in 0 <= ratio < 1"


def _whole(header: Header, events: list[e.AnyEvent], exchanges: list[Exchange], footer: Footer, digest: str, name: str) -> None:
    """Refuse a body that does not fit its header and footer."""
    count = len(events) + len(exchanges)
    if footer.lines != count:
        raise TraceFileError(f"{name}: the footer counts {footer.lines} lines, there are {count}: some were lost")
    if footer.sha256 and footer.sha256 != digest:
        raise TraceFileError(f"{name}: the lines were changed after they were written: their SHA-256 is not the footer's")
    if header.flow is None:
        if events:
            raise TraceFileError(f"{name}: has events of a flow, and no `flow` in its header that they could be judged by")
        return
    if exchanges:
        raise TraceFileError(f"{name}: has a flow and exchanges; a trace has one or the other")
    problems = [f"{name}, line {number}: {problem}" for number, problem in _misplaced(header.flow, events)]
    if footer.summary is not None and len(footer.summary.streams) != len(header.flow.edges):
        problems.append(f"{name}: the summary has {len(footer.summary.streams)} streams, the flow {len(header.flow.edges)} edges")
    if problems:
        raise TraceFileError(*problems[:SHOWN_PROBLEMS])


def _misplaced(flow: p.FlowSpec, events: Iterable[e.AnyEvent]) -> Iterator[tuple[int, str]]:
    """Yield what events say about stages and streams that the flow does not have, by line."""
    stages = frozenset(stage.name for stage in flow.stages)
    streams = len(flow.edges)
    for number, event in enumerate(events, start=2):
        stage, stream = getattr(event, "stage", None), getattr(event, "stream", None)
        if stage is not None and stage not in stages:
            yield number, f"the flow has no stage {stage!r}"
        if stream is not None and not 0 <= stream < streams:
            yield number, f"the flow has no stream {stream}; there are {streams}"
