//! Facet `flows`: `torvyn_reactor::FlowDriver` with scripted components, on virtual time.

mod script;
mod spec;
mod trace;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use torvyn_engine::mock::MockEngine;
use torvyn_engine::{ComponentInstance, WasmEngine};
use torvyn_reactor::{
    CancellationReason, ErrorPolicy, FlowCancellation, FlowCompletionStats, FlowConfig, FlowCreationError, FlowDriver, FlowPriority,
    FlowTopology, StageDefinition, StreamConfig, StreamConnection, StreamState, TimeoutConfig, YieldConfig,
};
use torvyn_resources::{DefaultResourceManager, ResourceManagerConfig, TierConfig};
use torvyn_types::{ComponentId, ComponentRole, FlowId, FlowState, NoopEventSink, StreamId};

use self::script::{FLOW, Invoker, Scripted, Watch};
use self::spec::{Flow, Run, Settings, Transition};
use self::trace::{Ear, Recorder};
use super::{Facet, streams};
use crate::clock;
use crate::wire::{Answer, Refusal, done, read};

/// Events that the owner's channel holds, unless a slow owner is asked for; it is emptied before each call, so that it never overflows.
const CHANNEL: usize = 1 << 16;
/// Virtual time without any call after which a flow that runs no component and does not end is called hung.
const STALLED: Duration = Duration::from_secs(10);
/// How often a slow owner takes an event.
const LISTENS: Duration = Duration::from_millis(1);
/// The protocol's flows have no time quantum.
const NO_QUANTUM: Duration = Duration::from_secs(1_000_000);

const DECLINES: &[(&str, &str)] = &[
    ("flows.run/role=aggregator", "ComponentRole has no aggregator, and ComponentInvoker no ingest and no flush"),
    ("flows.run/role=router", "ProcessResult::Multiple gives its i-th element to the i-th stream: there are no ports to route by"),
    ("flows.run/schedule=producer-first", "FlowDriver::new takes no scheduling policy: DemandDrivenPolicy is built in"),
    ("flows.run/schedule=scripted", "FlowDriver::new takes no scheduling policy: DemandDrivenPolicy is built in"),
    (
        "flows.run/lifecycle",
        "FlowDriver starts with instances that are ready: init and teardown are torvyn-pipeline's, not under test here",
    ),
    ("flows.host", "ReactorCoordinator::create_flow spawns a task that ends at once: no flow runs in a host (coordinator.rs)"),
    ("flows.start-project", "torvyn-cli and torvyn-host run projects: not under test here"),
    ("flows.signal-project", "torvyn-cli and torvyn-host run projects: not under test here"),
    ("flows.run/amplification", "FlowCopyStatsSnapshot counts by flow, not by stage"),
    ("flows.run/names", "FlowTopology knows stages by their place; names are torvyn-pipeline's, not under test here"),
    ("flows.run/clones", "torvyn-resources has no clone-into-mutable"),
    ("flows.run/events=deq", "EventSink has no event for an element taken from a queue"),
    ("flows.run/events=enq", "EventSink::record_element_transfer is called for sources only (flow_driver.rs, execute_pull)"),
    ("flows.run/events=credits", "no event shows a stream's demand"),
    ("flows.run/events=setup", "FlowDriver starts at Instantiated: the states before are torvyn-host's and torvyn-pipeline's"),
];

pub struct Flows;

impl Facet for Flows {
    fn name(&self) -> &'static str {
        "flows"
    }

    fn capabilities(&self) -> &'static [&'static str] {
        &["concurrency", "consumer_first", "state_tables", "virtual_clock"]
    }

    fn declines(&self) -> &'static [(&'static str, &'static str)] {
        DECLINES
    }

    fn answer(&mut self, op: &str, request: &Value) -> Answer {
        match op {
            "flows.run" => run(read::<Run>(request)?.spec),
            "flows.transition" => transition(&read(request)?),
            other => Err(Refusal::unsupported(format!("no operation {other:?}"))),
        }
    }
}

fn transition(asked: &Transition) -> Answer {
    if state(&asked.old)?.can_transition_to(&state(&asked.new)?) {
        return done();
    }
    let fields = json!({"machine": "FlowState", "old": asked.old, "new": asked.new});
    Err(Refusal::Fault {
        kind: "invalid-transition".into(),
        message: String::new(),
        fields: fields.as_object().cloned().unwrap_or_default(),
    })
}

