//! How much memory a thread has in use: for tests whose nodes all run on the test's own thread.
//!
//! A test binary that makes [`CountingHeap`] its global allocator can ask [`used_bytes`].

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts for each thread what it has in use.
#[derive(Debug)]
pub struct CountingHeap;

/// Returns the bytes that this thread has in use, and starts the peak anew. What it gives to others to free counts for ever.
pub fn used_bytes() -> usize {
    let used = USED.get();
    PEAK.set(used);
    usize::try_from(used).unwrap_or(0)
}

/// Returns the most bytes that this thread had in use since [`used_bytes`] was called.
pub fn peak_bytes() -> usize {
    usize::try_from(PEAK.get()).unwrap_or(0)
}

// SAFETY: every call goes on to `System` unchanged; the counters are thread-local cells that allocate nothing.
#[allow(unsafe_code, reason = "a global allocator cannot be written without it")]
unsafe impl GlobalAlloc for CountingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { System.dealloc(block, layout) }
    }
}

fn count(bytes: isize) {
    let used = USED.get() + bytes;
    USED.set(used);
    PEAK.set(PEAK.get().max(used));
}

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}
