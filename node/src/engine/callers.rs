//! Who waits for the commands of this node.

use std::collections::BTreeMap;

use runnel_codec::{CommandId, CommandKey, NodeId};

use super::outgoing::Caller;

/// The callers of a node, by command.
///
/// They are sorted by number first: the names of nodes, mostly the same, are compared only when numbers are equal.
#[derive(Debug, Default)]
pub(super) struct Callers(BTreeMap<(CommandKey, NodeId), Caller>);

impl Callers {
    pub(super) fn insert(&mut self, id: CommandId, caller: Caller) {
        self.0.insert((id.key, id.receiver), caller);
    }

    pub(super) fn remove(&mut self, id: &CommandId) -> Option<Caller> {
        self.0.remove(&slot(id))
    }

    pub(super) fn get_mut(&mut self, id: &CommandId) -> Option<&mut Caller> {
        self.0.get_mut(&slot(id))
    }

    pub(super) fn get(&self, id: &CommandId) -> Option<&Caller> {
        self.0.get(&slot(id))
    }
}

fn slot(id: &CommandId) -> (CommandKey, NodeId) {
    (id.key, id.receiver.clone())
}
