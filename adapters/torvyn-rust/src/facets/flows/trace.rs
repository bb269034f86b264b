//! What a run shows: the calls that the driver makes, what it tells its event sink, and what it sends to its owner, in one order.
//!
//! The driver is one task, so whatever it has sent before it calls a component or its sink lies in the channel by then; the recorder
//! empties the channel first, and the order is exact.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use torvyn_reactor::ReactorEvent;
use torvyn_types::{
    ComponentId, CopyReason, EventSink, FlowId, InvocationStatus, ObservabilityLevel, ProcessErrorKind, ResourceId, StreamId,
};

use crate::clock;

pub struct Recorder {
    names: Vec<String>,
    kept: Mutex<Kept>,
    prompt: bool,
}

struct Kept {
    events: Vec<Value>,
    sent: Receiver<ReactorEvent>,
}

impl Recorder {
    /// `prompt`: whether the owner takes each event at once; else it takes one when it is told to.
    pub fn new(names: Vec<String>, sent: Receiver<ReactorEvent>, prompt: bool) -> Arc<Self> {
        Arc::new(Recorder { names, kept: Mutex::new(Kept { events: Vec::new(), sent }), prompt })
    }

    /// The stage of a component: components are numbered from 1 in the order of the stages.
    pub fn stage(&self, component: ComponentId) -> &str {
        usize::try_from(component.as_u64()).ok().and_then(|number| self.names.get(number.checked_sub(1)?)).map_or("?", String::as_str)
    }

    /// Write an event down, after everything that the driver has sent before it, if the owner is prompt.
    pub fn note(&self, mut event: Value) {
        let mut kept = self.kept.lock().expect("nobody panics with it");
        if self.prompt {
            while kept.receive() {}
        }
        event["at"] = json!(clock::now());
        kept.events.push(event);
    }

    pub fn take_one(&self) {
        self.kept.lock().expect("nobody panics with it").receive();
    }

    pub fn take_all(&self) {
        let mut kept = self.kept.lock().expect("nobody panics with it");
        while kept.receive() {}
    }

    pub fn finish(&self) -> Vec<Value> {
        self.take_all();
        std::mem::take(&mut self.kept.lock().expect("nobody panics with it").events)
    }
}

impl Kept {
    /// Take one event of the driver out of its channel; false when there is none.
    fn receive(&mut self) -> bool {
        let Ok(event) = self.sent.try_recv() else { return false };
        let mut event = match event {
            ReactorEvent::FlowStateChanged { old_state, new_state, .. } => {
                json!({"e": "state", "old": format!("{old_state:?}"), "new": format!("{new_state:?}")})
            }
            ReactorEvent::FlowYielded { elements_since_last_yield, .. } => json!({"e": "yield", "n": elements_since_last_yield}),
            // Declared upstream and never sent (events.rs); should a version send them, they are in the trace's words already.
            ReactorEvent::BackpressureChanged { .. } | ReactorEvent::ComponentError { .. } => return true,
            ReactorEvent::FlowCompleted { .. } => return true, // the statistics come back from `run` as well
        };
        event["at"] = json!(clock::now());
        self.events.push(event);
        true
    }
}

/// The event sink that the driver is given.
#[derive(Clone)]
pub struct Ear(pub Arc<Recorder>);

impl EventSink for Ear {
    fn record_invocation(&self, _: FlowId, component: ComponentId, _: u64, _: u64, status: InvocationStatus) {
        let kind = match status {
            InvocationStatus::Ok => return,
            InvocationStatus::Error(kind) => kind_name(kind),
            InvocationStatus::Timeout => "timeout",
            InvocationStatus::Cancelled => "cancelled",
        };
        // What the driver then does about it, it tells nobody.
        self.0.note(json!({"e": "err", "stage": self.0.stage(component), "kind": kind, "action": "unreported"}));
    }

    fn record_element_transfer(&self, _: FlowId, stream: StreamId, sequence: u64, depth: u32) {
        self.0.note(json!({"e": "enq", "stream": stream.as_u64(), "seq": sequence, "depth": depth}));
    }

    fn record_backpressure(&self, _: FlowId, stream: StreamId, activated: bool, depth: u32, _: u64) {
        self.0.note(json!({"e": "bp", "stream": stream.as_u64(), "on": activated, "depth": depth}));
    }

    fn record_copy(&self, _: FlowId, _: ResourceId, _: ComponentId, _: ComponentId, _: u64, _: CopyReason) {}

    fn level(&self) -> ObservabilityLevel {
        ObservabilityLevel::Diagnostic
    }
}

fn kind_name(kind: ProcessErrorKind) -> &'static str {
    match kind {
        ProcessErrorKind::InvalidInput => "invalid-input",
        ProcessErrorKind::Unavailable => "unavailable",
        ProcessErrorKind::Internal => "internal",
        ProcessErrorKind::DeadlineExceeded => "deadline-exceeded",
        ProcessErrorKind::Fatal => "fatal",
    }
}
