//! Content on its way, kept in a file without a name until it has arrived, so that it can be sent again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// The writing end. There is one.
#[derive(Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    bytes_max: u64,
    state: watch::Sender<State>,
}

/// A reading end: each reads from the beginning, and waits for what is still to come.
#[derive(Clone, Debug)]
pub(super) struct SpoolReader {
    file: Arc<File>,
    state: watch::Receiver<State>,
    read: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    len: u64,
    is_whole: bool,
}

impl Spool {
    /// Makes one for at most so many bytes.
    pub(super) async fn new(bytes_max: u64) -> io::Result<Self> {
        let file = spawn_blocking(tempfile::tempfile).await??;
        Ok(Self { file: Arc::new(file), bytes_max, state: watch::Sender::default() })
    }

    /// Appends a piece.
    pub(super) async fn push(&mut self, piece: Bytes) -> io::Result<()> {
        let (file, offset, len) = (self.file.clone(), self.state.borrow().len, piece.len() as u64);
        if offset + len > self.bytes_max {
            let why = format!("it is longer than spool_bytes_max, {} bytes", self.bytes_max);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        spawn_blocking(move || file.write_all_at(&piece, offset)).await??;
        self.state.send_modify(|state| state.len += len);
        Ok(())
    }

    /// Says that nothing follows. Without it what was pushed is no whole, and readers hear of an error at its end.
    pub(super) fn finish(&mut self) {
        self.state.send_modify(|state| state.is_whole = true);
    }

    pub(super) fn reader(&self) -> SpoolReader {
        SpoolReader { file: self.file.clone(), state: self.state.subscribe(), read: 0 }
    }
}

impl SpoolReader {
    /// Returns the next piece, or `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let read = self.read;
        let state = self.state.wait_for(|state| state.len > read || state.is_whole).await;
        let State { len, .. } = *state.map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let wanted = usize::try_from(len - read).unwrap_or(usize::MAX).min(PIECE_BYTES);
        if wanted == 0 {
            return Ok(None);
        }
        let file = self.file.clone();
        let piece = spawn_blocking(move || {
            let mut piece = vec![0; wanted];
            file.read_exact_at(&mut piece, read).map(|()| piece)
        });
        let piece = piece.await??;
        self.read += piece.len() as u64;
        Ok(Some(piece.into()))
    }
}

/// Longest piece that is read at once, in bytes.
const PIECE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    async fn rest(mut reader: SpoolReader) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        while let Some(piece) = reader.next().await? {
            read.extend_from_slice(&piece);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn each_reader_gets_all_of_it_while_it_comes() {
        let mut spool = Spool::new(1 << 20).await.unwrap();
        let early = tokio::spawn(rest(spool.reader()));
        let content: Vec<u8> = (0..PIECE_BYTES * 5 / 2).map(|at| at.to_le_bytes()[0]).collect();
        for piece in content.chunks(100_000) {
            spool.push(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        spool.finish();
        assert_eq!(early.await.unwrap().unwrap(), content);
        assert_eq!(rest(spool.reader()).await.unwrap(), content);
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_and_no_whole() {
        let mut spool = Spool::new(10).await.unwrap();
        spool.push(Bytes::from_static(b"0123456789")).await.unwrap();
        let error = spool.push(Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(error.to_string(), "it is longer than spool_bytes_max, 10 bytes");
        let reader = spool.reader();
        drop(spool);
        assert_eq!(rest(reader).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_given_up_is_no_whole() {
        let mut spool = Spool::new(1 << 20).await.unwrap();
        spool.push(Bytes::from_static(b"part")).await.unwrap();
        let reader = spool.reader();
        drop(spool);
        assert_eq!(rest(reader).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
