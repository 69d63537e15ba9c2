//! What one round trip has shown. Pure: no clock, no I/O.

use std::time::{Duration, Instant};

/// The round that is under way: it ends when a packet that was sent in it is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    started_at: Instant,
    is_over: bool,
    seen: Seen,
    limited_bytes: u64,
}

/// What was seen in a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// How long the round took.
    pub(super) took: Duration,
    pub(super) rtt_min: Duration,
    pub(super) rtt_max: Duration,
    pub(super) acked_bytes: u64,
    pub(super) lost_bytes: u64,
    pub(super) samples: u32,
    /// Whether the application rather than the window held most of it back.
    pub(super) is_app_limited: bool,
}

impl Round {
    pub(super) fn new(now: Instant) -> Self {
        Self { started_at: now, is_over: false, seen: Seen::NOTHING, limited_bytes: 0 }
    }

    pub(super) fn handle_ack(&mut self, now: Instant, sent_at: Instant, bytes: u64, is_app_limited: bool) {
        let sample = now.saturating_duration_since(sent_at);
        let seen = &mut self.seen;
        seen.rtt_min = seen.rtt_min.min(sample);
        seen.rtt_max = seen.rtt_max.max(sample);
        seen.acked_bytes += bytes;
        seen.samples += 1;
        if is_app_limited {
            self.limited_bytes += bytes;
        }
        self.is_over |= sent_at >= self.started_at;
    }

    pub(super) fn handle_loss(&mut self, bytes: u64) {
        self.seen.lost_bytes += bytes;
    }

    /// Returns what the round has shown if it is over, and begins the next one.
    pub(super) fn poll_end(&mut self, now: Instant) -> Option<Seen> {
        if !self.is_over {
            return None;
        }
        let ended = std::mem::replace(self, Self::new(now));
        let took = now.saturating_duration_since(ended.started_at);
        let is_app_limited = ended.limited_bytes * 2 > ended.seen.acked_bytes;
        Some(Seen { took, is_app_limited, ..ended.seen })
    }
}

impl Seen {
    const NOTHING: Self = Self {
        took: Duration::ZERO,
        rtt_min: Duration::MAX,
        rtt_max: Duration::ZERO,
        acked_bytes: 0,
        lost_bytes: 0,
        samples: 0,
        is_app_limited: false,
    };

    /// Returns how many bytes a second were acknowledged.
    pub(super) fn rate(&self) -> f64 {
        self.acked_bytes as f64 / self.took.as_secs_f64().max(1e-6)
    }
}

/// How many packets are lost, over the last rounds together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    acked_bytes: f64,
    lost_bytes: f64,
    /// Rounds in a row, up to the last, that lost one packet in ten.
    rounds: u32,
}

impl Loss {
    pub(super) fn handle_round(&mut self, seen: &Seen) {
        let (acked, lost) = (seen.acked_bytes as f64, seen.lost_bytes as f64);
        self.acked_bytes = self.acked_bytes * LOSS_MEMORY + acked;
        self.lost_bytes = self.lost_bytes * LOSS_MEMORY + lost;
        self.rounds = if is_much(lost, acked) { self.rounds.saturating_add(1) } else { 0 };
    }

    /// Returns whether one packet in ten is lost, and more than a few.
    pub(super) fn is_high(&self, mtu: u64) -> bool {
        self.lost_bytes > 4.0 * mtu as f64 && is_much(self.lost_bytes, self.acked_bytes)
    }

    /// Returns whether loss is high and was so in each of the last rounds: a burst ends, but a sender that is too fast
    /// loses packets until it is slower.
    pub(super) fn is_congestion(&self, mtu: u64) -> bool {
        self.rounds >= LOSS_ROUNDS && self.is_high(mtu)
    }

    /// Forgets how much was lost: the window was cut for it. One more round is enough to cut it again.
    pub(super) fn handle_cut(&mut self) {
        (self.acked_bytes, self.lost_bytes) = (0.0, 0.0);
    }
}

/// Whether one packet in ten is lost.
fn is_much(lost_bytes: f64, acked_bytes: f64) -> bool {
    lost_bytes * 10.0 > lost_bytes + acked_bytes
}

/// How much of what was lost is remembered from one round to the next: about ten rounds count.
const LOSS_MEMORY: f64 = 0.9;

/// Rounds in a row that lose one packet in ten before that is congestion: bursts of 100 ms, one a second, hardly last as
/// long (`--bin urgent`), and a buffer shorter than the target overflows in each (`tests.rs`).
const LOSS_ROUNDS: u32 = 5;
