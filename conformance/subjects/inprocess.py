"""The in-process door: Python objects with one method per message, and the dispatcher that makes a subject of them.

A Python runtime is put under test by writing one class per facet that it offers. Every method takes the request message and returns the
reply message. It raises `Refused(kind, message, fields)` for an operation that the runtime refused and `NotOffered(reason)` for one that
it does not have; a missing method says the same. Any other exception is the subject's crash.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from conformance.errors import NotOffered, Refused, SubjectCrashedError, SubjectError, SubjectProtocolError
from conformance.subjects import protocol as p
from conformance.subjects.session import Exchange


class ResourcesFacet(Protocol):
    """A resource manager, seen from its host; see the messages `resources.*`."""

    def open(self, request: p.OpenResources, /) -> p.Done: ...  # noqa: D102 -- each method is its message, documented there; so below
    def allocate(self, request: p.Allocate, /) -> p.HandleReply: ...  # noqa: D102
    def release(self, request: p.Release, /) -> p.Done: ...  # noqa: D102
    def transfer(self, request: p.Transfer, /) -> p.Done: ...  # noqa: D102
    def borrow(self, request: p.Borrow, /) -> p.Done: ...  # noqa: D102
    def end_borrow(self, request: p.EndBorrow, /) -> p.Done: ...  # noqa: D102
    def write(self, request: p.Write, /) -> p.CountReply: ...  # noqa: D102
    def read(self, request: p.Read, /) -> p.BytesReply: ...  # noqa: D102
    def set_content_type(self, request: p.SetContentType, /) -> p.Done: ...  # noqa: D102
    def freeze(self, request: p.Freeze, /) -> p.Done: ...  # noqa: D102
    def inspect(self, request: p.Inspect, /) -> p.BufferReply: ...  # noqa: D102
    def live_count(self, request: p.LiveCount, /) -> p.CountReply: ...  # noqa: D102
    def force_reclaim(self, request: p.ForceReclaim, /) -> p.ReclaimedReply: ...  # noqa: D102
    def release_flow(self, request: p.ReleaseFlow, /) -> p.FlowReleasedReply: ...  # noqa: D102
    def register_component(self, request: p.RegisterComponent, /) -> p.Done: ...  # noqa: D102
    def budget(self, request: p.Budget, /) -> p.BudgetReply: ...  # noqa: D102
    def pool(self, request: p.PoolCounters, /) -> p.PoolReply: ...  # noqa: D102
    def copies(self, request: p.CopyCounters, /) -> p.CopiesReply: ...  # noqa: D102
    def transition(self, request: p.ResourceTransition, /) -> p.Done: ...  # noqa: D102


class MoreResources(ResourcesFacet, Protocol):
    """The messages `resources.*` that a subject may leave out."""

    def clone(self, request: p.Clone, /) -> p.HandleReply: ...  # noqa: D102
    def live(self, request: p.ListLive, /) -> p.LiveReply: ...  # noqa: D102
    def register_flow(self, request: p.RegisterFlow, /) -> p.Done: ...  # noqa: D102
    def close_copies(self, request: p.CloseCopies, /) -> p.CopiesReply: ...  # noqa: D102
    def concurrent(self, request: p.Concurrent, /) -> p.HistoryReply: ...  # noqa: D102


class StreamsFacet(Protocol):
    """One stream of numbers; see the messages `streams.*`."""

    def open(self, request: p.OpenStream, /) -> p.StreamReply: ...  # noqa: D102
    def push(self, request: p.PushValue, /) -> p.PushedReply: ...  # noqa: D102
    def pop(self, request: p.PopValue, /) -> p.PoppedReply: ...  # noqa: D102
    def complete(self, request: p.CompleteStream, /) -> p.StreamReply: ...  # noqa: D102
    def inspect(self, request: p.InspectStream, /) -> p.StreamReply: ...  # noqa: D102


class FlowsFacet(Protocol):
    """Whole flows of scripted components on a virtual clock; see the messages `flows.*`."""

    def run(self, request: p.RunFlow, /) -> p.FlowRunReply: ...  # noqa: D102
    def transition(self, request: p.FlowTransition, /) -> p.Done: ...  # noqa: D102


class MoreFlows(FlowsFacet, Protocol):
    """The messages `flows.*` that a subject may leave out."""

    def host(self, request: p.RunHost, /) -> p.HostRunReply: ...  # noqa: D102
    def start_project(self, request: p.StartProject, /) -> p.ProjectRunReply: ...  # noqa: D102
    def signal_project(self, request: p.SignalProject, /) -> p.ProjectSignalledReply: ...  # noqa: D102


class GuestsFacet(Protocol):
    """One real component, called by hand; see the messages `guests.*`."""

    def open(self, request: p.OpenGuest, /) -> p.Done: ...  # noqa: D102
    def call(self, request: p.CallGuest, /) -> p.GuestAnswerReply: ...  # noqa: D102
    def observe(self, request: p.ObserveGuest, /) -> p.GuestSeenReply: ...  # noqa: D102
    def close(self, request: p.CloseGuest, /) -> p.Done: ...  # noqa: D102


class MoreGuests(GuestsFacet, Protocol):
    """The messages `guests.*` that only subjects with the capabilities `by-hand` and `flows` have."""

    def start(self, request: p.StartGuest, /) -> p.GuestStartedReply: ...  # noqa: D102
    def invoke(self, request: p.InvokeGuest, /) -> p.GuestInvokedReply: ...  # noqa: D102
    def flow(self, request: p.RunGuestFlow, /) -> p.FlowRunReply: ...  # noqa: D102


class ObservabilityFacet(Protocol):
    """What a runtime tells of itself; see the messages `observability.*`."""

    def histogram(self, request: p.FillHistogram, /) -> p.HistogramReply: ...  # noqa: D102
    def registry(self, request: p.KeepRegistry, /) -> p.RegistryReply: ...  # noqa: D102
    def run(self, request: p.ObserveFlow, /) -> p.ObservedReply: ...  # noqa: D102
    def ids(self, request: p.MakeTraceIds, /) -> p.TraceIdsReply: ...  # noqa: D102
    def context(self, request: p.DescendContext, /) -> p.ContextsReply: ...  # noqa: D102
    def sample(self, request: p.SampleTraces, /) -> p.SampledReply: ...  # noqa: D102
    def ring(self, request: p.UseRing, /) -> p.RingReply: ...  # noqa: D102
    def events(self, request: p.UseEvents, /) -> p.EventsReply: ...  # noqa: D102
    def settings(self, request: p.CheckSettings, /) -> p.SettingsReply: ...  # noqa: D102


class ContractsFacet(Protocol):
    """Contracts checked, compared, composed and linked; see the messages `contracts.*`."""

    def check(self, request: p.CheckComponent, /) -> p.ContractCheckedReply: ...  # noqa: D102
    def compare(self, request: p.ComparePackages, /) -> p.ContractsComparedReply: ...  # noqa: D102
    def meet(self, request: p.MeetRequirement, /) -> p.ContractCheckedReply: ...  # noqa: D102
    def compose(self, request: p.ComposeComponents, /) -> p.ContractCheckedReply: ...  # noqa: D102
    def identify(self, request: p.IdentifyComponent, /) -> p.ComponentIdentifiedReply: ...  # noqa: D102
    def link(self, request: p.LinkPipelines, /) -> p.PipelinesLinkedReply: ...  # noqa: D102


class PackagingFacet(Protocol):
    """Components packed, published, found again and let in; see the messages `packaging.*`."""

    def pack(self, request: p.Pack, /) -> p.PackedReply: ...  # noqa: D102
    def unpack(self, request: p.Unpack, /) -> p.Done: ...  # noqa: D102
    def inspect(self, request: p.InspectArtifact, /) -> p.InspectedReply: ...  # noqa: D102
    def parse(self, request: p.ParseReference, /) -> p.ReferenceReply: ...  # noqa: D102
    def publish(self, request: p.Publish, /) -> p.PublishedReply: ...  # noqa: D102
    def resolve(self, request: p.ResolveComponent, /) -> p.ComponentReply: ...  # noqa: D102
    def forget(self, request: p.ForgetCached, /) -> p.Done: ...  # noqa: D102
    def admit(self, request: p.Admit, /) -> p.AdmittedReply: ...  # noqa: D102
    def write_record(self, request: p.WriteRecord, /) -> p.RecordReply: ...  # noqa: D102
    def read_record(self, request: p.ReadRecord, /) -> p.RecordReply: ...  # noqa: D102


class ConfigFacet(Protocol):
    """A project's settings; see the message `config.load`."""

    def load(self, request: p.LoadConfiguration, /) -> p.ConfigurationReply: ...  # noqa: D102


