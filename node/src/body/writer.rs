//! The writing end of a body: pieces on their way into the engine, pressed back when too many are held.

use std::sync::Arc;

use bytes::Bytes;
use runnel_codec::{BodyEnd, FailureKind};
use tokio::sync::{mpsc, oneshot};

use super::{BodyError, PIECE_BYTES_MAX, Whose};
use crate::engine::{Release, Releases, Request};
use crate::room::Room;

/// Writes a body. Dropping it before [`finish`](Self::finish) gives the body up.
#[derive(Debug)]
pub struct BodyWriter {
    sink: State,
    /// Boxed: it is large, and a handler's context has what may become a writer.
    hasher: Box<blake3::Hasher>,
    bytes: u64,
}

/// Where the pieces of a body go.
#[derive(Debug)]
pub(crate) struct BodySink {
    pub(crate) whose: Whose,
    pub(crate) room: Arc<Room>,
    /// Bytes at the beginning that the reader has already: they count and are not sent.
    pub(crate) skip: u64,
    pub(crate) inbox: mpsc::Sender<Request>,
    pub(crate) releases: Releases,
}

#[derive(Debug)]
enum State {
    /// The receiver does not want it yet.
    Awaited(oneshot::Receiver<BodySink>),
    Ready(BodySink),
    /// It is finished, or goes nowhere.
    Over,
}

impl BodyWriter {
    /// A writer whose sink comes when the receiver wants the body.
    pub(super) fn awaiting(sink: oneshot::Receiver<BodySink>) -> Self {
        Self::new(State::Awaited(sink))
    }

    /// A writer that may begin.
    pub(crate) fn ready(sink: BodySink) -> Self {
        Self::new(State::Ready(sink))
    }

    fn new(sink: State) -> Self {
        Self { sink, hasher: Box::new(blake3::Hasher::new()), bytes: 0 }
    }

    /// Writes the next bytes, waiting while too many of them are held.
    ///
    /// # Errors
    ///
    /// [`BodyError::Ended`] when the command is over or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, a part of `content` may have been written: give the body up then.
    pub async fn write(&mut self, mut content: Bytes) -> Result<(), BodyError> {
        while !content.is_empty() {
            let piece = content.split_to(content.len().min(PIECE_BYTES_MAX));
            let bytes = self.bytes;
            let sink = self.sink().await?;
            let known =
                usize::try_from(sink.skip.saturating_sub(bytes)).unwrap_or(usize::MAX).min(piece.len());
            sink.send_piece(bytes + known as u64, piece.slice(known..)).await?;
            self.hasher.update(&piece);
            self.bytes += piece.len() as u64;
        }
        Ok(())
    }

    /// Says that the body is complete.
    ///
    /// # Errors
    ///
    /// [`BodyError::Ended`] when the command is over or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the body is given up.
    pub async fn finish(mut self) -> Result<(), BodyError> {
        let end = BodyEnd { bytes: self.bytes, hash: *self.hasher.finalize().as_bytes() };
        let sink = self.sink().await?;
        let request = Request::BodyEnd { whose: sink.whose.clone(), end };
        sink.inbox.send(request).await.map_err(|_| BodyError::Ended)?;
        self.sink = State::Over;
        Ok(())
    }

    /// Gives the body up and says why.
    pub(super) async fn fail(mut self, kind: FailureKind, message: String) {
        if let Ok(sink) = self.sink().await {
            let request = Request::BodyFailed { whose: sink.whose.clone(), kind, message };
            // If the engine is gone, there is nobody left to tell.
            sink.inbox.send(request).await.ok();
        }
        self.sink = State::Over;
    }

    async fn sink(&mut self) -> Result<&BodySink, BodyError> {
        if let State::Awaited(awaited) = &mut self.sink {
            match awaited.await {
                Ok(sink) => self.sink = State::Ready(sink),
                Err(_) => self.sink = State::Over,
            }
        }
        match &self.sink {
            State::Ready(sink) => Ok(sink),
            State::Awaited(_) | State::Over => Err(BodyError::Ended),
        }
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        // Without room the command is over, or the body is produced again by another writer.
        if let State::Ready(sink) = &self.sink
            && !sink.room.is_closed()
        {
            sink.releases.send(Release::BodyWriter(sink.whose.clone())).ok();
        }
    }
}

impl BodySink {
    async fn send_piece(&self, offset: u64, content: Bytes) -> Result<(), BodyError> {
        if content.is_empty() {
            return Ok(());
        }
        let permits = u32::try_from(content.len()).map_err(|_| BodyError::Ended)?;
        let permits = self.room.acquire(permits).await.map_err(|_| BodyError::Ended)?;
        let place = self.inbox.reserve().await.map_err(|_| BodyError::Ended)?;
        place.send(Request::Body { whose: self.whose.clone(), offset, content });
        permits.forget();
        Ok(())
    }
}
