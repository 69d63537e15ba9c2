//! What the send queue holds for one peer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use runnel_codec::{
    Class, ClassMap, CommandKey, CommandName, Epoch, LinkNumber, Outcome, Reach, RejectionKind, Seq,
};

use super::batches::Batch;
use super::credits::Credits;
use super::early::Presumed;
use super::entry::{Entry, NewCommand};
use super::outcomes::Kept;
use super::usage::PeerUsage;
use crate::command_map::{CommandMap, CommandSet};
use crate::positions::Reaches;
use crate::room::Room;
use crate::settled::SettledSet;

/// A link to a peer that has come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkUp {
    /// Its number.
    pub link: LinkNumber,
    /// Epoch of the peer's process.
    pub boot: Epoch,
    /// Epoch of its durable journal towards this node, if it has one.
    pub receiver: Option<Epoch>,
    /// The position of that journal, and the newest process of the peer's store.
    pub journaled: Reach,
    /// Command types that it understands.
    pub commands: BTreeSet<CommandName>,
    /// It takes messages in batches.
    pub takes_batches: bool,
    /// Longest arguments that it takes, in bytes.
    pub args_bytes_max: usize,
    /// Longest inline payload that it takes, in bytes.
    pub payload_bytes_max: usize,
}

/// What goes next of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A command.
    Open,
    /// A piece of a body.
    Body,
}

/// Commands of one class that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Those that were bound or sent before: they go on before anything new is begun.
    begun: CommandSet,
    fresh: CommandSet,
}

/// All that is for one peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) link: Option<LinkUp>,
    /// What the link is presumed to be, before the hello is answered.
    pub(super) presumed: Option<Presumed>,
    /// It stands in the line of those that are to be told what is settled.
    pub(super) has_news: bool,
    /// Since when it has no link: its end, or the first command for it.
    pub(super) unreachable_since: Option<Instant>,
    pub(super) room: Room,
    /// Of commands that do not outlive this process.
    pub(super) boot: Numbering,
    /// Of durable ones.
    pub(super) store: Numbering,
    /// Boxed, so that numbers without a command cost little.
    pub(super) entries: CommandMap<Box<Entry>>,
    /// Commands that can be sent once the link has room.
    pub(super) lines: ClassMap<Line>,
    /// Messages that leave together, and are still being gathered.
    pub(super) batches: ClassMap<Batch>,
    /// Commands whose bodies can be written on; they take turns.
    pub(super) bodies: ClassMap<VecDeque<CommandKey>>,
    /// Whether a body of the class comes before the next command.
    body_goes_next: ClassMap<bool>,
    pub(super) paused_until: Option<Instant>,
    pub(super) class_paused_until: ClassMap<Option<Instant>>,
    pub(super) usage: PeerUsage,
    pub(super) credits: Credits,
    /// Durable commands that have ended, until their outcome is taken and their idempotency key is old.
    pub(super) kept: BTreeMap<CommandKey, Kept>,
    /// Durable commands that their callers gave a name.
    pub(super) keys: BTreeMap<String, CommandKey>,
    /// The receiver epoch that it had when it was last met.
    pub(super) receiver: Option<Epoch>,
    /// The highest position of its journal that it ever claimed, and by which process.
    pub(super) journaled: Reach,
    /// How far the numbers of durable commands reach that older processes gave.
    pub(super) sent: Reaches,
}

/// The numbers that one epoch of this node gave to commands for one peer.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    pub(super) last: Option<Seq>,
    /// The last one whose command is stored.
    pub(super) last_stored: Option<Seq>,
    pub(super) settled: SettledSet,
    /// The peer is to be told what is settled.
    pub(super) is_news: bool,
}

impl Numbering {
    /// Gives the next number; `None` when they are used up.
    pub(super) fn next(&mut self) -> Option<Seq> {
        let seq = self.last.map_or(Some(Seq::FIRST), Seq::next)?;
        self.last = Some(seq);
        Some(seq)
    }

    /// A command has ended. Returns whether the peer knew of all before it.
    pub(super) fn settle(&mut self, seq: Seq) -> bool {
        self.settled.insert(seq);
        !std::mem::replace(&mut self.is_news, true)
    }

    /// Has everything said again.
    pub(super) fn repeat(&mut self) {
        self.is_news = self.settled.low().is_some() || self.settled.ranges().next().is_some();
    }
}

