"""Monitors of how a flow comes up, and what becomes of it when a component does not (FLOW-018)."""

from __future__ import annotations

from conformance.traces import events as e
from conformance.traces.monitors import Monitor
from conformance.traces.view import DATA_FUNCTIONS


class InitialisedInOrder(Monitor):
    """`init` once per component, upstream first, before any element; where one fails, no element moves and the others are torn down."""

    rule = "FLOW-018"

    def prepare(self) -> None:
        """Nothing is initialised."""
        self.with_lifecycle = [stage.name for stage in self.view.spec.stages if stage.script.lifecycle]
        self.started: list[str] = []
        self.good: list[str] = []
        self.torn_down: list[str] = []
        self.failed: str | None = None

    def on(self, event: e.AnyEvent) -> None:
        """Judge each call, and the end."""
        if isinstance(event, e.Called):
            if event.fn == "init":
                self._init(event.stage)
            elif event.fn == "teardown":
                self.torn_down.append(event.stage)
            elif event.fn in DATA_FUNCTIONS:
                missing = [name for name in self.with_lifecycle if name not in self.good]
                self.expect(not missing, f"{event.stage} got {event.fn} before {', '.join(missing)} was initialised")
        elif isinstance(event, e.Returned) and event.fn == "init":
            if event.outcome == "ok":
                self.good.append(event.stage)
            else:
                self.failed = self.failed or event.stage
        elif isinstance(event, e.Done) and self.failed is not None:
            self.expect(event.state == "Failed", f"init of {self.failed} failed and the flow did not", expected="Failed", found=event.state)
            found, expected = sorted(self.torn_down), sorted(self.good)
            self.expect(found == expected, f"who is torn down after the init of {self.failed} failed", expected=expected, found=found)

    def _init(self, stage: str) -> None:
        self.expect(stage not in self.started, f"{stage} was initialised twice")
        self.expect(self.failed is None, f"{stage} was initialised although {self.failed} had failed")
        late = [name for name in self.started if stage in self.view.topology.upstream_of(name)]
        self.expect(not late, f"{stage} was initialised after {', '.join(late)}, which it feeds")
        self.started.append(stage)
