//! Who waits for the commands of this node.

use std::collections::BTreeMap;

use runnel_codec::{CommandId, CommandKey, NodeId};

use super::outgoing::Caller;

/// The callers of a node, by receiver and command.
///
/// A receiver's map stays when it is empty: there are as many as the send queue knows peers. Callers are boxed, since a
/// map moves its entries about.
#[derive(Debug, Default)]
pub(super) struct Callers(BTreeMap<NodeId, BTreeMap<CommandKey, Box<Caller>>>);

impl Callers {
    pub(super) fn insert(&mut self, id: CommandId, caller: Caller) {
        self.0.entry(id.receiver).or_default().insert(id.key, Box::new(caller));
    }

    pub(super) fn remove(&mut self, id: &CommandId) -> Option<Box<Caller>> {
        self.0.get_mut(&id.receiver)?.remove(&id.key)
    }

    pub(super) fn get_mut(&mut self, id: &CommandId) -> Option<&mut Caller> {
        self.0.get_mut(&id.receiver)?.get_mut(&id.key).map(Box::as_mut)
    }

    pub(super) fn get(&self, id: &CommandId) -> Option<&Caller> {
        self.0.get(&id.receiver)?.get(&id.key).map(Box::as_ref)
    }
}