class MorePackaging(PackagingFacet, Protocol):
    """The messages `packaging.*` that a subject without a signer of its own leaves out."""

    def sign(self, request: p.Sign, /) -> p.SignedReply: ...  # noqa: D102


class CapabilitiesFacet(Protocol):
    """What a component may do; see the messages `capabilities.*`. One that is missing is declined."""

    def open(self, request: p.OpenCapabilities, /) -> p.Done: ...  # noqa: D102
    def parse(self, request: p.ParseCapability, /) -> p.CapabilityReply: ...  # noqa: D102
    def covers(self, request: p.CoverCapability, /) -> p.CoverageReply: ...  # noqa: D102


class MoreCapabilities(CapabilitiesFacet, Protocol):
    """The messages `capabilities.*` that a subject may leave out."""

    def configure(self, request: p.ConfigureSandbox, /) -> p.SandboxReply: ...  # noqa: D102
    def query(self, request: p.QuerySandbox, /) -> p.SandboxReply: ...  # noqa: D102
    def exercise(self, request: p.ExerciseCapability, /) -> p.ExercisedReply: ...  # noqa: D102
    def end(self, request: p.EndSandbox, /) -> p.AuditedReply: ...  # noqa: D102
    def audit(self, request: p.WriteAudit, /) -> p.AuditWrittenReply: ...  # noqa: D102
    def severities(self, request: p.OrderSeverities, /) -> p.SeveritiesReply: ...  # noqa: D102
    def run(self, request: p.RunAudited, /) -> p.RunAuditedReply: ...  # noqa: D102


