//! Where the bytes of a command's body come from.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use runnel_codec::FailureKind;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use super::writer::{BodySink, BodyWriter};

/// Where the bytes of a command's body come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// They are in memory.
    Bytes(Bytes),
    /// They are in a file, which was like this at the submit.
    File(PathBuf, Stamp),
    /// Somebody waits for the sink and writes them.
    Live(oneshot::Sender<BodySink>),
}

/// What tells that a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(super) bytes: u64,
    pub(super) inode: u64,
    pub(super) modified_ns: i128,
}

impl Source {
    /// Returns whether its bytes can be produced more than once.
    pub(crate) fn can_repeat(&self) -> bool {
        !matches!(self, Self::Live(_))
    }

    /// Takes it to be produced now. What can be produced again stays.
    pub(crate) fn take(kept: &mut Option<Box<Self>>) -> Option<Self> {
        match kept.as_deref() {
            Some(Self::Bytes(content)) => Some(Self::Bytes(content.clone())),
            Some(Self::File(path, stamp)) => Some(Self::File(path.clone(), *stamp)),
            Some(Self::Live(_)) | None => kept.take().map(|source| *source),
        }
    }

    pub(super) async fn file(path: PathBuf) -> io::Result<Self> {
        let metadata = tokio::fs::metadata(&path).await?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self::File(path, Stamp::of(&metadata)))
    }
}

impl Stamp {
    /// Writes it down.
    pub(super) fn put(self, out: &mut BytesMut) {
        out.put_u64(self.bytes);
        out.put_u64(self.inode);
        out.put_i128(self.modified_ns);
    }

    /// Reads it again.
    pub(super) fn take(stored: &mut Bytes) -> Option<Self> {
        Some(Self {
            bytes: stored.try_get_u64().ok()?,
            inode: stored.try_get_u64().ok()?,
            modified_ns: stored.try_get_i128().ok()?,
        })
    }

    fn of(metadata: &std::fs::Metadata) -> Self {
        let modified_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Self { bytes: metadata.len(), inode: metadata.ino(), modified_ns }
    }
}

/// Brings a source into the engine, read from its beginning.
pub(crate) async fn feed(source: Source, sink: BodySink) {
    match source {
        Source::Bytes(content) => {
            let mut writer = BodyWriter::ready(sink);
            // The only error is that nobody wants the body any more.
            if writer.write(content).await.is_ok() {
                writer.finish().await.ok();
            }
        }
        Source::File(path, stamp) => feed_file(&path, stamp, BodyWriter::ready(sink)).await,
        Source::Live(waiting) => {
            if let Err(sink) = waiting.send(sink) {
                drop(BodyWriter::ready(sink));
            }
        }
    }
}

async fn feed_file(path: &std::path::Path, stamp: Stamp, mut writer: BodyWriter) {
    let changed = || format!("{} was changed after the command was submitted", path.display());
    match write_file(path, stamp, &mut writer).await {
        Ok(Fed::Whole) => drop(writer.finish().await),
        Ok(Fed::Changed) => writer.fail(FailureKind::BodyChanged, changed()).await,
        // The command is over.
        Ok(Fed::Unwanted) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            writer.fail(FailureKind::BodyChanged, changed()).await;
        }
        Err(error) => {
            let message = format!("{} cannot be read: {error}", path.display());
            writer.fail(FailureKind::BodyBroken, message).await;
        }
    }
}

/// How far a file was brought.
enum Fed {
    Whole,
    Changed,
    Unwanted,
}

async fn write_file(path: &std::path::Path, stamp: Stamp, writer: &mut BodyWriter) -> io::Result<Fed> {
    let mut file = File::open(path).await?;
    if Stamp::of(&file.metadata().await?) != stamp {
        return Ok(Fed::Changed);
    }
    loop {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        if file.read_buf(&mut buffer).await? == 0 {
            break;
        }
        if writer.write(buffer.freeze()).await.is_err() {
            return Ok(Fed::Unwanted);
        }
    }
    // A file that was written to meanwhile may have been read in any mixture.
    let is_same = Stamp::of(&file.metadata().await?) == stamp;
    Ok(if is_same { Fed::Whole } else { Fed::Changed })
}

/// Bytes read from a file at once: each read costs a hand-over to a thread that may block.
const READ_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_produced_again_stays() {
        let (live, _awaited) = oneshot::channel();
        let stamp = Stamp { bytes: 1, inode: 2, modified_ns: 3 };
        for (source, repeats) in [
            (Source::Bytes(Bytes::from_static(b"content")), true),
            (Source::File(PathBuf::from("/a"), stamp), true),
            (Source::Live(live), false),
        ] {
            assert_eq!(source.can_repeat(), repeats);
            let mut kept = Some(Box::new(source));
            assert!(Source::take(&mut kept).is_some());
            assert_eq!(kept.is_some(), repeats);
        }
    }
}
