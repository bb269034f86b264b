//! Scripted components behind `torvyn_engine::ComponentInvoker`, and what their host imports would do: buffers of the resource manager.
//!
//! A scripted component does what a component could do through its imports, and nothing else: it allocates, writes and reads buffers.
//! Whatever a runtime owes it (taking over what it returns, lending it what it is given, releasing what nobody needs) is upstream's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use torvyn_engine::{ComponentInstance, ComponentInvoker, OutputElement, ProcessResult, StreamElement};
use torvyn_reactor::{CancellationReason, FlowCancellation};
use torvyn_resources::{DefaultResourceManager, OwnerId};
use torvyn_types::{BackpressureSignal, BufferHandle, ComponentId, ElementMeta, FlowId, ProcessError};

use super::spec::{Answer, Command, Script, Stage};
use super::trace::Recorder;
use crate::clock;

pub const FLOW: u64 = 1;
/// A flow that nobody registers: what is read under it is counted nowhere, so that looking at a payload changes no statistics.
const UNCOUNTED: u64 = u64::MAX;
const TAG_BYTES: u32 = 64;
const KEPT_BYTES: u32 = 16;
const MILLISECOND: u64 = 1_000_000;

pub struct Scripted {
    stages: Vec<Mutex<Part>>,
    manager: Arc<DefaultResourceManager>,
    recorder: Arc<Recorder>,
    cancellation: FlowCancellation,
    commands: Vec<Command>,
    max_calls: u64,
    calls: Arc<AtomicU64>,
    returned: Arc<AtomicU64>,
}

/// One component's script, and how far it has come.
struct Part {
    name: String,
    script: Script,
    role: String,
    next: usize,
    emitted: u64,
}

/// What the run's owner watches: calls begun and calls returned.
pub struct Watch {
    pub calls: Arc<AtomicU64>,
    pub returned: Arc<AtomicU64>,
}

impl Scripted {
    pub fn new(
        stages: &[Stage],
        manager: Arc<DefaultResourceManager>,
        recorder: Arc<Recorder>,
        cancellation: FlowCancellation,
        commands: Vec<Command>,
        max_calls: u64,
    ) -> (Self, Watch) {
        let parts = stages.iter().map(|stage| {
            let part = Part { name: stage.name.clone(), script: stage.script.clone(), role: stage.role.clone(), next: 0, emitted: 0 };
            Mutex::new(part)
        });
        let watch = Watch { calls: Arc::default(), returned: Arc::default() };
        let (calls, returned) = (Arc::clone(&watch.calls), Arc::clone(&watch.returned));
        let stages = parts.collect();
        (Scripted { stages, manager, recorder, cancellation, commands, max_calls, calls, returned }, watch)
    }

    /// What an operator does, and the suite's own bound, once so many calls have returned and so much time has passed.
    pub fn operate(&self, returned: u64) {
        let due = |command: &&Command| command.after_calls <= returned && command.at_ms * MILLISECOND <= clock::now();
        if let Some(command) = self.commands.iter().find(due) {
            // From so many threads at once; the token is what upstream gives to whoever may cancel.
            thread::scope(|scope| {
                for _ in 1..command.callers {
                    scope.spawn(|| self.cancellation.cancel(CancellationReason::OperatorRequest));
                }
            });
            self.cancellation.cancel(CancellationReason::OperatorRequest);
        } else if returned >= self.max_calls {
            self.cancellation.cancel(CancellationReason::OperatorRequest);
        }
    }

    /// The operator's clock: look at the commands again whenever the time of one has come. Never returns.
    pub async fn clockwork(&self) {
        let mut times: Vec<u64> = self.commands.iter().map(|command| command.at_ms).filter(|time| *time > 0).collect();
        times.sort_unstable();
        let start = tokio::time::Instant::now();
        for time in times {
            tokio::time::sleep_until(start + Duration::from_millis(time)).await;
            self.operate(self.returned.load(Ordering::Relaxed));
        }
        std::future::pending().await
    }

