//! Facet `streams`: one `torvyn_reactor` stream, moved by the same functions, in the same order, as `FlowDriver` moves its own.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use torvyn_reactor::backpressure::check_backpressure_transition;
use torvyn_reactor::demand::{consume_demand, replenish_demand};
use torvyn_reactor::queue::PushResult;
use torvyn_reactor::stream::{StreamElementRef, StreamState};
use torvyn_types::{BackpressurePolicy, BufferHandle, ComponentId, ElementMeta, FlowId, ResourceId, StreamId};

use super::Facet;
use crate::wire::{Answer, Refusal, read};

pub struct Streams {
    stream: Option<StreamState>,
}

#[derive(Deserialize)]
struct OpenRequest {
    capacity: i128,
    #[serde(default = "half")]
    low_watermark_ratio: f64,
    #[serde(default = "block")]
    policy: String,
}

#[derive(Deserialize)]
struct PushRequest {
    value: i64,
}

fn half() -> f64 {
    0.5
}
fn block() -> String {
    "block-producer".into()
}

pub(super) fn policy(name: &str) -> Option<BackpressurePolicy> {
    match name {
        "block-producer" => Some(BackpressurePolicy::BlockProducer),
        "drop-oldest" => Some(BackpressurePolicy::DropOldest),
        "drop-newest" => Some(BackpressurePolicy::DropNewest),
        "error" => Some(BackpressurePolicy::Error),
        _ => None,
    }
}

impl Streams {
    pub fn new() -> Self {
        Streams { stream: None }
    }
}

impl Facet for Streams {
    fn name(&self) -> &'static str {
        "streams"
    }

    fn capabilities(&self) -> &'static [&'static str] {
        &[]
    }

    fn declines(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn answer(&mut self, op: &str, request: &Value) -> Answer {
        if op == "streams.open" {
            self.stream = None;
            let stream = open(&read(request)?)?;
            return Ok(described(self.stream.insert(stream)));
        }
        let stream = self.stream.as_mut().ok_or_else(|| Refusal::fault("not-open", "no stream is open"))?;
        match op {
            "streams.push" => push(stream, read::<PushRequest>(request)?.value),
            "streams.pop" => pop(stream),
            "streams.complete" => {
                stream.producer_complete = true; // as FlowDriver::execute_pull does when a source ends
                Ok(described(stream))
            }
            "streams.inspect" => Ok(described(stream)),
            other => Err(Refusal::unsupported(format!("no operation {other:?}"))),
        }
    }
}

fn open(asked: &OpenRequest) -> Result<StreamState, Refusal> {
    let policy = policy(&asked.policy).ok_or_else(|| Refusal::fault("invalid-policy", format!("{:?} is no policy", asked.policy)))?;
    let capacity =
        usize::try_from(asked.capacity).map_err(|_| Refusal::fault("invalid-capacity", "the capacity is a usize in torvyn-reactor"))?;
    let (producer, consumer) = (ComponentId::new(1), ComponentId::new(2));
    Ok(StreamState::new(StreamId::new(0), FlowId::new(1), producer, consumer, capacity, policy, asked.low_watermark_ratio))
}

/// The number travels as the element's sequence, the only thing in it that is free.
fn element(value: i64) -> StreamElementRef {
    let sequence = value.cast_unsigned();
    StreamElementRef {
        sequence,
        buffer_handle: BufferHandle::new(ResourceId::new(0, 0)),
        meta: ElementMeta::new(sequence, 0, String::new()),
        enqueued_at: Instant::now(),
    }
}

fn value(element: &StreamElementRef) -> i64 {
    element.sequence.cast_signed()
}

fn push(stream: &mut StreamState, number: i64) -> Answer {
    if stream.producer_complete {
        // The driver asks producer_can_produce before it calls a producer; of its four parts this one has a name in the protocol.
        debug_assert!(!stream.producer_can_produce());
        return Err(Refusal::fault("producer-complete", "producer_can_produce is false: the producer has completed"));
    }
    let pushed = stream.queue.push_with_policy(element(number), stream.backpressure_policy);
    let (verdict, evicted) = match &pushed {
        PushResult::Ok => {
            consume_demand(stream);
            stream.metrics.record_enqueue(stream.queue.len() as u32);
            ("enqueued", None)
        }
        PushResult::DroppedOldest(old) => ("evicted-oldest", Some(value(old))),
        PushResult::DroppedNewest(_) => ("refused-newest", None),
        PushResult::Full(_) if stream.backpressure_policy == BackpressurePolicy::Error => ("queue-full", None),
        PushResult::Full(_) => return Err(Refusal::fault("queue-full", "BoundedQueue::push_with_policy returned Full")),
    };
    let changed = settle(stream);
    Ok(json!({"re": "pushed", "verdict": verdict, "stream": shape(stream), "evicted": evicted, "pressure_changed": changed}))
}

fn pop(stream: &mut StreamState) -> Answer {
    let taken = stream.queue.pop().ok_or_else(|| Refusal::fault("queue-empty", "BoundedQueue::pop returned None"))?;
    replenish_demand(stream);
    let changed = settle(stream);
    Ok(json!({"re": "popped", "value": value(&taken), "stream": shape(stream), "pressure_changed": changed}))
}

/// What `FlowDriver::check_backpressure_all` does for each stream after each stage execution.
fn settle(stream: &mut StreamState) -> Option<&'static str> {
    let (depth, capacity, low) = (stream.queue.len(), stream.queue.capacity(), stream.low_watermark_depth());
    match check_backpressure_transition(depth, capacity, low, stream.backpressure.is_active())? {
        true if stream.backpressure.try_activate() => {
            stream.metrics.record_backpressure_event();
            Some("active")
        }
        true => None,
        false => {
            let duration = stream.backpressure.try_deactivate()?;
            stream.metrics.add_backpressure_duration(duration);
            Some("normal")
        }
    }
}

fn shape(stream: &StreamState) -> Value {
    json!({
        "depth": stream.queue.len(), "credits": stream.demand, "capacity": stream.queue.capacity(), "low": stream.low_watermark_depth(),
        "pressure": if stream.backpressure.is_active() { "active" } else { "normal" },
        "may_produce": stream.producer_can_produce(), "is_complete": stream.is_complete(),
    })
}

fn described(stream: &StreamState) -> Value {
    let mut reply = shape(stream);
    reply["re"] = json!("stream");
    reply
}
