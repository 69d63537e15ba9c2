//! The way of a handler's updates into the engine, pressed back when too many of them are held.

use std::sync::Arc;

use bytes::Bytes;
use runnel_codec::{CommandKey, NodeId};
use tokio::sync::{Semaphore, mpsc};

use crate::engine::Request;

/// Where a handler's updates go.
///
/// Each record takes as many permits as it has bytes; they come back when the caller's node holds the record.
#[derive(Debug)]
pub(crate) struct UpdateSink {
    from: NodeId,
    key: CommandKey,
    room: Arc<Semaphore>,
    inbox: mpsc::Sender<Request>,
}

/// Why an update was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The record does not encode, or is longer than 64 KiB: send smaller ones.
    #[error("the update does not fit into 64 KiB")]
    TooLarge,
    /// The command is over or the node has shut down: stop.
    #[error("nobody takes updates of this command any more")]
    Ended,
}

impl UpdateSink {
    pub(crate) fn new(
        from: NodeId,
        key: CommandKey,
        room: Arc<Semaphore>,
        inbox: mpsc::Sender<Request>,
    ) -> Self {
        Self { from, key, room, inbox }
    }

    /// Hands one encoded record over.
    pub(crate) async fn send(&self, content: Bytes) -> Result<(), UpdateError> {
        let permits = u32::try_from(content.len().max(1)).map_err(|_| UpdateError::TooLarge)?;
        let permits = self.room.acquire_many(permits).await.map_err(|_| UpdateError::Ended)?;
        let place = self.inbox.reserve().await.map_err(|_| UpdateError::Ended)?;
        place.send(Request::Update { from: self.from.clone(), key: self.key, content });
        permits.forget();
        Ok(())
    }
}
