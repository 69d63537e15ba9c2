//! What a path does to packets, one direction at a time. Pure: time and luck come from outside.

use std::time::{Duration, Instant};

use rand::Rng;

use super::bottleneck::{Bottleneck, RateConfig};
use super::gilbert_elliott::{BurstConfig, Bursts};

/// What a path does to packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathConfig {
    /// Share of packets lost one by one, from 0 to 1.
    pub loss: f64,
    /// Loss in bursts, on top of that.
    pub bursts: Option<BurstConfig>,
    /// One-way delay.
    pub delay: Duration,
    /// Random extra delay. Packets stay in order: one that is late holds up those behind it.
    pub jitter: Duration,
    /// Share of packets that others overtake, from 0 to 1.
    pub reordered: f64,
    /// How much later those come.
    pub reordered_by: Duration,
    /// Share of packets that come twice, from 0 to 1.
    pub duplicated: f64,
    /// How narrow it is.
    pub rate: Option<RateConfig>,
}

/// One direction of the path between two hosts.
#[derive(Debug, Default)]
pub(super) struct Path {
    bursts: Bursts,
    bottleneck: Bottleneck,
    /// When the packet comes that no later one overtakes.
    last_at: Option<Instant>,
}

/// The luck of one packet: drawn for every one, so that a fault does not shift the luck of later ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Luck {
    loss: f64,
    burst: f64,
    jitter: f64,
    reorder: f64,
    duplicate: f64,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is lost on the path.
    Lost,
    /// It found the queue full.
    QueueFull,
    /// It arrives.
    Arrives {
        /// When.
        at: Instant,
        /// When it comes a second time, if it does.
        again_at: Option<Instant>,
    },
}

impl PathConfig {
    /// A path that only takes time.
    pub const fn clean(delay: Duration) -> Self {
        Self::lossy(delay, Duration::ZERO, 0.0)
    }

    /// A path that takes time and loses packets one by one.
    pub const fn lossy(delay: Duration, jitter: Duration, loss: f64) -> Self {
        Self {
            loss,
            bursts: None,
            delay,
            jitter,
            reordered: 0.0,
            reordered_by: Duration::ZERO,
            duplicated: 0.0,
            rate: None,
        }
    }
}

impl Path {
    pub(super) fn judge(&mut self, now: Instant, config: &PathConfig, bytes: usize, luck: Luck) -> Fate {
        let burst_loss = config.bursts.map_or(0.0, |bursts| self.bursts.loss(now, &bursts, luck.burst));
        if luck.loss < config.loss.max(burst_loss) {
            return Fate::Lost;
        }
        let leaves_at = match config.rate {
            Some(rate) => self.bottleneck.admit(now, &rate, bytes),
            None => Some(now),
        };
        let Some(leaves_at) = leaves_at else { return Fate::QueueFull };
        let in_order = leaves_at + config.delay + config.jitter.mul_f64(luck.jitter);
        let in_order = self.last_at.map_or(in_order, |last_at| in_order.max(last_at));
        let at = if luck.reorder < config.reordered {
            in_order + config.reordered_by
        } else {
            self.last_at = Some(in_order);
            in_order
        };
        let again_at = (luck.duplicate < config.duplicated).then(|| at + config.jitter);
        Fate::Arrives { at, again_at }
    }

    /// Returns how many bytes its narrowest place has taken, with the headers of IP and UDP.
    pub(super) fn carried_bytes(&self) -> u64 {
        self.bottleneck.carried_bytes()
    }
}

impl Luck {
    pub(super) fn draw(random: &mut impl Rng) -> Self {
        let [loss, burst, jitter, reorder, duplicate] = std::array::from_fn(|_| random.random());
        Self { loss, burst, jitter, reorder, duplicate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUCKY: Luck = Luck { loss: 0.99, burst: 0.5, jitter: 0.0, reorder: 0.99, duplicate: 0.99 };

    fn arrival(fate: Fate) -> (Instant, Option<Instant>) {
        match fate {
            Fate::Arrives { at, again_at } => (at, again_at),
            lost => panic!("{lost:?}"),
        }
    }

    #[test]
    fn jitter_keeps_packets_in_order_and_reordering_does_not() {
        let ms = Duration::from_millis;
        let config =
            PathConfig { reordered: 0.5, reordered_by: ms(30), ..PathConfig::lossy(ms(10), ms(20), 0.0) };
        let (mut path, now) = (Path::default(), Instant::now());
        let late = path.judge(now, &config, 100, Luck { jitter: 1.0, ..LUCKY });
        let early = path.judge(now, &config, 100, LUCKY);
        let overtaken = path.judge(now, &config, 100, Luck { reorder: 0.0, ..LUCKY });
        let last = path.judge(now, &config, 100, LUCKY);
        let times = [late, early, overtaken, last].map(|fate| arrival(fate).0 - now);
        assert_eq!(times, [ms(30), ms(30), ms(60), ms(30)]);
    }

    #[test]
    fn luck_decides_about_loss_and_duplicates() {
        let config = PathConfig { duplicated: 0.1, ..PathConfig::lossy(Duration::ZERO, Duration::ZERO, 0.1) };
        let (mut path, now) = (Path::default(), Instant::now());
        assert_eq!(path.judge(now, &config, 1, Luck { loss: 0.05, ..LUCKY }), Fate::Lost);
        assert!(arrival(path.judge(now, &config, 1, Luck { duplicate: 0.05, ..LUCKY })).1.is_some());
        assert!(arrival(path.judge(now, &config, 1, LUCKY)).1.is_none());
    }
}
