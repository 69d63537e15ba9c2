//! What runs on a simulated machine beside its node, and outlives the node's process: programs, as under supervisors.
//!
//! What a program says is a matter of time alone, so it needs no task of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runnel::Acknowledged;
use tokio::time::Instant;

use super::order::Job;

/// The programs of one machine. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs(Arc<Mutex<BTreeMap<u64, Program>>>);

/// A program that does a job.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) job: Job,
    started_at: Instant,
    /// How much of what it says is held by the caller's node.
    pub(super) trimmed: Acknowledged,
}

impl Programs {
    /// Starts a program.
    pub(super) fn start(&self, job: &Job) -> Program {
        let program =
            Program { job: job.clone(), started_at: Instant::now(), trimmed: Acknowledged::default() };
        self.lock().insert(job.number, program.clone());
        program
    }

    /// Finds a program, if it was not lost.
    pub(super) fn find(&self, number: u64) -> Option<Program> {
        self.lock().get(&number).cloned()
    }

    /// So much of what a program says need not be said again.
    pub(super) fn trim(&self, number: u64, trimmed: Acknowledged) {
        if let Some(program) = self.lock().get_mut(&number) {
            program.trimmed = trimmed;
        }
    }

    /// Ends a program and forgets what it said.
    pub(super) fn end(&self, number: u64) {
        self.lock().remove(&number);
    }

    /// Ends all others.
    pub(super) fn retain(&self, numbers: &BTreeSet<u64>) {
        self.lock().retain(|number, _| numbers.contains(number));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Program>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Program {
    /// Returns when it says its update of this place; behind the last one, when it ends.
    pub(super) fn says_at(&self, index: u32) -> Instant {
        let pause = Duration::from_millis(self.job.run_ms) / (self.job.updates + 1);
        self.started_at + pause * (index + 1)
    }
}
