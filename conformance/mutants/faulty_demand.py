"""Mutants of demand, pressure and what sinks say: fan-in, branches, flushes, rates, pauses (CREDIT, WMK, POLICY)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.mutants.faulty_flows import driver
from conformance.mutants.faulty_reports import Wrapped, report
from conformance.mutants.registry import register
from conformance.subjects.reference import ReferenceParts
from torvyn_ref.calls import Answer, Element, Output, Signal
from torvyn_ref.config import Flow, Project
from torvyn_ref.config.project import StreamSettings
from torvyn_ref.config.schema import Edge as EdgeOfAProject
from torvyn_ref.flow import EdgeDef, FlowDriver, Reason, StageDef, StageSetup, Topology
from torvyn_ref.flow.settings import FanOut
from torvyn_ref.flow.stage import Edge, Stage
from torvyn_ref.ids import HOST
from torvyn_ref.streams import Pressure, Stream, StreamConfig
from torvyn_ref.streams.credit import CreditAccount
from torvyn_ref.streams.policy import ENQUEUED
from torvyn_ref.streams.watermark import WatermarkGate

# ---------------------------------------------------------------- demand


@driver("waits-for-every-branch", "CREDIT-010")
class WaitsForEveryBranch(FlowDriver):
    """Independent branches are offered, and a paused one holds the others all the same."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["settings"] = replace(options["settings"], fan_out=FanOut.MIN_CREDIT)
        super().__init__(*args, **options)


@driver("one-account-at-fan-in", "CREDIT-011")
class OneAccountAtFanIn(FlowDriver):
    """The streams into one stage share one account of credits."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for stage in self.stages:
            shared = CreditAccount(sum(edge.stream.config.capacity for edge in stage.inputs) or 1)
            for edge in stage.inputs:
                edge.stream.credit = shared


class _LastInputFirst(Stage):
    """A stage that takes from its last input as long as there is something."""

    __slots__ = ()

    def take_input(self) -> Edge:
        """Look from the end."""
        return next(edge for edge in reversed(self.inputs) if edge.stream.items)


@driver("last-input-wins", "CREDIT-012")
class LastInputWins(FlowDriver):
    """A stage with several inputs takes from its last one as long as there is something."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for stage in self.stages:
            stage.__class__ = _LastInputFirst


class _FarSighted(Stage):
    """A source that looks at every stream below it."""

    __slots__ = ()

    def is_ready(self, now: int) -> bool:
        """Wait while any of them is under pressure."""
        return super().is_ready(now) and not (self.is_source and _pressed(self))


def _pressed(stage: Stage) -> bool:
    return any(edge.stream.gate.pressure is Pressure.ACTIVE or _pressed(edge.target) for edge in stage.outputs)


@driver("pressure-jumps-to-the-source", "CREDIT-013")
class PressureJumpsToTheSource(FlowDriver):
    """Pressure anywhere below stops the source, whatever is free between."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for stage in self.stages:
            stage.__class__ = _FarSighted


@driver("flushes-backwards", "CREDIT-015")
class FlushesBackwards(FlowDriver):
    """What a flush has beyond the capacity is delivered last first."""

    def _flushed(self, stage: Stage, answer: Answer) -> None:
        super()._flushed(stage, answer)
        stage.pending.reverse()


@driver("flushes-what-fits", "CREDIT-015")
class FlushesWhatFits(FlowDriver):
    """What a flush has beyond the capacity is lost."""

    def _flushed(self, stage: Stage, answer: Answer) -> None:
        super()._flushed(stage, answer)
        while len(stage.pending) > stage.outputs[0].stream.config.capacity:
            element, _ = stage.pending.pop()
            self._resources.release(element.handle, HOST)


@driver("flushes-under-pressure", "CREDIT-015")
class FlushesUnderPressure(FlowDriver):
    """What a flush has beyond the capacity enters as soon as there is a credit."""

    def _deliver_pending(self, now: int) -> None:
        for stage in tuple(self._with_pending):
            while stage.pending and all(edge.stream.credit.available for edge in stage.outputs):
                element, edges = stage.pending.popleft()
                self._push(stage, element, edges)
        super()._deliver_pending(now)


# ---------------------------------------------------------------- pressure


@report("off-is-not-said", "WMK-006")
class OffIsNotSaid(Wrapped):
    """That pressure goes off is not reported."""

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Say only the bad news."""
        if on:
            self.inner.pressure(at, stream, on=on, depth=depth, duration_ns=duration_ns)


@report("durations-since-the-start", "WMK-006")
class DurationsSinceTheStart(Wrapped):
    """The end of pressure says when it was, not how long it lasted."""

    def pressure(self, at: int, stream: int, *, on: bool, depth: int, duration_ns: int | None) -> None:
        """Take the clock for a stopwatch."""
        self.inner.pressure(at, stream, on=on, depth=depth, duration_ns=None if duration_ns is None else at)


class _NeverSettled(Stream[Any]):
    """A stream whose interval stays open when it is emptied by the flow's end."""

    def settle(self, now_ns: int) -> bool:  # noqa: ARG002 -- ignoring it is the fault
        """Leave it open."""
        return False


class _Discarding(FlowDriver):
    """Empties queues without looking at their pressure."""

    def _discard_inputs(self, stage: Stage) -> None:
        for edge in stage.inputs:
            while edge.stream.items:
                self._lose(edge, edge.stream.items.popleft(), "discarded")
                edge.stream.credit.available += 1
        super()._discard_inputs(stage)


register(
    "under-pressure-for-ever",
    "WMK-008",
    summary="Pressure that is on when a flow discards its queues is neither switched off nor counted.",
    build=lambda: ReferenceParts(driver=_Discarding, stream=_NeverSettled),
)


