//! Output on its way to a node: numbered records in a row of files.
//!
//! The supervisor appends, the node reads by number and says how far it has been read for good. Each file is named by
//! its first record, and goes as a whole once nothing in it is needed. A record that is cut short by a death or a full
//! disk is not part of the spool: the number of the last whole one is said beside it, in [`State`](super::message::State).

mod reader;
mod record;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(super) use self::reader::SpoolReader;
pub(super) use self::writer::SpoolWriter;

/// Returns the path of the file that begins with record `first`.
fn segment(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{first:020}"))
}

/// Returns the first records of all files, in order.
fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

const PREFIX: &str = "output.";

#[cfg(test)]
mod tests {
    use super::record::HEADER_BYTES;
    use super::*;
    use crate::process::{OutputStream, Piece};

    /// A spool whose files take two records of 10 bytes each.
    fn spool(folder: &Path) -> SpoolWriter {
        SpoolWriter::with_segments(folder, 100, 2 * (10 + HEADER_BYTES as u64))
    }

    fn content(number: u64) -> Vec<u8> {
        format!("{number:010}").into_bytes()
    }

    fn piece(number: u64) -> Piece {
        let stream = if number.is_multiple_of(2) { OutputStream::Stderr } else { OutputStream::Stdout };
        Piece::Stream { stream, bytes: content(number).into() }
    }

    fn append(spool: &mut SpoolWriter, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            spool.append(&piece(number)).unwrap();
            assert_eq!(spool.written(), number);
        }
    }

    async fn check(reader: &mut SpoolReader, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            let record = reader.read().await.unwrap().expect("it was written");
            assert_eq!((record.number, record.piece), (number, piece(number)));
        }
    }

    #[tokio::test]
    async fn a_reader_may_begin_anywhere_and_follows_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(folder.path());
        append(&mut spool, 1..=5);
        for from in 1..=6 {
            let mut reader = SpoolReader::new(folder.path(), from);
            check(&mut reader, from..=5).await;
            assert_eq!(reader.read().await.unwrap(), None);
        }
        let mut reader = SpoolReader::new(folder.path(), 5);
        check(&mut reader, 5..=5).await;
        append(&mut spool, 6..=9);
        check(&mut reader, 6..=9).await;
    }

    #[tokio::test]
    async fn what_is_not_needed_goes_file_by_file_and_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(folder.path());
        append(&mut spool, 1..=7);
        assert!(spool.is_full());
        let mut reader = SpoolReader::new(folder.path(), 1);
        check(&mut reader, 1..=2).await;
        spool.trim(3).unwrap();
        assert_eq!(segments(folder.path()).unwrap(), [3, 5, 7]);
        assert!(!spool.is_full());
        check(&mut reader, 3..=7).await;
        spool.trim(7).unwrap();
        assert_eq!(segments(folder.path()).unwrap(), [0; 0], "the last file goes too");
        append(&mut spool, 8..=8);
        check(&mut reader, 8..=8).await;
    }

    #[tokio::test]
    async fn a_reader_that_comes_too_late_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(folder.path());
        append(&mut spool, 1..=5);
        spool.trim(2).unwrap();
        let late = SpoolReader::new(folder.path(), 2).read().await;
        assert!(matches!(late, Err(super::super::SuperviseError::Trimmed { first: 3 })), "{late:?}");
    }

    #[tokio::test]
    async fn a_record_that_was_cut_short_is_not_read_and_what_follows_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(folder.path());
        append(&mut spool, 1..=1);
        spool.fail_after(HEADER_BYTES + 3);
        spool.append(&piece(2)).unwrap_err();
        let mut reader = SpoolReader::new(folder.path(), 1);
        check(&mut reader, 1..=1).await;
        assert_eq!(reader.read().await.unwrap(), None);
        append(&mut spool, 2..=4);
        check(&mut reader, 2..=4).await;
        let mut reader = SpoolReader::new(folder.path(), 1);
        check(&mut reader, 1..=4).await;
    }
}
