//! What a run is made of, all drawn from its seed, so that runs differ in kind and not only in luck.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runnel::Config;

use super::bottleneck::RateConfig;
use super::fault::FaultKind;
use super::gilbert_elliott::BurstConfig;
use super::nat::{NatConfig, NatKind};
use super::path::PathConfig;
use super::process::seed_of;

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// What everything was drawn from.
    pub seed: u64,
    /// Nodes that listen and send commands.
    pub controllers: usize,
    /// Nodes that dial and run them.
    pub workers: usize,
    /// Orders of all callers together, a second.
    pub orders_per_second: f64,
    /// Bytes of one body, result, or all updates of a command, at most.
    pub bytes_max: u32,
    /// What paths do while there are faults.
    pub path: PathConfig,
    /// What paths do once faults have stopped.
    pub calm_path: PathConfig,
    /// Which faults there are.
    pub faults: BTreeSet<FaultKind>,
    /// Pause between two faults, on average.
    pub fault_pause: Duration,
    /// Longest time that a fault lasts.
    pub fault_max: Duration,
    /// Of the workers, which are behind a NAT.
    pub nats: Vec<Option<NatKind>>,
    /// When these NATs forget a port.
    pub nat_idle: Duration,
    /// Queues are so small that they fill up.
    pub has_small_queues: bool,
    /// Windows of bodies are small and some are read slowly, few handlers run at once, and some callers look after their
    /// commands late.
    pub is_tight: bool,
    /// Machines have disks with stores, and some commands are durable.
    pub is_durable: bool,
    /// How long a batch takes to become durable.
    pub sync_delay: Duration,
}

impl Options {
    /// Draws the options of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let workers =
            if random.random_bool(0.3) { random.random_range(3..=6) } else { random.random_range(1..=2) };
        let faults: BTreeSet<_> = FaultKind::ALL.into_iter().filter(|_| random.random_bool(0.5)).collect();
        let path = draw_path(&mut random);
        let nats = (0..workers).map(|_| draw_nat(&mut random)).collect();
        let mut of_disks = ChaCha8Rng::seed_from_u64(seed_of(seed, "disks", 0, 0));
        let is_durable = of_disks.random_bool(0.8);
        let disk_faults = FaultKind::OF_DISKS.into_iter().filter(|_| of_disks.random_bool(0.5));
        let mut faults: BTreeSet<_> = if is_durable { disk_faults.chain(faults).collect() } else { faults };
        // Drawn apart, so that older seeds draw what they drew.
        let mut of_backups = ChaCha8Rng::seed_from_u64(seed_of(seed, "backups", 0, 0));
        if is_durable {
            faults.extend(FaultKind::OF_BACKUPS.into_iter().filter(|_| of_backups.random_bool(0.4)));
        }
        Self {
            seed,
            controllers: if random.random_bool(0.3) { 2 } else { 1 },
            workers,
            orders_per_second: [0.2, 1.0, 3.0][random.random_range(0..3)],
            bytes_max: [2_000, 50_000, 400_000][random.random_range(0..3)],
            calm_path: PathConfig {
                loss: path.loss.min(0.05),
                bursts: None,
                delay: path.delay.min(Duration::from_millis(120)),
                jitter: path.jitter.min(Duration::from_millis(20)),
                ..path
            },
            path,
            faults,
            fault_pause: Duration::from_secs(random.random_range(3..60)),
            fault_max: Duration::from_secs([5, 20, 90][random.random_range(0..3)]),
            nats,
            nat_idle: Duration::from_secs([10, 30, 120][random.random_range(0..3)]),
            has_small_queues: random.random_bool(0.2),
            is_tight: false,
            is_durable,
            sync_delay: Duration::from_millis([1, 5, 25][of_disks.random_range(0..3)]),
        }
    }

    /// A world in which nothing goes wrong and nobody asks for anything: for scenarios.
    pub fn calm(seed: u64, workers: usize, path: PathConfig) -> Self {
        Self {
            seed,
            controllers: 1,
            workers,
            orders_per_second: 0.0,
            bytes_max: 1_000,
            calm_path: path,
            path,
            faults: BTreeSet::new(),
            fault_pause: Duration::from_secs(60),
            fault_max: Duration::ZERO,
            nats: vec![None; workers],
            nat_idle: Duration::from_secs(120),
            has_small_queues: false,
            is_tight: false,
            is_durable: false,
            sync_delay: Duration::from_millis(5),
        }
    }

    /// A world that is harder: half of them are tight, with crashes and more orders than handlers may run at once, and half
    /// of those with disks have some that get stuck.
    pub fn sharpened(mut self) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed_of(self.seed, "later", 0, 0));
        self.is_tight = random.random_bool(0.5);
        if self.is_tight {
            self.orders_per_second = self.orders_per_second.max(self.workers as f64);
            self.faults.insert(FaultKind::Crash);
        }
        if self.is_durable && random.random_bool(0.5) {
            self.faults.insert(FaultKind::DiskStuck);
        }
        self
    }

    /// The same world, with the same callers, in which nothing goes wrong.
    pub fn without_faults(self) -> Self {
        let path = PathConfig::clean(self.path.delay);
        Self { path, calm_path: path, faults: BTreeSet::new(), nats: vec![None; self.workers], ..self }
    }

    /// Replaces the number of workers; their NATs are drawn again.
    pub fn with_workers(mut self, workers: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ 1);
        self.workers = workers;
        self.nats = (0..workers).map(|_| draw_nat(&mut random)).collect();
        self
    }

    /// Returns the settings of all nodes.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        if self.is_tight {
            config.send_queue.result_body_window_bytes = 8_000;
            config.receive_queue.body_window_bytes = 8_000;
            config.receive_queue.body_window_bytes_min = NonZeroU64::new(2_000).expect("2000 is not 0");
            config.receive_queue.running_max = 4;
            config.receive_queue.urgent_running_reserve = 1;
        }
        if self.has_small_queues {
            config.send_queue.updates_window_bytes = 4_000;
            config.send_queue.peer_commands_max = 20;
            config.send_queue.peer_commands_min = 4;
            config.send_queue.links_died_max = NonZeroU32::new(2).expect("2 is not 0");
            config.receive_queue.commands_max = 12;
            config.receive_queue.sender_commands_min = 2;
            config.receive_queue.urgent_reserve = 2;
            config.receive_queue.running_max = 4;
            config.receive_queue.urgent_running_reserve = 1;
        }
        config
    }

    /// Returns the NAT in front of a worker, if there is one.
    pub fn nat(&self, worker: usize) -> Option<NatConfig> {
        let kind = self.nats.get(worker).copied().flatten()?;
        let [.., high, low] = u32::try_from(worker).unwrap_or(u32::MAX).to_be_bytes();
        let public = IpAddr::V4(Ipv4Addr::new(198, 18, high, low));
        Some(NatConfig { public, kind, idle_timeout: self.nat_idle })
    }

    /// Returns how long an urgent command takes at most on the calm path, with the losses that it may have.
    pub fn urgent_max(&self) -> Duration {
        let queue = self
            .calm_path
            .rate
            .map_or(0.0, |rate| 8.0 * rate.queue_bytes as f64 / rate.bits_per_second as f64);
        let round_trip = 2 * (self.calm_path.delay + self.calm_path.jitter);
        // Three losses in a row and the repeats after each of them; behind them a link that was given up.
        Duration::from_secs(10) + 8 * round_trip + Duration::from_secs_f64(4.0 * queue)
    }
}

