//! One direction of a bad network, as a calculation: no socket, no clock, no thread.
//!
//! A packet meets its faults in the order of a real path: the queue before the bottleneck, the time on the
//! line, loss behind it, then the long way to the far end. [`Path::offer`] says at once what becomes of it.
//! The same seed, settings, times and lengths give the same verdicts.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::config::{PathConfig, PathConfigError};

/// One direction of a network with faults.
///
/// ```text
/// offer ──▶ [queue ▮▮▮] ──▶ line (rate) ──▶ loss ──▶ delay + jitter ──▶ duplicate, reorder ──▶ at
/// ```
#[derive(Clone, Debug)]
pub struct Path {
    config: PathConfig,
    loss: LossChain,
    rng: ChaCha8Rng,
    /// When the bottleneck has sent everything that it took so far.
    line_free_at: Option<Instant>,
    /// Arrival of the latest packet that was not held back: none after it arrives earlier.
    last_arrival_at: Option<Instant>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It never arrives.
    Drop(DropCause),
    /// It arrives.
    Deliver {
        /// When; not before it was offered.
        at: Instant,
        /// How many times, all at the same instant: 1, or 2 for a duplicated packet.
        copies: u8,
        /// Whether it is held back, so that packets offered later may arrive before it.
        reordered: bool,
    },
}

/// Why a packet never arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// The queue before the bottleneck had no room.
    QueueFull,
    /// It was lost behind the bottleneck, whose time it has used.
    Loss,
}

impl Path {
    /// Creates a path that draws its faults from `rng`.
    ///
    /// # Errors
    ///
    /// The settings describe no possible path.
    pub fn new(config: PathConfig, rng: ChaCha8Rng) -> Result<Self, PathConfigError> {
        config.check()?;
        let loss = LossChain::new(&config);
        Ok(Self { config, loss, rng, line_free_at: None, last_arrival_at: None })
    }

    /// Changes the settings from the next packet on; verdicts already given stand.
    ///
    /// New packets queue behind those before the bottleneck, but may overtake those beyond it, as they do when
    /// a route changes.
    ///
    /// # Errors
    ///
    /// The settings describe no possible path; the old ones stay.
    pub fn set_config(&mut self, config: PathConfig) -> Result<(), PathConfigError> {
        config.check()?;
        self.loss = LossChain::new(&config);
        self.config = config;
        self.last_arrival_at = None;
        Ok(())
    }

    /// Decides about a packet of `len` bytes that enters at `now`. Times must not go backwards.
    pub fn offer(&mut self, now: Instant, len: usize) -> Verdict {
        let dice = Dice::roll(&mut self.rng);
        let Some(sent_at) = self.transmit(now, len) else {
            return Verdict::Drop(DropCause::QueueFull);
        };
        if self.loss.takes(dice.loss) {
            return Verdict::Drop(DropCause::Loss);
        }
        let reordered = dice.reorder < self.config.reorder;
        let copies = if dice.duplicate < self.config.duplicate { 2 } else { 1 };
        let at = self.arrive(sent_at, dice.jitter, reordered);
        Verdict::Deliver { at, copies, reordered }
    }

    /// Puts a packet on the line behind those that wait, and returns when its last byte has left; `None` if the
    /// queue is full.
    fn transmit(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.config.rate_bits_per_second else {
            return Some(now);
        };
        let starts_at = self.line_free_at.map_or(now, |at| at.max(now));
        let is_idle = starts_at == now;
        let waiting_bytes = bytes_sent_in(starts_at - now, rate);
        if !is_idle && waiting_bytes + len as u128 > u128::from(self.config.queue_bytes_max) {
            return None;
        }
        let sent_at = starts_at + time_on_line(len, rate);
        self.line_free_at = Some(sent_at);
        Some(sent_at)
    }

    fn arrive(&mut self, sent_at: Instant, jitter_share: f64, reordered: bool) -> Instant {
        let drawn_at = sent_at + self.config.delay + self.config.jitter.mul_f64(jitter_share);
        let in_order_at = self.last_arrival_at.map_or(drawn_at, |last_at| last_at.max(drawn_at));
        if reordered {
            return in_order_at + self.config.reorder_delay;
        }
        self.last_arrival_at = Some(in_order_at);
        in_order_at
    }
}

/// The random numbers of one packet, each from 0 up to but not including 1.
///
/// Every packet draws all of them, whatever is configured: to switch one fault on or off leaves the draws of
/// the others as they were, and two runs stay comparable.
struct Dice {
    loss: f64,
    jitter: f64,
    duplicate: f64,
    reorder: f64,
}

impl Dice {
    fn roll(rng: &mut ChaCha8Rng) -> Self {
        Self { loss: rng.random(), jitter: rng.random(), duplicate: rng.random(), reorder: rng.random() }
    }
}

/// The Gilbert-Elliott model with two states, passing and losing, that moves once a packet.
///
/// With `B` the mean length of a burst and `p` the share that is lost, a burst ends with chance `1/B` and
/// begins with `p / (B(1-p))`. Independent loss is the chain whose two chances are both `p`.
#[derive(Clone, Debug)]
struct LossChain {
    is_losing: bool,
    begin: f64,
    go_on: f64,
}

