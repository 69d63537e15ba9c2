//! Which offers of a link are taken: a handshake is the dearest thing that a stranger can ask of a node.
//!
//! Two bounds: how many handshakes are under way, and how much of the thread's time they take. Beyond either, an
//! address must first prove itself by a round trip; beyond the time, or far beyond the count, even a proven one is left
//! to try again. Pure: time and what was spent are told.

use std::num::NonZeroU8;
use std::time::Duration;

use tokio::time::Instant;

/// What becomes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The handshake goes on.
    Take,
    /// The address must prove itself before it costs a handshake (RFC 9000, section 8.1.2).
    Prove,
    /// Nothing is said: the peer tries again by itself, and finds a calmer node.
    Ignore,
}

/// The bounds, and the time that handshakes may still take.
#[derive(Debug)]
pub(crate) struct Handshakes {
    pending_max: u32,
    percent: u32,
    /// What may be spent now. While something is owed, nothing.
    allowance: Duration,
    /// What was spent beyond the allowance, and is paid back before anything more is.
    debt: Duration,
    refilled_at: Instant,
}

impl Handshakes {
    /// Begins with a full allowance. A `percent` of 100 or more bounds the count alone.
    pub(crate) fn new(now: Instant, pending_max: u32, percent: NonZeroU8) -> Self {
        let percent = u32::from(percent.get()).min(100);
        let allowance = share_of(BURST, percent);
        Self { pending_max, percent, allowance, debt: Duration::ZERO, refilled_at: now }
    }

    /// Decides about an offer while `pending` handshakes are under way.
    pub(crate) fn admit(&mut self, now: Instant, pending: u32, is_proven: bool) -> Admission {
        self.refill(now);
        let has_time = self.percent == 100 || !self.allowance.is_zero();
        let pending_max =
            if is_proven { self.pending_max.saturating_mul(PROVEN_FACTOR) } else { self.pending_max };
        match (has_time && pending < pending_max, is_proven) {
            (true, _) => Admission::Take,
            (false, false) => Admission::Prove,
            (false, true) => Admission::Ignore,
        }
    }

    /// Notes what a handshake took of the thread's time.
    pub(crate) fn handle_spent(&mut self, spent: Duration) {
        self.debt += spent.saturating_sub(self.allowance);
        self.allowance = self.allowance.saturating_sub(spent);
    }

    fn refill(&mut self, now: Instant) {
        let earned = share_of(now.saturating_duration_since(self.refilled_at), self.percent);
        self.refilled_at = now;
        let over = earned.saturating_sub(self.debt);
        self.debt = self.debt.saturating_sub(earned);
        self.allowance = (self.allowance + over).min(share_of(BURST, self.percent));
    }
}

fn share_of(time: Duration, percent: u32) -> Duration {
    time.saturating_mul(percent) / 100
}

/// Handshakes with proven addresses may be so many times those with others.
const PROVEN_FACTOR: u32 = 4;

/// The share is kept over this time: a fleet that comes back at once may have all of it at first.
const BURST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_count_addresses_must_prove_themselves() {
        let now = Instant::now();
        let mut handshakes = Handshakes::new(now, 64, percent(20));
        assert_eq!(handshakes.admit(now, 63, false), Admission::Take);
        assert_eq!(handshakes.admit(now, 64, false), Admission::Prove);
        assert_eq!(handshakes.admit(now, 64, true), Admission::Take);
        assert_eq!(handshakes.admit(now, 256, true), Admission::Ignore);
    }

    #[test]
    fn a_flood_takes_its_share_of_the_time_and_no_more() {
        let start = Instant::now();
        let mut handshakes = Handshakes::new(start, 64, percent(20));
        let (mut now, mut spent) = (start, Duration::ZERO);
        while now < start + Duration::from_secs(10) {
            match handshakes.admit(now, 0, true) {
                Admission::Take => {
                    let cost = Duration::from_millis(3);
                    handshakes.handle_spent(cost);
                    (now, spent) = (now + cost, spent + cost);
                }
                _ => now += Duration::from_millis(1),
            }
        }
        // A fifth of 10 s, the burst at the start, and one handshake that began just within.
        assert!(spent >= Duration::from_millis(1990), "{spent:?}");
        assert!(spent <= Duration::from_millis(2203), "{spent:?}");
    }

    #[test]
    fn a_handshake_that_took_long_is_paid_back_before_the_next() {
        let now = Instant::now();
        let mut handshakes = Handshakes::new(now, 64, percent(20));
        handshakes.handle_spent(Duration::from_secs(1));
        assert_eq!(handshakes.admit(now + Duration::from_secs(4), 0, false), Admission::Prove);
        assert_eq!(handshakes.admit(now + Duration::from_secs(4), 0, true), Admission::Ignore);
        assert_eq!(handshakes.admit(now + Duration::from_millis(4001), 0, true), Admission::Take);
    }

    #[test]
    fn the_whole_time_is_no_bound() {
        let now = Instant::now();
        let mut handshakes = Handshakes::new(now, 64, percent(100));
        handshakes.handle_spent(Duration::from_secs(60));
        assert_eq!(handshakes.admit(now, 0, true), Admission::Take);
    }

    fn percent(percent: u8) -> NonZeroU8 {
        NonZeroU8::new(percent).expect("the tests give none of 0")
    }
}
