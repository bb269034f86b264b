//! The process that never runs the runtime: it watches over a worker that holds the suite's pipes, and speaks for one that cannot.
//!
//! The worker is a fork that reads the requests and writes the replies itself, so that watching costs a message nothing. What both see is
//! one page of shared memory, in which the worker notes the request it is at. A worker that ends, or is at one request for too long, is
//! described in a `broke` reply to that request, and another takes its place.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::{Refusal, line};
use crate::worker;

/// How long the runtime may take for one request, in seconds: less than the 30 s after which the suite gives up by itself.
const PATIENCE: u64 = 20;
/// How often a silent worker is looked at, in milliseconds.
const GLANCE: libc::c_int = 1000;

const NOTHING: u64 = u64::MAX;

/// What worker and supervisor both see: the id of the request under way, and since when, in seconds of the system's monotonic clock.
pub struct Shared {
    request: AtomicU64,
    since: AtomicU64,
}

impl Shared {
    /// Take note that a request is under way.
    pub fn begin(&self, id: u64) {
        self.since.store(seconds(), Ordering::SeqCst);
        self.request.store(id, Ordering::SeqCst);
    }

    /// Take note that its reply is written.
    pub fn end(&self) {
        self.request.store(NOTHING, Ordering::SeqCst);
    }

    fn map() -> Option<&'static Shared> {
        let size = std::mem::size_of::<Shared>();
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh mapping of zeros is two valid atomics, and it is never unmapped.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            (page != libc::MAP_FAILED).then(|| &*page.cast::<Shared>())
        }
    }
}

fn seconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to a timespec of ours.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or_default()
}

/// How a worker ended.
enum End {
    Exited(libc::c_int),
    Killed(libc::c_int),
    Hung,
}

pub fn run() -> ExitCode {
    let Some(shared) = Shared::map() else {
        eprintln!("no memory to share with a worker");
        return ExitCode::FAILURE;
    };
    loop {
        shared.end();
        let Some((ended, said)) = watch(shared) else {
            eprintln!("no worker can be started: {}", std::io::Error::last_os_error());
            return ExitCode::FAILURE;
        };
        let request = shared.request.load(Ordering::SeqCst);
        if request != NOTHING {
            let reply = line(request, &describe(&ended, &said).reply());
            let mut output = std::io::stdout().lock();
            if output.write_all(&reply).and_then(|()| output.flush()).is_err() {
                return ExitCode::SUCCESS; // the suite is gone; nobody is left to be told
            }
            continue;
        }
        match ended {
            End::Exited(code) if code == i32::from(worker::BROKE) => {} // it has said so itself
            End::Exited(code) => return ExitCode::from(u8::try_from(code).unwrap_or(1)),
            End::Killed(_) | End::Hung => return ExitCode::FAILURE,
        }
    }
}

/// Start a worker and wait for its end; `None` when there is none.
fn watch(shared: &'static Shared) -> Option<(End, String)> {
    let mut pipe = [0; 2];
    // SAFETY: plain system calls; the child of this single-threaded process goes on as a copy of it.
    unsafe {
        if libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
            return None;
        }
        let (heard, mouth) = (OwnedFd::from_raw_fd(pipe[0]), OwnedFd::from_raw_fd(pipe[1]));
        match libc::fork() {
            -1 => None,
            0 => {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::dup2(mouth.as_raw_fd(), libc::STDERR_FILENO);
                libc::_exit(worker::run(shared).into());
            }
            child => {
                drop(mouth);
                let ended = wait(shared, child);
                let mut said = Vec::new();
                let _ = std::fs::File::from(heard).read_to_end(&mut said);
                let _ = std::io::stderr().write_all(&said);
                Some((ended, String::from_utf8_lossy(&said).trim().to_string()))
            }
        }
    }
}

fn wait(shared: &Shared, child: libc::pid_t) -> End {
    // SAFETY: plain system calls about a child of ours, which nobody else reaps.
    unsafe {
        let watched = libc::syscall(libc::SYS_pidfd_open, child, 0) as libc::c_int;
        let mut hung = false;
        loop {
            let mut entry = libc::pollfd { fd: watched, events: libc::POLLIN, revents: 0 };
            if libc::poll(&raw mut entry, 1, GLANCE) != 0 {
                break;
            }
            let idle = shared.request.load(Ordering::SeqCst) == NOTHING;
            if !idle && seconds().saturating_sub(shared.since.load(Ordering::SeqCst)) > PATIENCE {
                hung = true;
                libc::kill(child, libc::SIGKILL);
            }
        }
        libc::close(watched);
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        match (hung, libc::WIFSIGNALED(status)) {
            (true, _) => End::Hung,
            (false, true) => End::Killed(libc::WTERMSIG(status)),
            (false, false) => End::Exited(libc::WEXITSTATUS(status)),
        }
    }
}

fn describe(ended: &End, said: &str) -> Refusal {
    let last = said.lines().last().unwrap_or_default().to_string();
    let broke = |how, message: String, at| Refusal::Broke { how, message, at };
    match ended {
        End::Hung => broke("hang", format!("no answer within {PATIENCE} s"), last),
        End::Killed(libc::SIGSEGV | libc::SIGBUS) => {
            broke("undefined-behaviour", "memory outside of an allocation was touched".into(), last)
        }
        End::Killed(libc::SIGABRT) if said.contains(crate::guard::OVERRUN) => broke("undefined-behaviour", last, String::new()),
        End::Killed(signal) => broke("abort", format!("ended by signal {signal}"), last),
        End::Exited(code) => broke("abort", format!("ended by itself with code {code}"), last),
    }
}
