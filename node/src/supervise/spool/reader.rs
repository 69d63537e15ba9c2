//! The end of a spool that a node reads from.

use std::io;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::record::{self, Record};
use super::{segment, segments};
use crate::supervise::error::SuperviseError;

/// Reads a spool from one record on. Touches no file before the first read.
#[derive(Debug)]
pub(in crate::supervise) struct SpoolReader {
    folder: PathBuf,
    /// The record that is wanted next.
    next: u64,
    /// The file that is read, and the record that comes next in it.
    file: Option<(File, u64)>,
    /// The first record of that file.
    first: u64,
    buffer: BytesMut,
}

impl SpoolReader {
    /// Reads from record `next` on.
    pub(in crate::supervise) fn new(folder: &Path, next: u64) -> Self {
        Self { folder: folder.to_owned(), next, file: None, first: 0, buffer: BytesMut::new() }
    }

    /// Returns the number of the record that is read next.
    pub(in crate::supervise) fn next(&self) -> u64 {
        self.next
    }

    /// Reads the next record; `None` if it has not been written whole.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Trimmed`] when it has been let go of.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub(in crate::supervise) async fn read(&mut self) -> Result<Option<Record>, SuperviseError> {
        let result = self.find().await;
        let folder = &self.folder;
        result.map_err(|error| match error {
            Trouble::Trimmed(first) => SuperviseError::Trimmed { first },
            Trouble::Io(source) => SuperviseError::Io { path: folder.clone(), source },
        })
    }

    async fn find(&mut self) -> Result<Option<Record>, Trouble> {
        if self.file.is_none() && !self.locate().await? {
            return Ok(None);
        }
        loop {
            while let Some(piece) = record::take(&mut self.buffer)? {
                let Some((_, at)) = &mut self.file else { break };
                let number = *at;
                *at += 1;
                if number == self.next {
                    self.next += 1;
                    return Ok(Some(Record { number, piece }));
                }
            }
            let Some((file, _)) = &mut self.file else { return Ok(None) };
            self.buffer.reserve(READ_BYTES);
            if file.read_buf(&mut self.buffer).await? == 0 && !self.advance().await? {
                return Ok(None);
            }
        }
    }

    /// Opens the file in which the next record stands or will stand. Returns whether there is one.
    async fn locate(&mut self) -> Result<bool, Trouble> {
        let firsts = segments(&self.folder)?;
        let Some(first) = firsts.iter().rev().find(|first| **first <= self.next) else {
            return firsts.first().map_or(Ok(false), |first| Err(Trouble::Trimmed(*first)));
        };
        self.open(*first).await
    }

    /// Goes on to the file that begins with the next record, if there is one.
    async fn advance(&mut self) -> Result<bool, Trouble> {
        if self.first == self.next {
            return Ok(false);
        }
        self.open(self.next).await
    }

    async fn open(&mut self, first: u64) -> Result<bool, Trouble> {
        match File::open(segment(&self.folder, first)).await {
            Ok(file) => {
                self.file = Some((file, first));
                self.first = first;
                // What was begun at the end of the file before was cut short.
                self.buffer.clear();
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Why a record could not be read.
enum Trouble {
    /// The files begin with this one.
    Trimmed(u64),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Read at once.
const READ_BYTES: usize = 64 << 10;
