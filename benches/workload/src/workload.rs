//! What a client does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// What is sent.
    pub kind: Kind,
    /// How much of it at once.
    pub in_flight: usize,
    /// How long it runs before it is measured, in seconds.
    pub warm_up_seconds: f64,
    /// How long it is measured, in seconds.
    pub seconds: f64,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Requests that are answered with as much.
    Echo {
        /// Of a request, and of its answer.
        bytes: usize,
    },
    /// Messages that are confirmed once they are handled.
    Messages {
        /// Of a message.
        bytes: usize,
    },
    /// Bodies of [`BODY_BYTES`].
    Bulk,
    /// An urgent request of 100 bytes every 20 ms, beside bodies.
    Urgent,
}

impl Workload {
    /// Returns how long it runs before it is measured.
    #[must_use]
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_seconds)
    }

    /// Returns how long it is measured.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Bytes of one body.
pub const BODY_BYTES: usize = 8 << 20;
