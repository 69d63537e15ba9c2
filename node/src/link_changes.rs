//! What happens to a node's links, told to whoever listens.

use std::net::SocketAddr;

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

impl LinkChanges {
    pub(crate) fn new(changes: broadcast::Receiver<LinkChange>) -> Self {
        Self(changes)
    }

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
