//! From notes to rows, and what follows once they are stored.

use std::time::Instant;

use runnel_codec::{CommandKey, NodeId, Settled};

use super::ReceiveQueue;
use super::command::{self, State};
use super::notes::Note;
use super::starting::release;
use crate::clock::ClockReading;
use crate::journal::{Batch, BatchId};
use crate::store::{Change, Row, RowKey, StoreSpace};

impl ReceiveQueue {
    /// Says how much room the store has. Without enough new durable commands are answered `Busy`.
    pub fn handle_store_space(&mut self, space: StoreSpace) {
        self.space = space;
    }

    /// Returns the next batch of changes to store. `clock` is read at `now`.
    pub fn poll_store(&mut self, now: Instant, clock: &ClockReading) -> Option<Batch> {
        self.start_waiting();
        let (id, notes) = match self.durable.poll() {
            Some((id, notes)) => (id, notes.to_vec()),
            None if self.store.is_some() && !self.stale_rows.is_empty() => {
                (self.durable.poll_empty(), Vec::new())
            }
            None => return None,
        };
        let mut changes: Vec<_> = std::mem::take(&mut self.purged).into_iter().map(Change::Delete).collect();
        for note in &notes {
            self.write_note(note, now, clock, &mut changes);
            self.stale_rows.insert(note.from().clone());
        }
        for peer in std::mem::take(&mut self.stale_rows) {
            let Some(sender) = self.senders.get_mut(&peer) else { continue };
            let row = sender.next_row(self.process, clock);
            self.durable.amend(Note::Position(peer.clone(), sender.journaled()));
            changes.push(Change::Put(Row::Sender(peer, row)));
        }
        Some(Batch { id, changes })
    }

    /// A batch of changes is stored: what depends on it may be said.
    pub fn handle_stored(&mut self, batch: BatchId) {
        for note in self.durable.stored(batch) {
            self.handle_note(note);
        }
        self.start_waiting();
    }

    /// Counts everything as remembered that does not outlive this process. Returns whether there was anything.
    pub fn store_in_memory(&mut self) -> bool {
        let mut is_busy = false;
        self.start_waiting();
        while let Some(note) = self.memory.pop() {
            is_busy = true;
            self.handle_note(note);
            self.start_waiting();
        }
        is_busy
    }

    /// Returns the next command whose handler may rely on being found again by its token.
    pub fn poll_token_stored(&mut self) -> Option<(NodeId, CommandKey)> {
        self.tokens_stored.pop_front()
    }

    /// Writes what a note stands for.
    fn write_note(&mut self, note: &Note, now: Instant, clock: &ClockReading, changes: &mut Vec<Change>) {
        let Some(sender) = self.senders.get_mut(note.from()) else { return };
        match note {
            Note::Started(from, key) => {
                let known = sender.known.get(*key);
                let row =
                    known.map(|known| Row::Run(from.clone(), *key, Box::new(known.run_row(now, clock))));
                changes.extend(row.map(Change::Put));
            }
            Note::Token(from, key, token) => {
                changes.push(Change::Put(Row::Token(from.clone(), *key, token.clone())));
            }
            Note::Ended { from, key, .. } if !sender.has_settled(*key) => {
                let Some(known) = sender.known.get_mut(*key) else { return };
                changes.push(Change::Put(Row::Run(from.clone(), *key, Box::new(known.run_row(now, clock)))));
                changes.push(Change::Delete(RowKey::Token(from.clone(), *key)));
                changes.extend(known.output_rows(from, *key).into_iter().map(Change::Put));
            }
            Note::Settled(from, settled) => {
                let keys: Vec<_> = sender.known_in(settled).map(|(key, _)| key).collect();
                for key in keys {
                    self.write_deletion(from, key, changes);
                }
            }
            Note::Ended { from, key, .. } => self.write_deletion(from, *key, changes),
            Note::Restarted(..) | Note::Position(..) => {}
        }
    }

    /// Deletes what is stored of a command that has ended.
    fn write_deletion(&self, from: &NodeId, key: CommandKey, changes: &mut Vec<Change>) {
        let Some(known) = self.senders.get(from).and_then(|sender| sender.known.get(key)) else { return };
        if matches!(known.state, State::Ending(_) | State::Ended(_)) {
            changes.extend(known.row_keys(from, key).map(Change::Delete));
        }
    }

    pub(super) fn handle_note(&mut self, note: Note) {
        match note {
            Note::Started(from, key) => self.started(from, key),
            Note::Token(from, key, _) => self.tokens_stored.push_back((from, key)),
            Note::Ended { from, key, .. } => self.ended(&from, key),
            Note::Restarted(from, boot) => self.restarted(&from, boot),
            Note::Settled(from, settled) => self.prune(&from, &settled),
            Note::Position(from, position) => {
                if let Some(sender) = self.senders.get_mut(&from) {
                    sender.handle_position(position);
                }
            }
        }
    }

    fn prune(&mut self, from: &NodeId, settled: &Settled) {
        if let Some(sender) = self.senders.get_mut(from) {
            sender.prune(settled);
        }
    }

    /// The end of a command is stored: it may be said, and the command's places are free.
    fn ended(&mut self, peer: &NodeId, key: CommandKey) {
        let Some(sender) = self.senders.get_mut(peer) else { return };
        let Some(known) = sender.known.get_mut(key) else { return };
        let State::Ending(outcome) = &known.state else { return };
        known.kept_bytes = command::outcome_bytes(outcome) + known.held_bytes();
        sender.kept_bytes += known.kept_bytes;
        known.state = State::Ended(outcome.clone());
        for at in known.alarms() {
            self.alarms.remove(&(at, peer.clone(), key));
        }
        // A tombstone was never in the queue.
        if let Some(accepted) = &known.accepted {
            self.total.commands -= 1;
            sender.usage.remove_command(accepted.class);
            if std::mem::take(&mut known.has_place) {
                self.running -= 1;
                release(&mut self.running_by_name, &accepted.name);
            }
        }
        self.close_body(peer, key);
        self.pump(peer, key);
        // Settled before it ended: no later note will let go of it.
        if let Some(sender) = self.senders.get_mut(peer)
            && sender.has_settled(key)
        {
            sender.forget_if_ended(key);
        }
    }
}
