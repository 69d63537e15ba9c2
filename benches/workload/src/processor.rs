//! The processors: how much of them a process has had, and where it may run.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Returns the time that this process has had on all processors.
pub(crate) fn time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Keeps this thread, and those that it starts, on one processor.
///
/// # Panics
///
/// When there is no such processor.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).expect("there is such a processor");
}