fn state(name: &str) -> Result<FlowState, Refusal> {
    use FlowState::{Cancelled, Completed, Created, Draining, Failed, Instantiated, Running, Validated};
    [Created, Validated, Instantiated, Running, Draining, Completed, Cancelled, Failed]
        .into_iter()
        .find(|state| format!("{state:?}") == name)
        .ok_or_else(|| Refusal::fault("invalid-state", format!("{name:?} is no state of a flow")))
}

fn declined(feature: &str) -> Refusal {
    let found = DECLINES.iter().find(|(name, _)| name.strip_prefix("flows.run/") == Some(feature));
    Refusal::unsupported(found.map_or("not offered", |(_, reason)| reason))
}

fn offered(flow: &Flow) -> Result<(), Refusal> {
    for stage in &flow.stages {
        if matches!(stage.role.as_str(), "router" | "aggregator") {
            return Err(declined(&format!("role={}", stage.role)));
        }
        if stage.script.lifecycle {
            return Err(declined("lifecycle"));
        }
        if stage.script.answers.iter().chain(&stage.script.then).any(|answer| answer.clones) {
            return Err(declined("clones"));
        }
    }
    let named = |stage: &spec::Stage| flow.stages.iter().filter(|other| other.name == stage.name).count() == 1 && !stage.name.is_empty();
    if !flow.stages.iter().all(named) {
        return Err(declined("names"));
    }
    if flow.schedule.policy != "consumer-first" {
        return Err(declined(&format!("schedule={}", flow.schedule.policy)));
    }
    if flow.settings.fan_out != "min-credit" || flow.settings.breaker_threshold > 0 || flow.edges.iter().any(|edge| edge.rate_per_s > 0.0) {
        return Err(Refusal::unsupported("torvyn-reactor has no rate limit, no circuit breaker, and one way to fan out"));
    }
    match flow.commands.iter().find(|command| command.act != "cancel") {
        Some(command) => Err(Refusal::unsupported(format!("no command {:?}", command.act))),
        None => Ok(()),
    }
}

fn config(flow: &Flow) -> Result<FlowConfig, Refusal> {
    let stages = flow.stages.iter().zip(1..).map(|(stage, number)| {
        let role = match stage.role.as_str() {
            "source" => ComponentRole::Source,
            "processor" => ComponentRole::Processor,
            "sink" => ComponentRole::Sink,
            "filter" => ComponentRole::Filter,
            other => return Err(Refusal::fault("invalid-config", format!("{other:?} is no role"))),
        };
        Ok(StageDefinition { component_id: ComponentId::new(number), role, fuel_budget: None, config: String::new() })
    });
    let stages = stages.collect::<Result<Vec<_>, _>>()?;
    // Upstream names stages by their place: a name that no stage has becomes a place that no stage has.
    let place = |name: &str| flow.stages.iter().position(|stage| stage.name == name).unwrap_or(usize::MAX);
    let mut connections = Vec::new();
    for edge in &flow.edges {
        let policy =
            streams::policy(&edge.policy).ok_or_else(|| Refusal::fault("invalid-config", format!("{:?} is no policy", edge.policy)))?;
        let capacity =
            usize::try_from(edge.capacity).map_err(|_| Refusal::fault("invalid-config", "the capacity is a usize in torvyn-reactor"))?;
        connections.push(StreamConnection {
            from_stage: place(&edge.source),
            to_stage: place(&edge.target),
            config: StreamConfig {
                capacity: Some(capacity),
                backpressure_policy: Some(policy),
                low_watermark_ratio: Some(edge.low_watermark_ratio),
            },
        });
    }
    let topology = FlowTopology { stages, connections };
    topology.validate().map_err(|error| refused_graph(&error))?;
    let mut config = FlowConfig::default_with_topology(topology);
    config.error_policy = error_policy(&flow.settings)?;
    config.timeouts = TimeoutConfig {
        flow_deadline: flow.settings.deadline_ms.map(Duration::from_millis),
        component_invocation_timeout: Duration::from_millis(flow.settings.call_timeout_ms),
        drain_timeout: Duration::from_millis(flow.settings.drain_timeout_ms),
        cooperative_cancel_timeout: Duration::from_millis(flow.settings.cooperative_ms),
    };
    config.priority = priority(&flow.settings.priority)?;
    config.yield_config = YieldConfig { time_quantum: NO_QUANTUM, ..YieldConfig::default() };
    if let Some(wanted) = flow.settings.elements_per_yield {
        let wanted =
            u64::try_from(wanted).map_err(|_| Refusal::fault("invalid-config", "elements_per_yield is a u64 in torvyn-reactor"))?;
        config.yield_config.elements_per_yield = wanted;
    }
    Ok(config)
}

