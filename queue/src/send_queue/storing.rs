//! From notes to rows, and what follows once they are stored.

use std::time::Instant;

use runnel_codec::{Epoch, Outcome, UpdatePolicy};

use super::entry::{Entry, Stage};
use super::notes::Note;
use super::words::{SendEvent, Transmit};
use super::{Alarm, LocalId, SendQueue};
use crate::body_intake::BodyIntake;
use crate::clock::ClockReading;
use crate::error::SubmitError;
use crate::journal::{Batch, BatchId};
use crate::peers::PeerIndex;
use crate::store::{Change, CommandRow, ProgressRow, ReceiverRow, Row, RowKey, StoreSpace, StoredDeadline};

impl SendQueue {
    /// Says how much room the store has. Without enough no durable command is taken; those that are here go on.
    pub fn handle_store_space(&mut self, space: StoreSpace) {
        self.space = space;
    }

    /// Returns the epoch of the store if it takes another command.
    pub(super) fn store_with_room(&self) -> Result<Epoch, SubmitError> {
        let epoch = self.store.ok_or(SubmitError::NoStore)?;
        match self.space {
            StoreSpace::Enough => Ok(epoch),
            StoreSpace::Low => Err(SubmitError::StoreFull { retry_after: self.config.retry_after }),
        }
    }

    /// Returns the next batch of changes to store. `clock` is read at `now`.
    pub fn poll_store(&mut self, now: Instant, clock: &ClockReading) -> Option<Batch> {
        let (id, notes) = match self.durable.poll(now) {
            Some((id, notes)) => (id, notes.to_vec()),
            None if self.store.is_some() && !self.stale_rows.is_empty() => {
                (self.durable.poll_empty(), Vec::new())
            }
            None => return None,
        };
        let mut changes = Vec::with_capacity(notes.len() + 4);
        for note in &notes {
            self.write_note(note, now, clock, &mut changes);
        }
        for id in std::mem::take(&mut self.started) {
            if self.entry(id).is_some_and(|entry| entry.stage != Stage::Ending) {
                self.write_progress(id, &mut changes);
            }
        }
        for peer in std::mem::take(&mut self.stale_rows) {
            let row = self.receiver_row(peer);
            changes.extend(row.map(|row| Change::Put(Row::Receiver(self.peers.name(peer).clone(), row))));
        }
        if planted!(StoredBeforeSync) {
            self.handle_stored(now, id);
        }
        Some(Batch { id, changes })
    }

    /// A batch of changes is stored: what depends on it may be said.
    pub fn handle_stored(&mut self, now: Instant, batch: BatchId) {
        for note in self.durable.stored(batch) {
            self.handle_note(Some(now), note);
        }
    }

    /// Takes an outcome; it is said when it is stored.
    pub(super) fn end(&mut self, id: LocalId, outcome: Outcome) {
        let state = &mut self.peers[id.peer];
        let Some(entry) = state.entries.get_mut(id.key).filter(|entry| entry.stage != Stage::Ending) else {
            return;
        };
        entry.stage = Stage::Ending;
        entry.outcome = Some(entry.final_outcome(outcome));
        let (class, is_durable) = (entry.command.class, entry.is_durable());
        if std::mem::take(&mut entry.is_in_line) {
            state.lines[class].remove(id.key);
        }
        state.remove_body(id.key);
        if planted!(SettleBeforeDurable) {
            state.numbering_mut(is_durable).settle(id.key.seq);
            self.tell_news(id.peer);
        }
        self.note(class, Note::Ended(id));
    }

