//! Loss in bursts: a path that is either good or bad, and loses nearly everything while it is bad (Gilbert, Elliott).
//!
//! The states change with time and not with packets, so that a quiet path leaves its bad state too. Pure.

use std::time::{Duration, Instant};

/// How often, how long and how badly a path loses packets in bursts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstConfig {
    /// How long the path is good, on average.
    pub good_for: Duration,
    /// How long it is bad, on average.
    pub bad_for: Duration,
    /// Share of packets lost while it is bad, from 0 to 1.
    pub loss: f64,
}

/// The state of one direction of a path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bursts {
    is_bad: bool,
    until: Option<Instant>,
}

impl Bursts {
    /// Returns the share of packets lost now. `luck`, from 0 to 1, decides how long the next state lasts.
    pub(super) fn loss(&mut self, now: Instant, config: &BurstConfig, luck: f64) -> f64 {
        let until = *self.until.get_or_insert_with(|| now + drawn(config.good_for, luck));
        if until <= now {
            self.is_bad = !self.is_bad;
            let mean = if self.is_bad { config.bad_for } else { config.good_for };
            self.until = Some(now + drawn(mean, luck));
        }
        if self.is_bad { config.loss } else { 0.0 }
    }
}

/// Draws a length of time around its mean, as decay does.
fn drawn(mean: Duration, luck: f64) -> Duration {
    mean.mul_f64((-(1.0 - luck).max(1e-6).ln()).max(1e-3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_bad_for_as_long_as_it_should_be() {
        let config =
            BurstConfig { good_for: Duration::from_secs(4), bad_for: Duration::from_secs(1), loss: 0.9 };
        let (mut bursts, start) = (Bursts::default(), Instant::now());
        let luck = |step: u32| f64::from(step.wrapping_mul(2_654_435_769) >> 8) / f64::from(1 << 24);
        let bad = (0..100_000_u32).filter(|step| {
            let now = start + Duration::from_millis(10) * *step;
            bursts.loss(now, &config, luck(*step)) > 0.5
        });
        let share = bad.count();
        assert!((15_000..25_000).contains(&share), "{share} of 100000");
    }
}
