//! Facet `resources`: `torvyn_resources::DefaultResourceManager`, one call per operation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use torvyn_resources::{DefaultResourceManager, OwnerId, PoolTier, ResourceManagerConfig, TierConfig};
use torvyn_types::{
    BufferHandle, ComponentId, CopyReason, EventSink, FlowId, InvocationStatus, ObservabilityLevel, ResourceError, ResourceId,
    ResourceState, StreamId,
};

use super::{Facet, concurrent};
use crate::wire::{Answer, Bytes, Refusal, count, done, read};

const DECLINES: &[(&str, &str)] = &[
    ("resources.freeze", "torvyn-resources has no frozen buffers: BufferFlags::read_only is reserved and never read (handle.rs)"),
    ("resources.budget", "DefaultResourceManager keeps its BudgetRegistry private: a component's use cannot be asked for (manager.rs)"),
    ("resources.borrow/borrower=host", "borrow_start takes a ComponentId: the host cannot be named as a borrower"),
    ("resources.clone", "torvyn-resources has no clone-into-mutable"),
    ("resources.live", "DefaultResourceManager counts live buffers and lists them only by owner (resources_held_by)"),
    ("resources.close-copies", "release_flow_resources discards a flow's copy statistics; nothing returns the final ones (manager.rs)"),
];

const CAPABILITIES: &[&str] = &[
    "concurrency",
    "state_tables",
    "gap=zero-fill",
    "rm_read=strict",
    "third_party_read=allow",
    "unregistered=unlimited",
    "borrow_end=anyone",
];

pub struct Resources {
    open: Option<Open>,
}

/// A manager, and the sink that hears of its copies.
pub(super) struct Open {
    pub(super) manager: DefaultResourceManager,
    copies: Arc<CopyRoutes>,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct WireHandle {
    index: u32,
    generation: u32,
}

impl WireHandle {
    fn upstream(self) -> BufferHandle {
        BufferHandle::new(ResourceId::new(self.index, self.generation))
    }
}

#[derive(Deserialize)]
struct TierSetting {
    tier: String,
    pool_size: u32,
    #[serde(default = "yes")]
    preallocate: bool,
}

#[derive(Deserialize)]
struct OpenRequest {
    #[serde(default = "table_capacity")]
    table_capacity: u32,
    #[serde(default)]
    tiers: Vec<TierSetting>,
    #[serde(default = "exhaustion")]
    exhaustion: String,
    #[serde(default = "default_budget")]
    default_budget_bytes: Option<u64>,
    #[serde(default = "level")]
    level: String,
}

fn yes() -> bool {
    true
}
fn table_capacity() -> u32 {
    64
}
fn exhaustion() -> String {
    "fallback-alloc".into()
}
#[allow(clippy::unnecessary_wraps)]
fn default_budget() -> Option<u64> {
    Some(64 * 1024 * 1024)
}
fn level() -> String {
    "production".into()
}
fn flow_one() -> u64 {
    1
}

/// What one operation on a manager needs, whichever it is.
#[derive(Deserialize)]
pub(super) struct Operation {
    pub(super) op: String,
    handle: Option<WireHandle>,
    owner: Option<String>,
    caller: Option<String>,
    source: Option<String>,
    target: Option<String>,
    borrower: Option<String>,
    reader: Option<String>,
    component: Option<String>,
    tier: Option<String>,
    content_type: Option<String>,
    old: Option<String>,
    new: Option<String>,
    data: Option<Bytes>,
    capacity: Option<u64>,
    offset: Option<u64>,
    length: Option<u64>,
    budget_bytes: Option<u64>,
    claimed_flow: Option<u64>,
    #[serde(default = "flow_one")]
    flow: u64,
}

impl Resources {
    pub fn new() -> Self {
        Resources { open: None }
    }
}

impl Facet for Resources {
    fn name(&self) -> &'static str {
        "resources"
    }

