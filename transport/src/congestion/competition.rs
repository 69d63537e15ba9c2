//! Taking a share beside senders that fill the bottleneck's buffer, as CUBIC does (RFC 9438). Pure: no clock, no I/O.

use std::time::{Duration, Instant};

use super::whole;

/// A window that grows until the buffer overflows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Competition {
    /// When it began, or last looked whether it is alone.
    pub(super) looked_at: Instant,
    /// Rounds without a queue, one after the other.
    pub(super) free_rounds: u32,
    /// Rounds since the window was last cut.
    rounds: u32,
    /// When the window was last cut.
    cut_at: Instant,
    /// The window before that, and after it, in packets.
    window_before: f64,
    window_after: f64,
    /// The longest queueing seen of late.
    queueing_max: Duration,
    /// How much of the window is kept when the buffer overflows.
    kept: f64,
}

impl Competition {
    /// Begins with a window, in bytes.
    pub(super) fn new(now: Instant, window: u64, mtu: u64, queueing: Duration) -> Self {
        let packets = window as f64 / mtu as f64;
        Self {
            looked_at: now,
            free_rounds: 0,
            rounds: CUT_ROUNDS,
            cut_at: now,
            window_before: packets,
            window_after: packets,
            queueing_max: queueing,
            kept: KEPT_AT_OVERFLOW,
        }
    }

    /// Begins as CUBIC itself does, which takes each loss for an overflow.
    #[cfg(test)]
    pub(super) fn cubic(now: Instant, window: u64, mtu: u64) -> Self {
        Self { kept: 0.7, ..Self::new(now, window, mtu, Duration::ZERO) }
    }

    /// Returns the window, in bytes, after a round whose packets queued for `queueing_max` at most.
    ///
    /// A loss while the queue is far from its longest is taken for chance: an overflow happens when it is longest.
    pub(super) fn handle_round(
        &mut self,
        now: Instant,
        window: u64,
        mtu: u64,
        round: &CompetingRound,
    ) -> u64 {
        self.queueing_max = self.queueing_max.mul_f64(QUEUE_MEMORY).max(round.queueing_max);
        self.rounds += 1;
        let is_overflow = self.rounds >= CUT_ROUNDS
            && round.has_loss
            && round.queueing_max > self.queueing_max.mul_f64(NEARLY_FULL);
        if is_overflow {
            self.window_before = window as f64 / mtu as f64;
            self.window_after = self.window_before * self.kept;
            self.cut_at = now;
            self.rounds = 0;
            return whole(window as f64 * self.kept);
        }
        let grown = self.window_at(now, round.rtt) * mtu as f64;
        window.max(whole(grown).min(window + window / 2))
    }

    /// RFC 9438, sections 4.2 and 4.3: the cubic of the time since the cut, and at least what Reno would have.
    fn window_at(&self, now: Instant, rtt: Duration) -> f64 {
        let since = now.saturating_duration_since(self.cut_at).as_secs_f64();
        let rtt = rtt.as_secs_f64().max(1e-3);
        let until_before = ((self.window_before - self.window_after) / SCALE).cbrt();
        let cubic = SCALE * (since + rtt - until_before).powi(3) + self.window_before;
        cubic.max(self.window_after + since / rtt)
    }
}

/// What a round has shown to a [`Competition`].
#[derive(Clone, Copy, Debug)]
pub(super) struct CompetingRound {
    /// The shortest round-trip time in it.
    pub(super) rtt: Duration,
    /// The longest queueing in it.
    pub(super) queueing_max: Duration,
    pub(super) has_loss: bool,
}

/// CUBIC's constant C, in packets per second cubed (RFC 9438, section 5.1).
const SCALE: f64 = 0.4;

/// How much of the window is kept when the buffer overflows. CUBIC keeps 0.7. This controller pauses every few seconds to
/// see whether it is alone, and keeps more so as to have as much as CUBIC in the end.
const KEPT_AT_OVERFLOW: f64 = 0.85;

/// Queueing, as a part of the longest of late, from which on a loss is taken for an overflow.
const NEARLY_FULL: f64 = 0.75;

/// How much of the longest queueing is remembered from one round to the next.
const QUEUE_MEMORY: f64 = 0.99;

/// Rounds between two cuts at least: one overflow is seen in two or three, and those who do not yield to losses, as BBR,
/// keep the buffer full.
const CUT_ROUNDS: u32 = 8;
