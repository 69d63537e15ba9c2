//! The faults of a run: which there are, and how one is drawn. Pure.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::options::Options;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// No packet comes or goes.
    Blackout,
    /// Packets go one way only.
    OneWayCut,
    /// Nearly everything is lost.
    HeavyLoss,
    /// The NAT forgets its ports.
    Rebind,
    /// The process is gone without a word, and started again later.
    Crash,
    /// The process is told to stop, and started again later.
    Restart,
    /// The machine stands still, and goes on later.
    Freeze,
    /// The machine has slept.
    Sleep,
    /// The wall clock steps by a day.
    ClockStep,
    /// The route to others is gone, and another one comes.
    RouteChange,
    /// A second process with the same identity runs on another machine.
    Clone,
    /// The power of the machine fails: what was not synced is lost, kept or torn. It comes back later.
    PowerCut,
    /// The machine comes back with an empty disk.
    DiskLost,
    /// No space is left on the disk, for a while.
    DiskFull,
    /// A few syncs fail.
    SyncsFail,
    /// Syncs take long, for a while.
    SlowDisk,
    /// The disk is backed up, and is later what it was then; the store gets a new epoch.
    BackupRestored,
    /// No sync ends, until the power of the machine fails: whatever was said meanwhile must have been on the disk before.
    DiskStuck,
}

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// The host that it hits: controllers come first, then workers.
    pub(super) host: usize,
    /// Another host, for what lies between two.
    pub(super) peer: usize,
    /// How long it lasts.
    pub(super) lasts: Duration,
    /// What else there is to decide.
    pub(super) is_other_way: bool,
}

impl FaultKind {
    /// Those that need no disk.
    pub const ALL: [Self; 11] = [
        Self::Blackout,
        Self::OneWayCut,
        Self::HeavyLoss,
        Self::Rebind,
        Self::Crash,
        Self::Restart,
        Self::Freeze,
        Self::Sleep,
        Self::ClockStep,
        Self::RouteChange,
        Self::Clone,
    ];

    /// Those of machines with disks, but [`DiskStuck`](Self::DiskStuck).
    pub const OF_DISKS: [Self; 5] =
        [Self::PowerCut, Self::DiskLost, Self::DiskFull, Self::SyncsFail, Self::SlowDisk];

    /// Those of machines with disks that are backed up.
    pub const OF_BACKUPS: [Self; 1] = [Self::BackupRestored];
}

impl Fault {
    /// Draws the next fault of a run; `None` if it has none.
    pub(super) fn draw(random: &mut ChaCha8Rng, options: &Options) -> Option<Self> {
        let kinds: Vec<_> = options.faults.iter().copied().collect();
        let kind = *kinds.get(random.random_range(0..kinds.len().max(1)))?;
        let (controller, worker) = (
            random.random_range(0..options.controllers),
            options.controllers + random.random_range(0..options.workers),
        );
        let is_worker = random.random_bool(0.7);
        let host = match kind {
            // Those that dial, and sit behind NATs.
            FaultKind::Rebind | FaultKind::RouteChange | FaultKind::Clone => worker,
            // A sender's store is the one that peers find out.
            FaultKind::BackupRestored if is_worker => controller,
            FaultKind::BackupRestored => worker,
            _ if is_worker => worker,
            _ => controller,
        };
        let peer = if host == worker { controller } else { worker };
        let longest = options.fault_max.as_millis().try_into().unwrap_or(u64::MAX);
        let lasts = Duration::from_millis(random.random_range(50..=longest));
        let is_other_way = random.random_bool(0.5);
        Some(Self { kind, host, peer, lasts, is_other_way })
    }

    /// Returns what else is wrong, if trouble comes in company: before the power of a machine fails whose disk is stuck, it
    /// loses the network for a while, or its peer is gone and comes back: then the two meet again.
    pub(super) fn company(&self) -> Option<Self> {
        let (kind, host) = match self.kind {
            FaultKind::DiskStuck if self.is_other_way => (FaultKind::Blackout, self.host),
            FaultKind::DiskStuck => (FaultKind::Crash, self.peer),
            _ => return None,
        };
        Some(Self { kind, host, lasts: self.lasts / 2, ..self.clone() })
    }
}
