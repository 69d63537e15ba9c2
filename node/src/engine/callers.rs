//! Who waits for the commands of this node.

use std::collections::BTreeMap;
use std::sync::Arc;

use runnel_codec::{CommandId, CommandKey, NodeId};
use runnel_queue::{CommandMap, DeliveryPart, Stage};
use tokio::sync::mpsc;

use crate::body::Source;
use crate::caller_events::{Step, Teller, caller_events};
use crate::room::{Room, Rooms};
use crate::wakes::WakeNotes;

/// The callers of a node, by receiver and command.
///
/// A receiver's map stays when it is empty: there are as many as the send queue knows peers.
#[derive(Debug, Default)]
pub(super) struct Callers(BTreeMap<NodeId, CommandMap<Caller>>);

/// Who waits for a command. It is small, since a map moves its entries about.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(super) teller: Teller,
    /// The outcome is kept until somebody says that it is wanted no more.
    pub(super) keeps_outcome: bool,
    pub(super) wants: Wants,
    /// The furthest step that it was told, or would have been.
    pub(super) furthest: Stage,
    /// Where its body comes from: one that is produced once until the receiver wants it, another until the end, unless the
    /// store has it.
    pub(super) body: Option<Box<Source>>,
    /// How much more of its body may be held, once that is under way.
    pub(super) body_room: Option<Arc<Room>>,
    /// Where the parts of its result's body go, if it reads one.
    pub(super) result_body: Option<mpsc::UnboundedSender<DeliveryPart>>,
}

/// What a caller wants to be told of, beside updates. Each word wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// How it ended, or why it was not stored.
    End,
    /// That it is stored, that its handler was called and that its deadline has passed, too.
    Progress,
    /// And each step on its way.
    Steps,
}

impl Callers {
    pub(super) fn insert(&mut self, id: CommandId, caller: Caller) {
        self.0.entry(id.receiver).or_default().insert(id.key, caller);
    }

    pub(super) fn remove(&mut self, id: &CommandId) -> Option<Caller> {
        self.0.get_mut(&id.receiver)?.remove(id.key)
    }

    pub(super) fn get_mut(&mut self, id: &CommandId) -> Option<&mut Caller> {
        self.0.get_mut(&id.receiver)?.get_mut(id.key)
    }

    pub(super) fn get(&self, id: &CommandId) -> Option<&Caller> {
        self.0.get(&id.receiver)?.get(id.key)
    }
}

impl Caller {
    pub(crate) fn new(
        teller: Teller,
        wants: Wants,
        keeps_outcome: bool,
        body: Option<Source>,
        result_body: Option<mpsc::UnboundedSender<DeliveryPart>>,
    ) -> Self {
        let body = body.map(Box::new);
        let furthest = Stage::Storing;
        Self { teller, keeps_outcome, wants, furthest, body, body_room: None, result_body }
    }

    /// Stands for a caller that was in an older process.
    pub(super) fn gone() -> Self {
        Self::new(caller_events().0, Wants::Progress, true, None, None)
    }

    /// Its command is stored.
    pub(super) fn tell_stored(&self, wakes: &mut WakeNotes, key: CommandKey) {
        if self.wants != Wants::End {
            self.teller.stored(wakes, Ok(key));
        }
    }

    /// Its deadline has passed, and nobody knows what became of it.
    pub(super) fn tell_overdue(&self, wakes: &mut WakeNotes) {
        if self.wants != Wants::End {
            self.teller.step(wakes, Step::Overdue);
        }
    }

    /// Its command has come further. Each step is told once, however often the command is sent again.
    pub(super) fn tell_step(&mut self, wakes: &mut WakeNotes, stage: Stage) {
        if self.furthest >= stage {
            return;
        }
        self.furthest = stage;
        let step = match stage {
            Stage::Sent if self.wants == Wants::Steps => Step::Sent,
            Stage::Accepted if self.wants == Wants::Steps => Step::Accepted,
            Stage::Started if self.wants != Wants::End => Step::Started,
            _ => return,
        };
        self.teller.step(wakes, step);
    }

    /// Has room for a body that is produced from now on. An older production of it ends.
    pub(super) fn open_body(&mut self, rooms: &Rooms) -> Arc<Room> {
        self.close_body();
        // What an older one held is free before.
        self.body_room = None;
        self.body_room.insert(rooms.open()).clone()
    }

    /// Its body goes nowhere any more.
    pub(super) fn close_body(&self) {
        if let Some(room) = &self.body_room {
            room.close();
        }
    }
}
