//! A rate that the bytes below Urgent of one link are kept to. Pure.
//!
//! Each byte takes its share of a second. What has been written reaches up to a moment: before it nothing may be written,
//! and the time since then is what may be written now. So nothing is counted in steps, and an overdraft is paid back.

use std::time::{Duration, Instant};

/// Keeps what is written to a rate. One for each link and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// What has been written takes until then.
    paid_at: Instant,
    /// Bytes written in all, as far as they are counted.
    written: u64,
    /// Somebody was told that nothing may be written.
    is_awaited: bool,
}

impl RateLimit {
    /// Begins with a whole burst; `None` for the rate 0, which is no limit.
    pub fn new(bytes_per_second: u64, now: Instant) -> Option<Self> {
        let limit = Self { bytes_per_second, paid_at: now, written: 0, is_awaited: false };
        (bytes_per_second > 0).then(|| Self { paid_at: limit.earliest(now), ..limit })
    }

    /// Returns how many bytes may be written now, after `written` were written in all. Whoever hears 0 is to ask again at
    /// [`poll_timeout`](Self::poll_timeout).
    pub fn available(&mut self, now: Instant, written: u64) -> u64 {
        let paid_at = self.paid_at.max(self.earliest(now));
        let new = written.saturating_sub(self.written);
        self.written = self.written.max(written);
        self.paid_at = paid_at.checked_add(self.time_of(new)).unwrap_or(paid_at);
        let bytes = self.bytes_in(now.saturating_duration_since(self.paid_at));
        self.is_awaited = bytes == 0;
        bytes
    }

    /// Returns when something may be written again, if somebody waits for that.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.is_awaited.then(|| self.paid_at + STEP.max(self.time_of(1)))
    }

    /// Looks at the time. Returns whether whoever waits is to ask again.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_due = self.poll_timeout().is_some_and(|at| at <= now);
        self.is_awaited &= !is_due;
        is_due
    }

    /// Returns since when time counts: what was not used does not add up beyond a burst.
    fn earliest(&self, now: Instant) -> Instant {
        now.checked_sub(BURST.max(self.time_of(1))).unwrap_or(now)
    }

    /// Returns the time that bytes take, rounded up.
    fn time_of(&self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * NANOS_PER_SECOND).div_ceil(u128::from(self.bytes_per_second));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn bytes_in(&self, time: Duration) -> u64 {
        let bytes = time.as_nanos() * u128::from(self.bytes_per_second) / NANOS_PER_SECOND;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What may be written at once after a rest, as a time.
const BURST: Duration = Duration::from_millis(50);

/// Pause between two looks at a rate that is used up: what comes in it goes in one go.
const STEP: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 100_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn limit() -> (RateLimit, Instant) {
        // A clock that has run for a while: an instant before its beginning need not exist.
        let now = Instant::now() + Duration::from_secs(1);
        (RateLimit::new(RATE, now).expect("a limit"), now)
    }

    /// Writes pieces of this length for a while, each as soon as anything may be written. Returns the bytes written.
    fn write(limit: &mut RateLimit, mut now: Instant, time: Duration, piece: u64) -> u64 {
        let (until, mut written) = (now + time, 0);
        while now < until {
            while limit.available(now, written) > 0 {
                written += piece;
            }
            now = limit.poll_timeout().expect("it is awaited");
            assert!(limit.handle_timeout(now));
        }
        written
    }

    #[track_caller]
    fn check_rate(piece: u64) {
        let (mut limit, now) = limit();
        let written = write(&mut limit, now, Duration::from_secs(10), piece);
        // A burst and a piece may come on top.
        let most = RATE * 10 + RATE / 20 + piece;
        assert!((RATE * 10 - piece - RATE / 100..=most).contains(&written), "{written} in pieces of {piece}");
    }

    #[test]
    fn what_is_written_keeps_to_the_rate_whatever_the_pieces() {
        for piece in [1, 99, 4096, 65_536] {
            check_rate(piece);
        }
    }

    #[test]
    fn a_rest_is_worth_a_burst_at_most() {
        let (mut limit, now) = limit();
        assert_eq!(limit.available(now, 0), RATE / 20);
        assert_eq!(limit.available(now + Duration::from_secs(60), 0), RATE / 20);
        assert_eq!(limit.poll_timeout(), None);
    }

    #[test]
    fn an_overdraft_is_paid_back_before_anything_else_is_written() {
        let (mut limit, now) = limit();
        assert_eq!(limit.available(now, RATE / 20 + RATE), 0);
        let at = limit.poll_timeout().expect("it is awaited");
        assert_eq!(at, now + Duration::from_secs(1) + STEP);
        assert!(!limit.handle_timeout(at - ms(1)));
        assert!(limit.handle_timeout(at));
        assert_eq!(limit.poll_timeout(), None);
        assert_eq!(limit.available(at, RATE / 20 + RATE), RATE / 100);
    }

    #[test]
    fn a_byte_that_takes_longer_than_a_burst_is_waited_for() {
        let now = Instant::now() + Duration::from_secs(10);
        let mut limit = RateLimit::new(1, now).expect("a limit");
        assert_eq!(limit.available(now, 0), 1);
        assert_eq!(limit.available(now, 1), 0);
        let at = limit.poll_timeout().expect("it is awaited");
        assert_eq!(at, now + Duration::from_secs(1));
        assert!(limit.handle_timeout(at));
        assert_eq!(limit.available(at, 1), 1);
    }

    #[test]
    fn rate_0_is_no_limit() {
        assert_eq!(RateLimit::new(0, Instant::now()), None);
    }
}
