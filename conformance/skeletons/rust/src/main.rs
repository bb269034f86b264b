//! An adapter: it lets `torvyn-conformance` drive a runtime over standard input and output.
//!
//! `Stream` is a small stream of numbers that stands where your runtime will stand: replace its body, message by message, and claim
//! further facets in `DECLARATION` as you add them. What you leave out, name in `unsupported` with the reason. The facet `streams` has flat
//! messages, so a look-up of fields is enough here; take a JSON library as soon as you add a facet whose messages nest.

use std::collections::VecDeque;
use std::io::{self, BufRead, Write};

const DECLARATION: &str = r#"{"re":"declaration","name":"my-runtime","version":"0.1.0","protocol":1,"language":"rust","facets":[{"facet":"streams"}],"unsupported":{}}"#;

/// The runtime refused an operation, and nothing has changed; the text is the specification's symbolic kind.
struct Refused(&'static str);

struct Stream {
    capacity: u64,
    low: u64,
    policy: String,
    items: VecDeque<i64>,
    active: bool,
    done: bool,
}

impl Stream {
    fn open(request: &str) -> Result<Stream, Refused> {
        let capacity = number(request, "capacity").unwrap_or(0.0) as u64;
        let ratio = number(request, "low_watermark_ratio").unwrap_or(0.5);
        if capacity < 1 {
            return Err(Refused("invalid-capacity"));
        }
        if !(0.0..1.0).contains(&ratio) {
            return Err(Refused("invalid-ratio"));
        }
        let policy = text(request, "policy").unwrap_or("block-producer").to_string();
        let low = (capacity as f64 * ratio) as u64;
        Ok(Stream { capacity, low, policy, items: VecDeque::new(), active: false, done: false })
    }

    fn push(&mut self, value: i64) -> Result<String, Refused> {
        if self.done {
            return Err(Refused("producer-complete"));
        }
        let mut verdict = "enqueued";
        let mut more = String::new();
        if self.items.len() as u64 == self.capacity {
            match self.policy.as_str() {
                "block-producer" => return Err(Refused("queue-full")),
                "drop-oldest" => {
                    verdict = "evicted-oldest";
                    if let Some(oldest) = self.items.pop_front() {
                        more += &format!(r#","evicted":{oldest}"#);
                    }
                }
                other => {
                    let verdict = if other == "error" { "queue-full" } else { "refused-newest" };
                    return Ok(format!(r#"{{"re":"pushed","verdict":"{verdict}","stream":{}}}"#, self.describe()));
                }
            }
        }
        self.items.push_back(value);
        if self.items.len() as u64 == self.capacity && !self.active {
            self.active = true;
            more += r#","pressure_changed":"active""#;
        }
        Ok(format!(r#"{{"re":"pushed","verdict":"{verdict}","stream":{}{more}}}"#, self.describe()))
    }

    fn pop(&mut self) -> Result<String, Refused> {
        let value = self.items.pop_front().ok_or(Refused("queue-empty"))?;
        let mut more = "";
        if self.active && self.items.len() as u64 <= self.low {
            self.active = false;
            more = r#","pressure_changed":"normal""#;
        }
        Ok(format!(r#"{{"re":"popped","value":{value},"stream":{}{more}}}"#, self.describe()))
    }

    fn describe(&self) -> String {
        let depth = self.items.len() as u64;
        let waits = self.policy == "block-producer" && (self.active || depth == self.capacity);
        format!(
            r#"{{"re":"stream","depth":{depth},"credits":{},"capacity":{},"low":{},"pressure":"{}","may_produce":{},"is_complete":{}}}"#,
            self.capacity - depth,
            self.capacity,
            self.low,
            if self.active { "active" } else { "normal" },
            !self.done && !waits,
            self.done && depth == 0
        )
    }
}

fn answer(stream: &mut Stream, request: &str) -> Result<String, Refused> {
    Ok(match text(request, "op").unwrap_or("") {
        "hello" => DECLARATION.to_string(),
        "bye" => r#"{"re":"done"}"#.to_string(),
        "streams.open" => {
            *stream = Stream::open(request)?;
            stream.describe()
        }
        "streams.push" => stream.push(integer(request, "value"))?,
        "streams.pop" => stream.pop()?,
        "streams.complete" => {
            stream.done = true;
            stream.describe()
        }
        "streams.inspect" => stream.describe(),
        other => format!(r#"{{"re":"unsupported","reason":"{other} is not implemented"}}"#),
    })
}

/// Return what stands behind a field's name in a flat JSON object.
fn raw<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let start = request.find(&format!(r#""{name}":"#))? + name.len() + 3;
    Some(request[start..].trim_start())
}

fn text<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    raw(request, name)?.strip_prefix('"')?.split('"').next()
}

fn digits<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    raw(request, name)?.split([',', '}']).next().map(str::trim)
}

fn number(request: &str, name: &str) -> Option<f64> {
    digits(request, name)?.parse().ok()
}

fn integer(request: &str, name: &str) -> i64 {
    digits(request, name).and_then(|found| found.parse().ok()).unwrap_or(0)
}

/// Standard output belongs to the protocol: log with `eprintln!` only.
fn main() -> io::Result<()> {
    let Ok(mut stream) = Stream::open(r#"{"capacity":64}"#) else { unreachable!("the default is valid") };
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let id = integer(&line, "id");
        let request = line.find(r#""request":"#).map_or("", |start| &line[start..]);
        let reply = answer(&mut stream, request).unwrap_or_else(|Refused(kind)| format!(r#"{{"re":"fault","kind":"{kind}"}}"#));
        writeln!(output, r#"{{"id":{id},"reply":{reply}}}"#)?;
        output.flush()?;
        if text(request, "op") == Some("bye") {
            break;
        }
    }
    Ok(())
}
