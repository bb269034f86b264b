//! The process that never runs the runtime: it passes lines on, and speaks for a worker that cannot.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::wire::{Envelope, Refusal, line};

/// No line may be longer, in either direction; the suite's own bound.
const LINE_BYTES: u64 = 64 * 1024 * 1024;

/// How long the runtime may take for one request: below the 30 s after which the suite gives up by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much of the end of a worker's stderr is kept.
const LAST_WORDS: usize = 4096;

/// A reply that says `broke` is never longer.
const SHORT: usize = 64 * 1024;

const GARBAGE: u8 = 65;

struct Worker {
    child: Child,
    requests: ChildStdin,
    replies: Receiver<Vec<u8>>,
    said: Arc<Mutex<Vec<u8>>>,
    ear: Option<JoinHandle<()>>,
}

impl Worker {
    fn start() -> std::io::Result<Worker> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().expect("piped");
        let stdout = child.stdout.take().expect("piped");
        let mut stderr = child.stderr.take().expect("piped");
        let (sender, replies) = channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            loop {
                let mut text = Vec::new();
                match reader.by_ref().take(LINE_BYTES + 1).read_until(b'\n', &mut text) {
                    Ok(_) if text.last() == Some(&b'\n') => {
                        if sender.send(text).is_err() {
                            return;
                        }
                    }
                    _ => return,
                }
            }
        });
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let ear = thread::spawn(move || {
            let mut chunk = [0u8; 1024];
            while let Ok(size) = stderr.read(&mut chunk) {
                if size == 0 {
                    return;
                }
                let mut said = heard.lock().expect("nobody panics with it");
                said.extend_from_slice(&chunk[..size]);
                let excess = said.len().saturating_sub(LAST_WORDS);
                said.drain(..excess);
                let _ = std::io::stderr().write_all(&chunk[..size]);
            }
        });
        Ok(Worker { child, requests, replies, said, ear: Some(ear) })
    }

    /// Pass one request on and return the reply line; a worker that does not answer is described, and is gone.
    fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        if self.requests.write_all(request).and_then(|()| self.requests.flush()).is_err() {
            return Err(self.death());
        }
        match self.replies.recv_timeout(PATIENCE) {
            Ok(text) => Ok(text),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                Err(Refusal::Broke { how: "hang", message: format!("no answer within {} s", PATIENCE.as_secs()), at: String::new() })
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.death()),
        }
    }

    fn death(&mut self) -> Refusal {
        let status = self.child.wait();
        if let Some(ear) = self.ear.take() {
            let _ = ear.join(); // its last words, to their end
        }
        let said = String::from_utf8_lossy(&self.said.lock().expect("nobody panics with it")).trim().to_string();
        describe(status.ok(), said)
    }

    fn end(mut self) {
        drop(self.requests);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn describe(status: Option<ExitStatus>, said: String) -> Refusal {
    let last = said.lines().last().unwrap_or_default().to_string();
    match status.and_then(|status| status.signal()) {
        Some(libc::SIGSEGV | libc::SIGBUS) => Refusal::Broke {
            how: "undefined-behaviour",
            message: "memory outside of an allocation was touched".into(),
            at: last,
        },
        Some(libc::SIGABRT) if said.contains(crate::guard::OVERRUN) => {
            Refusal::Broke { how: "undefined-behaviour", message: last, at: String::new() }
        }
        Some(signal) => Refusal::Broke { how: "abort", message: format!("ended by signal {signal}"), at: last },
        None => Refusal::Broke { how: "abort", message: format!("ended by itself: {status:?}"), at: last },
    }
}

/// Tell whether a worker's own last line says that its runtime broke.
fn says_broke(reply: &[u8]) -> bool {
    serde_json::from_slice::<Value>(reply).is_ok_and(|line| line["reply"]["re"] == "broke")
}

pub fn run() -> ExitCode {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut output = std::io::stdout().lock();
    let mut worker: Option<Worker> = None;
    loop {
        let mut request = Vec::new();
        match input.by_ref().take(LINE_BYTES + 1).read_until(b'\n', &mut request) {
            Ok(0) => break,
            Ok(_) if request.len() as u64 <= LINE_BYTES => {}
            _ => {
                eprintln!("a request is longer than {LINE_BYTES} bytes, or cannot be read");
                return ExitCode::from(GARBAGE);
            }
        }
        let Ok(Envelope { id }) = serde_json::from_slice(&request) else {
            eprintln!("a line is no request of the subject protocol");
            return ExitCode::from(GARBAGE);
        };
        let running = match worker.as_mut() {
            Some(running) => running,
            None => match Worker::start() {
                Ok(started) => worker.insert(started),
                Err(error) => {
                    eprintln!("the worker cannot be started: {error}");
                    return ExitCode::FAILURE;
                }
            },
        };
        let (reply, broke) = match running.ask(&request) {
            Ok(reply) => {
                let broke = reply.len() < SHORT && says_broke(&reply);
                (reply, broke)
            }
            Err(broken) => (line(id, &broken.reply()), true),
        };
        if output.write_all(&reply).and_then(|()| output.flush()).is_err() {
            break; // the suite is gone; nobody is left to be told
        }
        if broke && let Some(worn) = worker.take() {
            worn.end();
        }
        if request.windows(10).any(|part| part == b"\"op\":\"bye\"") {
            break;
        }
    }
    if let Some(running) = worker {
        running.end();
    }
    ExitCode::SUCCESS
}
