//! What happens to a node's links, told to whoever listens.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use runnel_codec::{LinkNumber, NodeId};
use runnel_transport::CloseReason;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// What happened to a link.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LinkChange {
    /// It came up; an older one to the same peer is replaced by it.
    Up {
        /// The peer.
        peer: NodeId,
        /// The link's number.
        number: LinkNumber,
        /// Where the peer's packets come from, as far as is known.
        remote: Option<SocketAddr>,
    },
    /// Nothing authenticated came on it for too long: it may be dead, and the dialling side dials beside it.
    Suspect {
        /// The peer.
        peer: NodeId,
        /// The link's number.
        number: LinkNumber,
    },
    /// It was suspect, and the peer was heard again.
    Trusted {
        /// The peer.
        peer: NodeId,
        /// The link's number.
        number: LinkNumber,
    },
    /// It ended, and no newer one has taken over.
    Down {
        /// The peer.
        peer: NodeId,
        /// The link's number.
        number: LinkNumber,
        /// Why.
        reason: CloseReason,
    },
    /// An attempt to reach a peer failed; the next one comes by itself.
    Failed {
        /// The peer.
        peer: NodeId,
        /// Why.
        reason: CloseReason,
    },
}

/// Tells what happens to a node's links, from when it was asked for.
#[derive(Debug)]
pub struct LinkChanges(broadcast::Receiver<LinkChange>);

/// The engine's end of it. Nothing is kept before somebody listens.
#[derive(Debug)]
pub(crate) struct LinkChangeTeller(Arc<Telling>);

/// Makes listeners while the engine's end is there.
#[derive(Clone, Debug)]
pub(crate) struct LinkChangeListeners(Weak<Telling>);

#[derive(Debug)]
struct Telling {
    /// Made for the first listener: its room is as large as many links are.
    changes: OnceLock<broadcast::Sender<LinkChange>>,
    kept: usize,
}

/// Why there is no next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkChangesError {
    /// Whoever listens was too slow, and so many changes are lost: look at the status, and go on.
    #[error("{0} changes were missed")]
    Missed(u64),
    /// The node has shut down.
    #[error("this node has shut down")]
    NodeStopped,
}

impl LinkChangeTeller {
    /// Keeps so many changes for listeners that are slow.
    pub(crate) fn new(kept: usize) -> Self {
        Self(Arc::new(Telling { changes: OnceLock::new(), kept }))
    }

    /// Tells all who listen. There may be nobody.
    pub(crate) fn tell(&self, change: LinkChange) {
        if let Some(changes) = self.0.changes.get() {
            changes.send(change).ok();
        }
    }

    pub(crate) fn listeners(&self) -> LinkChangeListeners {
        LinkChangeListeners(Arc::downgrade(&self.0))
    }
}

impl LinkChangeListeners {
    /// Begins to listen; `None` once the engine's end is gone.
    pub(crate) fn listen(&self) -> Option<LinkChanges> {
        let telling = self.0.upgrade()?;
        let changes = telling.changes.get_or_init(|| broadcast::Sender::new(telling.kept));
        Some(LinkChanges(changes.subscribe()))
    }
}

impl LinkChanges {
    /// Waits for the next change.
    ///
    /// # Errors
    ///
    /// See [`LinkChangesError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<LinkChange, LinkChangesError> {
        self.0.recv().await.map_err(|error| match error {
            RecvError::Lagged(missed) => LinkChangesError::Missed(missed),
            RecvError::Closed => LinkChangesError::NodeStopped,
        })
    }
}
