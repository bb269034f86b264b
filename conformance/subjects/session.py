"""A session with a subject: the handshake, and a typed client per facet.

A check calls `session.streams.push(3)` and gets a `PushedReply`, or `Refused` when the subject refused. It never sees which door the
message went through. Whatever is not an answer raises a `SubjectError`, which no check should catch.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from conformance.errors import NotOffered, Refused, SubjectBrokeError, SubjectError, SubjectProtocolError, SubjectTimeoutError
from conformance.subjects import protocol as p
from conformance.subjects.config import ConfigClient
from conformance.subjects.contracts import ContractsClient
from conformance.subjects.guests import GuestsClient
from conformance.subjects.observability import ObservabilityClient
from conformance.subjects.packaging import PackagingClient
from conformance.subjects.security import SecurityClient

T = TypeVar("T", bound=p.Reply)

TRANSCRIPT_LENGTH = 64
"""How many messages a session remembers, to show them with a failure."""

OPENING: frozenset[type[p.Request]] = frozenset(
    {
        p.OpenResources,
        p.OpenStream,
        p.OpenGuest,
        p.RunGuestFlow,
        p.OpenCapabilities,
        p.RunAudited,
        p.ParseReference,
        p.WriteRecord,
        p.RunFlow,
        p.RunHost,
        p.StartProject,
        p.SignalProject,
        p.FillHistogram,
        p.KeepRegistry,
        p.ObserveFlow,
        p.MakeTraceIds,
        p.DescendContext,
        p.SampleTraces,
        p.UseRing,
        p.UseEvents,
        p.CheckSettings,
        p.CheckComponent,
        p.ComparePackages,
        p.MeetRequirement,
        p.ComposeComponents,
        p.IdentifyComponent,
        p.LinkPipelines,
        p.RunCommand,
    }
)
"""The requests that start over: nothing that was asked before them matters to what follows."""

ON_DISK: frozenset[type[p.Request]] = frozenset(
    {
        p.Pack,
        p.Unpack,
        p.InspectArtifact,
        p.Publish,
        p.ResolveComponent,
        p.ForgetCached,
        p.Sign,
        p.Admit,
        p.LoadConfiguration,
    }
)
"""The requests about files, which are gone when the check is over: a conversation with one of them cannot be had again."""

EPISODE_LENGTH = 4000
"""A conversation of more messages since the subject started over is not kept as a counterexample."""


class Exchange(Protocol):
    """One door to a subject: a message in, its reply out."""

    def exchange(self, request: p.AnyRequest, /) -> p.AnyReply:
        """Send one request and return its reply.

        Raises:
            SubjectError: there is no reply, or it is not one.
        """
        ...

    def close(self) -> None:
        """End the subject and free what it held; idempotent."""
        ...


@runtime_checkable
class Killable(Protocol):
    """An exchange with something that can be ended from outside."""

    def kill(self) -> None:
        """End it at once."""
        ...


class Session:
    """An open conversation with one subject.

    Attributes:
        declaration: who the subject is and what it offers.
        failure: the first `SubjectError` since `begin`, kept because what follows a death explains less than the death.
        passed_over: what a check has left out since `begin` because the subject does not offer it: the name, and the subject's reason.

    Raises:
        SubjectError: the subject does not introduce itself, or speaks another version of the protocol or of a facet.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._send = exchange.exchange
        self._transcript: deque[tuple[p.AnyRequest, p.AnyReply | None]] = deque(maxlen=TRANSCRIPT_LENGTH)
        self._episode: list[tuple[p.AnyRequest, p.AnyReply | None]] = []
        self._asked: tuple[p.AnyRequest, float] | None = None
        self.failure: SubjectError | None = None
        self.passed_over: dict[str, str] = {}
        try:
            self.declaration = self.ask(p.Hello(), p.Declaration)
            _check_declaration(self.declaration)
        except NotOffered as error:
            exchange.close()
            raise SubjectProtocolError(f"the subject declined to introduce itself: {error}") from error
        except Refused as error:
            exchange.close()
            raise SubjectProtocolError(f"the subject refused the session: {error}") from error
        except BaseException:
            exchange.close()
            raise
        self._claims = {claim.facet: frozenset(claim.capabilities) for claim in self.declaration.facets}
        self.resources = ResourcesClient(self)
        self.streams = StreamsClient(self)
        self.flows = FlowsClient(self)
        self.guests = GuestsClient(self.ask)
        self.cli = CliClient(self)
        self.observability = ObservabilityClient(self.ask)
        self.contracts = ContractsClient(self.ask)
        self.packaging = PackagingClient(self.ask)
        self.config = ConfigClient(self.ask)
        self.security = SecurityClient(self.ask)

    # ---- what the subject offers

    def offers(self, facet: p.Facet) -> bool:
        """Tell whether the subject claims a facet."""
        return facet in self._claims

    def capabilities(self, facet: p.Facet) -> frozenset[str]:
        """Return the optional capabilities that the subject claims on a facet."""
        return self._claims.get(facet, frozenset())

    def lacks(self, *names: str) -> bool:
        """Tell whether the subject has declared to leave out one of these operations or features, and take note that it was passed over."""
        missing = [name for name in names if name in self.declaration.unsupported]
        self.passed_over |= {name: self.declaration.unsupported[name] for name in missing}
        return bool(missing)

    # ---- conversation

    def ask(self, request: p.AnyRequest, expected: type[T]) -> T:
        """Send one request and return its reply, which must be of the expected type.

        Raises:
            Refused: the subject refused the operation.
            NotOffered: the subject does not offer it.
            SubjectError: the subject died, hung, or answered something else.
        """
        reply = self.answer(request)
        if type(reply) is expected:
            return reply
        raise self._other(request, reply, expected)

    def answer(self, request: p.AnyRequest) -> p.AnyReply:
        """Send one request and return its reply, whichever it is.

        Raises:
            SubjectError: the subject died, hung, or did not speak the protocol.
        """
        if type(request) in OPENING:
            self._episode.clear()
        self._asked = request, time.monotonic()
        try:
            reply = self._send(request)
        except BaseException as error:
            self._remember(request, None)
            if isinstance(error, SubjectError) and self.failure is None:
                self.failure = error
            raise
        finally:
            self._asked = None
        self._remember(request, reply)
        return reply

    @property
    def asked(self) -> tuple[p.AnyRequest, float] | None:
        """Return the request that the subject has not answered yet, and for how many seconds it has been waited for."""
        asked = self._asked
        return None if asked is None else (asked[0], time.monotonic() - asked[1])

    def begin(self) -> None:
        """Forget the transcript and the last failure: a new check starts."""
        self._transcript.clear()
        self._episode.clear()
        self.failure = None
        self.passed_over = {}

    def transcript(self) -> list[str]:
        """Return the last messages, oldest first, one line each."""
        return [f"{_show(request)} -> {_show(reply) if reply is not None else 'no reply'}" for request, reply in self._transcript]

    def episode(self) -> tuple[tuple[p.AnyRequest, p.AnyReply | None], ...]:
        """Return the conversation since the subject last started over; nothing when it was too long to keep, or about files."""
        if len(self._episode) >= EPISODE_LENGTH or any(type(request) in ON_DISK for request, _ in self._episode):
            return ()
        return tuple(self._episode)

    def close(self) -> None:
        """End the session and the subject; idempotent."""
        self._exchange.close()

    def kill(self) -> None:
        """End the subject at once, if it is a process of its own."""
        if isinstance(self._exchange, Killable):
            self._exchange.kill()

    def _remember(self, request: p.AnyRequest, reply: p.AnyReply | None) -> None:
        self._transcript.append((request, reply))
        if len(self._episode) < EPISODE_LENGTH:
            self._episode.append((request, reply))

    def _other(self, request: p.AnyRequest, reply: p.AnyReply, expected: type[p.Reply]) -> Exception:
        if isinstance(reply, p.Fault):
            return Refused(reply.kind, reply.message, reply.fields)
        if isinstance(reply, p.Broke):
            return self._broke(reply, p.tag_of(request))
        operation = p.tag_of(request)
        if isinstance(reply, p.Unsupported):
            declared = self._declined(request, operation)
            if declared:
                self.passed_over[operation] = reply.reason
            return NotOffered(reply.reason, operation=operation, declared=declared)
        wanted = expected.__struct_config__.tag
        error = SubjectProtocolError(f"{operation} must be answered with `{wanted}`, the subject answered {_show(reply)}")
        if self.failure is None:
            self.failure = error
        return error

    def _broke(self, reply: p.Broke, operation: str) -> SubjectError:
        kind: type[SubjectError] = SubjectTimeoutError if reply.how == "hang" else SubjectBrokeError
        where = f" ({reply.at})" if reply.at else ""
        error = kind(f"{operation}: {reply.how}: {reply.message}{where}")
        if self.failure is None:
            self.failure = error
        return error

    def _declined(self, request: p.AnyRequest, operation: str) -> bool:
        facet = p.facet_of(request)
        return facet not in self._claims or operation in self.declaration.unsupported