impl LossChain {
    fn new(config: &PathConfig) -> Self {
        let loss = config.loss;
        let (begin, go_on) = match config.loss_burst_packets {
            Some(burst) if loss < 1.0 => (loss / (burst * (1.0 - loss)), 1.0 - 1.0 / burst),
            _ => (loss, loss),
        };
        Self { is_losing: false, begin, go_on }
    }

    fn takes(&mut self, draw: f64) -> bool {
        let chance = if self.is_losing { self.go_on } else { self.begin };
        self.is_losing = draw < chance;
        self.is_losing
    }
}

/// Rounded up, so that packets never leave faster than the rate.
fn time_on_line(len: usize, rate: NonZeroU64) -> Duration {
    let nanos = (len as u128 * BIT_NANOS_PER_BYTE).div_ceil(u128::from(rate.get()));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn bytes_sent_in(time: Duration, rate: NonZeroU64) -> u128 {
    time.as_nanos() * u128::from(rate.get()) / BIT_NANOS_PER_BYTE
}

/// Eight bits to the byte, 10^9 nanoseconds to the second.
const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const SEED: u64 = 2012;
    const LEN: usize = 1200;
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_path_without_faults_delivers_at_once() {
        let now = Instant::now();
        let verdicts = run(PathConfig::default(), SEED, [now; 3]);
        assert_eq!(verdicts, [Verdict::Deliver { at: now, copies: 1, reordered: false }; 3]);
    }

    #[test]
    fn the_same_seed_gives_the_same_verdicts() {
        let times = every(MS, 2000);
        let first = run(terrible(), SEED, times.clone());
        assert_eq!(first, run(terrible(), SEED, times.clone()));
        assert_ne!(first, run(terrible(), SEED + 1, times));
    }

    #[test]
    fn one_fault_does_not_move_another() {
        let times = every(MS, 2000);
        let plain = PathConfig { loss: 0.1, ..PathConfig::default() };
        let jittery = PathConfig { jitter: 20 * MS, duplicate: 0.5, ..plain.clone() };
        let losses = |config| run(config, SEED, times.clone()).into_iter().map(is_lost).collect::<Vec<_>>();
        assert_eq!(losses(plain), losses(jittery));
    }

    #[test]
    fn independent_loss_keeps_its_share() {
        let config = PathConfig { loss: 0.02, ..PathConfig::default() };
        let (share, burst) = loss_statistics(config);
        // Five standard deviations of 100,000 draws.
        assert!((share - 0.02).abs() < 0.0022, "share {share}, seed {SEED}");
        assert!((burst - 1.0 / 0.98).abs() < 0.02, "burst {burst}, seed {SEED}");
    }

    #[test]
    fn burst_loss_keeps_its_share_and_its_mean_length() {
        let config = PathConfig { loss: 0.05, loss_burst_packets: Some(8.0), ..PathConfig::default() };
        let (share, burst) = loss_statistics(config);
        // Some 625 bursts whose length has a standard deviation of 7.5: five of the mean are 1.5 packets.
        assert!((burst - 8.0).abs() < 1.5, "burst {burst}, seed {SEED}");
        assert!((share - 0.05).abs() < 0.014, "share {share}, seed {SEED}");
    }

    #[test]
    fn total_loss_loses_everything() {
        for loss_burst_packets in [None, Some(3.0)] {
            let config = PathConfig { loss: 1.0, loss_burst_packets, ..PathConfig::default() };
            assert!(run(config, SEED, every(MS, 100)).into_iter().all(is_lost));
        }
    }

    #[test]
    fn packets_leave_no_faster_than_the_rate() {
        let config = PathConfig { queue_bytes_max: 1 << 20, ..limited(20_000_000) };
        let now = Instant::now();
        let arrivals = arrivals(&run(config, SEED, [now; 100]));
        let on_line = Duration::from_micros(480); // 1200 bytes at 20 Mbit/s
        for (nth, at) in (1..).zip(&arrivals) {
            assert_eq!(*at, now + on_line * nth);
        }
        assert_eq!(arrivals.len(), 100);
    }

    #[test]
    fn a_full_queue_drops_the_tail() {
        let config = PathConfig { queue_bytes_max: 12_000, ..limited(20_000_000) };
        let now = Instant::now();
        let verdicts = run(config.clone(), SEED, [now; 100]);
        let (taken, refused) = verdicts.split_at(10);
        assert!(taken.iter().all(|verdict| matches!(verdict, Verdict::Deliver { .. })));
        assert!(refused.iter().all(|verdict| *verdict == Verdict::Drop(DropCause::QueueFull)));

        let times = every(MS / 10, 5000);
        for (entered_at, verdict) in times.iter().zip(run(config, SEED, times.clone())) {
            let Verdict::Deliver { at, .. } = verdict else { continue };
            assert!(at - *entered_at <= bytes_time(12_000), "{:?}", at - *entered_at);
        }
    }

    #[test]
    fn an_idle_line_takes_a_packet_longer_than_its_queue() {
        let config = PathConfig { queue_bytes_max: 0, ..limited(20_000_000) };
        let verdicts = run(config, SEED, every(MS, 50));
        assert_eq!(arrivals(&verdicts).len(), 50);
    }

    #[test]
    fn a_lost_packet_has_used_the_line() {
        let config = PathConfig { loss: 0.5, ..limited(20_000_000) };
        let now = Instant::now();
        let verdicts = run(config, SEED, [now; 100]);
        let last = arrivals(&verdicts).into_iter().max().expect("half of them arrive");
        assert!(verdicts.iter().copied().any(is_lost) && last > now + bytes_time(80 * LEN as u64));
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_keeps_the_order() {
        let config = PathConfig { delay: 30 * MS, jitter: 10 * MS, ..PathConfig::default() };
        let times = every(MS, 1000);
        let arrivals = arrivals(&run(config, SEED, times.clone()));
        assert!(arrivals.is_sorted());
        for (entered_at, at) in times.iter().zip(&arrivals) {
            assert!((30 * MS..40 * MS).contains(&(*at - *entered_at)), "seed {SEED}");
        }
    }

    #[test]
    fn a_packet_held_back_is_overtaken() {
        let config = PathConfig { reorder: 0.1, reorder_delay: 5 * MS, ..PathConfig::default() };
        let times = every(MS, 10_000);
        let mut held_back = 0;
        for (entered_at, verdict) in times.iter().zip(run(config, SEED, times.clone())) {
            let Verdict::Deliver { at, reordered, .. } = verdict else { panic!("nothing is dropped here") };
            assert_eq!(at - *entered_at, if reordered { 5 * MS } else { Duration::ZERO });
            held_back += u32::from(reordered);
        }
        assert!((850..1150).contains(&held_back), "{held_back} held back, seed {SEED}");
    }

    #[test]
    fn duplicates_have_their_share() {
        let config = PathConfig { duplicate: 0.1, ..PathConfig::default() };
        let twice = |verdict: &Verdict| matches!(verdict, Verdict::Deliver { copies: 2, .. });
        let duplicated = run(config, SEED, every(MS, 10_000)).iter().filter(|verdict| twice(verdict)).count();
        assert!((850..1150).contains(&duplicated), "{duplicated} duplicated, seed {SEED}");
    }

    #[test]
    fn new_settings_count_from_the_next_packet() {
        let slow = PathConfig { delay: 1000 * MS, ..PathConfig::default() };
        let now = Instant::now();
        let mut path = Path::new(slow, ChaCha8Rng::seed_from_u64(SEED)).expect("possible");
        path.offer(now, LEN);
        path.set_config(PathConfig::default()).expect("possible");
        assert_eq!(path.offer(now, LEN), Verdict::Deliver { at: now, copies: 1, reordered: false });
        path.set_config(PathConfig { loss: 2.0, ..PathConfig::default() }).expect_err("impossible");
        assert_eq!(path.offer(now, LEN), Verdict::Deliver { at: now, copies: 1, reordered: false });
    }

    fn run(config: PathConfig, seed: u64, times: impl IntoIterator<Item = Instant>) -> Vec<Verdict> {
        let mut path = Path::new(config, ChaCha8Rng::seed_from_u64(seed)).expect("possible settings");
        times.into_iter().map(|now| path.offer(now, LEN)).collect()
    }

    fn every(pause: Duration, packets: u32) -> Vec<Instant> {
        let start = Instant::now();
        (0..packets).map(|nth| start + pause * nth).collect()
    }

    fn limited(bits_per_second: u64) -> PathConfig {
        PathConfig { rate_bits_per_second: NonZeroU64::new(bits_per_second), ..PathConfig::default() }
    }

    fn bytes_time(bytes: u64) -> Duration {
        Duration::from_nanos(bytes * 400) // at 20 Mbit/s
    }

    fn terrible() -> PathConfig {
        PathConfig {
            loss: 0.1,
            loss_burst_packets: Some(3.0),
            delay: 30 * MS,
            jitter: 10 * MS,
            duplicate: 0.1,
            reorder: 0.1,
            ..PathConfig::default()
        }
    }

    fn arrivals(verdicts: &[Verdict]) -> Vec<Instant> {
        let arrival = |verdict: &Verdict| match verdict {
            Verdict::Deliver { at, .. } => Some(*at),
            Verdict::Drop(_) => None,
        };
        verdicts.iter().filter_map(arrival).collect()
    }

    fn is_lost(verdict: Verdict) -> bool {
        verdict == Verdict::Drop(DropCause::Loss)
    }

    /// Share of lost packets and mean length of a burst, over 100,000 packets.
    fn loss_statistics(config: PathConfig) -> (f64, f64) {
        let losses: Vec<bool> = run(config, SEED, every(MS, 100_000)).into_iter().map(is_lost).collect();
        let lost = losses.iter().filter(|lost| **lost).count() as f64;
        let bursts = losses.chunk_by(|a, b| a == b).filter(|burst| burst[0]).count() as f64;
        (lost / losses.len() as f64, lost / bursts)
    }
}