fn priority(name: &str) -> Result<FlowPriority, Refusal> {
    match name {
        "critical" => Ok(FlowPriority::Critical),
        "high" => Ok(FlowPriority::High),
        "normal" => Ok(FlowPriority::Normal),
        "low" => Ok(FlowPriority::Low),
        "background" => Ok(FlowPriority::Background),
        other => Err(Refusal::fault("invalid-config", format!("{other:?} is no priority"))),
    }
}

/// A refused graph: upstream says in words what is wrong, the protocol in kinds.
fn refused_graph(error: &FlowCreationError) -> Refusal {
    let message = error.to_string();
    let kinds: Vec<&str> = REFUSALS.iter().filter(|(words, _)| message.contains(words)).map(|(_, kind)| *kind).collect();
    let fields = json!({"kinds": kinds}).as_object().cloned().unwrap_or_default();
    Refusal::Fault { kind: "invalid-topology".into(), message, fields }
}

const REFUSALS: &[(&str, &str)] = &[
    ("has no stages", "empty"),
    ("has no Source", "no-source"),
    ("has no Sink", "no-sink"),
    ("out-of-bounds stage", "unknown-stage"),
    ("self-loop", "self-loop"),
    ("has incoming connections", "source-has-input"),
    ("has outgoing connections", "sink-has-output"),
    ("contains a cycle", "cycle"),
    ("not reachable", "unreachable"),
];

fn error_policy(settings: &Settings) -> Result<ErrorPolicy, Refusal> {
    match settings.error_policy.as_str() {
        "fail-fast" => Ok(ErrorPolicy::FailFast),
        "skip" => Ok(ErrorPolicy::SkipElement),
        "log-and-continue" => Ok(ErrorPolicy::LogAndContinue),
        "retry" => Ok(ErrorPolicy::Retry { max_retries: settings.max_retries, backoff: Duration::from_millis(settings.backoff_ms) }),
        other => Err(Refusal::fault("invalid-config", format!("{other:?} is no error policy"))),
    }
}

/// The streams of a flow, resolved as `ReactorCoordinator::create_flow` resolves them.
fn streams_of(config: &FlowConfig) -> Vec<StreamState> {
    let stages = &config.topology.stages;
    let connections = config.topology.connections.iter().zip(0..);
    connections
        .map(|(connection, number)| {
            StreamState::new(
                StreamId::new(number),
                FlowId::new(FLOW),
                stages[connection.from_stage].component_id,
                stages[connection.to_stage].component_id,
                connection.config.capacity.unwrap_or(config.default_queue_capacity),
                connection.config.backpressure_policy.unwrap_or(config.default_backpressure_policy),
                connection.config.low_watermark_ratio.unwrap_or(config.default_low_watermark_ratio),
            )
        })
        .collect()
}

async fn instances(count: usize) -> Result<Vec<ComponentInstance>, Refusal> {
    let engine = MockEngine::new();
    let mut all = Vec::new();
    for number in 1..=count {
        let compiled = engine.compile_component(&[]).map_err(|error| Refusal::fault("internal", error.to_string()))?;
        let instance = engine.instantiate(&compiled, MockEngine::mock_imports(), ComponentId::new(number as u64)).await;
        all.push(instance.map_err(|error| Refusal::fault("internal", error.to_string()))?);
    }
    Ok(all)
}

/// A manager for the components' buffers; its pools are small, for a flow's buffers are few.
fn manager() -> Arc<DefaultResourceManager> {
    let mut config = ResourceManagerConfig { table_capacity: 256, ..ResourceManagerConfig::default() };
    config.pool_configs = TierConfig::defaults().map(|tier| TierConfig { pool_size: 4, ..tier });
    Arc::new(DefaultResourceManager::new(config, Arc::new(NoopEventSink)))
}

fn run(flow: Flow) -> Answer {
    offered(&flow)?;
    let config = config(&flow)?;
    let streams = streams_of(&config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| Refusal::fault("internal", error.to_string()))?;
    runtime.block_on(async {
        let _time = clock::Virtual::start();
        drive(&flow, config, streams).await
    })
}

