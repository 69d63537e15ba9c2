//! What one sync of the disk takes: a page is written over, and made durable.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Returns how long each of so many syncs took.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn sync_times(folder: &Path, count: usize) -> io::Result<Vec<Duration>> {
    let path = folder.join("synced");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let page = [0x5a; PAGE_BYTES];
    file.write_all_at(&page, 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began_at = Instant::now();
        file.write_all_at(&page, 0)?;
        file.sync_data()?;
        times.push(began_at.elapsed());
    }
    Ok(times)
}

const PAGE_BYTES: usize = 4096;
