//! Durable commands without a caller: an older process submitted them, or their caller comes a second time. And what is
//! wanted no more: outcomes, and all that a sender has sent.

use std::time::Instant;

use runnel_codec::{CloseCode, CommandId, NodeId};
use runnel_queue::{Stage, SubmitError};

use super::{Caller, Engine};
use crate::node::NotFound;
use crate::recovered::Recovered;

impl Engine {
    /// Lists those that nobody follows.
    pub(super) fn recovered(&self) -> Vec<Recovered> {
        let unfinished = self.send.unfinished().map(|(id, command)| Recovered {
            id,
            name: command.name.clone(),
            class: command.class,
            label: command.durable.as_ref().map(|durable| durable.label.clone()).unwrap_or_default(),
            outcome: None,
        });
        let ended = self.send.untaken_outcomes().map(|(id, row)| Recovered {
            id,
            name: row.name.clone(),
            class: row.class,
            label: row.label.clone(),
            outcome: Some(row.outcome.clone()),
        });
        unfinished.chain(ended).filter(|recovered| !self.is_followed(&recovered.id)).collect()
    }

    /// Lets a caller follow a command that is here.
    pub(super) fn handle_attach(&mut self, id: CommandId, caller: Caller) {
        if self.is_followed(&id) {
            return caller.teller.stored(&mut self.wakes, Err(SubmitError::InUse(id)));
        }
        let stage = self.send.stage(&id);
        if stage.is_none() && self.send.outcome(&id).is_none() {
            return caller.teller.stored(&mut self.wakes, Err(SubmitError::NotHere(id)));
        }
        if stage != Some(Stage::Storing) {
            caller.teller.stored(&mut self.wakes, Ok(id.key));
        }
        let (body, body_room) =
            self.callers.remove(&id).map(|older| (older.body, older.body_room)).unwrap_or_default();
        self.callers.insert(id.clone(), Caller { body, body_room, ..caller });
        self.send.follow(&id).ok();
        self.send.repeat_outcome(&id);
    }

    /// Forgets what a sender has sent. It learns so from the hello of its next link.
    pub(super) fn forget(&mut self, now: Instant, peer: &NodeId) -> Result<(), NotFound> {
        let link = self.link_of(peer);
        if let Some(index) = link {
            self.drop_queues_of(now, index);
        }
        let forgotten = self.receive.forget(peer).map_err(|_| NotFound);
        if let Some(index) = link {
            self.close_link(index, CloseCode::Replaced, "its commands were forgotten here");
        }
        forgotten
    }

    fn is_followed(&self, id: &CommandId) -> bool {
        self.callers.get(id).is_some_and(|caller| caller.teller.is_heard())
    }

    /// The outcome of a command is wanted no more.
    pub(super) fn forget_outcome(&mut self, now: Instant, id: &CommandId) -> Result<(), NotFound> {
        self.send.handle_outcome_taken(now, id).map_err(|_| NotFound)
    }
}