def _check_declaration(declaration: p.Declaration) -> None:
    if declaration.protocol != p.PROTOCOL:
        raise SubjectProtocolError(f"the suite speaks protocol {p.PROTOCOL}, the subject speaks {declaration.protocol}")
    seen: set[p.Facet] = set()
    for claim in declaration.facets:
        if claim.facet in seen:
            raise SubjectProtocolError(f"the subject claims the facet {claim.facet} twice")
        seen.add(claim.facet)
        version = p.FACET_VERSIONS[claim.facet]
        if claim.version != version:
            raise SubjectProtocolError(f"the suite speaks version {version} of the facet {claim.facet}, the subject speaks {claim.version}")


def _show(message: p.AnyRequest | p.AnyReply) -> str:
    text = msgspec.json.encode(message).decode()
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)"


class ResourcesClient:
    """Facet resources: a resource manager seen from its host. Owners are text, sizes are bytes."""

    def __init__(self, session: Session) -> None:
        self._ask = session.ask

    def open(
        self,
        *,
        table_capacity: int = 64,
        tiers: tuple[p.TierSetting, ...] = (),
        exhaustion: str = "fallback-alloc",
        default_budget_bytes: int | None = 64 * 1024 * 1024,
        level: str = "production",
    ) -> None:
        """Start over with a fresh manager; a default budget of None leaves the runtime's own."""
        self._ask(p.OpenResources(table_capacity, tiers, exhaustion, default_budget_bytes, level), p.Done)

    def allocate(self, owner: str, capacity: int, flow: int = 1) -> p.Handle:
        """Allocate a buffer."""
        return self._ask(p.Allocate(owner, capacity, flow), p.HandleReply).handle

    def release(self, handle: p.Handle, caller: str) -> None:
        """Release a buffer."""
        self._ask(p.Release(handle, caller), p.Done)

    def transfer(self, handle: p.Handle, source: str, target: str) -> None:
        """Move ownership."""
        self._ask(p.Transfer(handle, source, target), p.Done)

    def borrow(self, handle: p.Handle, borrower: str) -> None:
        """Open a borrow."""
        self._ask(p.Borrow(handle, borrower), p.Done)

    def end_borrow(self, handle: p.Handle, borrower: str) -> None:
        """End a borrow."""
        self._ask(p.EndBorrow(handle, borrower), p.Done)

    def write(self, handle: p.Handle, caller: str, offset: int, data: bytes, *, claimed_flow: int | None = None) -> int:
        """Write bytes at an offset and return the new size."""
        return self._ask(p.Write(handle, caller, offset, data, claimed_flow), p.CountReply).count

    def read(self, handle: p.Handle, reader: str, offset: int, length: int, *, claimed_flow: int | None = None) -> bytes:
        """Read a range."""
        return self._ask(p.Read(handle, reader, offset, length, claimed_flow), p.BytesReply).data

    def set_content_type(self, handle: p.Handle, caller: str, content_type: str) -> None:
        """Set the content type."""
        self._ask(p.SetContentType(handle, caller, content_type), p.Done)

    def freeze(self, handle: p.Handle, caller: str) -> None:
        """Make a buffer immutable."""
        self._ask(p.Freeze(handle, caller), p.Done)

    def inspect(self, handle: p.Handle) -> p.BufferReply:
        """Describe a live buffer."""
        return self._ask(p.Inspect(handle), p.BufferReply)

    def live_count(self) -> int:
        """Count live buffers."""
        return self._ask(p.LiveCount(), p.CountReply).count

    def force_reclaim(self, component: str) -> tuple[p.ReclaimedBuffer, ...]:
        """Free all that a component owns, and end its borrows."""
        return self._ask(p.ForceReclaim(component), p.ReclaimedReply).buffers

    def release_flow(self, flow: int) -> p.FlowReleasedReply:
        """Free all that was allocated under a flow."""
        return self._ask(p.ReleaseFlow(flow), p.FlowReleasedReply)

    def register_component(self, component: str, budget_bytes: int | None = None) -> None:
        """Give a component a budget; the default one when there is no number."""
        self._ask(p.RegisterComponent(component, budget_bytes), p.Done)

    def budget(self, component: str) -> p.BudgetReply:
        """Return a component's use and limit."""
        return self._ask(p.Budget(component), p.BudgetReply)

    def pool(self, tier: str) -> p.PoolReply:
        """Return a tier's counters."""
        return self._ask(p.PoolCounters(tier), p.PoolReply)

    def copies(self, flow: int) -> p.CopiesReply:
        """Return a flow's copies."""
        return self._ask(p.CopyCounters(flow), p.CopiesReply)

    def transition(self, old: str, new: str) -> None:
        """Ask whether one state label may follow another; `Refused("invalid-transition")` when not."""
        self._ask(p.ResourceTransition(old, new), p.Done)

    def clone(self, handle: p.Handle, caller: str, flow: int = 1) -> p.Handle:
        """Copy a buffer into a new mutable one."""
        return self._ask(p.Clone(handle, caller, flow), p.HandleReply).handle

    def live(self) -> p.LiveReply:
        """Return the inventory of live buffers."""
        return self._ask(p.ListLive(), p.LiveReply)

    def register_flow(self, flow: int) -> None:
        """Tell of a flow."""
        self._ask(p.RegisterFlow(flow), p.Done)

    def close_copies(self, flow: int) -> p.CopiesReply:
        """Take a finished flow's final copies; its counters then read zero."""
        return self._ask(p.CloseCopies(flow), p.CopiesReply)

    def concurrent(self, programs: tuple[tuple[p.ThreadRequest, ...], ...]) -> tuple[tuple[p.Happened, ...], ...]:
        """Run programs in threads of their own, and return what came of them."""
        return self._ask(p.Concurrent(programs), p.HistoryReply).threads


