//! What upstream's driver and manager cost, for `benchmarks/beside_rust.py`: nanoseconds of CPU for each element or operation, as JSON.
//!
//! Components do what those of `benchmarks/scenarios.py` do, without the trace that a judged flow leaves. `FlowDriver` releases no buffer,
//! so that the components release their inputs; the Python driver does it for its own.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc;
use torvyn_engine::mock::MockEngine;
use torvyn_engine::{ComponentInstance, ComponentInvoker, OutputElement, ProcessResult, StreamElement, WasmEngine};
use torvyn_reactor::{
    FlowCancellation, FlowConfig, FlowDriver, FlowTopology, StageDefinition, StreamConfig, StreamConnection, StreamState,
};
use torvyn_resources::{DefaultResourceManager, OwnerId, ResourceManagerConfig};
use torvyn_types::{
    BackpressurePolicy, BackpressureSignal, BufferHandle, ComponentId, ComponentRole, ElementMeta, FlowId, FlowState, NoopEventSink,
    ProcessError, ResourceError, StreamId,
};

const FLOW: FlowId = FlowId::new(1);
const FIRST: OwnerId = OwnerId::Component(ComponentId::new(1));
const SECOND: OwnerId = OwnerId::Component(ComponentId::new(2));
const CAPACITY: usize = 64;

/// Run everything once, `count` elements or operations each, and return the nanoseconds of one.
pub fn run(count: usize) -> Result<String, String> {
    let mut found = serde_json::Map::new();
    for size in [64, 4096] {
        let name = if size == 64 { "linear 64 B" } else { "linear 4 KiB" };
        found.insert(name.into(), json!(flow(count, size)?));
    }
    let failed = |error: ResourceError| error.to_string();
    let fresh = manager();
    let allocate = || fresh.release(fresh.allocate(FIRST, 64, FLOW)?, FIRST);
    found.insert("allocate + release".into(), json!(timed(count, allocate).map_err(failed)?));
    let (manager, handle) = held(64);
    let borrow = || {
        manager.borrow_start(handle, ComponentId::new(1))?;
        manager.borrow_end(handle, ComponentId::new(1))
    };
    found.insert("borrow + end".into(), json!(timed(count, borrow).map_err(failed)?));
    let there_and_back = || {
        manager.transfer_ownership(handle, FIRST, SECOND)?;
        manager.transfer_ownership(handle, SECOND, FIRST)
    };
    found.insert("transfer".into(), json!(timed(count / 2, there_and_back).map_err(failed)? / 2.0));
    for size in [64, 4096] {
        let name = if size == 64 { "write + read 64 B" } else { "write + read 4 KiB" };
        found.insert(name.into(), json!(copies(count, size).map_err(failed)?));
    }
    Ok(json!({"unit": "ns", "each": found}).to_string())
}

fn manager() -> Arc<DefaultResourceManager> {
    let manager = DefaultResourceManager::new(ResourceManagerConfig::default(), Arc::new(NoopEventSink));
    manager.register_flow(FLOW);
    Arc::new(manager)
}

fn held(size: u32) -> (Arc<DefaultResourceManager>, BufferHandle) {
    let manager = manager();
    let handle = manager.allocate(FIRST, size, FLOW).expect("a fresh manager has room");
    (manager, handle)
}

fn copies(count: usize, size: u32) -> Result<f64, ResourceError> {
    let (manager, handle) = held(size);
    let payload = vec![b'x'; size as usize];
    timed(count, || {
        manager.write_payload(handle, FIRST, 0, &payload, FLOW)?;
        manager.read_payload(handle, FIRST, 0, size, FLOW).map(|read| drop(black_box(read)))
    })
}

fn timed<E>(count: usize, mut operate: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let begin = cpu();
    for _ in 0..count {
        operate()?;
    }
    Ok(each(begin, count))
}

fn each(begin: u64, count: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let found = (cpu() - begin) as f64 / count as f64;
    found
}

/// Nanoseconds of CPU that this process has used.
fn cpu() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to a timespec of ours.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

struct Components {
    manager: Arc<DefaultResourceManager>,
    payload: Vec<u8>,
    left: AtomicUsize,
}

