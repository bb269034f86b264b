//! Virtual time for the thread that runs a flow: flows of the suite run on a virtual clock, and upstream reads the process's own.
//!
//! `FlowDriver` takes its time from two clocks: tokio's, which can be paused and then jumps to the next timer, and the standard library's
//! (`Instant::now` for the drain's deadline, the yield quantum and the statistics), which cannot. So this program answers
//! `clock_gettime` itself. On a thread with virtual time the answer follows tokio's clock; everywhere else it is the kernel's.

use std::cell::Cell;

use tokio::time::Instant;

/// What the clocks show when a flow begins, in seconds: any time will do, as long as it is always the same.
const MONOTONIC_START: u64 = 1_000_000;
const WALL_START: u64 = 1_700_000_000;

thread_local! {
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
    static ASKING: Cell<bool> = const { Cell::new(false) };
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// Virtual time on this thread, from here to its drop. Only while a runtime with paused time runs on it.
pub struct Virtual(());

impl Virtual {
    pub fn start() -> Virtual {
        LAST.set(0);
        START.set(Some(Instant::now()));
        Virtual(())
    }
}

impl Drop for Virtual {
    fn drop(&mut self) {
        START.set(None);
    }
}

/// Nanoseconds since the flow began.
pub fn now() -> u64 {
    let Some(start) = START.get() else { return 0 };
    if ASKING.replace(true) {
        return LAST.get(); // tokio asks for the time to answer what the time is
    }
    let now = u64::try_from(Instant::now().duration_since(start).as_nanos()).unwrap_or(u64::MAX);
    ASKING.set(false);
    LAST.set(now);
    now
}

/// The C library's function of this name, for the whole program.
///
/// # Safety
/// `time` points to a `timespec`, as everywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let virtual_start = match clock {
        libc::CLOCK_MONOTONIC => MONOTONIC_START,
        libc::CLOCK_REALTIME => WALL_START,
        _ => 0,
    };
    if virtual_start == 0 || START.get().is_none() {
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as libc::c_int };
    }
    let since = now();
    unsafe {
        (*time).tv_sec = (virtual_start + since / 1_000_000_000) as libc::time_t;
        (*time).tv_nsec = (since % 1_000_000_000) as libc::c_long;
    }
    0
}