fn draw_path(random: &mut ChaCha8Rng) -> PathConfig {
    let ms = Duration::from_millis;
    let is_bad = random.random_bool(0.5);
    let bursts = BurstConfig {
        good_for: Duration::from_secs(random.random_range(2..30)),
        bad_for: ms(random.random_range(50..2_000)),
        loss: random.random_range(0.5..1.0),
    };
    let rate = RateConfig {
        bits_per_second: [1, 5, 20, 100][random.random_range(0..4)] * 1_000_000,
        queue_bytes: [30_000, 256_000][random.random_range(0..2)],
    };
    PathConfig {
        loss: if is_bad { random.random_range(0.0..0.15) } else { random.random_range(0.0..0.02) },
        bursts: random.random_bool(0.3).then_some(bursts),
        delay: ms([1, 10, 40, 150][random.random_range(0..4)]),
        jitter: ms([0, 2, 20, 80][random.random_range(0..4)]),
        reordered: if is_bad { random.random_range(0.0..0.05) } else { 0.0 },
        reordered_by: ms(random.random_range(1..60)),
        duplicated: if random.random_bool(0.5) { random.random_range(0.0..0.05) } else { 0.0 },
        rate: random.random_bool(0.6).then_some(rate),
    }
}

fn draw_nat(random: &mut ChaCha8Rng) -> Option<NatKind> {
    match random.random_range(0..3) {
        0 => None,
        1 => Some(NatKind::Cone),
        _ => Some(NatKind::Symmetric),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_draws_the_same_and_the_calm_path_is_calm() {
        for seed in 0..200 {
            let options = Options::draw(seed);
            assert_eq!(format!("{options:?}"), format!("{:?}", Options::draw(seed)));
            assert!(options.calm_path.loss <= 0.05);
            assert!(2 * (options.calm_path.delay + options.calm_path.jitter) <= Duration::from_millis(300));
        }
    }

    #[test]
    fn every_fault_is_drawn_by_some_seed() {
        let drawn: BTreeSet<_> = (0..50).flat_map(|seed| Options::draw(seed).sharpened().faults).collect();
        let known = FaultKind::ALL
            .into_iter()
            .chain(FaultKind::OF_DISKS)
            .chain(FaultKind::OF_BACKUPS)
            .chain([FaultKind::DiskStuck]);
        assert_eq!(drawn, known.collect());
    }
}