async fn drive(flow: &Flow, config: FlowConfig, streams: Vec<StreamState>) -> Answer {
    let holds = flow.settings.observer_holds;
    let (events, sent) = mpsc::channel(if holds == 0 { CHANNEL } else { holds });
    let recorder = Recorder::new(flow.stages.iter().map(|stage| stage.name.clone()).collect(), sent, holds == 0);
    let cancellation = FlowCancellation::new();
    let manager = manager();
    manager.register_flow(FlowId::new(FLOW));
    let stall = STALLED + config.timeouts.flow_deadline.unwrap_or_default();
    let (scripted, watch) = Scripted::new(
        &flow.stages,
        Arc::clone(&manager),
        Arc::clone(&recorder),
        cancellation.clone(),
        flow.commands.clone(),
        flow.max_calls,
    );
    let scripted = Arc::new(scripted);
    scripted.operate(0);
    let ear = Ear(Arc::clone(&recorder));
    let instances = instances(flow.stages.len()).await?;
    let driver =
        FlowDriver::new(FlowId::new(FLOW), config, instances, streams, Invoker(Arc::clone(&scripted)), ear, cancellation.clone(), events);
    let (_, state, stats) = tokio::select! {
        biased;
        () = scripted.clockwork() => unreachable!("it waits for ever"),
        ended = driver.run() => ended,
        () = listening(&recorder), if holds > 0 => unreachable!("it listens for ever"),
        () = stalled(&watch, stall) => {
            let message = format!("the flow called no component for {} s of virtual time and did not end", stall.as_secs());
            return Err(Refusal::Broke { how: "hang", message, at: "torvyn-reactor-0.1.1/src/flow_driver.rs".into() });
        }
    };
    recorder.take_all();
    let live = manager.live_resource_count();
    let capped = watch.returned.load(Ordering::Relaxed) >= flow.max_calls;
    let (reason, failure) = ending(&recorder, cancellation.reason(), capped);
    let mut end = json!({"e": "done", "state": format!("{state:?}"), "reason": reason, "live": live, "total": stats.total_elements});
    if let Some(failure) = failure {
        end["failure"] = json!(failure);
    }
    recorder.note(end);
    Ok(reply(flow, &format!("{state:?}"), &recorder, &stats, &manager))
}

/// Return once no call has begun for so long, and none is running.
async fn stalled(watch: &Watch, patience: Duration) {
    let mut seen = u64::MAX;
    loop {
        tokio::time::sleep(patience).await;
        let (calls, returned) = (watch.calls.load(Ordering::Relaxed), watch.returned.load(Ordering::Relaxed));
        if calls == seen && calls == returned {
            return;
        }
        seen = calls;
    }
}

/// A slow owner: take one of the driver's events per millisecond of its clock. Never returns.
async fn listening(recorder: &Recorder) {
    loop {
        tokio::time::sleep(LISTENS).await;
        recorder.take_one();
    }
}

fn ending(recorder: &Recorder, reason: Option<&CancellationReason>, capped: bool) -> (&'static str, Option<String>) {
    match reason {
        Some(CancellationReason::OperatorRequest) if capped => ("max-calls", None),
        Some(CancellationReason::OperatorRequest) => ("operator-request", None),
        Some(CancellationReason::Timeout { .. }) => ("timeout", None),
        Some(CancellationReason::DownstreamError { component, error }) => {
            ("component-error", Some(format!("{}: {error}", recorder.stage(*component))))
        }
        Some(CancellationReason::ResourceExhaustion { detail }) => ("resource-exhaustion", Some(detail.clone())),
        Some(CancellationReason::SourceComplete) | None => ("source-complete", None),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn reply(flow: &Flow, state: &str, recorder: &Recorder, stats: &FlowCompletionStats, manager: &DefaultResourceManager) -> Value {
    let streams: Vec<Value> = (0..flow.edges.len() as u64)
        .map(|number| {
            let seen = stats.stream_stats.get(&StreamId::new(number)).cloned().unwrap_or_default();
            json!({
                "elements": seen.elements_total, "pressure_events": seen.backpressure_events, "peak_depth": seen.peak_queue_depth,
                "pressure_ns": nanos(seen.backpressure_duration),
            })
        })
        .collect();
    let mut stages = serde_json::Map::new();
    for (stage, number) in flow.stages.iter().zip(1..) {
        if let Some(seen) = stats.component_stats.get(&ComponentId::new(number)) {
            stages.insert(
                stage.name.clone(),
                json!({"invocations": seen.invocations, "errors": seen.errors, "busy_ns": nanos(seen.total_invocation_time)}),
            );
        }
    }
    let copies = manager.flow_copy_stats(FlowId::new(FLOW));
    let [in_, out, across, returned] = copies.copies_by_reason;
    json!({
        "re": "flow-run", "state": state, "trace": recorder.finish(), "streams": streams, "stages": stages,
        "live_buffers": manager.live_resource_count(), "duration_ns": nanos(stats.total_duration),
        "copies": {
            "total_copy_ops": copies.total_copy_ops, "total_payload_bytes": copies.total_payload_bytes,
            "ops_by_reason": {"HostToComponent": in_, "ComponentToHost": out, "CrossComponent": across, "PoolReturn": returned},
        },
    })
}
