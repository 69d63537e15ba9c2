//! Rows in the database, as bytes.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition, TableError};

use super::digest::{DIGEST_KEY, Digest};
use super::unborn;
use crate::store::blobs::BlobName;
use crate::store::format::{self, Content, FORMAT};

/// All rows, by key.
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// What must be known before a row is read.
const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");

/// The name under which the format stands.
const FORMAT_NAME: &str = "format";

/// A change of one row.
#[derive(Debug)]
pub(super) enum Edit {
    /// Writes a value over any older one.
    Put {
        /// Under which key.
        key: Bytes,
        /// What goes there.
        value: Bytes,
    },
    /// Deletes the value, if there is one.
    Remove {
        /// Under which key.
        key: Bytes,
    },
}

/// A row as it was read.
#[derive(Debug)]
pub(super) struct EncodedRow {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// Why the database could not do something.
#[derive(Debug)]
pub(super) enum Error {
    /// It says so itself: see what failed on the disk.
    Database(redb::Error),
    /// It is not what was written.
    Damaged { what: String },
    /// It is of a format that is not known yet.
    TooNew { found: u32 },
    /// It is of a format that is not read any more.
    TooOld { found: u32 },
}

/// Opens the database on this disk, or makes one if the disk is empty.
pub(super) fn open(disk: impl StorageBackend, cache_bytes: usize) -> Result<Database, Error> {
    survive(|| {
        unborn::clear(&disk)?;
        let database = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(disk)?;
        match read_format(&database)? {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => return Err(Error::TooNew { found }),
            Some(0) => return Err(Error::Damaged { what: "there never was a format 0".to_owned() }),
            Some(found) => return Err(Error::TooOld { found }),
            None => write_format(&database)?,
        }
        Ok(database)
    })
}

/// Reads all rows, ordered by key, and checks that they are all.
pub(super) fn read_all(database: &Database) -> Result<Vec<EncodedRow>, Error> {
    survive(|| {
        let table = database.begin_read()?.open_table(ROWS)?;
        let expected = read_digest(&table)?;
        let (mut rows, mut digest) = (Vec::new(), Digest::default());
        for row in table.iter()? {
            let (key, value) = row?;
            if key.value() == DIGEST_KEY {
                continue;
            }
            digest.add(value.value());
            rows.push(EncodedRow {
                key: Bytes::copy_from_slice(key.value()),
                value: Bytes::copy_from_slice(value.value()),
            });
        }
        if digest == expected {
            Ok(rows)
        } else {
            Err(damaged("rows are missing, or older than they should be"))
        }
    })
}

/// Makes all edits durable, with one sync. Returns the side files that no row names any more because of them.
///
/// A commit of one phase: its pages and the header that makes them count are synced together, and checksums tell after a
/// crash whether all of it is there. Two phases with the state of the allocator (redb's quick repair) would spare the next
/// process the look at every page, which is nothing here, since it reads every row anyway; and they take twice as long.
pub(super) fn commit(database: &Database, edits: &[Edit]) -> Result<Vec<BlobName>, Error> {
    survive(|| {
        let transaction = database.begin_write()?;
        let unnamed = apply(&mut transaction.open_table(ROWS)?, edits)?;
        transaction.commit()?;
        Ok(unnamed.into_iter().collect())
    })
}

/// Gives pages that are not in use back to the disk.
pub(super) fn shrink(database: &mut Database) -> Result<(), Error> {
    survive(|| {
        database.compact()?;
        Ok(())
    })
}

/// Ends the use of a database. What cannot be written then is not needed.
pub(super) fn close(database: Database) {
    // It panics like any other use of a database that is damaged, and says so when it is opened again.
    let _ = survive(|| {
        drop(database);
        Ok(())
    });
}

fn apply(table: &mut Table<'_, &[u8], &[u8]>, edits: &[Edit]) -> Result<BTreeSet<BlobName>, Error> {
    let mut digest = read_digest(table)?;
    let mut unnamed = BTreeSet::new();
    for edit in edits {
        let (key, old) = match edit {
            Edit::Put { key, value } => {
                digest.add(value);
                (key, table.insert(&key[..], &value[..])?)
            }
            Edit::Remove { key } => (key, table.remove(&key[..])?),
        };
        if let Some(old) = &old {
            digest.remove(old.value());
            unnamed.extend(blob_in(key, Bytes::copy_from_slice(old.value())));
        }
        if let Edit::Put { key, value } = edit
            && let Some(name) = blob_in(key, value.clone())
        {
            unnamed.remove(&name);
        }
    }
    table.insert(DIGEST_KEY, &digest.to_value()[..])?;
    Ok(unnamed)
}

fn read_digest(table: &impl ReadableTable<&'static [u8], &'static [u8]>) -> Result<Digest, Error> {
    let value = table.get(DIGEST_KEY)?;
    value.and_then(|value| Digest::from_value(value.value())).ok_or_else(|| damaged("the digest is missing"))
}

/// Returns `None` if the database has just been made.
fn read_format(database: &Database) -> Result<Option<u32>, Error> {
    let meta = match database.begin_read()?.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        meta => meta?,
    };
    let format = meta.get(FORMAT_NAME)?.map(|format| format.value());
    format.map(Some).ok_or_else(|| damaged("the format is missing"))
}

fn write_format(database: &Database) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(FORMAT_NAME, FORMAT)?;
    transaction.open_table(ROWS)?.insert(DIGEST_KEY, &Digest::default().to_value()[..])?;
    transaction.commit()?;
    Ok(())
}

/// Returns the side file that a value names. A damaged value names none: the next load says what is wrong with it.
fn blob_in(key: &[u8], value: Bytes) -> Option<BlobName> {
    match format::decode_value(key, value) {
        Ok(Content::Blob { name, .. }) => Some(name),
        Ok(Content::Inline(_)) | Err(_) => None,
    }
}

/// redb trusts what it has written, and may panic on a file that something else has damaged. That is told like any damage.
fn survive<T>(use_it: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(use_it)).unwrap_or_else(|_| Err(damaged("the database contradicts itself")))
}

fn damaged(what: &str) -> Error {
    Error::Damaged { what: what.to_owned() }
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}
