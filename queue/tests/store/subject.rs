//! A store on a disk that fails, and the model of what must be found there.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use runnel_queue::{Change, FaultyDisk, MemoryStore, RedbStore, Row, Store, StoreConfig, StoreError};

use crate::rows;

/// The file of the database.
pub(crate) const FILE: &str = "store.redb";

/// Makes a store of the process that has the disk now.
pub(crate) fn store_on(disk: &FaultyDisk) -> RedbStore {
    store_with_reserve(disk, 0)
}

/// Makes one that keeps room for itself.
pub(crate) fn store_with_reserve(disk: &FaultyDisk, reserve_bytes: u64) -> RedbStore {
    let config = StoreConfig { reserve_bytes, ..StoreConfig::default() };
    RedbStore::new(Arc::new(disk.file(FILE)), Arc::new(disk.blobs("blobs")), config)
}

/// Returns what a model holds.
pub(crate) fn rows_of(model: &mut MemoryStore) -> Vec<Row> {
    model.load().expect("a map does not fail")
}

/// A disk, and what must be on it.
pub(crate) struct Subject {
    pub(crate) disk: FaultyDisk,
    pub(crate) random: StdRng,
    /// What was acknowledged.
    acknowledged: MemoryStore,
    /// The same with the batch that may have got through although it was not acknowledged.
    attempted: MemoryStore,
    /// Batches that were acknowledged.
    pub(crate) commits: u64,
    /// Processes that went on after their disk had failed.
    pub(crate) healed: u64,
}

impl Subject {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: FaultyDisk::new(seed),
            random: StdRng::seed_from_u64(seed),
            acknowledged: MemoryStore::new(),
            attempted: MemoryStore::new(),
            commits: 0,
            healed: 0,
        }
    }

    /// Loads, and says what is wrong with what is there. `Ok(false)`: the disk failed.
    pub(crate) fn load(&mut self, store: &mut RedbStore) -> Result<bool, String> {
        match store.load() {
            Ok(rows) => self.compare(&rows).map(|()| true),
            Err(StoreError::Disk { .. }) => Ok(false),
            Err(error) => Err(format!("cannot be loaded: {error}")),
        }
    }

    /// Applies a batch. `Ok(false)`: the disk failed.
    pub(crate) fn apply(&mut self, store: &mut RedbStore, batch: &[Change]) -> Result<bool, String> {
        let applied = store.apply(batch);
        if matches!(applied, Err(StoreError::Poisoned)) {
            return Ok(false);
        }
        self.attempted = self.acknowledged.clone();
        self.attempted.apply(batch).expect("a map does not fail");
        match applied {
            Ok(()) => {
                self.acknowledged = self.attempted.clone();
                self.commits += 1;
                Ok(true)
            }
            Err(StoreError::Disk { .. } | StoreError::Full) => Ok(false),
            Err(error) => Err(format!("cannot be written: {error}")),
        }
    }

    /// Applies a batch that is drawn.
    pub(crate) fn apply_some(&mut self, store: &mut RedbStore) -> Result<bool, String> {
        let batch = rows::batch(&mut self.random, 30);
        self.apply(store, &batch)
    }

    /// What was loaded must be what was acknowledged, or that with the last batch. From then on it counts as acknowledged.
    fn compare(&mut self, rows: &[Row]) -> Result<(), String> {
        let models = [&mut self.acknowledged, &mut self.attempted].map(rows_of);
        match models.iter().position(|model| model == rows) {
            Some(0) => self.attempted = self.acknowledged.clone(),
            Some(_) => self.acknowledged = self.attempted.clone(),
            None => return Err(differences(rows, &models)),
        }
        Ok(())
    }
}

/// Says what differs in a few words instead of megabytes of rows.
fn differences(rows: &[Row], models: &[Vec<Row>; 2]) -> String {
    let is_known = |row: &&Row| models.iter().any(|model| model.contains(row));
    let strange: Vec<_> = rows.iter().filter(|row| !is_known(row)).map(Row::key).collect();
    let keys: Vec<_> = rows.iter().map(Row::key).collect();
    let missing: Vec<_> = models[0].iter().map(Row::key).filter(|key| !keys.contains(key)).collect();
    format!("rows that nobody wrote: {strange:?}; acknowledged and missing: {missing:?}")
}
