//! An allocator that notices writes behind the end of a payload buffer, so that undefined behaviour has a name instead of an accident.
//!
//! Upstream allocates every payload with an alignment of 64 bytes, and nothing else does. Such an allocation gets a page after it that
//! may not be touched (64 KiB and more), or a few known bytes that are looked at when it is freed. Everything else is the system's.

use std::alloc::{GlobalAlloc, Layout, System};

/// What the process says before it aborts because the known bytes were overwritten.
pub const OVERRUN: &str = "a payload buffer was written behind its end";

const PAYLOAD_ALIGN: usize = 64;
const FENCED: usize = 64 * 1024;
const PAGE: usize = 4096;
const CANARY: [u8; 64] = [0xA5; 64];

pub struct Guarded;

fn watched(layout: Layout) -> bool {
    layout.align() == PAYLOAD_ALIGN
}

fn pages(size: usize) -> usize {
    size.div_ceil(PAGE) * PAGE
}

// SAFETY: every branch hands out memory of the layout's size and alignment and frees it the way it was made.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !watched(layout) {
            return unsafe { System.alloc(layout) };
        }
        if layout.size() >= FENCED {
            return unsafe { fenced(layout.size()) };
        }
        unsafe { marked(layout, false) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !watched(layout) {
            return unsafe { System.alloc_zeroed(layout) };
        }
        if layout.size() >= FENCED {
            return unsafe { fenced(layout.size()) }; // fresh pages are zero
        }
        unsafe { marked(layout, true) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        if !watched(layout) {
            return unsafe { System.dealloc(start, layout) };
        }
        unsafe {
            if layout.size() >= FENCED {
                let whole = pages(layout.size()) + PAGE;
                let base = start.add(padded(layout.size())).sub(whole - PAGE);
                libc::munmap(base.cast(), whole);
                return;
            }
            let tail = std::slice::from_raw_parts(start.add(layout.size()), CANARY.len());
            if tail != CANARY {
                let words = [OVERRUN.as_bytes(), b"\n"].concat();
                libc::write(2, words.as_ptr().cast(), words.len());
                libc::abort();
            }
            System.dealloc(start, Layout::from_size_align_unchecked(layout.size() + CANARY.len(), layout.align()));
        }
    }
}

fn padded(size: usize) -> usize {
    size.div_ceil(PAYLOAD_ALIGN) * PAYLOAD_ALIGN
}

/// Allocate a payload with known bytes behind it.
///
/// # Safety
/// As `GlobalAlloc::alloc`.
unsafe fn marked(layout: Layout, zeroed: bool) -> *mut u8 {
    let Ok(wider) = Layout::from_size_align(layout.size() + CANARY.len(), layout.align()) else {
        return std::ptr::null_mut();
    };
    unsafe {
        let start = if zeroed { System.alloc_zeroed(wider) } else { System.alloc(wider) };
        if !start.is_null() {
            std::ptr::copy_nonoverlapping(CANARY.as_ptr(), start.add(layout.size()), CANARY.len());
        }
        start
    }
}

/// Map a payload so that it ends where its last page ends (but for the alignment), and the page after it may not be touched.
///
/// # Safety
/// As `GlobalAlloc::alloc`.
unsafe fn fenced(size: usize) -> *mut u8 {
    let whole = pages(size) + PAGE;
    unsafe {
        let base =
            libc::mmap(std::ptr::null_mut(), whole, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        if base == libc::MAP_FAILED {
            return std::ptr::null_mut();
        }
        let fence = base.cast::<u8>().add(whole - PAGE);
        if libc::mprotect(fence.cast(), PAGE, libc::PROT_NONE) != 0 {
            libc::munmap(base, whole);
            return std::ptr::null_mut();
        }
        fence.sub(padded(size))
    }
}
