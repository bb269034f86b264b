//! The process that runs the runtime: one request after another, and an end at the first panic.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use crate::facets;
use crate::supervisor::Shared;
use crate::wire::{Answer, Envelope, Refusal, RequestLine, line};

const PROTOCOL: u64 = 1;
/// The exit code of a worker that has answered `broke` and must not answer anything else.
pub const BROKE: u8 = 101;
const GARBAGE: u8 = 65;
const LINE_BYTES: u64 = 64 * 1024 * 1024;

thread_local! {
    static PANICKED: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Answer requests until `bye`, the end of input or the first panic, and return the exit code.
pub fn run(shared: &Shared) -> u8 {
    std::panic::set_hook(Box::new(|information| {
        let at = information.location().map(|place| shorten(&place.to_string())).unwrap_or_default();
        let message = information.payload_as_str().unwrap_or("a panic without words").to_string();
        PANICKED.with(|last| *last.borrow_mut() = Some((message, at)));
    }));
    let mut facets = facets::all();
    let mut output = std::io::stdout().lock();
    // Unbuffered beyond a line: the suite sends nothing before it has its reply, so nothing is lost with a worker.
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut text = Vec::new();
    loop {
        text.clear();
        match input.by_ref().take(LINE_BYTES + 1).read_until(b'\n', &mut text) {
            Ok(0) | Err(_) => return 0,
            Ok(_) if text.last() == Some(&b'\n') => {}
            Ok(_) => {
                eprintln!("a request is longer than {LINE_BYTES} bytes, or has no end");
                return GARBAGE;
            }
        }
        let Ok(Envelope { id }) = serde_json::from_slice(&text) else {
            eprintln!("a line is no request of the subject protocol");
            return GARBAGE;
        };
        shared.begin(id);
        let asked = serde_json::from_slice(&text).unwrap_or(RequestLine { id, request: Value::Null });
        let op = asked.request.get("op").and_then(Value::as_str).unwrap_or_default().to_string();
        let reply = catch_unwind(AssertUnwindSafe(|| answer(&mut facets, &op, &asked.request)));
        let broke = reply.is_err();
        let reply = match reply {
            Ok(Ok(reply)) => reply,
            Ok(Err(refusal)) => refusal.reply(),
            Err(_) => {
                let (message, at) = PANICKED.with(|last| last.borrow_mut().take()).unwrap_or_default();
                Refusal::Broke { how: "panic", message, at }.reply()
            }
        };
        if output.write_all(&line(asked.id, &reply)).and_then(|()| output.flush()).is_err() {
            return 0; // the suite is gone; nobody is left to be told
        }
        shared.end();
        if broke {
            return BROKE; // what a panic has left half done must not answer anything else; the supervisor starts another process
        }
        if op == "bye" {
            return 0;
        }
    }
}

fn answer(facets: &mut [Box<dyn facets::Facet>], op: &str, request: &Value) -> Answer {
    match op {
        "hello" => Ok(declaration(facets)),
        "bye" => Ok(json!({"re": "done"})),
        _ => {
            let name = op.split('.').next().unwrap_or_default();
            match facets.iter_mut().find(|facet| facet.name() == name) {
                None => Err(Refusal::unsupported(format!("the adapter has no facet {name:?}"))),
                Some(facet) => {
                    if let Some((_, reason)) = facet.declines().iter().find(|(declined, _)| *declined == op) {
                        return Err(Refusal::unsupported(*reason));
                    }
                    facet.answer(op, request)
                }
            }
        }
    }
}

/// Who the subject is, what it offers, and what it leaves out for which reason.
fn declaration(facets: &[Box<dyn facets::Facet>]) -> Value {
    let mut unsupported = serde_json::Map::new();
    let mut claims = Vec::new();
    for facet in facets {
        claims.push(json!({"facet": facet.name(), "version": 1, "capabilities": facet.capabilities()}));
        for (operation, reason) in facet.declines() {
            unsupported.insert((*operation).into(), json!(reason));
        }
    }
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    json!({
        "re": "declaration",
        "name": format!("torvyn-rust ({build})"),
        "version": facets::CRATES,
        "protocol": PROTOCOL,
        "language": "Rust",
        "facets": claims,
        "unsupported": unsupported,
    })
}

/// Cut a path down to what every machine has in common: the crate and the file in it.
fn shorten(place: &str) -> String {
    place.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/')).map_or(place, |(_, rest)| rest).to_string()
}