    /// Writes what a note stands for.
    fn write_note(&mut self, note: &Note, now: Instant, clock: &ClockReading, changes: &mut Vec<Change>) {
        match note {
            Note::Stored { id, .. } => {
                let Some(entry) = self.entry(*id) else { return };
                let (row, to) = (entry.command_row(now, clock), self.peers.name(id.peer));
                changes.extend(row.map(|row| Change::Put(Row::Command(to.clone(), id.key, row))));
                // The number that it was given is stored with it.
                self.stale_rows.insert(id.peer);
            }
            Note::Bound { id, .. } | Note::Cancelled(id) => self.write_progress(*id, changes),
            Note::Update { id, number, content } => {
                let to = self.peers.name(id.peer).clone();
                changes.push(Change::Put(Row::Update(to, id.key, *number, content.clone())));
            }
            Note::UpdatesTaken { id, first, last, were_stored } => {
                if *were_stored {
                    changes.extend(self.delete_updates(*id, *first, *last));
                }
                self.write_progress(*id, changes);
            }
            Note::Ended(id) => self.write_end(*id, clock, changes),
            Note::OutcomeTaken(id) => {
                let (kept, to) = (self.peers[id.peer].kept.get(&id.key), self.peers.name(id.peer));
                let row = kept.map(|kept| Row::Outcome(to.clone(), id.key, kept.row.clone()));
                changes.extend(row.map(Change::Put));
            }
            Note::Forgotten { id, updates: (first, last) } => {
                let to = self.peers.name(id.peer).clone();
                changes.push(Change::Delete(RowKey::Outcome(to, id.key)));
                changes.extend(self.delete_updates(*id, *first, *last));
                // What is settled was known from the outcome; from now on this row says it.
                self.stale_rows.insert(id.peer);
            }
        }
    }

    /// Writes how far a command has come. That never becomes less, so an older note may write what a newer one says too.
    fn write_progress(&self, id: LocalId, changes: &mut Vec<Change>) {
        let (entry, to) = (self.entry(id), self.peers.name(id.peer));
        let row = entry.map(|entry| Row::Progress(to.clone(), id.key, entry.progress_row()));
        changes.extend(row.map(Change::Put));
    }

    /// Deletes the rows of updates from one number to another.
    fn delete_updates(&self, id: LocalId, first: u64, last: u64) -> impl Iterator<Item = Change> {
        let (to, key) = (self.peers.name(id.peer).clone(), id.key);
        (first..=last).map(move |number| Change::Delete(RowKey::Update(to.clone(), key, number)))
    }

    /// Writes the end of a command. Whoever reads the store again finds its outcome, and that it is settled.
    fn write_end(&mut self, id: LocalId, clock: &ClockReading, changes: &mut Vec<Change>) {
        let (to, key) = (self.peers.name(id.peer).clone(), id.key);
        let Some(entry) = self.entry_mut(id) else { return };
        let Some(row) = entry.outcome_row(clock) else { return };
        entry.end_row = Some(Box::new(row.clone()));
        entry.end_updates = (entry.taken.number + 1, entry.updates_received);
        // Once it is settled its receiver keeps nothing, and what was told and not taken would be lost with this process.
        let is_stored = entry.command.updates == UpdatePolicy::Store;
        let untaken = entry.taken.untaken().filter(|_| !is_stored);
        let rows = untaken.map(|(number, content)| Row::Update(to.clone(), key, number, content.clone()));
        changes.extend(rows.map(Change::Put));
        changes.push(Change::Delete(RowKey::Command(to.clone(), key)));
        changes.push(Change::Delete(RowKey::Progress(to.clone(), key)));
        changes.push(Change::Put(Row::Outcome(to, key, row)));
    }

    /// Returns what is stored of a receiver.
    fn receiver_row(&self, peer: PeerIndex) -> Option<ReceiverRow> {
        let (peer, store) = (&self.peers[peer], self.store?);
        Some(ReceiverRow {
            sent: peer.sent.with(self.process, peer.store.last.map_or(0, runnel_codec::Seq::to_wire)),
            settled: peer.store.settled.to_wire(store),
            receiver: peer.receiver,
            journaled: peer.journaled,
        })
    }

    /// Does what has waited for a note, which was stored at this time, or of which nothing is stored.
    pub(super) fn handle_note(&mut self, stored_at: Option<Instant>, note: Note) {
        match note {
            Note::Stored { id, .. } => self.stored(id),
            Note::Bound { id, receiver } => self.bound(id, receiver),
            Note::Update { id, number, .. } => self.hold_updates(id, number),
            Note::UpdatesTaken { id, last, .. } => self.hold_updates(id, last),
            Note::Ended(id) => self.ended(stored_at, id),
            Note::Cancelled(_) | Note::OutcomeTaken(_) | Note::Forgotten { .. } => {}
        }
    }

