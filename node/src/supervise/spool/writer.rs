//! The end of a spool that the supervisor appends to.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{record, segment};
use crate::process::Piece;

/// Appends output to a spool. Writes at once, and so may block for a moment.
#[derive(Debug)]
pub(in crate::supervise) struct SpoolWriter {
    folder: PathBuf,
    bytes_max: u64,
    segment_bytes: u64,
    segments: VecDeque<Segment>,
    /// The last of them, while it can be appended to.
    file: Option<File>,
    /// Number of the last whole record.
    written: u64,
    /// Bytes of all files.
    bytes: u64,
    #[cfg(test)]
    fail_after: Option<usize>,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    bytes: u64,
}

impl SpoolWriter {
    /// Begins a spool that is full at `bytes_max`.
    pub(in crate::supervise) fn new(folder: &Path, bytes_max: NonZeroU64) -> Self {
        // With sixteen files little is kept that nobody needs; a file less than 64 KiB long is not worth its name.
        let segment_bytes = (bytes_max.get() / 16).clamp(64 << 10, 4 << 20);
        Self::with_segments(folder, bytes_max.get(), segment_bytes)
    }

    pub(super) fn with_segments(folder: &Path, bytes_max: u64, segment_bytes: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            bytes_max,
            segment_bytes,
            segments: VecDeque::new(),
            file: None,
            written: 0,
            bytes: 0,
            #[cfg(test)]
            fail_after: None,
        }
    }

    /// Appends one record. After an error nothing has been appended, and it may be tried again.
    pub(in crate::supervise) fn append(&mut self, piece: &Piece) -> io::Result<()> {
        let mut record = Vec::new();
        record::write(piece, &mut record)?;
        let result = self.open().and_then(|()| self.write(&record));
        if result.is_err() {
            // What got there is not known. The next record begins a file, and so nobody reads on behind it.
            self.file = None;
        } else {
            self.written += 1;
        }
        result
    }

    /// Returns whether a file would be removed by [`trim`](Self::trim).
    pub(in crate::supervise) fn may_trim(&self, number: u64) -> bool {
        let last = self.segments.get(1).map_or(self.written, |next| next.first - 1);
        !self.segments.is_empty() && last <= number
    }

    /// Removes the files in which no record behind `number` stands.
    pub(in crate::supervise) fn trim(&mut self, number: u64) -> io::Result<()> {
        while let Some(oldest) = self.segments.front()
            && self.may_trim(number)
        {
            fs::remove_file(segment(&self.folder, oldest.first))?;
            self.bytes -= oldest.bytes;
            self.segments.pop_front();
            if self.segments.is_empty() {
                self.file = None;
            }
        }
        Ok(())
    }

    /// Makes all of it durable.
    pub(in crate::supervise) fn sync(&self) -> io::Result<()> {
        for Segment { first, .. } in &self.segments {
            File::open(segment(&self.folder, *first))?.sync_data()?;
        }
        File::open(&self.folder)?.sync_all()
    }

    /// Returns the number of the last record.
    pub(in crate::supervise) fn written(&self) -> u64 {
        self.written
    }

    /// Returns whether nothing should be appended before something is trimmed.
    pub(in crate::supervise) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Makes sure that there is a file to append to.
    fn open(&mut self) -> io::Result<()> {
        let is_long = self.segments.back().is_some_and(|last| last.bytes >= self.segment_bytes);
        if self.file.is_some() && !is_long {
            return Ok(());
        }
        let first = self.written + 1;
        let path = segment(&self.folder, first);
        let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        if let Some(failed) = self.segments.pop_back_if(|last| last.first == first) {
            self.bytes -= failed.bytes;
        }
        self.segments.push_back(Segment { first, bytes: 0 });
        self.file = Some(file);
        Ok(())
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let (Some(file), Some(last)) = (&mut self.file, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        #[cfg(test)]
        if let Some(len) = self.fail_after.take() {
            file.write_all(&record[..len])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(record)?;
        last.bytes += record.len() as u64;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// Lets the disk be full within the next record.
    #[cfg(test)]
    pub(super) fn fail_after(&mut self, bytes: usize) {
        self.fail_after = Some(bytes);
    }
}
