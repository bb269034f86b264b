"""What the reference subject is made of, one field per replaceable part."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from conformance.subjects.reference.threads import run_together
from torvyn_ref.calls import FlowContext
from torvyn_ref.config import Flow, Project, load
from torvyn_ref.config.project import StreamSettings
from torvyn_ref.config.schema import Edge
from torvyn_ref.config.settings import Runtime
from torvyn_ref.contract.check import check
from torvyn_ref.contract.compatibility import Comparison, compare
from torvyn_ref.contract.composition import Part, compose
from torvyn_ref.contract.diagnostics import Diagnostic, of_breaking
from torvyn_ref.contract.linker import Linker
from torvyn_ref.contract.requirements import meet
from torvyn_ref.contract.wit import Package
from torvyn_ref.contract.world import World, identify
from torvyn_ref.engine.protocol import Instance, Sandbox
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowDriver, FlowSettings, Topology
from torvyn_ref.flow.states import FlowState, check_transition
from torvyn_ref.host import Host
from torvyn_ref.ids import FlowId, Handle, Ids
from torvyn_ref.observe import FlowReading, Histogram, MetricsObserver, Registry
from torvyn_ref.observe.diagnostics import Channel, EventObserver, Recent
from torvyn_ref.observe.otlp import to_otlp
from torvyn_ref.observe.settings import ObservabilitySettings
from torvyn_ref.observe.spans import IDS, Context, FlowTrace, IdSource, Ring, parse_id, sampled
from torvyn_ref.observe.tracer import SpanObserver
from torvyn_ref.reactor.coordinator import Reactor
from torvyn_ref.resources import ManagerConfig, ResourceManager, ResourceState
from torvyn_ref.resources.states import LEGAL
from torvyn_ref.security.audit import AuditLog, AuditSink, Severity
from torvyn_ref.security.capability import Capability, parse
from torvyn_ref.security.grants import Resolution, resolve
from torvyn_ref.security.guard import Guard
from torvyn_ref.security.sinks import JsonLines, RotatingFile
from torvyn_ref.streams import Stream, StreamConfig
from torvyn_ref.wasi.environment import WasiEnvironment


class MakeManager(Protocol):
    """Makes a resource manager; the class itself does."""

    def __call__(self, config: ManagerConfig | None = None, *, observer: Observer | None = None) -> ResourceManager:
        """Make one."""
        ...


@dataclass(frozen=True, slots=True)
class SecurityParts:
    """The parts of the facet capabilities that a mutant may replace.

    Attributes:
        parse: reads a capability.
        covers: tells whether one covers another.
        resolve: decides what a component may do.
        audit: makes an audit log.
        guard: makes what holds a running component to the decision.
        environment: derives what of WASI is open.
        stream, file: make the sinks for standard output and for a rotating file.
        order, label: sort severities, and give each its text.
        limits: the defaults of `[runtime]`.
    """

    parse: Callable[[str], Capability] = parse
    covers: Callable[[Capability, Capability], bool] = Capability.covers
    resolve: Callable[..., Resolution] = resolve
    audit: Callable[..., AuditLog] = AuditLog
    guard: Callable[..., Guard] = Guard
    environment: Callable[[Iterable[Capability]], WasiEnvironment] = WasiEnvironment.of
    stream: Callable[..., AuditSink] = JsonLines
    file: Callable[..., AuditSink] = RotatingFile
    order: Callable[[Iterable[Severity]], list[Severity]] = sorted
    label: Callable[[Severity], str] = lambda severity: severity.label
    limits: Callable[[], Runtime] = Runtime


@dataclass(frozen=True, slots=True)
class ObservationParts:
    """The parts of traces and events that a mutant may replace.

    Attributes:
        ids: gives out ids.
        parse_id: reads one.
        sampled: decides about a trace.
        child: makes a child's context.
        ring: makes a ring.
        trace: makes what decides about a flow's spans.
        tracer: makes the observer that records them.
        export: writes them as OTLP.
        channel: makes a channel of events.
        recent: makes the buffer of recent ones.
        events: makes the observer that tells a channel what a flow does.
        settings: checks settings.
    """

    ids: Callable[[], IdSource] = lambda: IDS
    parse_id: Callable[[str, int], bytes] = parse_id
    sampled: Callable[[bytes, float], bool] = sampled
    child: Callable[[Context, IdSource], Context] = Context.child
    ring: Callable[[int], Ring[Any]] = Ring
    trace: Callable[..., FlowTrace] = FlowTrace
    tracer: Callable[..., SpanObserver] = SpanObserver
    export: Callable[..., str] = to_otlp
    channel: Callable[..., Channel] = Channel
    recent: Callable[..., Recent] = Recent
    events: Callable[..., EventObserver] = EventObserver
    settings: Callable[..., ObservabilitySettings] = ObservabilitySettings


@dataclass(frozen=True, slots=True)
class ReferenceParts:
    """The parts of the reference that a mutant may replace.

    Attributes:
        manager: makes the resource manager of the facets resources and flows.
        claim: what becomes of a caller's word that it runs in a flow when it reads or writes.
        resource_labels: the legal pairs of resource state labels.
        stream: makes the stream of the facet streams, and every edge of the facet flows.
        driver: the flow driver's class, or something that makes one with the same arguments.
        topology: builds a flow's graph, or refuses it.
        settings: checks a flow's settings, or refuses them.
        ids: hands out the ids of a host's flows and components.
        reactor: runs a host's flows side by side.
        resolve: finds a stream's settings in what it, its flow and the host say.
        load_project: reads a project's files.
        host: starts a project's flows.
        command: starts the command line.
        flow_transition: accepts a pair of flow states, or raises.
        observe: wraps the observer that writes a flow's trace; a mutant may distort what a runtime reports of itself.
        together: runs tasks in threads of their own.
        instance: what becomes of every instance of the facet guests.
        context: what becomes of the context that it is given.
        histogram: makes the histogram of the facet observability.
        registry: makes its registry of metrics.
        metrics: makes the observer that feeds a flow's metrics.
        window: tells what was measured between two readings.
        check_component: checks a component's project in a directory.
        compare: compares two versions of a package.
        tell_breaking: says what is breaking about a comparison.
        meet: tells what speaks against a provider.
        compose: tells what keeps components from working together.
        identify: tells what a component is.
        linker: makes the linker of pipelines.
        during: what surrounds each request of packaging and config; a mutant swaps functions of the runtime there.
        sandbox: what becomes of the sandbox that it is given.
        security: the parts of the facet capabilities.
        observation: the parts of the facet observability that have to do with traces and events.
        command_faults: functions, as `module:name`, that are called before each command line of the facet cli.
    """

    manager: MakeManager = ResourceManager
    claim: Callable[[ResourceManager, Handle, FlowId], None] = lambda manager, handle, flow: None  # noqa: ARG005 -- nobody believes it
    resource_labels: Collection[tuple[ResourceState, ResourceState]] = LEGAL
    stream: Callable[[StreamConfig], Stream[Any]] = Stream
    driver: Callable[..., FlowDriver] = FlowDriver
    topology: Callable[..., Topology] = Topology.build
    settings: Callable[..., FlowSettings] = FlowSettings
    ids: Callable[[], Ids] = Ids
    reactor: Callable[..., Reactor] = Reactor
    resolve: Callable[[Project, Flow, Edge], StreamSettings] = Project.stream_settings
    load_project: Callable[..., Project] = load
    host: Callable[..., Host] = Host
    command: Sequence[str] = (sys.executable, "-m", "torvyn_ref")
    flow_transition: Callable[[FlowState, FlowState], None] = check_transition
    observe: Callable[[Observer], Observer] = lambda observer: observer
    together: Callable[[Sequence[Callable[[], None]]], None] = run_together
    instance: Callable[[Instance], Instance] = lambda instance: instance
    context: Callable[[FlowContext], FlowContext] = lambda context: context
    histogram: Callable[..., Histogram] = Histogram
    registry: Callable[..., Registry] = Registry
    metrics: Callable[..., MetricsObserver] = MetricsObserver
    window: Callable[[FlowReading, FlowReading], FlowReading] = lambda first, last: last.since(first)
    check_component: Callable[[Path], tuple[Diagnostic, ...]] = check
    compare: Callable[[Package, Package], Comparison] = compare
    tell_breaking: Callable[[Comparison], tuple[Diagnostic, ...]] = of_breaking
    meet: Callable[[Package, Package, Sequence[str]], tuple[Diagnostic, ...]] = meet
    compose: Callable[[Sequence[Part], Sequence[tuple[str, str]]], tuple[Diagnostic, ...]] = compose
    identify: Callable[..., World] = identify
    linker: Callable[[], Linker] = Linker
    during: Callable[[], AbstractContextManager[None]] = nullcontext
    sandbox: Callable[[Sandbox], Sandbox] = lambda sandbox: sandbox
    security: SecurityParts = field(default_factory=SecurityParts)
    observation: ObservationParts = field(default_factory=ObservationParts)
    command_faults: Sequence[str] = ()