    fn stored(&mut self, id: LocalId) {
        let is_durable = self.is_durable(id.key);
        let numbering = self.peers[id.peer].numbering_mut(is_durable);
        numbering.last_stored = numbering.last_stored.max(Some(id.key.seq));
        let Some(entry) = self.entry_mut(id) else { return };
        if entry.stage == Stage::Storing {
            entry.stage = Stage::Waiting;
        }
        let (is_binding, tells) = (entry.binding.is_some(), entry.command.steps);
        if !is_binding {
            self.put_in_line(id, false);
        }
        if tells {
            self.events.push_back(SendEvent::Stored(self.id(id)));
        }
    }

    fn bound(&mut self, id: LocalId, epoch: Epoch) {
        let state = &mut self.peers[id.peer];
        let Some(entry) = state.entries.get_mut(id.key) else { return };
        let (is_begun, is_durable) = (entry.is_begun, entry.is_durable());
        entry.binding = None;
        // If the receiver was replaced while this was being stored, nothing has left for it: it is bound anew.
        if state.link.as_ref().is_none_or(|link| link.epoch(is_durable) == epoch) {
            entry.bound = Some(epoch);
        }
        self.put_in_line(id, is_begun);
    }

    /// Updates up to this one are taken or stored: the receiver need not keep them.
    fn hold_updates(&mut self, id: LocalId, number: u64) {
        let Some(entry) = self.entry_mut(id) else { return };
        if number > entry.updates_held {
            entry.updates_held = number;
            let result_body = entry.result_body.as_deref().map_or(0, BodyIntake::taken);
            if entry.was_sent {
                let (peer, key) = (self.peers.name(id.peer).clone(), id.key);
                self.control.push_back(Transmit::Received { peer, key, updates: number, result_body });
            }
        }
    }

    /// The outcome is stored, or remembered here: the command is settled.
    fn ended(&mut self, stored_at: Option<Instant>, id: LocalId) {
        let is_durable = self.is_durable(id.key);
        let peer = &mut self.peers[id.peer];
        let Some(mut entry) = peer.entries.remove(id.key) else { return };
        peer.credits.remove(&entry);
        let (is_reachable, class) = (peer.link.is_some(), entry.command.class);
        self.total.remove(&mut peer.usage, is_reachable, entry.share, class, entry.bytes());
        if let Some(at) = entry.deadline_at {
            self.alarms.remove(&(at, Alarm::Deadline(id)));
        }
        if peer.numbering_mut(is_durable).settle(id.key.seq) {
            self.tell_news(id.peer);
        }
        if let Some(now) = stored_at {
            self.keep_outcome(now, id, &mut entry);
        }
        let id = self.id(id);
        self.events.extend(entry.release_updates(&id));
        if let Some(outcome) = entry.outcome {
            self.events.push_back(SendEvent::Outcome { id, outcome });
        }
    }
}

impl Entry {
    /// Returns what is stored of a durable command.
    fn command_row(&self, now: Instant, clock: &ClockReading) -> Option<Box<CommandRow>> {
        let (command, durable) = (&self.command, self.command.durable.as_ref()?);
        let remaining = self.deadline_at.map(|at| at.saturating_duration_since(now));
        Some(Box::new(CommandRow {
            class: command.class,
            name: command.name.clone(),
            idempotent: command.idempotent,
            args: command.args.clone(),
            payload: command.payload.clone(),
            body: durable.body.clone(),
            body_held_bytes: command.body_held_bytes,
            wants_result_body: command.wants_result_body,
            updates: command.updates,
            deadline: remaining.map(|remaining| StoredDeadline { remaining, read_at: *clock }),
            idempotency: durable.idempotency.clone(),
            label: durable.label.clone(),
        }))
    }

    /// Returns how far it has come, as it is stored.
    fn progress_row(&self) -> ProgressRow {
        ProgressRow {
            bound: self.binding.or(self.bound),
            is_cancelled: self.is_cancelled,
            has_started: self.has_started,
            runs: self.runs,
            updates: self.taken.number,
            update_bytes: self.taken.bytes,
        }
    }
}