    fn capabilities(&self) -> &'static [&'static str] {
        CAPABILITIES
    }

    fn declines(&self) -> &'static [(&'static str, &'static str)] {
        DECLINES
    }

    fn answer(&mut self, op: &str, request: &Value) -> Answer {
        if op == "resources.open" {
            self.open = None; // what the previous manager held is gone before the next one allocates
            self.open = Some(open(read(request)?)?);
            return done();
        }
        if op == "resources.transition" {
            return transition(&read(request)?);
        }
        let open = self.open.as_ref().ok_or_else(|| Refusal::fault("not-open", "no resource manager is open"))?;
        if op == "resources.concurrent" {
            return concurrent::run(open, read(request)?);
        }
        open.answer(&read(request)?)
    }
}

fn open(request: OpenRequest) -> Result<Open, Refusal> {
    if request.exhaustion != "fallback-alloc" {
        return Err(Refusal::unsupported(format!(
            "torvyn-resources always falls back to the allocator: no policy {:?}",
            request.exhaustion
        )));
    }
    let mut config = ResourceManagerConfig { table_capacity: request.table_capacity, ..ResourceManagerConfig::default() };
    if !request.tiers.is_empty() {
        config.pool_configs = tiers(&request.tiers)?;
    }
    if let Some(bytes) = request.default_budget_bytes {
        config.default_budget_bytes = bytes;
    }
    let level = match request.level.as_str() {
        "off" => ObservabilityLevel::Off,
        "production" => ObservabilityLevel::Production,
        "diagnostic" => ObservabilityLevel::Diagnostic,
        other => return Err(Refusal::fault("invalid-config", format!("{other:?} is no level"))),
    };
    let copies = Arc::new(CopyRoutes { level, routes: Mutex::default() });
    Ok(Open { manager: DefaultResourceManager::new(config, Arc::clone(&copies) as Arc<dyn EventSink>), copies })
}

/// Upstream takes an array of exactly four tiers. A request that names all four is passed on in its order. One that leaves some out says
/// nothing about places: the tiers it names replace upstream's defaults where those stand, for the array has no place for "none".
fn tiers(asked: &[TierSetting]) -> Result<[TierConfig; 4], Refusal> {
    let mut named = Vec::new();
    for setting in asked {
        named.push(TierConfig { tier: tier(&setting.tier)?, pool_size: setting.pool_size, preallocate: setting.preallocate });
    }
    let twice = named.iter().enumerate().any(|(i, one)| named[..i].iter().any(|other| other.tier == one.tier));
    if twice {
        return Err(Refusal::unsupported("torvyn-resources takes exactly four tiers, each once"));
    }
    <[TierConfig; 4]>::try_from(named).or_else(|some| {
        Ok(TierConfig::defaults().map(|default| some.iter().find(|one| one.tier == default.tier).cloned().unwrap_or(default)))
    })
}

fn tier(name: &str) -> Result<PoolTier, Refusal> {
    match name {
        "small" => Ok(PoolTier::Small),
        "medium" => Ok(PoolTier::Medium),
        "large" => Ok(PoolTier::Large),
        "huge" => Ok(PoolTier::Huge),
        other => Err(Refusal::fault("invalid-tier", format!("{other:?} is no tier"))),
    }
}

fn tier_name(tier: PoolTier) -> &'static str {
    match tier {
        PoolTier::Small => "small",
        PoolTier::Medium => "medium",
        PoolTier::Large => "large",
        PoolTier::Huge => "huge",
    }
}

