//! The published Rust crates of Torvyn as a subject of the conformance suite.
//!
//! Two processes: a worker runs the runtime and answers the suite, a supervisor watches it. When the worker dies, or is at one request for
//! too long, the supervisor says so in its place (`broke`) and starts another, so that nothing which a corrupt process says is ever taken
//! for an answer.

mod clock;
mod facets;
mod guard;
mod supervisor;
mod wire;
mod worker;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: guard::Guarded = guard::Guarded;

const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => supervisor::run(),
        _ => {
            eprintln!("usage: torvyn-rust-adapter    (it speaks the subject protocol of torvyn-conformance on stdin and stdout)");
            ExitCode::from(USAGE)
        }
    }
}
