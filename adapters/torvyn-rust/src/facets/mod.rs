//! The facets that this adapter offers. A further crate of Torvyn is a further module here, and one line in `all`.

use serde_json::Value;

use crate::wire::Answer;

mod concurrent;
mod flows;
mod resources;
mod streams;

/// The crates under test, as the report names them; `tests/lock.rs` holds it to Cargo.lock.
pub const CRATES: &str = "0.1.1";

/// One side of the runtime.
pub trait Facet {
    /// The facet's name in the protocol, which is what its operations begin with.
    fn name(&self) -> &'static str;

    /// Optional capabilities, and the readings of ambiguous rules that the crates follow.
    fn capabilities(&self) -> &'static [&'static str];

    /// What the crates do not offer, and why: operations, or features of an operation (`flows.run/role=router`).
    fn declines(&self) -> &'static [(&'static str, &'static str)];

    /// Carry out one operation.
    fn answer(&mut self, op: &str, request: &Value) -> Answer;
}

pub fn all() -> Vec<Box<dyn Facet>> {
    vec![Box::new(resources::Resources::new()), Box::new(streams::Streams::new()), Box::new(flows::Flows)]
}
