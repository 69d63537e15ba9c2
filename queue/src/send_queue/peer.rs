//! What the send queue holds for one peer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use runnel_codec::{
    Class, ClassMap, CommandKey, CommandName, Epoch, LinkNumber, Outcome, RejectionKind, Seq,
};

use super::entry::{Entry, NewCommand};
use super::usage::PeerUsage;
use crate::settled::SettledSet;

/// A link to a peer that has come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkUp {
    /// Its number.
    pub link: LinkNumber,
    /// The receiver epoch of the peer.
    pub receiver: Epoch,
    /// Command types that it understands.
    pub commands: BTreeSet<CommandName>,
    /// Longest arguments that it takes, in bytes.
    pub args_bytes_max: usize,
    /// Longest inline payload that it takes, in bytes.
    pub payload_bytes_max: usize,
}

/// What a link can take now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Streams that can be opened.
    pub places: usize,
    /// Bytes of each class that may be written.
    pub budget: ClassMap<u64>,
}

/// Commands of one class that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Those that were bound or sent before: they go on before anything new is begun.
    begun: BTreeSet<CommandKey>,
    fresh: BTreeSet<CommandKey>,
}

/// All that is for one peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) link: Option<LinkUp>,
    pub(super) room: Room,
    pub(super) last: Option<Seq>,
    pub(super) entries: BTreeMap<CommandKey, Entry>,
    /// Commands that can be sent once the link has room.
    pub(super) lines: ClassMap<Line>,
    pub(super) paused_until: Option<Instant>,
    pub(super) class_paused_until: ClassMap<Option<Instant>>,
    pub(super) usage: PeerUsage,
    pub(super) settled: SettledSet,
    pub(super) is_settled_news: bool,
}

impl LinkUp {
    /// A sender uses nothing that the peer did not list.
    pub(super) fn check_understood(&self, command: &NewCommand) -> Result<(), Outcome> {
        let reject = |kind, message: String| Err(Outcome::rejected(kind, message));
        if !self.commands.contains(&command.name) {
            return reject(
                RejectionKind::UnknownCommand,
                format!("the peer does not understand {}", command.name),
            );
        }
        if command.args.len() > self.args_bytes_max || command.payload.len() > self.payload_bytes_max {
            return reject(
                RejectionKind::BadArguments,
                "the peer takes no arguments or payload of this size".to_owned(),
            );
        }
        Ok(())
    }
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.front().is_none()
    }

    pub(super) fn front(&self) -> Option<&CommandKey> {
        self.begun.first().or(self.fresh.first())
    }

    pub(super) fn pop_front(&mut self) -> Option<CommandKey> {
        self.begun.pop_first().or_else(|| self.fresh.pop_first())
    }

    /// Takes a command out, wherever it stands.
    pub(super) fn remove(&mut self, key: &CommandKey) {
        if !self.fresh.remove(key) {
            self.begun.remove(key);
        }
    }

    /// Returns how many commands go before this one.
    pub(super) fn position(&self, key: &CommandKey) -> Option<usize> {
        if self.begun.contains(key) {
            return Some(self.begun.range(..key).count());
        }
        self.fresh.contains(key).then(|| self.begun.len() + self.fresh.range(..key).count())
    }
}

impl Peer {
    /// Puts a command into its line, by age.
    pub(super) fn queue(&mut self, key: CommandKey, is_begun: bool) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if !std::mem::replace(&mut entry.is_in_line, true) {
            let line = &mut self.lines[entry.command.class];
            let line = if is_begun { &mut line.begun } else { &mut line.fresh };
            line.insert(key);
        }
    }

    /// Returns the bytes of the class's next command, if the link has room for it.
    pub(super) fn cost(&self, class: Class, urgent_places: usize) -> Option<u64> {
        let reserved = if class == Class::Urgent { 0 } else { urgent_places };
        let is_paused = self.paused_until.is_some() || self.class_paused_until[class].is_some();
        if self.link.is_none() || self.room.places <= reserved || is_paused {
            return None;
        }
        let entry = self.entries.get(self.lines[class].front()?)?;
        let head_bytes = entry.command.args.len() as u64 + HEAD_BYTES;
        let payload_bytes = entry.command.payload.len() as u64;
        // A head and its payload go whole: they fit if anything of the budget is left (it is overdrawn by one at most).
        let has_budget = self.room.budget[class] > 0
            && (payload_bytes == 0 || self.room.budget[class.of_bulk_bytes()] > 0);
        has_budget.then_some(head_bytes + payload_bytes)
    }

    /// Takes what one command uses from the room.
    pub(super) fn use_room(&mut self, class: Class, bytes: u64) {
        self.room.places = self.room.places.saturating_sub(1);
        if class != Class::Urgent {
            for class in &Class::ALL[1..] {
                self.room.budget[*class] = self.room.budget[*class].saturating_sub(bytes);
            }
        }
    }
}

/// About what a head takes beside its arguments.
const HEAD_BYTES: u64 = 96;
