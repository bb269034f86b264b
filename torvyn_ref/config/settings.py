"""The tables that say how flows run: `[runtime]`, `[observability]`, `[security]` and `[registry]`, and the words they use."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from torvyn_ref.config.values import (
    MIB,
    Batch,
    Count,
    Depth,
    Fuel,
    Milliseconds,
    Priority,
    Probability,
    Rate,
    Ratio,
    Size,
    Table,
    Timeout,
    WithBlockAlias,
)
from torvyn_ref.streams.policy import OverflowPolicy


class Section(BaseModel):
    """A table of Torvyn.toml: its keys are known, its values are strict and read-only."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    aliases: ClassVar[Mapping[str, str]] = {}
    """Other accepted spellings of this table's keys: alias to canonical key."""


class SchedulingPolicy(StrEnum):
    """The upstream's words for sharing workers between flows (D.1); flows themselves are demand-driven (K-35)."""

    ROUND_ROBIN = "round-robin"
    WEIGHTED_FAIR = "weighted-fair"
    PRIORITY = "priority"


class Schedule(StrEnum):
    """Which ready stage of a flow runs next (decision 14)."""

    CONSUMER_FIRST = "consumer-first"
    PRODUCER_FIRST = "producer-first"


class FlowPriority(StrEnum):
    """A flow's priority: it sets the stage executions per yield (SCHED-007)."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    BACKGROUND = "background"


class FanOut(StrEnum):
    """What a paused sink means for its producer's other branches (CREDIT-009, CREDIT-010)."""

    MIN_CREDIT = "min-credit"
    INDEPENDENT = "independent-per-branch"


class ErrorPolicyKind(StrEnum):
    """What a component's error does to its flow (ERR-001..005)."""

    FAIL_FAST = "fail-fast"
    RETRY = "retry"
    SKIP = "skip"
    LOG_AND_CONTINUE = "log-and-continue"


class EngineChoice(StrEnum):
    """Which engine runs the components."""

    AUTO = "auto"
    DIRECT = "direct"
    STOCK = "stock"
    SCRIPTED = "scripted"


class ExhaustionPolicy(StrEnum):
    """What an allocation does when its pool is empty."""

    FALLBACK_ALLOC = "fallback-alloc"
    ERROR = "error"


class CapabilityPolicy(StrEnum):
    """What a capability without a grant gets (CAP, decision 9)."""

    DENY_ALL = "deny-all"
    ALLOW_ALL = "allow-all"


class AuditTarget(StrEnum):
    """Where the audit log goes."""

    FILE = "file"
    STDOUT = "stdout"
    EVENT_SINK = "event-sink"


class ObservabilityLevel(StrEnum):
    """How much is observed."""

    OFF = "off"
    PRODUCTION = "production"
    DIAGNOSTIC = "diagnostic"


class TracingExporter(StrEnum):
    """Where traces go."""

    OTLP_GRPC = "otlp-grpc"
    OTLP_HTTP = "otlp-http"
    STDOUT = "stdout"
    FILE = "file"
    NONE = "none"


class MetricsExporter(StrEnum):
    """Where metrics go."""

    PROMETHEUS = "prometheus"
    OTLP = "otlp"
    NONE = "none"


Policy = Annotated[OverflowPolicy, Field(strict=False), WithBlockAlias]


class Scheduling(Section):
    """`[runtime.scheduling]`."""

    policy: Annotated[SchedulingPolicy, Field(strict=False)] = SchedulingPolicy.WEIGHTED_FAIR
    """How workers are shared between flows."""
    default_priority: Priority = 5
    """The weight of a node that names none."""


class BackpressureDefaults(Section):
    """`[runtime.backpressure]`: what a stream gets when neither its edge nor its flow says otherwise."""

    aliases: ClassVar[Mapping[str, str]] = {"default_policy": "backpressure_policy", "policy": "backpressure_policy"}

    default_queue_depth: Depth = 64
    """Queue capacity in elements."""
    backpressure_policy: Policy = OverflowPolicy.BLOCK
    """What happens at a full queue; `block` is read as `block-producer`."""
    low_watermark_ratio: Ratio = 0.5
    """Pressure ends when the depth has fallen to this share of the capacity."""
    rate_per_s: Rate | None = None
    """Elements per second that may enter under `rate-limit` (POLICY-009); other policies do not look at it."""


class Backpressure(Section):
    """`backpressure` of a flow or an edge: only what is written here overrides the level below (POLICY-010)."""

    aliases: ClassVar[Mapping[str, str]] = {
        "default_policy": "backpressure_policy",
        "policy": "backpressure_policy",
        "queue_depth": "default_queue_depth",
    }

    default_queue_depth: Depth | None = None
    """Queue capacity in elements; absent: inherit."""
    backpressure_policy: Policy | None = None
    """What happens at a full queue; absent: inherit."""
    low_watermark_ratio: Ratio | None = None
    """Where pressure ends; absent: inherit."""
    rate_per_s: Rate | None = None
    """Elements per second under `rate-limit`; absent: inherit."""


class Pools(Section):
    """`[runtime.pools]`: buffers kept per size class (tiers of 256 B, 4 KiB, 64 KiB, 1 MiB)."""

    aliases: ClassVar[Mapping[str, str]] = {
        "small_pool_size": "small",
        "medium_pool_size": "medium",
        "large_pool_size": "large",
        "huge_pool_size": "huge",
    }

    small: Count = 4096
    """256-byte buffers."""
    medium: Count = 1024
    """4 KiB buffers."""
    large: Count = 256
    """64 KiB buffers."""
    huge: Count = 32
    """1 MiB buffers kept at most."""
    exhaustion_policy: Annotated[ExhaustionPolicy, Field(strict=False)] = ExhaustionPolicy.FALLBACK_ALLOC
    """What an allocation does when its pool is empty."""