impl Open {
    pub(super) fn answer(&self, asked: &Operation) -> Answer {
        let manager = &self.manager;
        match asked.op.as_str() {
            "resources.allocate" => {
                let (owner, capacity) = (owner(asked.owner.as_deref())?, asked.capacity.unwrap_or_default());
                // The type is u32: what does not fit cannot be asked for, which is a refusal by the compiler.
                let capacity = u32::try_from(capacity).map_err(|_| beyond("capacity-exceeded", "capacity"))?;
                let handle = manager.allocate(owner, capacity, FlowId::new(asked.flow)).map_err(fault)?;
                Ok(json!({"re": "handle", "handle": wire_handle(handle.resource_id())}))
            }
            "resources.release" => manager.release(handle(asked)?, owner(asked.caller.as_deref())?).map_err(fault).and_then(|()| done()),
            "resources.transfer" => {
                let (from, to) = (owner(asked.source.as_deref())?, owner(asked.target.as_deref())?);
                manager.transfer_ownership(handle(asked)?, from, to).map_err(fault).and_then(|()| done())
            }
            "resources.borrow" => {
                manager.borrow_start(handle(asked)?, component(asked.borrower.as_deref())?).map_err(fault).and_then(|()| done())
            }
            "resources.end-borrow" => {
                manager.borrow_end(handle(asked)?, component(asked.borrower.as_deref())?).map_err(fault).and_then(|()| done())
            }
            "resources.write" => {
                let (handle, caller) = (handle(asked)?, owner(asked.caller.as_deref())?);
                let offset = u32::try_from(asked.offset.unwrap_or_default()).map_err(|_| beyond("out-of-bounds", "offset"))?;
                let data = asked.data.as_ref().map_or(&[][..], |bytes| &bytes.0);
                manager.write_payload(handle, caller, offset, data, self.flow_of(handle, asked)).map_err(fault)?;
                // Upstream does not say the new size; should another thread have released the buffer by now, this much it was at least.
                count(manager.payload_len(handle).map_or(u64::from(offset) + data.len() as u64, u64::from))
            }
            "resources.read" => {
                let (handle, reader) = (handle(asked)?, owner(asked.reader.as_deref())?);
                let offset = u32::try_from(asked.offset.unwrap_or_default()).map_err(|_| beyond("out-of-bounds", "offset"))?;
                let length = u32::try_from(asked.length.unwrap_or_default()).map_err(|_| beyond("out-of-bounds", "length"))?;
                let data = manager.read_payload(handle, reader, offset, length, self.flow_of(handle, asked)).map_err(fault)?;
                Ok(json!({"re": "bytes", "data": Bytes(data)}))
            }
            "resources.set-content-type" => {
                let text = asked.content_type.as_deref().unwrap_or_default();
                manager.set_content_type(handle(asked)?, owner(asked.caller.as_deref())?, text).map_err(fault).and_then(|()| done())
            }
            "resources.inspect" => {
                let seen = manager.inspect(handle(asked)?).map_err(fault)?;
                sound(&seen.content_type)?;
                Ok(json!({
                    "re": "buffer", "state": format!("{:?}", seen.state), "owner": owner_name(seen.owner), "borrow_count": seen.borrow_count,
                    "capacity": seen.payload_capacity, "size": seen.payload_len, "content_type": seen.content_type,
                    "tier": tier_name(seen.pool_tier), "is_fallback": seen.is_fallback, "flow": seen.flow_id.as_u64(),
                }))
            }
            "resources.live-count" => count(manager.live_resource_count().into()),
            "resources.force-reclaim" => {
                let records = manager.force_reclaim(component(asked.component.as_deref())?);
                let buffers: Vec<Value> = records
                    .iter()
                    .map(|record| {
                        json!({
                            "handle": wire_handle(record.resource_id), "previous_state": format!("{:?}", record.previous_state),
                            "previous_owner": owner_name(record.previous_owner), "capacity": record.payload_capacity,
                            "returned_to_pool": record.returned_to_pool,
                        })
                    })
                    .collect();
                Ok(json!({"re": "reclaimed", "buffers": buffers}))
            }
            "resources.release-flow" => {
                let freed = manager.release_flow_resources(FlowId::new(asked.flow)).map_err(fault)?;
                Ok(json!({
                    "re": "flow-released", "returned_to_pool": freed.returned_to_pool, "deallocated": freed.deallocated,
                    "bytes_released": freed.total_bytes_released, "borrows_cleared": freed.borrows_cleared,
                }))
            }
            "resources.register-component" => {
                manager.register_component(component(asked.component.as_deref())?, asked.budget_bytes);
                done()
            }
            "resources.register-flow" => {
                manager.register_flow(FlowId::new(asked.flow));
                done()
            }
            "resources.pool" => {
                let seen = manager.pool_metrics(tier(asked.tier.as_deref().unwrap_or_default())?);
                Ok(json!({
                    "re": "pool", "pool_size": seen.pool_size, "available": seen.available, "alloc_count": seen.alloc_count,
                    "return_count": seen.return_count, "fallback_count": seen.fallback_count, "exhaustion_count": seen.exhaustion_count,
                }))
            }
            "resources.copies" => Ok(self.copies(FlowId::new(asked.flow))),
            other => Err(Refusal::unsupported(format!("no operation {other:?}"))),
        }
    }