impl Components {
    fn emit(&self, component: ComponentId, content: &[u8]) -> Result<OutputElement, ProcessError> {
        let owner = OwnerId::Component(component);
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let payload = self.manager.allocate(owner, size, FLOW).map_err(failed)?;
        self.manager.write_payload(payload, owner, 0, content, FLOW).map_err(failed)?;
        Ok(OutputElement { meta: ElementMeta::new(0, 0, String::new()), payload })
    }

    /// Read an input, and release it: its producer, the stage before, owns it.
    fn take(&self, component: ComponentId, element: &StreamElement) -> Result<Vec<u8>, ProcessError> {
        let size = self.manager.payload_len(element.payload).map_err(failed)?;
        let read = self.manager.read_payload(element.payload, OwnerId::Component(component), 0, size, FLOW).map_err(failed)?;
        let producer = OwnerId::Component(ComponentId::new(component.as_u64() - 1));
        self.manager.release(element.payload, producer).map_err(failed)?;
        Ok(read)
    }
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: ResourceError) -> ProcessError {
    ProcessError::Internal(error.to_string())
}

#[async_trait]
impl ComponentInvoker for Components {
    async fn invoke_pull(&self, _: &mut ComponentInstance, component: ComponentId) -> Result<Option<OutputElement>, ProcessError> {
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            return Ok(None);
        }
        self.emit(component, &self.payload).map(Some)
    }

    async fn invoke_process(
        &self,
        _: &mut ComponentInstance,
        component: ComponentId,
        element: StreamElement,
    ) -> Result<ProcessResult, ProcessError> {
        let read = self.take(component, &element)?;
        self.emit(component, &read).map(ProcessResult::Output)
    }

    async fn invoke_push(
        &self,
        _: &mut ComponentInstance,
        component: ComponentId,
        element: StreamElement,
    ) -> Result<BackpressureSignal, ProcessError> {
        black_box(self.take(component, &element)?);
        Ok(BackpressureSignal::Ready)
    }

    async fn invoke_init(&self, _: &mut ComponentInstance, _: ComponentId, _: &str) -> Result<(), ProcessError> {
        Ok(())
    }

    async fn invoke_teardown(&self, _: &mut ComponentInstance, _: ComponentId) {}
}

/// A flow source → processor → sink of `count` elements, from its first call to its end.
fn flow(count: usize, size: usize) -> Result<f64, String> {
    let roles = [ComponentRole::Source, ComponentRole::Processor, ComponentRole::Sink];
    let stages = roles.into_iter().zip(1..).map(|(role, number)| StageDefinition {
        component_id: ComponentId::new(number),
        role,
        fuel_budget: None,
        config: String::new(),
    });
    let edge = |from_stage| StreamConnection {
        from_stage,
        to_stage: from_stage + 1,
        config: StreamConfig { capacity: Some(CAPACITY), backpressure_policy: None, low_watermark_ratio: None },
    };
    let config = FlowConfig::default_with_topology(FlowTopology { stages: stages.collect(), connections: vec![edge(0), edge(1)] });
    let stream = |number: u64| {
        let (from, to) = (ComponentId::new(number + 1), ComponentId::new(number + 2));
        StreamState::new(
            StreamId::new(number),
            FLOW,
            from,
            to,
            CAPACITY,
            BackpressurePolicy::BlockProducer,
            config.default_low_watermark_ratio,
        )
    };
    let streams = vec![stream(0), stream(1)];
    let manager = manager();
    let components = Components { manager: Arc::clone(&manager), payload: vec![b'x'; size], left: AtomicUsize::new(count) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let engine = MockEngine::new();
        let mut instances = Vec::new();
        for number in 1..=3 {
            let compiled = engine.compile_component(&[]).map_err(|error| error.to_string())?;
            let instance = engine.instantiate(&compiled, MockEngine::mock_imports(), ComponentId::new(number)).await;
            instances.push(instance.map_err(|error| error.to_string())?);
        }
        let (events, _kept) = mpsc::channel(1);
        let driver = FlowDriver::new(FLOW, config, instances, streams, components, NoopEventSink, FlowCancellation::new(), events);
        let begin = cpu();
        let (_, state, stats) = driver.run().await;
        let found = each(begin, count);
        if state != FlowState::Completed || stats.total_elements != 2 * count as u64 || manager.live_resource_count() != 0 {
            return Err(format!("the flow ended as {state:?} after {} elements", stats.total_elements));
        }
        Ok(found)
    })
}
