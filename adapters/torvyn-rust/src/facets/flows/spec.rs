//! A flow as the protocol writes it down.

use serde::Deserialize;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    #[serde(rename = "do")]
    pub act: String,
    #[serde(default = "eight")]
    pub size: usize,
    /// How many elements a flush emits; nothing here is ever flushed.
    #[serde(default, rename = "count")]
    _count: u64,
    #[serde(default)]
    pub content_type: String,
    #[serde(default)]
    pub claims_sequence: u64,
    #[serde(default = "internal")]
    pub kind: String,
    #[serde(default)]
    pub message: String,
    /// Where a router sends an element; there are no routers here.
    #[serde(default, rename = "ports")]
    _ports: Vec<String>,
    #[serde(default)]
    pub keeps: u32,
    #[serde(default)]
    pub spends_ns: u64,
    #[serde(default)]
    pub reads: u32,
    #[serde(default)]
    pub chunk: u32,
    #[serde(default)]
    pub clones: bool,
    /// Whether an interruption is not heard; here a call that is given up is dropped, whatever it hears.
    #[serde(default, rename = "deaf")]
    _deaf: bool,
}

impl Answer {
    pub fn of(act: &str) -> Answer {
        serde_json::from_value(serde_json::json!({"do": act})).expect("an answer needs nothing else")
    }
}

fn eight() -> usize {
    8
}
fn internal() -> String {
    "internal".into()
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    #[serde(default)]
    pub answers: Vec<Answer>,
    #[serde(default)]
    pub then: Option<Answer>,
    #[serde(default)]
    pub lifecycle: bool,
    #[serde(default, rename = "init")]
    _init: Option<Answer>,
    #[serde(default, rename = "complete")]
    _complete: Option<Answer>,
    #[serde(default, rename = "flush")]
    _flush: Option<Answer>,
    #[serde(default, rename = "teardown")]
    _teardown: Option<Answer>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub name: String,
    pub role: String,
    #[serde(default)]
    pub script: Script,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    pub source: String,
    pub target: String,
    #[serde(default, rename = "port")]
    _port: String,
    #[serde(default = "depth")]
    pub capacity: i64,
    #[serde(default = "half")]
    pub low_watermark_ratio: f64,
    #[serde(default = "block")]
    pub policy: String,
    #[serde(default)]
    pub rate_per_s: f64,
}

fn depth() -> i64 {
    64
}
fn half() -> f64 {
    0.5
}
fn block() -> String {
    "block-producer".into()
}

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    pub policy: String,
    #[serde(rename = "choices")]
    _choices: Vec<i64>,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule { policy: "consumer-first".into(), _choices: Vec::new() }
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    pub after_calls: u64,
    #[serde(default = "cancel", rename = "do")]
    pub act: String,
    #[serde(default)]
    pub at_ms: u64,
    #[serde(default = "one")]
    pub callers: usize,
}

fn one() -> usize {
    1
}

fn cancel() -> String {
    "cancel".into()
}

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub elements_per_yield: Option<i64>,
    pub priority: String,
    pub error_policy: String,
    pub max_retries: u32,
    pub backoff_ms: u64,
    pub drain_timeout_ms: u64,
    pub deadline_ms: Option<u64>,
    pub call_timeout_ms: u64,
    pub cooperative_ms: u64,
    pub fan_out: String,
    pub breaker_threshold: u32,
    pub observer_holds: usize,
    #[serde(rename = "init_timeout_ms")]
    _init_timeout_ms: u64,
    #[serde(rename = "teardown_timeout_ms")]
    _teardown_timeout_ms: u64,
    #[serde(rename = "interrupt_grace_ms")]
    _interrupt_grace_ms: u64,
    #[serde(rename = "sink_pause_delay_ms")]
    _sink_pause_delay_ms: u64,
    #[serde(rename = "breaker_cooldown_ms")]
    _breaker_cooldown_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            elements_per_yield: Some(32),
            priority: "normal".into(),
            error_policy: "fail-fast".into(),
            max_retries: 0,
            backoff_ms: 0,
            drain_timeout_ms: 5000,
            deadline_ms: None,
            call_timeout_ms: 5000,
            cooperative_ms: 1000,
            fan_out: "min-credit".into(),
            breaker_threshold: 0,
            observer_holds: 0,
            _init_timeout_ms: 5000,
            _teardown_timeout_ms: 2000,
            _interrupt_grace_ms: 500,
            _sink_pause_delay_ms: 1,
            _breaker_cooldown_ms: 0,
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    pub stages: Vec<Stage>,
    pub edges: Vec<Edge>,
    #[serde(default)]
    pub schedule: Schedule,
    #[serde(default)]
    pub settings: Settings,
    #[serde(default)]
    pub commands: Vec<Command>,
    #[serde(default = "many")]
    pub max_calls: u64,
}

fn many() -> u64 {
    100_000
}

#[derive(Deserialize)]
pub struct Run {
    pub spec: Flow,
}

#[derive(Deserialize)]
pub struct Transition {
    pub old: String,
    pub new: String,
}
