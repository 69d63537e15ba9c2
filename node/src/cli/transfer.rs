//! What `put` and `get` share: places on nodes, progress, and pieces between threads that may block and the connection.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::str::FromStr;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use runnel::codec::NodeId;
use tokio::sync::mpsc;

/// A file or folder of a node, written `NODE:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemotePath {
    pub(super) node: NodeId,
    pub(super) path: String,
}

/// Why a text is no place on a node.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemotePathError {
    #[error("a place on a node is written NODE:PATH, such as w1:/tmp/file")]
    NoPath,
    #[error("{node:?} is no name of a node: {reason}")]
    Node { node: String, reason: String },
}

impl FromStr for RemotePath {
    type Err = RemotePathError;

    fn from_str(text: &str) -> Result<Self, RemotePathError> {
        let (node, path) = text.split_once(':').ok_or(RemotePathError::NoPath)?;
        if path.is_empty() {
            return Err(RemotePathError::NoPath);
        }
        let parsed = node.parse::<NodeId>();
        let node = parsed
            .map_err(|error| RemotePathError::Node { node: node.to_owned(), reason: error.to_string() })?;
        Ok(Self { node, path: path.to_owned() })
    }
}

/// Makes a bar with rate and time left, on standard error if that is a terminal.
pub(super) fn progress(bytes: u64, json: bool) -> ProgressBar {
    let is_seen = !json && io::stderr().is_terminal();
    let target = if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style =
        ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta_precise} left")
            .expect("the template is valid, as a test shows");
    ProgressBar::with_draw_target(Some(bytes), target).with_style(style)
}

/// Pieces on their way, and whatever broke them off. An empty piece is the end: without it, what came is not whole.
pub(super) type PieceSender = mpsc::Sender<io::Result<Bytes>>;

/// The other end of a [`PieceSender`].
pub(super) type PieceReceiver = mpsc::Receiver<io::Result<Bytes>>;

/// Makes a channel for a few pieces.
pub(super) fn pieces() -> (PieceSender, PieceReceiver) {
    mpsc::channel(PIECES_MAX)
}

/// Writes pieces, on a thread that may block.
pub(super) struct PieceWriter(pub(super) PieceSender);

impl Write for PieceWriter {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Ok(Bytes::copy_from_slice(octets))).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads pieces, on a thread that may block.
pub(super) struct PieceReader {
    pieces: PieceReceiver,
    piece: Bytes,
    has_ended: bool,
}

impl PieceReader {
    pub(super) fn new(pieces: PieceReceiver) -> Self {
        Self { pieces, piece: Bytes::new(), has_ended: false }
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.has_ended {
            let piece = self.pieces.blocking_recv().ok_or(io::ErrorKind::UnexpectedEof)?;
            self.piece = piece?;
            self.has_ended = self.piece.is_empty();
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

/// Returns the last part of a path, for a target that is a folder.
pub(super) fn file_name(path: &str) -> Option<&str> {
    Path::new(path).file_name()?.to_str()
}

/// Bytes read from a file at once: each read costs a hand-over between threads.
pub(super) const READ_BYTES: usize = 256 << 10;

/// Pieces that wait for the connection.
const PIECES_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_a_node_is_its_name_and_a_path() {
        let place: RemotePath = "w1:/tmp/a:b".parse().unwrap();
        assert_eq!((place.node.as_str(), place.path.as_str()), ("w1", "/tmp/a:b"));
        for wrong in ["w1", "w1:", ":/tmp", "W 1:/tmp", "./file"] {
            assert!(wrong.parse::<RemotePath>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pieces_come_out_as_they_went_in_and_so_do_errors() {
        let (sender, receiver) = pieces();
        let writer = std::thread::spawn(move || {
            let mut writer = PieceWriter(sender.clone());
            for piece in [&b"one"[..], b"", b"two three"] {
                writer.write_all(piece).unwrap();
            }
            sender.blocking_send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        });
        let mut reader = PieceReader::new(receiver);
        let mut read = Vec::new();
        let error = reader.read_to_end(&mut read).unwrap_err();
        assert_eq!((read.as_slice(), error.kind()), (&b"onetwo three"[..], io::ErrorKind::StorageFull));
        writer.join().unwrap();
    }

    #[test]
    fn only_an_empty_piece_is_the_end() {
        let read = |sent: &[&'static [u8]]| {
            let (sender, receiver) = pieces();
            for piece in sent {
                sender.try_send(Ok(Bytes::from_static(piece))).unwrap();
            }
            drop(sender);
            let mut read = Vec::new();
            PieceReader::new(receiver).read_to_end(&mut read).map(|_| read).map_err(|error| error.kind())
        };
        assert_eq!(read(&[b"whole", b""]), Ok(b"whole".to_vec()));
        assert_eq!(read(&[b""]), Ok(Vec::new()));
        assert_eq!(read(&[b"cut off"]), Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_bar_that_nobody_sees_counts_all_the_same() {
        let bar = progress(10, true);
        bar.inc(7);
        assert!(bar.is_hidden());
        assert_eq!(bar.position(), 7);
    }
}
