//! The files that updates are spilled to, and how much of the disk they may take together.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use super::spill_log::Span;
use crate::store_folder::make_folder;

/// Where a node spills updates, and within which bounds. Cheap to clone.
///
/// A file has no name once it is open, so it is gone with whoever has it, however that ends. What was in it is worth
/// nothing without its handler, and what has to outlive that is journaled with its outcome.
#[derive(Clone, Debug)]
pub(crate) struct SpillFolder {
    folder: Arc<Path>,
    /// Bytes of one file.
    pub(super) bytes_max: u64,
    /// Bytes that all files together may still take.
    pub(super) room: Arc<Semaphore>,
}

/// The file of one command, used as a ring.
#[derive(Debug)]
pub(super) struct SpillFile {
    file: File,
    bytes_max: u64,
}

impl SpillFolder {
    /// Makes the folder, and removes what a process left that was killed while it made a file.
    pub(crate) fn open(folder: PathBuf, bytes_max: u64, total_bytes_max: u64) -> io::Result<Self> {
        make_folder(&folder)?;
        for entry in folder.read_dir()?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                std::fs::remove_file(entry.path()).ok();
            }
        }
        let room = usize::try_from(total_bytes_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Ok(Self { folder: folder.into(), bytes_max, room: Arc::new(Semaphore::new(room)) })
    }

    /// Makes a file. It waits for the disk.
    pub(super) fn create(&self) -> io::Result<SpillFile> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{PREFIX}{}.{number}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(SpillFile { file, bytes_max: self.bytes_max })
    }
}

impl SpillFile {
    /// Writes `content` into `span`, which is as long. It waits for the disk.
    pub(super) fn write(&self, span: Span, content: &[u8]) -> io::Result<()> {
        let mut rest = content;
        for piece in span.pieces(self.bytes_max) {
            let (now, later) = rest.split_at(bytes(piece).min(rest.len()));
            self.file.write_all_at(now, piece.at)?;
            rest = later;
        }
        Ok(())
    }

    /// Reads `span`. It waits for the disk.
    pub(super) fn read(&self, span: Span) -> io::Result<Vec<u8>> {
        let mut content = vec![0; bytes(span)];
        let mut rest = &mut content[..];
        for piece in span.pieces(self.bytes_max) {
            let (now, later) = rest.split_at_mut(bytes(piece));
            self.file.read_exact_at(now, piece.at)?;
            rest = later;
        }
        Ok(content)
    }

    /// Gives the disk back what it takes.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

/// Spans are of records and of what is read at once.
fn bytes(span: Span) -> usize {
    usize::try_from(span.bytes).expect("it fits into memory")
}

const PREFIX: &str = "updates.";

#[cfg(test)]
impl SpillFile {
    /// A file on a disk without room.
    pub(super) fn full(bytes_max: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/full")?;
        Ok(Self { file, bytes_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_over_the_end_of_the_ring_reads_back_and_the_file_has_no_name() {
        let place = tempfile::tempdir().unwrap();
        let folder = SpillFolder::open(place.path().join("spill"), 10, 100).unwrap();
        let file = folder.create().unwrap();
        let span = Span { at: 7, bytes: 6 };
        file.write(span, b"abcdef").unwrap();
        assert_eq!(file.read(span).unwrap(), b"abcdef");
        assert_eq!(file.read(Span { at: 0, bytes: 3 }).unwrap(), b"def");
        assert_eq!(place.path().join("spill").read_dir().unwrap().count(), 0);
        file.clear().unwrap();
        assert!(file.read(span).is_err());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        for name in ["updates.1.0", "other"] {
            std::fs::write(place.path().join(name), "").unwrap();
        }
        SpillFolder::open(place.path().to_owned(), 10, 100).unwrap();
        let left: Vec<_> = place.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["other"]);
    }
}
