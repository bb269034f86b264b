"""Flows of real components: the flows of the facet `flows`, with instances of an engine where scripts would be."""

from __future__ import annotations

from dataclasses import replace

from conformance.errors import Refused
from conformance.subjects import protocol as p
from conformance.subjects.reference.compiling import compiled
from conformance.subjects.reference.flows import ReferenceFlows, Watch
from conformance.subjects.reference.parts import ReferenceParts
from torvyn_ref.calls import Role
from torvyn_ref.engine.protocol import Instance, Limits, Sandbox
from torvyn_ref.flow import StageSetup
from torvyn_ref.flow.simulate import SimulatedTime

FUEL = 50_000_000
"""Per call; calls end by fuel alone, so that runs repeat exactly."""


class _PlayedFlows(ReferenceFlows):
    """Flows whose stages real components play."""

    def __init__(self, parts: ReferenceParts, request: p.RunGuestFlow) -> None:
        super().__init__(parts)
        self._request = request
        self._stages = {stage.name: stage for stage in request.stages}
        self._instances: list[Instance] = []

    def play_components(self) -> p.FlowRunReply:
        """Run the flow, and let go of its instances."""
        stages = tuple(p.StageSpec(stage.name, stage.role) for stage in self._request.stages)
        settings = p.FlowSettings(error_policy=self._request.error_policy)
        spec = p.FlowSpec(stages, self._request.edges, settings=settings, max_calls=self._request.max_calls)
        try:
            return self.play(spec, lambda _clock, _manager: Watch())
        finally:
            for instance in self._instances:
                instance.close()

    def cast(self, stage: p.StageSpec, sandbox: Sandbox, time: SimulatedTime) -> tuple[Instance, StageSetup]:
        """Return an instance of the stage's component, and what the driver has to know of it."""
        played = self._stages[stage.name]
        limited = replace(sandbox, limits=Limits(fuel=FUEL, call_timeout_ms=None), wait=time.clock.advance)
        instance = self._parts.instance(compiled(self._request.engine, played.component).instantiate(Role(stage.role), limited))
        self._instances.append(instance)
        return instance, StageSetup(sandbox.owner, has_lifecycle=instance.has_lifecycle, config=played.config)


def run_components(parts: ReferenceParts, request: p.RunGuestFlow) -> p.FlowRunReply:
    """Run a flow of real components.

    Raises:
        Refused: invalid-config for a role that is none; invalid-topology; unknown-engine.
        TorvynError: what the engine says of a component.
    """
    for stage in request.stages:
        if stage.role not in tuple(Role):
            raise Refused("invalid-config", f"{stage.role!r} is no role; there are {', '.join(Role)}")
    return _PlayedFlows(parts, request).play_components()
