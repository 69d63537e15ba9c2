//! The store on a disk: rows in a redb database, long contents in side files.
//!
//! redb gives crash safety; this file decides what its errors mean. It opens no file: the disk is handed in, and whoever
//! does so makes sure that no other process has it.

mod config;
mod digest;
mod rows;
mod unborn;
mod watched;

use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, StorageBackend};

pub use self::config::StoreConfig;
use self::rows::{Edit, EncodedRow};
use self::watched::WatchedDisk;
use super::Store;
use super::blobs::{BlobName, Blobs};
use super::error::{DiskCall, StoreError};
use super::format::{self, Content, Encoded, Malformed, ROW_BYTES_MAX};
use super::reserve::{self, Reserve, StoreSpace};
use super::row::{Change, Row};

/// Rows in a database on a disk.
#[derive(Debug)]
pub struct RedbStore {
    disk: WatchedDisk,
    blobs: Arc<dyn Blobs>,
    config: StoreConfig,
    reserve: Reserve,
    /// Something was deleted since the database was last made as short as it can be.
    may_shrink: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be opened before the next call.
    Closed,
    Open(Database),
    /// To be opened by the next load, which does not trust what the disk has cached.
    Poisoned,
}

impl RedbStore {
    /// Makes a store on a disk: an empty one, or one that a store was on before. Nothing is read or written yet.
    ///
    /// `blobs` is for this store alone: [`load`](Store::load) deletes every file there that no row names.
    pub fn new(disk: Arc<dyn StorageBackend>, blobs: Arc<dyn Blobs>, config: StoreConfig) -> Self {
        let reserve = Reserve::new(config.reserve_bytes);
        Self { disk: WatchedDisk::new(disk), blobs, config, reserve, may_shrink: true, state: State::Closed }
    }

    /// Returns the database, opening it if need be.
    fn open(&mut self) -> Result<&Database, StoreError> {
        if let State::Closed = self.state {
            let opened = rows::open(self.disk.clone(), self.config.cache_bytes);
            self.state = State::Open(self.explain(opened)?);
        }
        match &self.state {
            State::Open(database) => Ok(database),
            State::Closed | State::Poisoned => Err(StoreError::Poisoned),
        }
    }

    fn become_closed(&mut self, state: State) {
        if let State::Open(database) = std::mem::replace(&mut self.state, state) {
            rows::close(database);
        }
    }

    fn read_all(&mut self) -> Result<Vec<Row>, StoreError> {
        let encoded = rows::read_all(self.open()?);
        self.decode_all(self.explain(encoded)?)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<Vec<BlobName>, StoreError> {
        self.open()?;
        let edits = self.edits(changes)?;
        let committed = rows::commit(self.open()?, &edits);
        let unnamed = self.explain(committed)?;
        self.disk.forgive_lack_of_space();
        Ok(unnamed)
    }

    fn explain<T>(&self, result: Result<T, rows::Error>) -> Result<T, StoreError> {
        result.map_err(|error| self.disk.explain(error))
    }

    /// Encodes the changes. Long contents are made durable on the way: the rows that name them come later.
    fn edits(&self, changes: &[Change]) -> Result<Vec<Edit>, StoreError> {
        changes.iter().map(|change| self.edit(change)).collect()
    }

    fn edit(&self, change: &Change) -> Result<Edit, StoreError> {
        let row = match change {
            Change::Put(row) => row,
            Change::Delete(key) => return Ok(Edit::Remove { key: format::encode_key(key) }),
        };
        let key = format::encode_key(&row.key());
        let Encoded { value, blob } = format::encode_row(&key, row, self.config.inline_bytes_max)
            .map_err(|len| StoreError::RowTooLarge { len, max: ROW_BYTES_MAX })?;
        if let Some((name, content)) = blob {
            let failed = |call| move |source| StoreError::of_call(call, source);
            self.blobs.write(name, 0, &content).map_err(failed(DiskCall::Write))?;
            self.blobs.sync(name).map_err(failed(DiskCall::Sync))?;
        }
        Ok(Edit::Put { key, value })
    }

    /// Reads every row, and deletes the side files that none of them names.
    fn decode_all(&self, encoded: Vec<EncodedRow>) -> Result<Vec<Row>, StoreError> {
        let mut orphans = self.blobs.names().map_err(|source| StoreError::of_call(DiskCall::List, source))?;
        orphans.retain(|name| *name != reserve::NAME);
        orphans.sort_unstable();
        let mut rows = Vec::with_capacity(encoded.len());
        for EncodedRow { key, value } in encoded {
            let damaged = |malformed| corrupt(&key, malformed);
            let content = match format::decode_value(&key, value).map_err(damaged)? {
                Content::Inline(content) => content,
                Content::Blob { name, len } => {
                    if let Ok(place) = orphans.binary_search(&name) {
                        orphans.remove(place);
                    }
                    self.read_blob(&key, name, len)?
                }
            };
            rows.push(format::decode_row(&key, content).map_err(damaged)?);
        }
        self.remove_blobs(orphans)?;
        Ok(rows)
    }

    fn read_blob(&self, key: &[u8], name: BlobName, len: usize) -> Result<Bytes, StoreError> {
        let mut content = vec![0; len];
        match self.blobs.read(name, 0, &mut content) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => {
                return Err(corrupt(key, Malformed("side file that is missing or too short")));
            }
            Err(source) => return Err(StoreError::of_call(DiskCall::Read, source)),
        }
        format::check_blob(key, name, &content).map_err(|malformed| corrupt(key, malformed))?;
        Ok(content.into())
    }

