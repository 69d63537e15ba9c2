//! A store that forgets everything with its process.

use std::collections::BTreeMap;

use super::Store;
use super::error::StoreError;
use super::row::{Change, Row, RowKey};

/// Rows in a map: for nodes without a disk, and the model of all other stores.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    rows: BTreeMap<RowKey, Row>,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        Ok(self.rows.values().cloned().collect())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::Put(row) => {
                    self.rows.insert(row.key(), row.clone());
                }
                Change::Delete(key) => {
                    self.rows.remove(key);
                }
            }
        }
        Ok(())
    }
}
