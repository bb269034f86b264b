//! `resources.concurrent`: programs in real threads over one manager, and what came of them.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::Deserialize;
use serde_json::{Value, json};

use super::resources::{Open, Operation};
use crate::wire::{Answer, Refusal};

#[derive(Deserialize)]
pub(super) struct Concurrent {
    programs: Vec<Vec<Operation>>,
}

/// Run each program in a thread of its own, none before all threads are there.
pub(super) fn run(open: &Open, asked: Concurrent) -> Answer {
    let start = Barrier::new(asked.programs.len());
    let tick = AtomicU64::new(0);
    let play = |program: &[Operation]| -> Vec<Value> {
        start.wait();
        program
            .iter()
            .map(|operation| {
                let before = tick.fetch_add(1, Ordering::SeqCst);
                let reply = open.answer(operation).unwrap_or_else(Refusal::reply);
                let after = tick.fetch_add(1, Ordering::SeqCst);
                json!({"start": before, "end": after, "reply": reply})
            })
            .collect()
    };
    let threads: Vec<Vec<Value>> = thread::scope(|scope| {
        let running: Vec<_> = asked.programs.iter().map(|program| scope.spawn(|| play(program))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    Ok(json!({"re": "history", "threads": threads}))
}