ATTRIBUTES: Mapping[str, str] = {p.Facet.CAPABILITIES: "security"}
"""The facets whose attribute of a `PythonSubject` has another name: `capabilities` are the abilities that a subject claims."""


class CliFacet(Protocol):
    """The command line; see the messages `cli.*`."""

    def run(self, request: p.RunCommand, /) -> p.CommandRanReply: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class PythonSubject:
    """A runtime as a bundle of facet objects; a facet that is None is not claimed.

    Attributes:
        name, version: shown in every report.
        security: the facet `capabilities`.
        capabilities: optional abilities by facet ("consumer_first").
        unsupported: facets or operations that the subject leaves out, each with the reason.
        refusal: translates an exception of the runtime into a refusal; None says that it was none, and so a crash.
    """

    name: str
    version: str
    resources: ResourcesFacet | None = None
    streams: StreamsFacet | None = None
    flows: FlowsFacet | None = None
    guests: GuestsFacet | None = None
    observability: ObservabilityFacet | None = None
    contracts: ContractsFacet | None = None
    packaging: PackagingFacet | None = None
    config: ConfigFacet | None = None
    security: CapabilitiesFacet | None = None
    cli: CliFacet | None = None
    capabilities: Mapping[p.Facet, tuple[str, ...]] = field(default_factory=dict)
    unsupported: Mapping[str, str] = field(default_factory=dict)
    refusal: Callable[[Exception], Refused | None] = field(default=lambda _error: None)

    def declaration(self) -> p.Declaration:
        """Return what the subject says of itself."""
        facets = tuple(
            p.FacetClaim(facet, version, tuple(self.capabilities.get(facet, ())))
            for facet, version in p.FACET_VERSIONS.items()
            if self.side(facet) is not None
        )
        return p.Declaration(self.name, self.version, p.PROTOCOL, facets, language="python", unsupported=dict(self.unsupported))

    def side(self, facet: str) -> object:
        """Return the object behind a facet; None for a facet that is not claimed."""
        return getattr(self, ATTRIBUTES.get(facet, facet))


Handler = Callable[[Any], p.AnyReply]


class InProcess:
    """The exchange of a Python subject: one dictionary lookup and one method call per message."""

    def __init__(self, subject: PythonSubject) -> None:
        self._refusal = subject.refusal
        self._handlers: dict[type[p.Request], Handler] = {
            p.Hello: lambda _: subject.declaration(),
            p.Bye: lambda _: p.Done(),
        }
        for request in p.REQUESTS:
            facet, _, operation = p.name_of(request).partition(".")
            if operation:
                self._handlers[request] = _handler(subject.side(facet), facet, operation)

    def exchange(self, request: p.AnyRequest, /) -> p.AnyReply:
        """Call the facet's method.

        Raises:
            SubjectError: the method raised one, or (SubjectCrashedError) something that is no answer.
        """
        try:
            return self._handlers[type(request)](request)
        except Refused as refusal:
            return p.Fault(refusal.kind, refusal.message, dict(refusal.fields))
        except NotOffered as missing:
            return p.Unsupported(missing.reason)
        except SubjectError:  # a facet that watches its own runtime knows best what became of it
            raise
        except (Exception, SystemExit) as error:
            translated = self._refusal(error) if isinstance(error, Exception) else None
            if translated is not None:
                return p.Fault(translated.kind, translated.message, dict(translated.fields))
            raise SubjectCrashedError(
                f"{p.tag_of(request)} raised {type(error).__name__}: {error}",
                detail=traceback.format_exc(limit=-12),
            ) from error

    def close(self) -> None:
        """Do nothing: the objects go with their last reference."""


def _handler(facet_object: object, facet: str, operation: str) -> Handler:
    if facet_object is None:
        return _missing(f"the subject has no facet {facet}")
    method = getattr(facet_object, operation.replace("-", "_"), None)
    return method if method is not None else _missing(f"the subject's facet {facet} has no operation {operation}")


def _missing(reason: str) -> Handler:
    reply = p.Unsupported(reason)
    return lambda _: reply


class Checked:
    """An exchange whose replies are held to the wire's types, for subjects that could return anything.

    Without it, a Python subject might answer `count="three"` and pass in process what it fails over stdio.
    """

    def __init__(self, inner: Exchange) -> None:
        self._inner = inner
        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[p.AnyReply] = msgspec.json.Decoder(p.AnyReply)

    def exchange(self, request: p.AnyRequest, /) -> p.AnyReply:
        """Ask, and read the reply back through its encoding.

        Raises:
            SubjectCrashedError: as `InProcess.exchange`.
            SubjectProtocolError: the reply has a field of the wrong type, or is no reply at all.
        """
        reply = self._inner.exchange(request)
        try:
            return self._decoder.decode(self._encoder.encode(reply))
        except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
            raise SubjectProtocolError(
                f"{p.tag_of(request)} was answered with {type(reply).__name__}: {error}", detail=repr(reply)[:2000]
            ) from error

    def close(self) -> None:
        """Close the inner exchange."""
        self._inner.close()
