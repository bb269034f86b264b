"""Keys that are Torvyn's and that this runtime has no use for: whoever writes one is told so, and never left to believe that it works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torvyn_ref.config.merge import Merged, Path

_ONE_THREAD = "this runtime runs all flows in one thread, and they take turns of equal length"
_NO_WEIGHT = "which stage of a flow runs next is decided by `scheduling` alone; a flow's own `priority` sets how long its turns are"
_AT_ONCE = "an interrupted guest stops at once, and its instance with it; simulated runs have a grace"
_NO_TRACES = "this runtime exports no spans by itself; `torvyn-ref trace --spans` writes all of a run"
_NO_EXPORT = "this runtime serves no metrics by itself; `run --format json` prints them"

RUNTIME: Mapping[Path, str] = {
    ("runtime", "worker_threads"): _ONE_THREAD,
    ("runtime", "scheduling", "policy"): _ONE_THREAD,
    ("runtime", "scheduling", "default_priority"): _NO_WEIGHT,
    ("runtime", "interrupt_grace_ms"): _AT_ONCE,
    ("observability", "tracing_exporter"): _NO_TRACES,
    ("observability", "tracing_endpoint"): _NO_TRACES,
    ("observability", "tracing_sample_rate"): _NO_TRACES,
    ("observability", "error_promote"): _NO_TRACES,
    ("observability", "latency_promote_threshold_ms"): _NO_TRACES,
    ("observability", "ring_buffer_capacity"): _NO_TRACES,
    ("observability", "metrics_exporter"): _NO_EXPORT,
    ("observability", "metrics_endpoint"): _NO_EXPORT,
    ("observability", "prometheus_enabled"): _NO_EXPORT,
    ("observability", "otlp_metrics_enabled"): _NO_EXPORT,
    ("observability", "otlp_metrics_interval_s"): _NO_EXPORT,
}
"""By key, why it has no effect."""

FLOW: Mapping[str, str] = {"scheduling_policy": _ONE_THREAD}
NODE: Mapping[str, str] = {"priority": _NO_WEIGHT}


def without_effect(merged: Merged) -> Iterator[str]:
    """Yield a warning for each key that was written, wherever, and does nothing."""
    tree = merged.tree
    for path, why in RUNTIME.items():
        if _holds(tree, path):
            yield _warning(path, why)
    for name, flow in _tables(tree.get("flow")):
        for key, why in FLOW.items():
            if key in flow:
                yield _warning(("flow", name, key), why)
        for node, body in _tables(flow.get("nodes")):
            for key, why in NODE.items():
                if key in body:
                    yield _warning(("flow", name, "nodes", node, key), why)


def _holds(tree: Any, path: Path) -> bool:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return False
        tree = tree[key]
    return True


def _tables(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield from ((name, body) for name, body in value.items() if isinstance(body, Mapping))


def _warning(path: Path, why: str) -> str:
    return f"{'.'.join(str(key) for key in path)} has no effect: {why}"
