"""The subject protocol, version 1: every message between the suite and a runtime under test, as types.

A subject declares facets; the suite sends requests of those facets and gets replies. In process and over stdio the messages are the same,
so a check cannot tell the doors apart. Scripted components cross the protocol as data (`Script`): a runtime in any language can play them.

On the wire: one JSON object per line. Suite → subject: `{"id": 7, "request": {"op": "resources.allocate", ...}}`. Subject → suite:
`{"id": 7, "reply": {"re": "handle", ...}}`. A refused operation is a `fault` reply, with the symbolic kind that the specification gives
it; an operation that the subject does not offer is an `unsupported` reply, with the reason.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from conformance.subjects.protocol.base import (
    FACET_VERSIONS,
    PROTOCOL,
    U32,
    U64,
    Facet,
    FacetClaim,
    Handle,
    Message,
    Reply,
    Request,
    TierSetting,
)
from conformance.subjects.protocol.capabilities import (
    AuditedReply,
    AuditEntry,
    AuditEvent,
    AuditWrittenReply,
    CapabilityNote,
    CapabilityReply,
    ConfigureSandbox,
    CoverageReply,
    CoverCapability,
    EndSandbox,
    ExerciseCapability,
    ExercisedReply,
    OpenCapabilities,
    OrderSeverities,
    ParseCapability,
    Preopen,
    QuerySandbox,
    RunAudited,
    RunAuditedReply,
    SandboxLimits,
    SandboxReply,
    SeveritiesReply,
    WasiSwitches,
    WriteAudit,
)
from conformance.subjects.protocol.cli import CommandRanReply, RunCommand
from conformance.subjects.protocol.config import ConfigurationReply, ConfiguredFlow, ConfiguredStream, LoadConfiguration
from conformance.subjects.protocol.contracts import (
    CheckComponent,
    ComparePackages,
    ComponentIdentifiedReply,
    ComposeComponents,
    Connection,
    ContractChange,
    ContractCheckedReply,
    ContractsComparedReply,
    Diagnostic,
    IdentifyComponent,
    ImportBinding,
    LinkedEdge,
    LinkedNode,
    LinkOutcome,
    LinkPipelines,
    MeetRequirement,
    Part,
    Pipeline,
    PipelineEdge,
    PipelineNode,
    PipelinesLinkedReply,
    SourceLocation,
)
from conformance.subjects.protocol.features import FEATURES, features_of
from conformance.subjects.protocol.flows import (
    Answer,
    Command,
    EdgeSpec,
    FlowCopies,
    FlowRunReply,
    FlowSettings,
    FlowSpec,
    FlowTransition,
    RunFlow,
    Schedule,
    Script,
    StageSpec,
    StageStats,
    StreamDefaults,
    StreamStats,
)
from conformance.subjects.protocol.guests import (
    AllocatorFault,
    CallGuest,
    CloseGuest,
    GuestAnswerReply,
    GuestInvokedReply,
    GuestOutput,
    GuestSeenReply,
    GuestStage,
    GuestStartedReply,
    HostCall,
    InvokeGuest,
    ObserveGuest,
    OpenGuest,
    RunGuestFlow,
    StartGuest,
)
from conformance.subjects.protocol.hosts import (
    HostedFlow,
    HostOutcome,
    HostRunReply,
    HostStep,
    RunHost,
    ShutdownCounts,
)
from conformance.subjects.protocol.observability import (
    CheckSettings,
    ComponentFigures,
    ContextsReply,
    DescendContext,
    EventsReply,
    EventStep,
    FillHistogram,
    FlowFigures,
    HistogramData,
    HistogramReply,
    KeepRegistry,
    LevelSwitch,
    MakeTraceIds,
    ObservationSettings,
    ObservedReply,
    ObserveFlow,
    RegistryOutcome,
    RegistryReply,
    RegistryStep,
    RingReply,
    SampledReply,
    SampleTraces,
    SettingsReply,
    StreamFigures,
    TraceContext,
    TraceIdsReply,
    TraceSettings,
    UseEvents,
    UseRing,
    Window,
)
from conformance.subjects.protocol.packaging import (
    Admit,
    AdmittedReply,
    BuildRecord,
    ComponentReply,
    ForgetCached,
    InspectArtifact,
    InspectedReply,
    Pack,
    PackedReply,
    ParseReference,
    ProvenanceSummary,
    Publish,
    PublishedReply,
    ReadRecord,
    RecordReply,
    ReferenceReply,
    ResolveComponent,
    Sign,
    SignatureRecord,
    SignedReply,
    Unpack,
    WriteRecord,
)
from conformance.subjects.protocol.projects import ProjectRunReply, ProjectSignalledReply, SignalProject, StartProject
from conformance.subjects.protocol.resources import (
    Allocate,
    Borrow,
    Budget,
    BudgetReply,
    BufferReply,
    BytesReply,
    Clone,
    CloseCopies,
    Concurrent,
    CopiesReply,
    CopyCounters,
    CopyRoute,
    CountReply,
    EndBorrow,
    FlowReleasedReply,
    ForceReclaim,
    Freeze,
    HandleReply,
    Happened,
    HistoryReply,
    Inspect,
    ListLive,
    LiveBuffer,
    LiveCount,
    LiveReply,
    OpenResources,
    PoolCounters,
    PoolReply,
    Program,
    Read,
    ReclaimedBuffer,
    ReclaimedReply,
    RegisterComponent,
    RegisterFlow,
    Release,
    ReleaseFlow,
    ResourceTransition,
    SetContentType,
    ThreadReply,
    ThreadRequest,
    Transfer,
    Write,
)
from conformance.subjects.protocol.session import (
    Broke,
    Bye,
    Declaration,
    Done,
    Fault,
    Hello,
    Unsupported,
)
from conformance.subjects.protocol.streams import (
    CompleteStream,
    InspectStream,
    OpenStream,
    PoppedReply,
    PopValue,
    PushedReply,
    PushValue,
    StreamReply,
)

__all__ = [
    "FACET_VERSIONS",
    "FEATURES",
    "LINE_BYTES",
    "PROTOCOL",
    "REPLIES",
    "REQUESTS",
    "U32",
    "U64",
    "Admit",
    "AdmittedReply",
    "Allocate",
    "AllocatorFault",
    "Answer",
    "AnyReply",
    "AnyRequest",
    "AuditEntry",
    "AuditEvent",
    "AuditWrittenReply",
    "AuditedReply",
    "Borrow",
    "Broke",
    "Budget",
    "BudgetReply",
    "BufferReply",
    "BuildRecord",
    "Bye",
    "BytesReply",
    "CallGuest",
    "CapabilityNote",
    "CapabilityReply",
    "CheckComponent",
    "CheckSettings",
    "Clone",
    "CloseCopies",
    "CloseGuest",
    "Command",
    "CommandRanReply",
    "ComparePackages",
    "CompleteStream",
    "ComponentFigures",
    "ComponentIdentifiedReply",
    "ComponentReply",
    "ComposeComponents",
    "Concurrent",
    "ConfigurationReply",
    "ConfigureSandbox",
    "ConfiguredFlow",
    "ConfiguredStream",
    "Connection",
    "ContextsReply",
    "ContractChange",
    "ContractCheckedReply",
    "ContractsComparedReply",
    "CopiesReply",
    "CopyCounters",
    "CopyRoute",
    "CountReply",
    "CoverCapability",
    "CoverageReply",
    "Declaration",
    "DescendContext",
    "Diagnostic",
    "Done",
    "EdgeSpec",
    "EndBorrow",
    "EndSandbox",
    "EventStep",
    "EventsReply",
    "ExerciseCapability",
    "ExercisedReply",
    "Facet",
    "FacetClaim",
    "Fault",
    "FillHistogram",
    "FlowCopies",
    "FlowFigures",
    "FlowReleasedReply",
    "FlowRunReply",
    "FlowSettings",
    "FlowSpec",
    "FlowTransition",
    "ForceReclaim",
    "ForgetCached",
    "Freeze",
    "GuestAnswerReply",
    "GuestInvokedReply",
    "GuestOutput",
    "GuestSeenReply",
    "GuestStage",
    "GuestStartedReply",
    "Handle",
    "HandleReply",
    "Happened",
    "Hello",
    "HistogramData",
    "HistogramReply",
    "HistoryReply",
    "HostCall",
    "HostOutcome",
    "HostRunReply",
    "HostStep",
    "HostedFlow",
    "IdentifyComponent",
    "ImportBinding",
    "Inspect",
    "InspectArtifact",
    "InspectStream",
    "InspectedReply",
    "InvokeGuest",
    "KeepRegistry",
    "LevelSwitch",
    "LinkOutcome",
    "LinkPipelines",
    "LinkedEdge",
    "LinkedNode",
    "ListLive",
    "LiveBuffer",
    "LiveCount",
    "LiveReply",
    "LoadConfiguration",
    "MakeTraceIds",
    "MeetRequirement",
    "Message",
    "ObservationSettings",
    "ObserveFlow",
    "ObserveGuest",
    "ObservedReply",
    "OpenCapabilities",
    "OpenGuest",
    "OpenResources",
    "OpenStream",
    "OrderSeverities",
    "Pack",
    "PackedReply",
    "ParseCapability",
    "ParseReference",
    "Part",
    "Pipeline",
    "PipelineEdge",
    "PipelineNode",
    "PipelinesLinkedReply",
    "PoolCounters",
    "PoolReply",
    "PopValue",
    "PoppedReply",
    "Preopen",
    "Program",
    "ProjectRunReply",
    "ProjectSignalledReply",
    "ProvenanceSummary",
    "Publish",
    "PublishedReply",
    "PushValue",
    "PushedReply",
    "QuerySandbox",
    "Read",
    "ReadRecord",
    "ReclaimedBuffer",
    "ReclaimedReply",
    "RecordReply",
    "ReferenceReply",
    "RegisterComponent",
    "RegisterFlow",
    "RegistryOutcome",
    "RegistryReply",
    "RegistryStep",
    "Release",
    "ReleaseFlow",
    "Reply",
    "ReplyLine",
    "Request",
    "RequestLine",
    "ResolveComponent",
    "ResourceTransition",
    "RingReply",
    "RunAudited",
    "RunAuditedReply",
    "RunCommand",
    "RunFlow",
    "RunGuestFlow",
    "RunHost",
    "SampleTraces",
    "SampledReply",
    "SandboxLimits",
    "SandboxReply",
    "Schedule",
    "Script",
    "SetContentType",
    "SettingsReply",
    "SeveritiesReply",
    "ShutdownCounts",
    "Sign",
    "SignalProject",
    "SignatureRecord",
    "SignedReply",
    "SourceLocation",
    "StageSpec",
    "StageStats",
    "StartGuest",
    "StartProject",
    "StreamDefaults",
    "StreamFigures",
    "StreamReply",
    "StreamStats",
    "ThreadReply",
    "ThreadRequest",
    "TierSetting",
    "TraceContext",
    "TraceIdsReply",
    "TraceSettings",
    "Transfer",
    "Unpack",
    "Unsupported",
    "UseEvents",
    "UseRing",
    "WasiSwitches",
    "Window",
    "Write",
    "WriteAudit",
    "WriteRecord",
    "facet_of",
    "features_of",
    "name_of",
    "tag_of",
]

AnyRequest = (
    Hello
    | Bye
    | OpenResources
    | Allocate
    | Release
    | Transfer
    | Borrow
    | EndBorrow
    | Write
    | Read
    | SetContentType
    | Freeze
    | Inspect
    | LiveCount
    | ForceReclaim
    | ReleaseFlow
    | RegisterComponent
    | Budget
    | PoolCounters
    | CopyCounters
    | ResourceTransition
    | Clone
    | ListLive
    | RegisterFlow
    | CloseCopies
    | Concurrent
    | OpenStream
    | PushValue
    | PopValue
    | CompleteStream
    | InspectStream
    | RunFlow
    | FlowTransition
    | RunHost
    | StartProject
    | SignalProject
    | OpenGuest
    | CallGuest
    | ObserveGuest
    | CloseGuest
    | StartGuest
    | InvokeGuest
    | RunGuestFlow
    | FillHistogram
    | KeepRegistry
    | ObserveFlow
    | MakeTraceIds
    | DescendContext
    | SampleTraces
    | UseRing
    | UseEvents
    | CheckSettings
    | CheckComponent
    | ComparePackages
    | MeetRequirement
    | ComposeComponents
    | IdentifyComponent
    | LinkPipelines
    | Pack
    | Unpack
    | InspectArtifact
    | ParseReference
    | Publish
    | ResolveComponent
    | ForgetCached
    | Sign
    | Admit
    | WriteRecord
    | ReadRecord
    | LoadConfiguration
    | OpenCapabilities
    | ParseCapability
    | CoverCapability
    | ConfigureSandbox
    | QuerySandbox
    | ExerciseCapability
    | EndSandbox
    | WriteAudit
    | OrderSeverities
    | RunAudited
    | RunCommand
)

AnyReply = (
    Declaration
    | Done
    | Fault
    | Unsupported
    | Broke
    | HandleReply
    | CountReply
    | BytesReply
    | BufferReply
    | ReclaimedReply
    | FlowReleasedReply
    | BudgetReply
    | PoolReply
    | CopiesReply
    | LiveReply
    | HistoryReply
    | StreamReply
    | PushedReply
    | PoppedReply
    | FlowRunReply
    | HostRunReply
    | ProjectRunReply
    | ProjectSignalledReply
    | GuestAnswerReply
    | GuestSeenReply
    | GuestStartedReply
    | GuestInvokedReply
    | HistogramReply
    | RegistryReply
    | ObservedReply
    | TraceIdsReply
    | ContextsReply
    | SampledReply
    | RingReply
    | EventsReply
    | SettingsReply
    | ContractCheckedReply
    | ContractsComparedReply
    | ComponentIdentifiedReply
    | PipelinesLinkedReply
    | PackedReply
    | InspectedReply
    | ReferenceReply
    | PublishedReply
    | ComponentReply
    | SignedReply
    | AdmittedReply
    | RecordReply
    | ConfigurationReply
    | CapabilityReply
    | CoverageReply
    | SandboxReply
    | ExercisedReply
    | AuditedReply
    | AuditWrittenReply
    | SeveritiesReply
    | RunAuditedReply
    | CommandRanReply
)


class RequestLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the suite writes on a line: the reply must carry the same id."""

    id: int
    request: AnyRequest


class ReplyLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a subject writes on a line, once per request and never unasked."""

    id: int
    reply: AnyReply


LINE_BYTES = 64 * 1024 * 1024
"""No line of the protocol may be longer, in either direction."""

REQUESTS: tuple[type[Request], ...] = get_args(AnyRequest)
REPLIES: tuple[type[Reply], ...] = get_args(AnyReply)


def name_of(message: type[Request | Reply]) -> str:
    """Return the name on the wire of a kind of message ("streams.push")."""
    return str(message.__struct_config__.tag)


def tag_of(message: Request | Reply) -> str:
    """Return a message's name on the wire."""
    return name_of(type(message))


def facet_of(request: Request) -> Facet | None:
    """Return the facet that a request belongs to; None for the session's own messages."""
    facet, dot, _ = tag_of(request).partition(".")
    return Facet(facet) if dot else None
