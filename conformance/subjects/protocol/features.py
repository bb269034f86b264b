"""Features: parts of an operation that a subject may leave out while it offers the rest, declared under `unsupported`.

A runtime with another design can seldom do everything that an operation may ask for: its driver has one schedule, its graphs know no
routers, nobody tells when an element leaves a queue. Without features it would have to decline the operation, or be blamed for what it
never claimed. A feature is named `OPERATION/FEATURE` in the declaration; a check passes over the flows and steps that need one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from conformance.subjects.protocol.flows import FlowSpec

COMMANDS = ("init", "check", "link", "run", "trace", "bench", "pack", "publish", "inspect", "doctor")
"""The commands that rules are about."""

FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "flows.run/role=processor": "stages of this role",
        "flows.run/role=filter": "stages of this role",
        "flows.run/role=router": "stages of this role, and edges that leave by a named port",
        "flows.run/role=aggregator": "stages of this role",
        "flows.run/schedule=producer-first": "this schedule",
        "flows.run/schedule=scripted": "this schedule",
        "flows.run/names": "stages and ports have names of their own, which may be wrong",
        "flows.run/lifecycle": "components with init and teardown",
        "flows.run/clones": "components that clone the payload that they are given",
        "flows.run/time": "components that take (virtual) time, and deadlines",
        "flows.run/amplification": "a flow's copies say what each stage copied per byte that entered it",
        "flows.run/events=setup": "the states of a flow before Instantiated are in the trace",
        "flows.run/events=enq": "elements that enter a stream are in the trace, all of them",
        "flows.run/events=deq": "elements that a consumer takes are in the trace",
        "flows.run/events=credits": "`enq` and `deq` show the stream's credits",
        "resources.borrow/borrower=host": "the host can borrow",
        **{f"cli.run/command={command}": "this command" for command in COMMANDS},
        "observability.histogram/kind=custom": "histograms with edges of one's own",
        "observability.run/average-depth": "streams know the average depth of their queue",
        "observability.run/windows": "what was measured between two readings can be told",
    }
)
"""Every feature, and what it is. Those of a trace say what a runtime can be seen to do, not what it must do."""


def features_of(spec: FlowSpec) -> frozenset[str]:
    """Return the features that a flow needs."""
    needed = {f"flows.run/role={stage.role}" for stage in spec.stages}
    needed.add(f"flows.run/schedule={spec.schedule.policy}")
    if spec.settings.deadline_ms is not None or spec.settings.backoff_ms:
        needed.add("flows.run/time")
    for stage in spec.stages:
        script = stage.script
        if script.lifecycle:
            needed.add("flows.run/lifecycle")
        for answer in (*script.answers, *([] if script.then is None else [script.then]), script.init, script.complete, script.flush):
            if answer.clones:
                needed.add("flows.run/clones")
            if answer.spends_ns:
                needed.add("flows.run/time")
    if any(edge.port != "default" for edge in spec.edges):
        needed.add("flows.run/role=router")
    return frozenset(needed & FEATURES.keys())
