//! Which accepted command starts next, as far as the limits on running ones allow.

use std::collections::BTreeMap;

use runnel_codec::{Class, CommandKey, CommandName, NodeId};

use super::ReceiveQueue;
use super::command::State;
use super::notes::Note;

impl ReceiveQueue {
    /// Has commands started, as far as the limits on running ones allow.
    pub(super) fn start_waiting(&mut self) {
        let others_max =
            self.config.running_max - self.config.urgent_running_reserve.min(self.config.running_max / 2);
        while !self.is_draining && self.waiting.len() > 0 && self.running < self.config.running_max {
            let (running, limits) = (&self.running_by_name, &self.config.running_max_by_name);
            let others_may_start = self.running < others_max;
            let may_start = |class, name: &CommandName| {
                let limit = limits.get(name.as_str()).copied().unwrap_or(usize::MAX);
                (class == Class::Urgent || others_may_start)
                    && running.get(name).copied().unwrap_or(0) < limit
            };
            let Some((peer, key)) = self.waiting.pop(may_start) else { return };
            let Some(sender) = self.senders.get_mut(&peer) else { continue };
            let Some(known) = sender.known.get_mut(key) else { continue };
            let Some(accepted) = &known.accepted else { continue };
            self.total.bytes -= accepted.waiting_bytes();
            sender.usage.remove_bytes(accepted.class, accepted.waiting_bytes());
            self.running += 1;
            *self.running_by_name.entry(accepted.name.clone()).or_default() += 1;
            known.has_place = true;
            known.state = State::Starting(None);
            known.runs += 1;
            let class = accepted.class;
            self.note(class, key, Note::Started(peer.clone(), key));
            if planted!(StartBeforeSync) {
                self.started(peer, key);
            }
        }
    }

    /// The record of a start is stored: the handler may be called, unless the command has been called off meanwhile.
    pub(super) fn started(&mut self, peer: NodeId, key: CommandKey) {
        let store = self.store_of(&peer);
        let Some(known) = self.known_mut(&peer, key) else { return };
        let State::Starting(never) = &mut known.state else { return };
        if let Some(outcome) = never.take() {
            return self.end(&peer, key, outcome);
        }
        known.state = State::Running;
        known.was_called = true;
        known.unsaid.started = true;
        let start = known.accepted.as_mut().map(|accepted| accepted.take_start(peer.clone(), key, store));
        self.starts.extend(start);
        self.say(&peer, key);
        self.open_body(&peer, key);
    }
}

/// Gives a running place of a type back. Types of which nothing runs are not kept.
pub(super) fn release(running_by_name: &mut BTreeMap<CommandName, usize>, name: &CommandName) {
    if let Some(running) = running_by_name.get_mut(name) {
        *running -= 1;
        if *running == 0 {
            running_by_name.remove(name);
        }
    }
}