    fn part(&self, component: ComponentId) -> std::sync::MutexGuard<'_, Part> {
        let number = usize::try_from(component.as_u64()).expect("small") - 1;
        self.stages[number].lock().expect("nobody panics with it")
    }

    fn called(&self, component: ComponentId, function: &str, element: Option<&StreamElement>) -> Answer {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut event = json!({"e": "call", "stage": self.recorder.stage(component), "fn": function});
        if let Some(element) = element {
            event["seq"] = json!(element.meta.sequence);
            event["timestamp"] = json!(element.meta.timestamp_ns);
            event["content_type"] = json!(element.meta.content_type);
            event["tag"] = json!(self.tag(element.payload));
            event["buffer"] = json!(name(element.payload));
        }
        self.recorder.note(event);
        self.part(component).answer()
    }

    /// A call that is under way: if the driver gives it up in its middle, that is how it ended.
    fn under_way<'a>(&'a self, component: ComponentId, function: &'a str) -> UnderWay<'a> {
        UnderWay { of: self, component, function, armed: true }
    }

    fn returned(&self, component: ComponentId, function: &str, outcome: &str, kind: Option<&str>, output: Option<&OutputElement>) {
        let mut event = json!({"e": "ret", "stage": self.recorder.stage(component), "fn": function, "outcome": outcome});
        if let Some(kind) = kind {
            event["kind"] = json!(kind);
        }
        if let Some(output) = output {
            event["buffer"] = json!(name(output.payload));
            event["content_type"] = json!(output.meta.content_type);
        }
        self.recorder.note(event);
        let returned = self.returned.fetch_add(1, Ordering::Relaxed) + 1;
        self.operate(returned);
    }

    fn failed(&self, component: ComponentId, function: &str, answer: &Answer) -> ProcessError {
        let trapped = answer.act == "trap";
        let kind = if trapped { "fatal" } else { answer.kind.as_str() };
        self.returned(component, function, if trapped { "trap" } else { "error" }, Some(kind), None);
        let message = answer.message.clone();
        match kind {
            "invalid-input" => ProcessError::InvalidInput(message),
            "unavailable" => ProcessError::Unavailable(message),
            "deadline-exceeded" => ProcessError::DeadlineExceeded,
            "fatal" => ProcessError::Fatal(message), // a trap as well: WasmtimeInvoker makes it one (wasmtime_invoker.rs)
            _ => ProcessError::Internal(message),
        }
    }

    /// A component that the manager refuses a buffer fails, as one would that cannot do its work.
    fn made(
        &self,
        component: ComponentId,
        function: &str,
        output: Result<OutputElement, ProcessError>,
    ) -> Result<OutputElement, ProcessError> {
        if output.is_err() {
            self.returned(component, function, "error", Some("internal"), None);
        }
        output
    }

    /// What a component does before it answers: keep buffers, read what it was given, take its time.
    async fn meanwhile(&self, component: ComponentId, answer: &Answer, element: Option<&StreamElement>) {
        for _ in 0..answer.keeps {
            let _ = self.allocate(component, KEPT_BYTES);
        }
        if answer.act == "hang" {
            std::future::pending::<()>().await;
        }
        if answer.spends_ns >= MILLISECOND {
            tokio::time::sleep(Duration::from_nanos(answer.spends_ns)).await; // a call that can be given up in its middle
        } else if answer.spends_ns > 0 {
            tokio::time::advance(Duration::from_nanos(answer.spends_ns)).await; // tokio's timers know nothing below a millisecond
        }
        if let Some(element) = element {
            for _ in 0..answer.reads {
                let _ = self.read(component, element.payload, answer.chunk);
            }
        }
    }

    fn allocate(&self, component: ComponentId, capacity: u32) -> Result<BufferHandle, ProcessError> {
        let handle = self
            .manager
            .allocate(OwnerId::Component(component), capacity, FlowId::new(FLOW))
            .map_err(|error| ProcessError::Internal(error.to_string()))?;
        self.recorder.note(json!({"e": "buf", "op": "alloc", "buffer": name(handle)}));
        Ok(handle)
    }

    /// Emit a buffer with this content.
    fn emit(&self, component: ComponentId, content: &[u8], answer: &Answer, content_type: &str) -> Result<OutputElement, ProcessError> {
        let refused = |error: torvyn_types::ResourceError| ProcessError::Internal(error.to_string());
        let owner = OwnerId::Component(component);
        let payload = self.allocate(component, u32::try_from(content.len()).unwrap_or(u32::MAX))?;
        self.manager.write_payload(payload, owner, 0, content, FlowId::new(FLOW)).map_err(refused)?;
        self.manager.set_content_type(payload, owner, content_type).map_err(refused)?;
        Ok(OutputElement { meta: ElementMeta::new(answer.claims_sequence, 0, content_type.to_string()), payload })
    }

    fn fresh(&self, component: ComponentId, answer: &Answer) -> Result<OutputElement, ProcessError> {
        let tag = self.part(component).tag();
        let mut content = tag.into_bytes();
        content.resize(answer.size.max(content.len()), b'.');
        self.emit(component, &content, answer, &answer.content_type)
    }

    fn copy(&self, component: ComponentId, answer: &Answer, element: &StreamElement) -> Result<OutputElement, ProcessError> {
        let content = self.read(component, element.payload, 0)?;
        let content_type = if answer.content_type.is_empty() { &element.meta.content_type } else { &answer.content_type };
        self.emit(component, &content, answer, content_type)
    }

    fn read(&self, component: ComponentId, payload: BufferHandle, chunk: u32) -> Result<Vec<u8>, ProcessError> {
        let refused = |error: torvyn_types::ResourceError| ProcessError::Internal(error.to_string());
        let size = self.manager.payload_len(payload).map_err(refused)?;
        let step = if chunk == 0 { size.max(1) } else { chunk };
        let mut content = Vec::new();
        for offset in (0..size).step_by(step as usize) {
            let length = step.min(size - offset);
            let part = self.manager.read_payload(payload, OwnerId::Component(component), offset, length, FlowId::new(FLOW));
            content.extend(part.map_err(refused)?);
        }
        Ok(content)
    }

    /// The payload up to its first space, looked at without being counted; nothing where the buffer is gone.
    fn tag(&self, payload: BufferHandle) -> Option<String> {
        let size = self.manager.payload_len(payload).ok()?.min(TAG_BYTES);
        let start = self.manager.read_payload(payload, OwnerId::Host, 0, size, FlowId::new(UNCOUNTED)).ok()?;
        Some(String::from_utf8_lossy(start.split(|byte| *byte == b' ').next().unwrap_or_default()).into_owned())
    }
}