class StreamsClient:
    """Facet streams: one stream of numbers, pushed and popped by hand."""

    def __init__(self, session: Session) -> None:
        self._ask = session.ask

    def open(self, capacity: int, low_watermark_ratio: float = 0.5, policy: str = "block-producer") -> p.StreamReply:
        """Start over with one stream."""
        return self._ask(p.OpenStream(capacity, low_watermark_ratio, policy), p.StreamReply)

    def push(self, value: int) -> p.PushedReply:
        """Push a number."""
        return self._ask(p.PushValue(value), p.PushedReply)

    def pop(self) -> p.PoppedReply:
        """Take the oldest number."""
        return self._ask(p.PopValue(), p.PoppedReply)

    def complete(self) -> p.StreamReply:
        """Say that the producer is done."""
        return self._ask(p.CompleteStream(), p.StreamReply)

    def inspect(self) -> p.StreamReply:
        """Describe the stream."""
        return self._ask(p.InspectStream(), p.StreamReply)


class FlowsClient:
    """Facet flows: whole flows of scripted components, on a virtual clock."""

    def __init__(self, session: Session) -> None:
        self._ask = session.ask

    def run(self, spec: p.FlowSpec) -> p.FlowRunReply:
        """Run a flow to its end."""
        return self._ask(p.RunFlow(spec), p.FlowRunReply)

    def transition(self, old: str, new: str) -> None:
        """Ask whether one flow state may follow another; `Refused("invalid-transition")` when not."""
        self._ask(p.FlowTransition(old, new), p.Done)

    def host(self, flows: tuple[p.FlowSpec, ...], steps: tuple[p.HostStep, ...]) -> p.HostRunReply:
        """Do one thing after the other to a host with several flows."""
        return self._ask(p.RunHost(flows, steps), p.HostRunReply)

    def start_project(self, files: dict[str, bytes], *, shutting_down: bool = False) -> p.ProjectRunReply:
        """Start the first flow of a project, and run it."""
        return self._ask(p.StartProject(files, shutting_down), p.ProjectRunReply)

    def signal_project(self, files: dict[str, bytes], number: Literal["SIGINT", "SIGTERM"]) -> p.ProjectSignalledReply:
        """Run the first flow of a project in a process of its own, and send it a signal."""
        return self._ask(p.SignalProject(files, number), p.ProjectSignalledReply)


class CliClient:
    """Facet cli: the command line."""

    def __init__(self, session: Session) -> None:
        self._ask = session.ask

    def run(self, request: p.RunCommand) -> p.CommandRanReply:
        """Run a command line to its end."""
        return self._ask(request, p.CommandRanReply)