    /// The flow that upstream asks every reader and writer for: what it claims, where the protocol has it claim something; else the truth.
    fn flow_of(&self, handle: BufferHandle, asked: &Operation) -> FlowId {
        let truth = || self.manager.inspect(handle).map_or(FlowId::new(0), |seen| seen.flow_id);
        asked.claimed_flow.map_or_else(truth, FlowId::new)
    }

    fn copies(&self, flow: FlowId) -> Value {
        let stats = self.manager.flow_copy_stats(flow);
        let [in_, out, across, returned] = stats.copies_by_reason;
        json!({
            "re": "copies", "total_copy_ops": stats.total_copy_ops, "total_payload_bytes": stats.total_payload_bytes,
            "ops_by_reason": {"HostToComponent": in_, "ComponentToHost": out, "CrossComponent": across, "PoolReturn": returned},
            "metadata_bytes": stats.total_metadata_bytes, "routes": self.copies.of(flow),
        })
    }
}

/// Copies and their bytes, by flow, from whom, to whom, and why.
type Routes = BTreeMap<(u64, u64, u64, String), (u64, u64)>;

/// Hears of copies, as the observability collector would, and adds up what went which way.
struct CopyRoutes {
    level: ObservabilityLevel,
    routes: Mutex<Routes>,
}

impl CopyRoutes {
    fn of(&self, flow: FlowId) -> Vec<Value> {
        // Upstream writes the host as component 0 (manager.rs), which is no component's number.
        let name = |component: u64| if component == 0 { "host".to_string() } else { format!("component-{component}") };
        let routes = self.routes.lock().expect("nobody panics with it");
        let of_flow = routes.iter().filter(|((of, ..), _)| *of == flow.as_u64());
        of_flow
            .map(|((_, from, to, reason), (ops, bytes))| {
                json!({"source": name(*from), "target": name(*to), "reason": reason, "ops": ops, "bytes": bytes})
            })
            .collect()
    }
}

impl EventSink for CopyRoutes {
    fn record_invocation(&self, _: FlowId, _: ComponentId, _: u64, _: u64, _: InvocationStatus) {}
    fn record_element_transfer(&self, _: FlowId, _: StreamId, _: u64, _: u32) {}
    fn record_backpressure(&self, _: FlowId, _: StreamId, _: bool, _: u32, _: u64) {}

    fn record_copy(&self, flow: FlowId, _: ResourceId, from: ComponentId, to: ComponentId, bytes: u64, reason: CopyReason) {
        let mut routes = self.routes.lock().expect("nobody panics with it");
        let sum = routes.entry((flow.as_u64(), from.as_u64(), to.as_u64(), format!("{reason:?}"))).or_default();
        sum.0 += 1;
        sum.1 += bytes;
    }

    fn level(&self) -> ObservabilityLevel {
        self.level
    }
}

fn transition(asked: &Operation) -> Answer {
    let (old, new) = (asked.old.as_deref().unwrap_or_default(), asked.new.as_deref().unwrap_or_default());
    if state(old)?.can_transition_to(&state(new)?) {
        return done();
    }
    let fields = json!({"machine": "ResourceState", "old": old, "new": new});
    Err(Refusal::Fault {
        kind: "invalid-transition".into(),
        message: String::new(),
        fields: fields.as_object().cloned().unwrap_or_default(),
    })
}

fn state(name: &str) -> Result<ResourceState, Refusal> {
    use ResourceState::{Borrowed, Freed, Leased, Owned, Pooled, Transit};
    [Pooled, Owned, Borrowed, Leased, Transit, Freed]
        .into_iter()
        .find(|state| format!("{state:?}") == name)
        .ok_or_else(|| Refusal::fault("invalid-state", format!("{name:?} is no state of a buffer")))
}