/// Writes down the end of a call whose future was dropped.
struct UnderWay<'a> {
    of: &'a Scripted,
    component: ComponentId,
    function: &'a str,
    armed: bool,
}

impl UnderWay<'_> {
    fn over(mut self) {
        self.armed = false;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.armed && !thread::panicking() {
            self.of.returned(self.component, self.function, "trap", Some("deadline-exceeded"), None);
        }
    }
}

/// What the driver is given; the operator keeps the other end.
pub struct Invoker(pub Arc<Scripted>);

impl Part {
    fn answer(&mut self) -> Answer {
        let answer = self.script.answers.get(self.next).cloned();
        self.next += 1;
        answer.or_else(|| self.script.then.clone()).unwrap_or_else(|| {
            Answer::of(match self.role.as_str() {
                "source" => "end",
                "sink" => "ready",
                "filter" => "pass",
                _ => "emit",
            })
        })
    }

    fn tag(&mut self) -> String {
        let tag = format!("{}#{} ", self.name, self.emitted);
        self.emitted += 1;
        tag
    }
}

fn name(handle: BufferHandle) -> String {
    handle.to_string()
}

#[async_trait]
impl ComponentInvoker for Invoker {
    async fn invoke_pull(&self, _: &mut ComponentInstance, component: ComponentId) -> Result<Option<OutputElement>, ProcessError> {
        let answer = self.0.called(component, "pull", None);
        let call = self.0.under_way(component, "pull");
        self.0.meanwhile(component, &answer, None).await;
        call.over();
        match answer.act.as_str() {
            "error" | "trap" => Err(self.0.failed(component, "pull", &answer)),
            "emit" => {
                let element = self.0.made(component, "pull", self.0.fresh(component, &answer))?;
                self.0.returned(component, "pull", "emit", None, Some(&element));
                Ok(Some(element))
            }
            _ => {
                self.0.returned(component, "pull", "end", None, None);
                Ok(None)
            }
        }
    }

    async fn invoke_process(
        &self,
        _: &mut ComponentInstance,
        component: ComponentId,
        element: StreamElement,
    ) -> Result<ProcessResult, ProcessError> {
        let function = if self.0.part(component).role == "filter" { "evaluate" } else { "process" };
        let answer = self.0.called(component, function, Some(&element));
        let call = self.0.under_way(component, function);
        self.0.meanwhile(component, &answer, Some(&element)).await;
        call.over();
        match answer.act.as_str() {
            "error" | "trap" => Err(self.0.failed(component, function, &answer)),
            "emit" => {
                let output = self.0.made(component, function, self.0.copy(component, &answer, &element))?;
                self.0.returned(component, function, "emit", None, Some(&output));
                Ok(ProcessResult::Output(output))
            }
            "pass" => {
                let output = OutputElement { meta: element.meta, payload: element.payload };
                self.0.returned(component, function, "pass", None, Some(&output));
                Ok(ProcessResult::Output(output))
            }
            other => {
                self.0.returned(component, function, if other == "reject" { "reject" } else { "drop" }, None, None);
                Ok(ProcessResult::Filtered)
            }
        }
    }

    async fn invoke_push(
        &self,
        _: &mut ComponentInstance,
        component: ComponentId,
        element: StreamElement,
    ) -> Result<BackpressureSignal, ProcessError> {
        let answer = self.0.called(component, "push", Some(&element));
        let call = self.0.under_way(component, "push");
        self.0.meanwhile(component, &answer, Some(&element)).await;
        call.over();
        match answer.act.as_str() {
            "error" | "trap" => Err(self.0.failed(component, "push", &answer)),
            "pause" => {
                self.0.returned(component, "push", "pause", None, None);
                Ok(BackpressureSignal::Pause)
            }
            _ => {
                self.0.returned(component, "push", "ready", None, None);
                Ok(BackpressureSignal::Ready)
            }
        }
    }

    async fn invoke_init(&self, _: &mut ComponentInstance, component: ComponentId, _: &str) -> Result<(), ProcessError> {
        self.0.recorder.note(json!({"e": "call", "stage": self.0.recorder.stage(component), "fn": "init"}));
        self.0.returned(component, "init", "ok", None, None);
        Ok(())
    }

    async fn invoke_teardown(&self, _: &mut ComponentInstance, component: ComponentId) {
        self.0.recorder.note(json!({"e": "call", "stage": self.0.recorder.stage(component), "fn": "teardown"}));
        self.0.returned(component, "teardown", "ok", None, None);
    }
}
