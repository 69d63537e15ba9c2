//! Rows in the database, as bytes.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableError};

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
}

/// Opens the database on this disk, or makes one if the disk is empty.
pub(super) fn open(disk: impl StorageBackend, cache_bytes: usize) -> Result<Database, Error> {
    survive(|| {
        unborn::clear(&disk)?;
        let database = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(disk)?;
        match read_format(&database)? {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => return Err(Error::TooNew { found }),
            Some(found) => return Err(Error::Damaged { what: format!("there never was a format {found}") }),
            None => write_format(&database)?,
        }
        Ok(database)
    })
}

/// Reads all rows, ordered by key.
pub(super) fn read_all(database: &Database) -> Result<Vec<EncodedRow>, Error> {
    survive(|| {
        let rows = database.begin_read()?.open_table(ROWS)?;
        let copied = rows.iter()?.map(|row| {
            let (key, value) = row?;
            Ok(EncodedRow {
                key: Bytes::copy_from_slice(key.value()),
                value: Bytes::copy_from_slice(value.value()),
            })
        });
        copied.collect()
    })
}

/// Makes all edits durable. Returns the side files that no row names any more because of them.
pub(super) fn commit(database: &Database, edits: &[Edit]) -> Result<Vec<BlobName>, Error> {
    let mut unnamed = BTreeSet::new();
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let mut rows = transaction.open_table(ROWS)?;
        for edit in edits {
            let (old, new) = match edit {
                Edit::Put { key, value } => {
                    (blob_of(key, rows.insert(&key[..], &value[..])?), blob_in(key, value))
                }
                Edit::Remove { key } => (blob_of(key, rows.remove(&key[..])?), None),
            };
            unnamed.extend(old);
            if let Some(new) = new {
                unnamed.remove(&new);
            }
        }
    }
    transaction.commit()?;
    Ok(unnamed.into_iter().collect())
}

/// Returns `None` if the database has just been made.
fn read_format(database: &Database) -> Result<Option<u32>, Error> {
    let meta = match database.begin_read()?.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        meta => meta?,
    };
    let format = meta.get(FORMAT_NAME)?.map(|format| format.value());
    format.map(Some).ok_or(Error::Damaged { what: "the format is missing".to_owned() })
}

fn write_format(database: &Database) -> Result<(), Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(META)?.insert(FORMAT_NAME, FORMAT)?;
    transaction.open_table(ROWS)?;
    transaction.commit()?;
    Ok(())
}

fn blob_of(key: &[u8], old: Option<redb::AccessGuard<'_, &'static [u8]>>) -> Option<BlobName> {
    blob_in(key, &Bytes::copy_from_slice(old?.value()))
}

/// Returns the side file that a value names. A damaged value names none: the next load says what is wrong with it.
fn blob_in(key: &[u8], value: &Bytes) -> Option<BlobName> {
    match format::decode_value(key, value.clone()) {
        Ok(Content::Blob { name, .. }) => Some(name),
        Ok(Content::Inline(_)) | Err(_) => None,
    }
}

/// redb trusts what it has written, and may panic on a file that something else has damaged. That is told like any damage.
fn survive<T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Error::Damaged { what: "the database cannot be read".to_owned() }))
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}