impl LinkUp {
    /// Returns the epoch that a command is bound to: that of the memory which the peer journals it in.
    pub(super) fn epoch(&self, is_durable: bool) -> Epoch {
        self.receiver.filter(|_| is_durable).unwrap_or(self.boot)
    }

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
        self.begun.is_empty() && self.fresh.is_empty()
    }

    pub(super) fn front(&self) -> Option<CommandKey> {
        self.begun.first().or_else(|| self.fresh.first())
    }

    pub(super) fn pop_front(&mut self) -> Option<CommandKey> {
        self.begun.pop_first().or_else(|| self.fresh.pop_first()).map(|(key, ())| key)
    }

    pub(super) fn len(&self) -> usize {
        self.begun.len() + self.fresh.len()
    }

    /// Takes a command out, wherever it stands.
    pub(super) fn remove(&mut self, key: CommandKey) {
        if self.fresh.remove(key).is_none() {
            self.begun.remove(key);
        }
    }

    /// Returns how many commands go before this one.
    pub(super) fn position(&self, key: CommandKey) -> Option<usize> {
        let in_fresh = || Some(self.begun.len() + self.fresh.position(key)?);
        self.begun.position(key).or_else(in_fresh)
    }
}

impl Peer {
    /// Returns the numbers of durable commands, or those of the others.
    pub(super) fn numbering(&self, is_durable: bool) -> &Numbering {
        if is_durable { &self.store } else { &self.boot }
    }

    /// Like [`numbering`](Self::numbering).
    pub(super) fn numbering_mut(&mut self, is_durable: bool) -> &mut Numbering {
        if is_durable { &mut self.store } else { &mut self.boot }
    }

    /// Puts a command into its line, by age.
    pub(super) fn queue(&mut self, key: CommandKey, is_begun: bool) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.is_held) else { return };
        if !std::mem::replace(&mut entry.is_in_line, true) {
            let line = &mut self.lines[entry.command.class];
            let line = if is_begun { &mut line.begun } else { &mut line.fresh };
            line.insert(key, ());
        }
    }

    /// Returns whether anything of a class may be sent once the link has room.
    pub(super) fn has_work(&self, class: Class) -> bool {
        !self.lines[class].is_empty() || !self.bodies[class].is_empty()
    }

    /// Returns what of a class goes next and its bytes, if the link has room for it. Commands and bodies take turns.
    pub(super) fn next(&self, class: Class, urgent_places: usize) -> Option<(Next, u64)> {
        let open = self.open_cost(class, urgent_places).map(|bytes| (Next::Open, bytes));
        let body = self.body_cost(class).map(|bytes| (Next::Body, bytes));
        if self.body_goes_next[class] { body.or(open) } else { open.or(body) }
    }

    /// Returns the bytes of the class's next piece of a body, if the link has room for it.
    fn body_cost(&self, class: Class) -> Option<u64> {
        let piece = self.room.piece(class)?;
        let entry = self.entries.get(*self.bodies[class].front()?)?;
        let bytes = entry.body.as_ref()?.log.writable()?;
        Some(bytes.min(piece) + FRAME_BYTES)
    }

    /// Takes note of what has been sent, so that the other kind goes next.
    pub(super) fn sent(&mut self, class: Class, next: Next) {
        self.body_goes_next[class] = next == Next::Open;
    }

    /// Takes all bodies out of their rings: their streams are gone.
    pub(super) fn clear_bodies(&mut self) {
        for class in Class::ALL {
            for key in std::mem::take(&mut self.bodies[class]) {
                if let Some(body) = self.entries.get_mut(key).and_then(|entry| entry.body.as_mut()) {
                    body.is_in_ring = false;
                }
            }
        }
    }

    /// Takes a body out of its ring.
    pub(super) fn remove_body(&mut self, key: CommandKey) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let class = entry.command.class.of_bulk_bytes();
        if entry.body.as_mut().is_some_and(|body| std::mem::take(&mut body.is_in_ring)) {
            self.bodies[class].retain(|other| *other != key);
        }
    }

    /// Returns the bytes of the class's next command, if the link has room for it.
    fn open_cost(&self, class: Class, urgent_places: usize) -> Option<u64> {
        let reserved = if class == Class::Urgent { 0 } else { urgent_places };
        let is_paused = self.paused_until.is_some() || self.class_paused_until[class].is_some();
        if self.link.is_none() || is_paused {
            return None;
        }
        let entry = self.entries.get(self.lines[class].front()?)?;
        if self.room.places <= reserved && !self.joins_batch(entry) {
            return None;
        }
        let head_bytes = entry.command.args.len() as u64 + HEAD_BYTES;
        let payload_bytes = entry.command.payload.len() as u64;
        // A head and its payload go whole: they fit if anything of the budget is left (it is overdrawn by one at most).
        let has_budget = self.room.budget[class] > 0
            && (payload_bytes == 0 || self.room.budget[class.of_bulk_bytes()] > 0);
        has_budget.then_some(head_bytes + payload_bytes)
    }

    /// Takes what one command uses from the budget.
    pub(super) fn use_budget(&mut self, class: Class, bytes: u64) {
        if class != Class::Urgent {
            self.room.use_bytes(bytes + HEAD_BYTES);
        }
    }
}

/// About what a head takes beside its arguments.
const HEAD_BYTES: u64 = 96;

/// What a frame takes beside its content.
const FRAME_BYTES: u64 = 8;
