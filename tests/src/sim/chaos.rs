//! The faults of a run at work: one after the other they hit the world, and each ends again.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep_until};

use super::fault::{Fault, FaultKind};
use super::path::PathConfig;
use super::process::seed_of;
use super::world::World;

/// Draws faults, and knows which of them have not ended.
#[derive(Debug)]
pub(super) struct Chaos {
    random: ChaCha8Rng,
    /// When a fault ends; its number keeps two of one moment apart.
    active: BTreeMap<(Instant, u64), Fault>,
    drawn: u64,
    doubles: u64,
}

impl Chaos {
    pub(super) fn new(seed: u64) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed_of(seed, "chaos", 0, 0));
        Self { random, active: BTreeMap::new(), drawn: 0, doubles: 0 }
    }

    /// Returns how many faults there were.
    pub(super) fn faults(&self) -> u64 {
        self.drawn
    }

    /// Returns whether any host had a double.
    pub(super) fn had_doubles(&self) -> bool {
        self.doubles > 0
    }

    /// Lets faults happen for so long, and then ends them all.
    pub(super) async fn rage(&mut self, world: &mut World, lasts: Duration) {
        let ends_at = Instant::now() + lasts;
        let mut next_at = self.draw_next(world);
        while Instant::now() < ends_at {
            let heals_at = self.active.keys().next().map(|(at, _)| *at);
            let at = [Some(next_at), Some(ends_at), heals_at].into_iter().flatten().min();
            sleep_until(at.unwrap_or(ends_at)).await;
            self.end_due(world, Instant::now()).await;
            if next_at <= Instant::now() {
                self.begin_one(world).await;
                next_at = self.draw_next(world);
            }
        }
        while let Some((_, fault)) = self.active.pop_first() {
            self.end(world, &fault).await;
        }
    }

    fn draw_next(&mut self, world: &World) -> Instant {
        Instant::now() + world.options().fault_pause.mul_f64(self.random.random_range(0.05..2.0))
    }

    async fn begin_one(&mut self, world: &mut World) {
        let Some(fault) = Fault::draw(&mut self.random, world.options()) else { return };
        let company = fault.company();
        for fault in std::iter::once(fault).chain(company) {
            if self.active.values().any(|active| excludes(active, &fault)) {
                return;
            }
            self.drawn += 1;
            world.observer().trace().event(&format!("fault: {fault:?}"));
            self.begin(world, &fault).await;
            self.active.insert((Instant::now() + fault.lasts, self.drawn), fault);
        }
    }

    async fn begin(&mut self, world: &mut World, fault: &Fault) {
        let (host, address) = (fault.host, world.address(fault.host));
        match fault.kind {
            FaultKind::Blackout => world.network().set_cut_off(address, true),
            FaultKind::OneWayCut => set_cut(world, fault, true),
            FaultKind::HeavyLoss => {
                let path = PathConfig { loss: 0.6, ..world.options().path };
                world.network().set_path_of(address, Some(path));
            }
            FaultKind::Rebind => {
                world.network().forget_ports(address);
                world.observer().rebound(host);
            }
            FaultKind::Crash => world.crash(host).await,
            FaultKind::PowerCut => world.cut_power(host).await,
            FaultKind::DiskLost => world.lose_disk(host).await,
            FaultKind::DiskFull => world.set_disk_full(host, true),
            FaultKind::SyncsFail => world.fail_syncs(host, 1 + u64::from(fault.lasts.subsec_millis() % 3)),
            FaultKind::SlowDisk => world.machine(host).set_sync_delay(SLOW),
            FaultKind::BackupRestored => world.back_up(host),
            FaultKind::DiskStuck => world.machine(host).set_sync_delay(FOR_EVER),
            FaultKind::Restart => {
                // A machine that stands still cannot stop.
                world.machine(host).thaw();
                world.stop(host).await;
            }
            FaultKind::Freeze => world.machine(host).freeze(),
            FaultKind::Sleep => {
                // Observers know first: the node may look at once.
                world.observer().slept(host, fault.lasts * 60);
                world.machine(host).wake_after(fault.lasts * 60);
                world.machine(host).report_change();
            }
            FaultKind::ClockStep if fault.is_other_way => world.machine(host).step_back(DAY),
            FaultKind::ClockStep => {
                world.observer().stepped(host, DAY);
                world.machine(host).step_forward(DAY);
            }
            FaultKind::RouteChange => {
                world.machine(host).set_source_address(None);
                world.machine(host).report_change();
            }
            FaultKind::Clone => {
                self.doubles += 1;
                world.start_double(host);
            }
        }
    }

    async fn end_due(&mut self, world: &mut World, now: Instant) {
        while let Some(entry) = self.active.first_entry().filter(|entry| entry.key().0 <= now) {
            let fault = entry.remove();
            self.end(world, &fault).await;
        }
    }

    async fn end(&self, world: &mut World, fault: &Fault) {
        let (host, address) = (fault.host, world.address(fault.host));
        match fault.kind {
            FaultKind::Blackout => world.network().set_cut_off(address, false),
            FaultKind::OneWayCut => set_cut(world, fault, false),
            FaultKind::HeavyLoss => world.network().set_path_of(address, None),
            FaultKind::Crash | FaultKind::Restart | FaultKind::PowerCut | FaultKind::DiskLost => {
                world.start(host);
            }
            FaultKind::BackupRestored => world.restore_backup(host).await,
            FaultKind::DiskFull => world.set_disk_full(host, false),
            FaultKind::SlowDisk => world.machine(host).set_sync_delay(world.options().sync_delay),
            FaultKind::DiskStuck => {
                world.machine(host).set_sync_delay(world.options().sync_delay);
                world.cut_power(host).await;
                world.start(host);
            }
            FaultKind::Freeze => world.machine(host).thaw(),
            FaultKind::RouteChange => {
                // Another address than before, as far as the node is told: it moves.
                let other = if fault.is_other_way { [192, 0, 2, 1].into() } else { address };
                world.machine(host).set_source_address(Some(other));
                world.machine(host).report_change();
            }
            FaultKind::Clone => world.end_double(host).await,
            FaultKind::Rebind | FaultKind::Sleep | FaultKind::ClockStep | FaultKind::SyncsFail => {}
        }
        world.observer().trace().event(&format!("the fault is over: {fault:?}"));
    }
}

/// Returns whether a fault cannot begin beside an active one. A node whose disk is stuck cannot stop in order.
fn excludes(active: &Fault, fault: &Fault) -> bool {
    let cannot_meet = [FaultKind::DiskStuck, FaultKind::Restart];
    active.host == fault.host
        && (active.kind == fault.kind
            || [active.kind, fault.kind].iter().all(|kind| cannot_meet.contains(kind)))
}

fn set_cut(world: &World, fault: &Fault, is_cut: bool) {
    let (host, peer) = (world.address(fault.host), world.address(fault.peer));
    let (from, to) = if fault.is_other_way { (peer, host) } else { (host, peer) };
    world.network().set_cut_one_way(from, to, is_cut);
}

/// What a sync takes on a disk that is busy with something else.
const SLOW: Duration = Duration::from_millis(700);

/// What a sync takes on a disk that is stuck.
const FOR_EVER: Duration = Duration::from_secs(7 * 24 * 3600);

const DAY: Duration = Duration::from_secs(24 * 3600);
