//! Bodies: bytes of any length that go with a command, or come with its result, and are never held whole.
//!
//! Whoever writes one holds as much as the receiver has not taken, within a bound; whoever does not read one stops its
//! own command and nothing else. A body ends with its length and BLAKE3 hash, which the reader checks before it says
//! that there is no more. Hashing, files and waiting happen at the caller's and the handler's side, never on the engine.

mod reader;
mod source;
mod stored;
mod writer;

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use runnel_codec::{CommandId, CommandKey, NodeId};
use tokio::sync::oneshot;

pub use self::reader::BodyReader;
pub(crate) use self::source::{Source, feed};
pub(crate) use self::writer::BodySink;
pub use self::writer::BodyWriter;

/// What a command carries besides its arguments: see [`SubmitOptions::body`](crate::SubmitOptions::body).
#[derive(Debug)]
#[must_use = "a body does nothing until it is submitted with a command"]
pub struct Body(Origin);

#[derive(Debug)]
enum Origin {
    Bytes(Bytes),
    File(PathBuf),
    Live(oneshot::Sender<BodySink>),
}

/// Why a body did not come whole, or is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The other end has given it up: what came so far is all there is.
    #[error("the other end has given the body up")]
    Aborted,
    /// Its length or hash is not what its end says: throw away what came.
    #[error("the body's length or hash is not what its end says")]
    Broken,
    /// The command is over or the node has shut down: stop.
    #[error("the command is over: its body goes nowhere any more")]
    Ended,
}

/// Which body of which command: the one that this side reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Of a command that this node sent.
    Ours(CommandId),
    /// Of a command that another node sent here.
    Theirs(NodeId, CommandKey),
}

impl Body {
    /// A body that is in memory. It counts in the bytes of the send queue until the command has ended.
    pub fn bytes(content: impl Into<Bytes>) -> Self {
        Self(Origin::Bytes(content.into()))
    }

    /// A body that is a file. It is read when the receiver wants it; if it was changed since the submit, the command
    /// fails as `BodyChanged`.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Origin::File(path.into()))
    }

    /// A body that is produced while it is sent. Its writer waits until the receiver wants it.
    pub fn live() -> (BodyWriter, Self) {
        let (sink, awaited) = oneshot::channel();
        (BodyWriter::awaiting(awaited), Self(Origin::Live(sink)))
    }

    /// Looks at the file, if it is one. Returns the source, and how many bytes of it are held in memory.
    pub(crate) async fn into_source(self) -> io::Result<(Source, u64)> {
        Ok(match self.0 {
            Origin::Bytes(content) => {
                let held = content.len() as u64;
                (Source::Bytes(content), held)
            }
            Origin::File(path) => (Source::file(path).await?, 0),
            Origin::Live(sink) => (Source::Live(sink), 0),
        })
    }
}

/// Longest piece that goes to the engine at once, in bytes: the longest on the wire.
pub(crate) const PIECE_BYTES_MAX: usize = 64 << 10;
