//! Backups of disks, and an operator who restores them: mostly as the README says, now and then not.

use std::time::Duration;

use runnel::StoreRenewal;
use runnel::certs::Role;
use runnel_queue::{FaultyDisk, Row};
use tokio::time::sleep;

use super::{What, World};
use crate::crashing::store_on;
use crate::sim::env::SimEnv;
use crate::sim::process::seed_of;
use crate::sim::violation::Invariant;

impl World {
    /// Keeps what is durable on a host's disk.
    pub fn back_up(&mut self, host: usize) {
        let Some(image) = self.hosts[host].disk.store.as_ref().map(FaultyDisk::image) else { return };
        let copy = FaultyDisk::new(self.options.seed);
        copy.restore(&image);
        self.observer.backed_up(host, &rows_on(&copy));
        self.hosts[host].backup = Some(image);
    }

    /// Puts a host's disk back to its backup, gives the store a new epoch and starts a process there. Now and then a
    /// controller runs for a while before that, without anybody who submits anything: its peers may find out that it knows
    /// less than it did.
    ///
    /// # Cancel safety
    ///
    /// The host may be left without a process.
    pub async fn restore_backup(&mut self, host: usize) {
        let Some(image) = self.hosts[host].backup.take() else { return };
        let Some(disk) = self.hosts[host].disk.store.clone() else { return };
        self.crash(host).await;
        self.set_disk_full(host, false);
        disk.restore(&image);
        self.observer.restored(host);
        self.disks += 1;
        let luck = seed_of(self.options.seed, "restored as it is", host, self.disks);
        if self.hosts[host].role == Role::Controller && luck.is_multiple_of(AS_IT_IS_EVERY) {
            self.try_unrenewed(host).await;
        }
        self.observer.renewed(host, &rows_on(&disk));
        self.renew_store(host, &disk);
        self.start(host);
    }

    async fn try_unrenewed(&mut self, host: usize) {
        self.observer.goes_on_unrenewed(host);
        let (machine, disk) = (self.hosts[host].machine.clone(), self.hosts[host].disk.clone());
        let process = self.start_on(host, &machine, disk, What::Restored);
        self.hosts[host].process = Some(process);
        sleep(FOUND_OUT_AFTER).await;
        self.crash(host).await;
    }

    /// Does what `runnel new-epoch` does.
    fn renew_store(&self, host: usize, disk: &FaultyDisk) {
        let seed = seed_of(self.options.seed, "another epoch", host, self.disks);
        let env = SimEnv::on(self.network.clone(), self.hosts[host].machine.clone(), seed);
        let renewed = StoreRenewal::plan(store_on(disk), &*env)
            .and_then(|renewal| renewal.map_or(Ok(()), |renewal| renewal.apply().map(drop)));
        if let Err(error) = renewed {
            self.observer.violation(Invariant::NothingLost, format!("the backup of host {host}: {error}"));
        }
    }
}

fn rows_on(disk: &FaultyDisk) -> Vec<Row> {
    store_on(disk).load().expect("a sound store")
}

/// One in so many restored backups is started as it is.
const AS_IT_IS_EVERY: u64 = 4;

/// How long the operator looks whether peers refuse the restored store.
const FOUND_OUT_AFTER: Duration = Duration::from_secs(10);
