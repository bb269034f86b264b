//! The subject protocol's envelope: one JSON object per line, a request in, its reply out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// What the suite writes on a line.
#[derive(Deserialize)]
pub struct RequestLine {
    pub id: u64,
    pub request: Value,
}

/// As much of a request line as a reply needs when the request itself could not be answered.
#[derive(Deserialize)]
pub struct Envelope {
    pub id: u64,
}

/// Why an operation has no ordinary reply.
#[derive(Debug)]
pub enum Refusal {
    /// The runtime refused the operation; `kind` is the specification's symbolic kind.
    Fault { kind: String, message: String, fields: Map<String, Value> },
    /// The crates do not offer the operation; the text says what is missing.
    Unsupported(String),
    /// The runtime broke: it hung, panicked, or corrupted memory.
    Broke { how: &'static str, message: String, at: String },
}

impl Refusal {
    pub fn fault(kind: &str, message: impl Into<String>) -> Self {
        Refusal::Fault { kind: kind.into(), message: message.into(), fields: Map::new() }
    }

    pub fn unsupported(reason: impl Into<String>) -> Self {
        Refusal::Unsupported(reason.into())
    }

    pub fn reply(self) -> Value {
        match self {
            Refusal::Fault { kind, message, fields } => json!({"re": "fault", "kind": kind, "message": message, "fields": fields}),
            Refusal::Unsupported(reason) => json!({"re": "unsupported", "reason": reason}),
            Refusal::Broke { how, message, at } => json!({"re": "broke", "how": how, "message": message, "at": at}),
        }
    }
}

pub type Answer = Result<Value, Refusal>;

/// Read a request of a known shape.
pub fn read<T: DeserializeOwned>(request: &Value) -> Result<T, Refusal> {
    T::deserialize(request).map_err(|error| Refusal::unsupported(format!("not a request that this adapter can read: {error}")))
}

pub fn done() -> Answer {
    Ok(json!({"re": "done"}))
}

pub fn count(count: u64) -> Answer {
    Ok(json!({"re": "count", "count": count}))
}

/// Bytes, base64 on the wire.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

/// A reply line.
pub fn line(id: u64, reply: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec(&json!({"id": id, "reply": reply})).expect("a JSON value has a JSON form");
    text.push(b'\n');
    text
}