class Runtime(Section):
    """`[runtime]`: limits, timeouts and defaults of every flow."""

    aliases: ClassVar[Mapping[str, str]] = {"fuel_per_invocation": "default_fuel_per_invocation"}

    worker_threads: Count = 0
    """Worker threads; 0 lets the runtime choose."""
    engine: Annotated[EngineChoice, Field(strict=False)] = EngineChoice.AUTO
    """Which engine runs the components."""
    max_memory_per_component: Size = 16 * MIB
    """Linear memory of one component instance, in bytes."""
    max_buffer_bytes_per_component: Size = 64 * MIB
    """Bytes of host buffers one component may own at a time."""
    default_fuel_per_invocation: Fuel = 1_000_000
    """Fuel of one guest call, set again before each (decision 11)."""
    component_timeout_ms: Timeout = 5000
    """Bound of one data call (ERR-008)."""
    component_init_timeout_ms: Timeout = 5000
    """Bound of `lifecycle.init`."""
    component_teardown_timeout_ms: Annotated[Timeout, Field(le=5000)] = 2000
    """Bound of `lifecycle.teardown`, at most 5000 (decision 3)."""
    drain_timeout_ms: Milliseconds = 5000
    """Bound of draining; 0 discards at once (CANCEL-007)."""
    cooperative_cancel_timeout_ms: Milliseconds = 1000
    """How long a call in flight may still finish after a cancel (CANCEL-003)."""
    interrupt_grace_ms: Milliseconds = 500
    """How long after its interruption an instance that does not react is given up (CANCEL-003)."""
    sink_pause_delay_us: Annotated[Count, Field(ge=1)] = 1000
    """First delay, in microseconds, before a paused sink is probed (decision 2)."""
    elements_per_yield: Batch | None = None
    """Stage executions before a flow yields, 1 to 256; absent: by the flow's priority (SCHED-007)."""
    compilation_cache_dir: str = ".torvyn/cache"
    """Where compiled components are kept, relative to the manifest; empty: nowhere."""
    scheduling: Scheduling = Scheduling()
    backpressure: BackpressureDefaults = BackpressureDefaults()
    pools: Pools = Pools()


class Observability(Section):
    """`[observability]`: what is measured and where it goes."""

    aliases: ClassVar[Mapping[str, str]] = {"sample_rate": "tracing_sample_rate"}

    level: Annotated[ObservabilityLevel, Field(strict=False)] = ObservabilityLevel.PRODUCTION
    """How much is observed."""
    tracing_enabled: bool = True
    """Collect traces."""
    tracing_exporter: Annotated[TracingExporter, Field(strict=False)] = TracingExporter.STDOUT
    """Where traces go."""
    tracing_endpoint: str = "http://localhost:4317"
    """OTLP address for traces."""
    tracing_sample_rate: Probability = 0.01
    """Share of flows traced from the start (J-32)."""
    error_promote: bool = True
    """Trace a flow fully once it has failed."""
    latency_promote_threshold_ms: Count = 10
    """Trace a flow fully beyond this latency, in milliseconds."""
    ring_buffer_capacity: Annotated[int, Field(ge=8, le=2**20)] = 64
    """Spans kept per flow for tracing after the fact."""
    metrics_enabled: bool = True
    """Collect metrics."""
    metrics_exporter: Annotated[MetricsExporter, Field(strict=False)] = MetricsExporter.NONE
    """Where metrics go."""
    metrics_endpoint: str = "0.0.0.0:9090"
    """Address for metrics."""
    prometheus_enabled: bool = True
    """Serve Prometheus text on the inspection address."""
    otlp_metrics_enabled: bool = False
    """Push metrics through OTLP."""
    otlp_metrics_interval_s: Annotated[Count, Field(ge=1)] = 15
    """Seconds between pushes."""


class Grant(Section):
    """`[security.grants.<key>]`: what a node (or else a component of that name) may use (decision 8)."""

    capabilities: tuple[str, ...] = ()
    """Capability strings; the security room parses them."""


class Security(Section):
    """`[security]`."""

    default_capability_policy: Annotated[CapabilityPolicy, Field(strict=False)] = CapabilityPolicy.DENY_ALL
    """What a capability without a grant gets."""
    strict_allocation: bool = False
    """Whether buffers take a grant of `torvyn:resource-allocate` in the standard worlds too (decision 7, CAP-038)."""
    audit_enabled: bool = True
    """Write the audit log."""
    audit_target: Annotated[AuditTarget, Field(strict=False)] = AuditTarget.FILE
    """Where the audit log goes."""
    grants: Table[Grant] = Field(default_factory=dict)
    """Grants by flow node name, else by component name."""


class Registry(Section):
    """`[registry]`."""

    default: str | None = None
    """The registry used when a command names none."""


class ErrorPolicy(Section):
    """`error_policy` of a flow (ERR-001..005)."""

    policy: Annotated[ErrorPolicyKind, Field(strict=False)] = ErrorPolicyKind.FAIL_FAST
    """What a component's error does to the flow."""
    max_retries: Annotated[int, Field(ge=0, le=2**32 - 1)] = 3
    """Extra attempts per element under `retry` (K-32)."""
    backoff_ms: Milliseconds = 100
    """Least wait before each extra attempt."""
    breaker_threshold: Count = 0
    """`unavailable` answers in a row after which a component is left alone (ERR-011); 0: never."""
    breaker_cooldown_ms: Milliseconds = 1000
    """How long it is left alone; then one call is tried."""
