//! From notes to rows, and what follows once they are stored.

use std::time::Instant;

use runnel_codec::{CommandKey, NodeId};

use super::ReceiveQueue;
use super::command::{self, State};
use super::notes::Note;
use super::starting::release;
use crate::clock::ClockReading;
use crate::journal::{Batch, BatchId};
use crate::peers::LocalId;
use crate::store::{Change, Row, RowKey, StoreSpace};

impl ReceiveQueue {
    /// Says how much room the store has. Without enough new durable commands are answered `Busy`.
    pub fn handle_store_space(&mut self, space: StoreSpace) {
        self.space = space;
    }

    /// Returns the next batch of changes to store. `clock` is read at `now`.
    pub fn poll_store(&mut self, now: Instant, clock: &ClockReading) -> Option<Batch> {
        self.start_waiting();
        let (id, notes) = match self.durable.poll(now) {
            Some((id, notes)) => (id, notes.to_vec()),
            None if self.store.is_some() && !self.stale_rows.is_empty() => {
                (self.durable.poll_empty(), Vec::new())
            }
            None => return None,
        };
        let mut changes: Vec<_> = std::mem::take(&mut self.purged).into_iter().map(Change::Delete).collect();
        for note in &notes {
            self.write_note(note, now, clock, &mut changes);
            self.stale_rows.insert(note.from());
        }
        for peer in std::mem::take(&mut self.stale_rows) {
            let sender = &mut self.senders[peer];
            let row = sender.next_row(self.process, clock);
            self.durable.amend(Note::Position(peer, sender.journaled()));
            changes.push(Change::Put(Row::Sender(self.senders.name(peer).clone(), row)));
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

    /// Returns the next command whose handler may rely on being found again by its token.
    pub fn poll_token_stored(&mut self) -> Option<(NodeId, CommandKey)> {
        self.tokens_stored.pop_front()
    }

    /// Writes what a note stands for.
    fn write_note(&mut self, note: &Note, now: Instant, clock: &ClockReading, changes: &mut Vec<Change>) {
        let from = self.senders.name(note.from()).clone();
        let sender = &mut self.senders[note.from()];
        match note {
            Note::Started(LocalId { key, .. }) => {
                let known = sender.known.get(*key);
                let row = known.map(|known| Row::Run(from, *key, Box::new(known.run_row(now, clock))));
                changes.extend(row.map(Change::Put));
            }
            Note::Token(LocalId { key, .. }, token) => {
                changes.push(Change::Put(Row::Token(from, *key, token.clone())));
            }
            Note::Ended { id: LocalId { key, .. }, .. } if !sender.has_settled(*key) => {
                let Some(known) = sender.known.get_mut(*key) else { return };
                changes.push(Change::Put(Row::Run(from.clone(), *key, Box::new(known.run_row(now, clock)))));
                changes.push(Change::Delete(RowKey::Token(from.clone(), *key)));
                changes.extend(known.output_rows(&from, *key).into_iter().map(Change::Put));
            }
            Note::Settled(peer, settled) => {
                let keys: Vec<_> = sender.known_in(settled).map(|(key, _)| key).collect();
                for key in keys {
                    self.write_deletion(LocalId { peer: *peer, key }, changes);
                }
            }
            Note::Ended { id, .. } => self.write_deletion(*id, changes),
            Note::Position(..) => {}
        }
    }

    /// Deletes what is stored of a command that has ended.
    fn write_deletion(&self, id: LocalId, changes: &mut Vec<Change>) {
        let Some(known) = self.senders[id.peer].known.get(id.key) else { return };
        if matches!(known.state, State::Ending(_) | State::Ended(_)) {
            changes.extend(known.row_keys(self.senders.name(id.peer), id.key).map(Change::Delete));
        }
    }

    pub(super) fn handle_note(&mut self, note: Note) {
        match note {
            Note::Started(id) => self.started(id),
            Note::Token(id, _) => self.tokens_stored.push_back((self.senders.name(id.peer).clone(), id.key)),
            Note::Ended { id, .. } => self.ended(id),
            Note::Settled(from, settled) => self.senders[from].prune(&settled, &mut self.boxes),
            Note::Position(from, position) => self.senders[from].handle_position(position),
        }
    }

    /// The end of a command is stored: it may be said, and the command's places are free.
    fn ended(&mut self, id: LocalId) {
        let sender = &mut self.senders[id.peer];
        let Some(known) = sender.known.get_mut(id.key) else { return };
        let State::Ending(outcome) = &known.state else { return };
        known.kept_bytes = command::outcome_bytes(outcome) + known.held_bytes();
        sender.kept_bytes += known.kept_bytes;
        known.state = State::Ended(outcome.clone());
        for at in known.alarms() {
            self.alarms.remove(&(at, id));
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
        self.close_body(id);
        self.pump(id);
        // Settled before it ended: no later note will let go of it.
        let sender = &mut self.senders[id.peer];
        if sender.has_settled(id.key) {
            sender.forget_if_ended(id.key);
        }
    }
}
