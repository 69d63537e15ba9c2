//! Backups of disks, and an operator who restores one as the README says.

use std::time::Duration;

use runnel::StoreRenewal;
use runnel::certs::Role;
use tokio::time::sleep;

use super::{What, World};
use crate::crashing::store_on;
use crate::sim::env::SimEnv;
use crate::sim::process::seed_of;
use crate::sim::violation::Invariant;

impl World {
    /// Keeps what is durable on a host's disk.
    pub fn back_up(&mut self, host: usize) {
        let image = self.hosts[host].disk.store.as_ref().map(runnel_queue::FaultyDisk::image);
        self.hosts[host].backup = image;
    }

    /// Puts a host's disk back to its backup, gives the store a new epoch and starts a process there. A controller runs for
    /// a while before that, without anybody who submits anything: its peers find out that it knows less than it did.
    ///
    /// # Cancel safety
    ///
    /// The host may be left without a process.
    pub async fn restore_backup(&mut self, host: usize) {
        let Some(image) = self.hosts[host].backup.take() else { return };
        self.crash(host).await;
        self.set_disk_full(host, false);
        if let Some(disk) = &self.hosts[host].disk.store {
            disk.restore(&image);
        }
        self.observer.restored(host);
        if self.hosts[host].role == Role::Controller {
            let (machine, disk) = (self.hosts[host].machine.clone(), self.hosts[host].disk.clone());
            let process = self.start_on(host, &machine, disk, What::Restored);
            self.hosts[host].process = Some(process);
            sleep(FOUND_OUT_AFTER).await;
            self.crash(host).await;
        }
        self.renew_store(host);
        self.start(host);
    }

    /// Does what `runnel new-epoch` does.
    fn renew_store(&mut self, host: usize) {
        let Some(disk) = &self.hosts[host].disk.store else { return };
        self.disks += 1;
        let seed = seed_of(self.options.seed, "another epoch", host, self.disks);
        let env = SimEnv::on(self.network.clone(), self.hosts[host].machine.clone(), seed);
        let renewed = StoreRenewal::plan(store_on(disk), &*env)
            .and_then(|renewal| renewal.map_or(Ok(()), |renewal| renewal.apply().map(drop)));
        if let Err(error) = renewed {
            self.observer.violation(Invariant::NothingLost, format!("the backup of host {host}: {error}"));
        }
    }
}

/// How long the operator looks whether peers refuse the restored store.
const FOUND_OUT_AFTER: Duration = Duration::from_secs(10);
