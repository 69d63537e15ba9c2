//! The way of a handler's updates into the engine: pressed back, or spilled to the disk, when too many of them are held.

mod acknowledgements;
mod spill;
mod spill_file;
mod spill_log;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use runnel_codec::{CommandKey, NodeId};
use tokio::sync::mpsc;

pub use self::acknowledgements::{Acknowledged, Acknowledgements};
pub(crate) use self::spill::Feeder;
use self::spill::Spill;
pub(crate) use self::spill_file::SpillFolder;
use crate::engine::Request;
use crate::room::Room;

/// Where a handler's updates go.
#[derive(Debug)]
pub(crate) struct UpdateSink {
    engaged: Engaged,
    /// Where they go when memory is full.
    spill: Option<Spill>,
}

/// The way of one command's updates into the engine.
#[derive(Clone, Debug)]
pub(crate) struct Engaged {
    pub(crate) from: NodeId,
    pub(crate) key: CommandKey,
    pub(crate) room: Arc<Room>,
    pub(crate) inbox: mpsc::Sender<Request>,
    /// Who counts what is acknowledged, if anybody does.
    pub(crate) counting: Option<Acknowledgements>,
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
    /// Makes one that waits when memory is full.
    pub(crate) fn new(engaged: Engaged) -> Self {
        Self { engaged, spill: None }
    }

    /// Makes one that spills what memory cannot hold. Without the feeder nothing comes back.
    pub(crate) fn spilling(engaged: Engaged, folder: SpillFolder) -> (Self, Feeder) {
        let (spill, feeder) = spill::spill(folder, engaged.clone());
        (Self { engaged, spill: Some(spill) }, feeder)
    }

    /// Hands one encoded record over. Those without content are not sent: they would cost nobody anything.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the record either has been taken whole or not at all.
    pub(crate) async fn send(&self, content: Bytes) -> Result<(), UpdateError> {
        if content.is_empty() {
            return if self.engaged.room.is_closed() { Err(UpdateError::Ended) } else { Ok(()) };
        }
        match &self.spill {
            Some(spill) => spill.send(content, &self.engaged).await,
            None => self.engaged.send(content).await,
        }
    }
}

impl UpdateSink {
    /// Asks for time to stop once the handler is told to.
    pub(crate) async fn want_stop_grace(&self, grace: Duration) {
        let Engaged { from, key, inbox, .. } = &self.engaged;
        // If the engine is gone, nobody waits for the handler.
        inbox.send(Request::StopGrace { from: from.clone(), key: *key, grace }).await.ok();
    }
}

impl Engaged {
    /// Returns whether so many bytes more may be held in memory now.
    fn has_room(&self, bytes: usize) -> bool {
        self.room.has(bytes)
    }

    /// Hands a record over, waiting while too much is held.
    async fn send(&self, content: Bytes) -> Result<(), UpdateError> {
        let permits = u32::try_from(content.len()).map_err(|_| UpdateError::TooLarge)?;
        let permits = self.room.acquire(permits).await.map_err(|_| UpdateError::Ended)?;
        self.send_beyond(content).await?;
        permits.forget();
        Ok(())
    }

    /// Hands a record over, whatever is held.
    async fn send_beyond(&self, content: Bytes) -> Result<(), UpdateError> {
        let place = self.inbox.reserve().await.map_err(|_| UpdateError::Ended)?;
        if let Some(counting) = &self.counting {
            counting.expect(content.len());
        }
        place.send(Request::Update { from: self.from.clone(), key: self.key, content });
        Ok(())
    }
}
