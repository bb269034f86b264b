//! The published Rust crates of Torvyn as a subject of the conformance suite.
//!
//! Two processes: a worker runs the runtime and answers the suite, a supervisor watches it. When the worker dies, or is at one request for
//! too long, the supervisor says so in its place (`broke`) and starts another, so that nothing which a corrupt process says is ever taken
//! for an answer.

mod bench;
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
        ["--bench", count] if count.parse::<usize>().is_ok_and(|count| count >= 2) => match bench::run(count.parse().unwrap_or(2)) {
            Ok(found) => {
                println!("{found}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: torvyn-rust-adapter    (it speaks the subject protocol of torvyn-conformance on stdin and stdout)");
            eprintln!("       torvyn-rust-adapter --bench COUNT    (CPU of COUNT elements and operations, as JSON; COUNT is 2 or more)");
            ExitCode::from(USAGE)
        }
    }
}