/// A Rust string that is not UTF-8 is undefined behaviour, and must not reach the wire.
fn sound(text: &str) -> Result<(), Refusal> {
    // Through raw parts, for the compiler may assume of a `&str` what is asked here.
    let bytes = unsafe { std::slice::from_raw_parts(std::hint::black_box(text.as_ptr()), text.len()) };
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::Broke {
            how: "undefined-behaviour",
            message: format!("a content type is a String that is not UTF-8: {error}"),
            at: "torvyn-resources-0.1.1/src/handle.rs (ContentType::as_str)".into(),
        }),
    }
}

fn handle(asked: &Operation) -> Result<BufferHandle, Refusal> {
    asked.handle.map(WireHandle::upstream).ok_or_else(|| Refusal::unsupported("the operation needs a handle"))
}

fn wire_handle(id: ResourceId) -> Value {
    json!({"index": id.index(), "generation": id.generation()})
}

pub(super) fn owner(text: Option<&str>) -> Result<OwnerId, Refusal> {
    match text {
        Some("host") => Ok(OwnerId::Host),
        Some("transit") => Ok(OwnerId::Transit),
        Some(text) => component(Some(text)).map(OwnerId::Component),
        None => Err(Refusal::fault("invalid-owner", "an owner is missing")),
    }
}

fn component(text: Option<&str>) -> Result<ComponentId, Refusal> {
    let number = text.and_then(|text| text.strip_prefix("component-")).and_then(|number| number.parse::<u64>().ok());
    match number {
        Some(number) if number > 0 => Ok(ComponentId::new(number)),
        // Borrowers, budgets and reclaims take a ComponentId: no other party can be named there.
        _ => Err(Refusal::fault("invalid-owner", format!("{:?} is no component", text.unwrap_or_default()))),
    }
}

fn owner_name(owner: OwnerId) -> String {
    owner.to_string()
}

fn beyond(kind: &str, what: &str) -> Refusal {
    Refusal::fault(kind, format!("the {what} is a u32 in torvyn-resources"))
}

/// A refusal of the manager, in the protocol's words: kinds in kebab-case, fields by name.
pub(super) fn fault(error: ResourceError) -> Refusal {
    let message = error.to_string();
    let (kind, fields) = match error {
        ResourceError::StaleHandle { handle } => ("stale-handle", json!({"handle": wire_handle(handle)})),
        ResourceError::NotOwner { handle, expected_owner, actual_caller } => {
            ("not-owner", json!({"handle": wire_handle(handle), "expected_owner": expected_owner, "actual_caller": actual_caller}))
        }
        ResourceError::NotAllocated { handle } => ("not-allocated", json!({"handle": wire_handle(handle)})),
        ResourceError::BorrowsOutstanding { handle, borrow_count } => {
            ("borrows-outstanding", json!({"handle": wire_handle(handle), "borrow_count": borrow_count}))
        }
        ResourceError::MutableLeaseActive { handle } => ("mutable-lease-active", json!({"handle": wire_handle(handle)})),
        ResourceError::ReadOnlyLeasesActive { handle } => ("read-only-leases-active", json!({"handle": wire_handle(handle)})),
        ResourceError::BudgetExceeded { component, current_bytes, requested_bytes, budget_bytes } => (
            "budget-exceeded",
            json!({"component": component.to_string(), "current": current_bytes, "requested": requested_bytes, "budget": budget_bytes}),
        ),
        ResourceError::AllocationFailed { requested_capacity, reason } => {
            ("allocation-failed", json!({"requested": requested_capacity, "reason": reason}))
        }
        ResourceError::CapacityExceeded { handle, capacity, attempted_size } => {
            ("capacity-exceeded", json!({"handle": wire_handle(handle), "capacity": capacity, "attempted_size": attempted_size}))
        }
        ResourceError::OutOfBounds { handle, offset, buffer_size } => {
            ("out-of-bounds", json!({"handle": wire_handle(handle), "offset": offset, "buffer_size": buffer_size}))
        }
    };
    let fields: Map<String, Value> = fields.as_object().cloned().unwrap_or_default();
    Refusal::Fault { kind: kind.into(), message, fields }
}
