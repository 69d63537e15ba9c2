//! The round-trip time of a path without a queue. Pure: no clock, no I/O.

use std::time::{Duration, Instant};

/// The lowest round-trip time seen, and when it was last seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct BaseRtt {
    lowest: Option<Duration>,
    confirmed_at: Instant,
}

impl BaseRtt {
    /// Begins with nothing known.
    pub(super) fn new(now: Instant) -> Self {
        Self { lowest: None, confirmed_at: now }
    }

    /// Takes one sample: a lower one counts at once, one that is about as low confirms it.
    pub(super) fn handle_sample(&mut self, now: Instant, sample: Duration) {
        let lowest = self.lowest.map_or(sample, |lowest| lowest.min(sample));
        self.lowest = Some(lowest);
        if self.is_near(sample) {
            self.confirmed_at = now;
        }
    }

    /// Forgets what was seen before: the path may be another one.
    pub(super) fn replace(&mut self, now: Instant, sample: Duration) {
        *self = Self { lowest: Some(sample), confirmed_at: now };
    }

    /// Returns the lowest time, or zero before the first sample.
    pub(super) fn get(&self) -> Duration {
        self.lowest.unwrap_or_default()
    }

    /// Returns whether a round-trip time is about the lowest.
    pub(super) fn is_near(&self, rtt: Duration) -> bool {
        let lowest = self.get();
        rtt <= lowest + lowest / 32 + TOLERANCE
    }

    /// Returns how long a round trip of `rtt` waits in queues.
    pub(super) fn queueing(&self, rtt: Duration) -> Duration {
        rtt.saturating_sub(self.get())
    }

    /// Returns how long ago the lowest time was last seen.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.confirmed_at)
    }
}

/// How far above the lowest time a sample may be and still confirm it, beside 1/32 of it: timers and wake-ups of both ends.
const TOLERANCE: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_sample_counts_at_once_and_a_higher_one_only_ages_it() {
        let now = Instant::now();
        let mut base = BaseRtt::new(now);
        base.handle_sample(now, Duration::from_millis(60));
        base.handle_sample(now, Duration::from_millis(50));
        let later = now + Duration::from_secs(3);
        base.handle_sample(later, Duration::from_millis(70));
        assert_eq!(base.get(), Duration::from_millis(50));
        assert_eq!(base.age(later), Duration::from_secs(3));
        assert_eq!(base.queueing(Duration::from_millis(70)), Duration::from_millis(20));
        base.handle_sample(later, Duration::from_millis(51));
        assert_eq!(base.age(later), Duration::ZERO);
    }
}