    fn remove_blobs(&self, names: Vec<BlobName>) -> Result<(), StoreError> {
        for name in names {
            self.blobs.remove(name).map_err(|source| StoreError::of_call(DiskCall::Remove, source))?;
        }
        Ok(())
    }

    fn load_once(&mut self) -> Result<Vec<Row>, StoreError> {
        let was_poisoned = matches!(self.state, State::Poisoned);
        self.become_closed(State::Closed);
        self.disk.forget();
        let rewritten = if was_poisoned { self.disk.rewrite() } else { Ok(()) };
        let rows = rewritten.and_then(|()| self.read_all());
        if let Err(error) = &rows {
            let stays_poisoned = was_poisoned || error.is_poisonous();
            self.become_closed(if stays_poisoned { State::Poisoned } else { State::Closed });
        }
        rows
    }

    fn apply_once(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        match self.commit(changes) {
            Ok(unnamed) => {
                // What is left behind here is swept by the next load.
                let _ = self.remove_blobs(unnamed);
                Ok(())
            }
            Err(error) => {
                // After a call that failed the database refuses all others: it is opened anew, at once or by a load.
                self.become_closed(if error.is_poisonous() { State::Poisoned } else { State::Closed });
                Err(error)
            }
        }
    }

    /// Makes the database as short as it can be. If that fails, nothing has changed, or the next call says what is wrong.
    fn shrink(&mut self) {
        let State::Open(database) = &mut self.state else { return };
        let shrunk = rows::shrink(database);
        if let Err(error) = self.explain(shrunk) {
            self.become_closed(if error.is_poisonous() { State::Poisoned } else { State::Closed });
        }
        self.disk.forgive_lack_of_space();
    }

    /// Calls again with the room of the reserve what found none.
    fn with_reserve<T>(
        &mut self,
        mut call: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match call(self) {
            Err(StoreError::Full) if self.reserve.release(&*self.blobs) => call(self),
            result => result,
        }
    }
}

impl Store for RedbStore {
    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        self.reserve.find(&*self.blobs);
        let rows = self.with_reserve(Self::load_once)?;
        self.reserve.renew(&*self.blobs);
        Ok(rows)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.may_shrink |= changes.iter().any(|change| matches!(change, Change::Delete(_)));
        self.with_reserve(|store| store.apply_once(changes))
    }

    fn space(&self) -> StoreSpace {
        self.reserve.space()
    }

    fn look_for_space(&mut self) {
        self.reserve.renew(&*self.blobs);
        // What was deleted has left pages in the database, and they are no room for anything else.
        if self.reserve.space() == StoreSpace::Low && std::mem::take(&mut self.may_shrink) {
            self.shrink();
            self.reserve.renew(&*self.blobs);
        }
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.become_closed(State::Closed);
    }
}

/// Tells of a row that is not what was written. The key is shown as it is stored.
fn corrupt(key: &[u8], malformed: Malformed) -> StoreError {
    StoreError::Corrupt { what: format!("{} under the key {}", malformed.0, key.escape_ascii()) }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof)
}
