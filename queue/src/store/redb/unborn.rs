//! Databases that were never finished.

use std::io;

use redb::StorageBackend;

/// Empties a disk on which a database was being made when the process or the power ended.
///
/// redb sets the length of the file, writes a header and only then the magic number; a file that has a length and no magic
/// number is refused for ever. Whatever has been committed once has pages behind the header, so that a file without magic
/// number and without anything behind its first page has never held a row. All others are left alone.
pub(super) fn clear(disk: &impl StorageBackend) -> io::Result<()> {
    let len = disk.len()?;
    if len > 0 && is_unborn(disk, len)? {
        disk.set_len(0)?;
        disk.sync_data()?;
    }
    Ok(())
}

fn is_unborn(disk: &impl StorageBackend, len: u64) -> io::Result<bool> {
    let mut magic = [0; MAGIC_BYTES];
    let mut page = [0; PAGE_BYTES];
    let header_bytes = len.min(PAGE_BYTES as u64);
    if header_bytes >= MAGIC_BYTES as u64 {
        disk.read(0, &mut magic)?;
    }
    let mut offset = header_bytes;
    while magic == [0; MAGIC_BYTES] && page == [0; PAGE_BYTES] && offset < len {
        let rest = usize::try_from(len - offset).unwrap_or(PAGE_BYTES).min(PAGE_BYTES);
        disk.read(offset, &mut page[..rest])?;
        offset += rest as u64;
    }
    Ok(magic == [0; MAGIC_BYTES] && page == [0; PAGE_BYTES])
}

/// With which a file of redb begins.
const MAGIC_BYTES: usize = 9;

/// The header has the first page for itself.
const PAGE_BYTES: usize = 4096;