def _clamped(config: StreamConfig) -> StreamConfig:
    return replace(config, capacity=max(config.capacity, 1))


def _tame(config: StreamConfig) -> StreamConfig:
    return replace(config, low_watermark_ratio=min(max(config.low_watermark_ratio, 0.0), 0.875))


def _build_clamped(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    return Topology.build(stages, [replace(edge, config=_clamped(edge.config)) for edge in edges])


def _build_tame(stages: Sequence[StageDef], edges: Sequence[EdgeDef]) -> Topology:
    return Topology.build(stages, [replace(edge, config=_tame(edge.config)) for edge in edges])


register(
    "nothing-is-one",
    "WMK-009",
    summary="A capacity of 0 is taken for 1.",
    build=lambda: ReferenceParts(topology=_build_clamped, stream=lambda config: Stream(_clamped(config))),
)
register(
    "ratios-are-bent",
    "WMK-010",
    summary="A low watermark ratio outside of [0, 1) is bent until it fits.",
    build=lambda: ReferenceParts(topology=_build_tame, stream=lambda config: Stream(_tame(config))),
)


class _Stuck(WatermarkGate):
    """A gate that no longer opens."""

    __slots__ = ()

    def dequeued(self, depth: int) -> Pressure | None:  # noqa: ARG002 -- ignoring it is the fault
        """Stay as it is."""
        return None


@driver("drains-under-pressure", "WMK-014")
class DrainsUnderPressure(FlowDriver):
    """Once a flow drains, pressure is no longer looked at."""

    def _drain(self, reason: Reason) -> None:
        super()._drain(reason)
        for edge in self.edges:
            edge.stream.gate.__class__ = _Stuck


# ---------------------------------------------------------------- policies, pauses, notices


@driver("no-limit-to-the-rate", "POLICY-009")
class NoLimitToTheRate(FlowDriver):
    """A rate limit is accepted and not kept."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for edge in self.edges:
            edge.stream.entered = ENQUEUED


def _flow_before_stream(project: Project, flow: Flow, edge: EdgeOfAProject) -> StreamSettings:
    """Ask the flow first, and the stream for what is left."""
    shared = flow.backpressure
    said = {name: value for name in type(shared).model_fields if (value := getattr(shared, name)) is not None}
    return project.stream_settings(flow, edge.model_copy(update={"backpressure": edge.backpressure.model_copy(update=said)}))


def _host_before_flow(project: Project, flow: Flow, edge: EdgeOfAProject) -> StreamSettings:
    """Forget the flow."""
    return project.stream_settings(flow.model_copy(update={"backpressure": type(flow.backpressure)()}), edge)


register(
    "flow-before-stream",
    "POLICY-010",
    summary="What a flow says of its streams overrides what a stream says itself.",
    build=lambda: ReferenceParts(resolve=_flow_before_stream),
)
register(
    "flows-have-no-defaults",
    "POLICY-010",
    summary="What a stream does not say comes from the host, whatever its flow says.",
    build=lambda: ReferenceParts(resolve=_host_before_flow),
)


@driver("pause-is-not-heard", "POLICY-011")
class PauseIsNotHeard(FlowDriver):
    """What a sink answers is thrown away."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for edge in self.edges:
            edge.__class__ = _Deaf


class _Deaf(Edge):
    """An edge that no pause holds."""

    __slots__ = ()

    def hold(self, now: int) -> None:
        """Go on."""


class _Pushy(Edge):
    """An edge that lets a probe pass although elements are waiting."""

    __slots__ = ()

    def may_probe(self, now: int) -> bool:  # noqa: ARG002 -- whatever the time is
        """Ask at once."""
        return True


@driver("probes-all-the-time", "POLICY-011")
class ProbesAllTheTime(FlowDriver):
    """A paused sink is probed at once, and with elements waiting."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for edge in self.edges:
            edge.__class__ = _Pushy


class _Sulking(Edge):
    """An edge that does not hear `ready`."""

    __slots__ = ()

    def resume(self) -> None:
        """Go on probing."""
        self.probe_at += self.probe_delay


@driver("ready-is-not-heard", "POLICY-012")
class ReadyIsNotHeard(FlowDriver):
    """A sink that has paused once is probed ever after, although it says ready."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for edge in self.edges:
            edge.__class__ = _Sulking


class _Trusting(Stage):
    """A source that is called again as soon as there is a credit: it was told to pause, so it will make nothing."""

    __slots__ = ()

    def is_ready(self, now: int) -> bool:
        """Trust it."""
        trusted = self.is_source and self.notified is Signal.PAUSE and not self.done
        return super().is_ready(now) or (trusted and all(edge.stream.credit.available for edge in self.outputs))


@driver("trusts-the-source", "POLICY-015")
class TrustsTheSource(FlowDriver):
    """A source that was told to pause is called all the same, and what it makes is thrown away: it should have said none."""

    def _build(self, topology: Topology, setups: Mapping[str, StageSetup]) -> None:
        super()._build(topology, setups)
        for stage in self.stages:
            stage.__class__ = _Trusting

    def _emit(self, stage: Stage, element: Element | None, output: Output) -> None:
        if element is None and stage.notified is Signal.PAUSE:
            self._resources.release(output.handle, stage.owner)
            return
        super()._emit(stage, element, output)


@driver("everybody-is-told", "POLICY-016")
class EverybodyIsTold(FlowDriver):
    """Every source of the flow is told of every stream's pressure."""

    def _pressure_changed(self, edge: Edge, pressure: Pressure) -> None:
        super()._pressure_changed(edge, pressure)
        signal = Signal.PAUSE if pressure is Pressure.ACTIVE else Signal.READY
        for source in self.stages:
            if source.is_source and not source.done and source.notified is not signal:
                source.notified = signal
                self._notices.append((source, signal))
                self._attend = True
