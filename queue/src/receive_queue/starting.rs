//! Which accepted command starts next, as far as the limits on running ones allow.

use std::collections::BTreeMap;

use runnel_codec::{Class, CommandName};

use super::ReceiveQueue;
use super::command::State;
use super::notes::Note;
use crate::peers::LocalId;

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
            let Some(id) = self.waiting.pop(may_start) else { return };
            let sender = &mut self.senders[id.peer];
            let Some(known) = sender.known.get_mut(id.key) else { continue };
            let Some(accepted) = &known.accepted else { continue };
            self.total.bytes -= accepted.waiting_bytes();
            sender.usage.remove_bytes(accepted.class, accepted.waiting_bytes());
            self.running += 1;
            occupy(&mut self.running_by_name, &accepted.name);
            known.has_place = true;
            known.state = State::Starting(None);
            known.runs += 1;
            let class = accepted.class;
            self.note(class, id.key.epoch, Note::Started(id));
            if planted!(StartBeforeSync) {
                self.started(id);
            }
        }
    }

    /// The record of a start is stored: the handler may be called, unless the command has been called off meanwhile.
    pub(super) fn started(&mut self, id: LocalId) {
        let store = self.senders[id.peer].store();
        let from = self.senders.name(id.peer).clone();
        let Some(known) = self.known_mut(id) else { return };
        let State::Starting(never) = &mut known.state else { return };
        if let Some(outcome) = never.take() {
            return self.end(id, outcome);
        }
        known.state = State::Running;
        known.was_called = true;
        known.unsaid.started = true;
        let start = known.accepted.as_mut().map(|accepted| accepted.take_start(from, id.key, store));
        self.starts.extend(start);
        self.say(id);
        self.open_body(id);
    }
}

/// Takes a running place of a type.
pub(super) fn occupy(running_by_name: &mut BTreeMap<CommandName, usize>, name: &CommandName) {
    match running_by_name.get_mut(name) {
        Some(running) => *running += 1,
        None => _ = running_by_name.insert(name.clone(), 1),
    }
}

/// Gives a running place of a type back. Of types of which nothing runs a few are kept, for what comes next.
pub(super) fn release(running_by_name: &mut BTreeMap<CommandName, usize>, name: &CommandName) {
    if let Some(running) = running_by_name.get_mut(name) {
        *running -= 1;
        if *running == 0 && running_by_name.len() > NAMES_KEPT {
            running_by_name.remove(name);
        }
    }
}

/// Types of which nothing runs that are kept. Peers choose the names, so there is a bound.
const NAMES_KEPT: usize = 64;
