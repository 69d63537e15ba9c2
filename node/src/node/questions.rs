//! What a handle can ask its node.

use runnel_codec::{CommandId, NodeId};
use runnel_transport::SocketStats;
use tokio::sync::oneshot;

use super::{NodeHandle, NotFound};
use crate::engine::{Question, Request};
use crate::status::{Explanation, PeerReach, PeerStatus, StoreStatus};

impl NodeHandle {
    /// Says what a command of this node waits for.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the command has ended, was never here, or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn explain(&self, id: &CommandId) -> Result<Explanation, NotFound> {
        self.ask(|reply| Question::Explain { id: id.clone(), reply }).await?
    }

    /// Returns all peers that are configured or were met since the start, by name.
    ///
    /// It counts all commands of the send queue: for people, not for every packet.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, NotFound> {
        self.ask(|reply| Question::Peers { reply }).await
    }

    /// Returns how all peers can be reached that are configured or were met since the start, by name. It is cheap beside
    /// [`peers`](Self::peers): for whoever follows [`link_changes`](Self::link_changes).
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn reach(&self) -> Result<Vec<PeerReach>, NotFound> {
        self.ask(|reply| Question::Reach { reply }).await
    }

    /// Returns whether a node is configured as a peer or was met since the start.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when this node has shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn knows(&self, peer: &NodeId) -> Result<bool, NotFound> {
        self.ask(|reply| Question::Knows { peer: peer.clone(), reply }).await
    }

    /// Says what the system grants the node's sockets now: first those that listen, then those that dial.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn sockets(&self) -> Result<Vec<SocketStats>, NotFound> {
        self.ask(|reply| Question::Sockets { reply }).await
    }

    /// Says how the node's store is.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the node has shut down; [`Status::store`](crate::Status::store) then says whether the store was why.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn store_status(&self) -> Result<StoreStatus, NotFound> {
        self.ask(|reply| Question::Store { reply }).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, NotFound> {
        let (reply, answer) = oneshot::channel();
        self.ways.send(Request::Ask(question(reply))).await.map_err(|_| NotFound)?;
        answer.await.map_err(|_| NotFound)
    }
}
