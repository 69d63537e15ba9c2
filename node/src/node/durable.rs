//! Durable commands at the caller's door: what is stored beside them, and those that older processes submitted.

use runnel_codec::{Command, CommandId, NodeId};
use runnel_queue::{Durability, Idempotency, NewCommand};
use tokio::sync::oneshot;

use super::{Delivery, NodeHandle, NotFound, SubmitError};
use crate::caller_events::caller_events;
use crate::engine::{Caller, Request, Wants};
use crate::recovered::Recovered;
use crate::submission::Submission;

impl NodeHandle {
    /// Follows a durable command that an older process submitted, or that nobody follows any more. Updates that nobody has
    /// taken come again, and so does the outcome.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Queue`] when there is no such command or somebody follows it, [`SubmitError::NodeStopped`] when the
    /// node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the command may count as followed until then.
    pub async fn attach<C: Command>(
        &self,
        id: &CommandId,
        keep_outcome: bool,
    ) -> Result<Submission<C>, SubmitError> {
        let (teller, mut events) = caller_events();
        let caller = Caller::new(teller, Wants::Progress, keep_outcome, None, None);
        let request = Request::Attach { id: id.clone(), caller };
        self.ways.inbox.send(request).await.map_err(|_| SubmitError::NodeStopped)?;
        events.stored(&self.ways.wakes).await.ok_or(SubmitError::NodeStopped)??;
        Ok(Submission::new(id.clone(), events, None, self.ways.clone()))
    }

    /// Returns the durable commands that nobody follows: after a restart, those of older processes.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recovered(&self) -> Result<Vec<Recovered>, NotFound> {
        let (reply, listed) = oneshot::channel();
        self.ways.inbox.send(Request::Recovered { reply }).await.map_err(|_| NotFound)?;
        listed.await.map_err(|_| NotFound)
    }

    /// Says that the outcome of a durable command is wanted no more.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when no such outcome is kept, or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the word may have been taken.
    pub async fn forget_outcome(&self, id: &CommandId) -> Result<(), NotFound> {
        let (reply, done) = oneshot::channel();
        let request = Request::ForgetOutcome { id: id.clone(), reply };
        self.ways.inbox.send(request).await.map_err(|_| NotFound)?;
        done.await.map_err(|_| NotFound)?
    }

    /// Says that updates of a command are taken, those that came first first: they are no longer stored, and its receiver
    /// may write as many more. For those who have a [`Submission`] leave it to them: see [`Submission::hold_updates`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the word may have been taken.
    pub async fn take_updates(&self, id: &CommandId, bytes: u64) {
        // A node that has shut down takes nothing more.
        self.ways.inbox.send(Request::Taken { id: id.clone(), bytes }).await.ok();
    }

    /// Forgets the durable commands of a node that sends to this one: what waits never starts, handlers go on unheard, and at
    /// its sender what was bound becomes `Unknown`. For senders that will not come back and fill the journal.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when nothing of it is known, or the node has shut down.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the word may have been taken.
    pub async fn forget(&self, peer: &NodeId) -> Result<(), NotFound> {
        let (reply, done) = oneshot::channel();
        let request = Request::Forget { peer: peer.clone(), reply };
        self.ways.inbox.send(request).await.map_err(|_| NotFound)?;
        done.await.map_err(|_| NotFound)?
    }

    /// Returns what is stored beside a command, if it is to be durable.
    pub(super) fn durability(
        &self,
        delivery: Option<Delivery>,
        durability: Durability,
        key: Option<String>,
        command: &NewCommand,
    ) -> Result<Option<Box<Durability>>, SubmitError> {
        let has_live_body = command.has_body && durability.body.is_none();
        let is_durable = match delivery {
            Some(Delivery::Memory) => false,
            Some(Delivery::Durable) if has_live_body => return Err(SubmitError::LiveBody),
            Some(Delivery::Durable) => true,
            None => self.has_store && !has_live_body,
        };
        if !is_durable {
            return if key.is_some() { Err(SubmitError::KeyNeedsStore) } else { Ok(None) };
        }
        if durability.label.len() > LABEL_BYTES_MAX {
            return Err(SubmitError::LabelTooLong);
        }
        let idempotency = key.map(|key| Idempotency { key, fingerprint: fingerprint(command) });
        Ok(Some(Box::new(Durability { idempotency, ..durability })))
    }
}

/// Returns what tells a command from another under the same name.
fn fingerprint(command: &NewCommand) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [command.name.as_str().as_bytes(), &command.args, &command.payload] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Longest label of a command, in bytes.
const LABEL_BYTES_MAX: usize = 4 << 10;
