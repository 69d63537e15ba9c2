//! Giving the store of a node that is not running a new epoch: the way out when peers refuse a restored backup.
//!
//! What that means is decided in `runnel-queue`; here it is read, and done in one transaction.

use runnel_queue::{Change, NewEpoch, Store, StoreError};

use crate::env::Env;

/// A store and what a new epoch does to it. Nothing is changed yet.
#[derive(Debug)]
#[must_use = "nothing changes until it is applied"]
pub struct StoreRenewal {
    store: Box<dyn Store>,
    plan: NewEpoch,
}

impl StoreRenewal {
    /// Reads a store, of which no node has hold, and draws a new epoch. Returns `None` for an empty store, which needs none.
    /// Blocks while it reads.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read: one that is damaged stays as it is.
    pub fn plan(mut store: Box<dyn Store>, env: &dyn Env) -> Result<Option<Self>, StoreError> {
        let rows = store.load()?;
        let mut random = [0; 8];
        env.fill_random(&mut random);
        let epoch = runnel_codec::Epoch::from_random(u64::from_be_bytes(random));
        let plan = NewEpoch::of(&rows, epoch, &env.clock());
        Ok(plan.map(|plan| Self { store, plan }))
    }

    /// Returns what it will do.
    pub fn new_epoch(&self) -> &NewEpoch {
        &self.plan
    }

    /// Does it: all or nothing, and it is durable when this returns `Ok`. Blocks while it writes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it could not be written. To do it again does no harm.
    pub fn apply(mut self) -> Result<NewEpoch, StoreError> {
        let changes: Vec<Change> = std::mem::take(&mut self.plan.changes);
        self.store.apply(&changes)?;
        Ok(self.plan)
    }
}
