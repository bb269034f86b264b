"""What the reference subject is made of, one field per replaceable part."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from conformance.subjects.reference.threads import run_together
from torvyn_ref.calls import FlowContext
from torvyn_ref.config import Flow, Project, load
from torvyn_ref.config.project import StreamSettings
from torvyn_ref.config.schema import Edge
from torvyn_ref.contract.check import check
from torvyn_ref.contract.compatibility import Comparison, compare
from torvyn_ref.contract.composition import Part, compose
from torvyn_ref.contract.diagnostics import Diagnostic, of_breaking
from torvyn_ref.contract.linker import Linker
from torvyn_ref.contract.requirements import meet
from torvyn_ref.contract.wit import Package
from torvyn_ref.contract.world import World, identify
from torvyn_ref.engine.protocol import Instance
from torvyn_ref.events import Observer
from torvyn_ref.flow import FlowDriver, FlowSettings, Topology
from torvyn_ref.flow.states import FlowState, check_transition
from torvyn_ref.host import Host
from torvyn_ref.ids import Ids
from torvyn_ref.observe import FlowReading, Histogram, MetricsObserver, Registry
from torvyn_ref.reactor.coordinator import Reactor
from torvyn_ref.resources import ManagerConfig, ResourceManager, ResourceState
from torvyn_ref.resources.states import LEGAL
from torvyn_ref.streams import Stream, StreamConfig


class MakeManager(Protocol):
    """Makes a resource manager; the class itself does."""

    def __call__(self, config: ManagerConfig | None = None, *, observer: Observer | None = None) -> ResourceManager:
        """Make one."""
        ...


@dataclass(frozen=True, slots=True)
class ReferenceParts:
    """The parts of the reference that a mutant may replace.

    Attributes:
        manager: makes the resource manager of the facets resources and flows.
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
        during: what surrounds each request of the facet packaging; a mutant puts a faulty function in the place of one of the runtime's.
    """

    manager: MakeManager = ResourceManager
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
