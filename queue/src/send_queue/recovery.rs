//! Going on from what the store has kept, after a restart or a crash.
//!
//! What was bound may have left, so it counts as sent: it is sent again, and its receiver knows whether it has it. What
//! was not bound has never left. Nothing is said of what was under way into the store and did not get there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{CommandId, CommandKey, NodeId, Seq};

use super::entry::{Durability, Entry, NewCommand, Stage};
use super::outcomes::Kept;
use super::updates::TakenUpdates;
use super::usage::{self, Share};
use super::{Alarm, LocalId, SendQueue};
use crate::body_intake::BodyIntake;
use crate::clock::ClockReading;
use crate::positions::Reaches;
use crate::settled::SettledSet;
use crate::store::{CommandRow, OutcomeRow, ProgressRow, ReceiverRow, Row, StoreRow};

/// Updates of one command, with their numbers.
type Updates = VecDeque<(u64, Bytes)>;

impl SendQueue {
    /// Goes on from the rows of a store, of which this process is the newest. To be called once, before anything else.
    /// Rows of other kinds are passed over.
    pub fn recover(&mut self, now: Instant, clock: &ClockReading, store: &StoreRow, rows: &[Row]) {
        (self.store, self.process) = (Some(store.epoch), store.lineage.processes());
        let (mut progress, mut updates) = (BTreeMap::new(), BTreeMap::<_, Updates>::new());
        for row in rows {
            match row {
                Row::Receiver(peer, row) => self.recover_receiver(peer, row),
                Row::Progress(peer, key, row) => {
                    progress.insert((peer, *key), row.clone());
                }
                Row::Update(peer, key, number, content) => {
                    updates.entry((peer, *key)).or_default().push_back((*number, content.clone()));
                }
                _ => {}
            }
        }
        for row in rows {
            match row {
                Row::Command(peer, key, row) => {
                    let progress = progress.remove(&(peer, *key)).unwrap_or_default();
                    let updates = updates.remove(&(peer, *key)).unwrap_or_default();
                    self.recover_command(now, clock, (peer, *key), row, &progress, updates);
                }
                Row::Outcome(..) if planted!(OutcomeForgotten) => {}
                Row::Outcome(peer, key, row) => {
                    let updates = updates.remove(&(peer, *key)).unwrap_or_default();
                    self.recover_outcome(now, clock, (peer, *key), row, updates);
                }
                _ => {}
            }
        }
    }

    /// Returns the durable commands that have not ended, with what their node wanted to know of them later.
    pub fn unfinished(&self) -> impl Iterator<Item = (CommandId, &NewCommand)> {
        self.peers.iter().flat_map(move |(peer, state)| {
            let durable = state.entries.iter().filter(|(_, entry)| entry.is_durable());
            durable.map(move |(key, entry)| (self.id(LocalId { peer, key }), &entry.command))
        })
    }

    /// Returns the outcomes of durable commands that nobody has taken.
    pub fn untaken_outcomes(&self) -> impl Iterator<Item = (CommandId, &OutcomeRow)> {
        self.peers.iter().flat_map(move |(peer, state)| {
            let untaken = state.kept.iter().filter(|(_, kept)| !kept.row.is_taken);
            untaken.map(move |(key, kept)| (self.id(LocalId { peer, key: *key }), &kept.row))
        })
    }

    fn recover_receiver(&mut self, peer: &NodeId, row: &ReceiverRow) {
        let peer = self.peers.meet(peer);
        let state = &mut self.peers[peer];
        state.sent = Reaches::of(&row.sent);
        let last = state.sent.position();
        state.store.last = Seq::from_wire(if planted!(SequenceRestarted) { 0 } else { last });
        state.store.last_stored = state.store.last;
        state.store.settled = SettledSet::from_wire(&row.settled);
        (state.receiver, state.journaled) = (row.receiver, row.journaled);
    }

    fn recover_command(
        &mut self,
        now: Instant,
        clock: &ClockReading,
        (peer, key): (&NodeId, CommandKey),
        row: &CommandRow,
        progress: &ProgressRow,
        updates: Updates,
    ) {
        let command = row.to_command(peer, clock);
        let (class, deadline) = (command.class, command.deadline);
        let deadline_at = deadline.and_then(|deadline| now.checked_add(deadline));
        let id = LocalId { peer: self.peers.meet(peer), key };
        let state = &mut self.peers[id.peer];
        let bytes = (command.args.len() + command.payload.len()) as u64 + command.body_held_bytes;
        // What was stored is kept even if the bounds are smaller now.
        let share = usage::check(&self.config, &self.total, &state.usage, false, class, bytes);
        let share = share.unwrap_or(Share::Common);
        let mut entry = Entry { share, deadline_at, ..Entry::new(command) };
        state.credits.change(&self.config, &mut entry, |entry, _| entry.recover(progress, updates));
        let is_begun = entry.is_begun;
        if let Some(idempotency) = &row.idempotency {
            state.keys.insert(idempotency.key.clone(), key);
        }
        state.unreachable_since.get_or_insert(now);
        self.total.add(&mut state.usage, false, share, class, bytes);
        state.entries.insert(key, Box::new(entry));
        if let Some(at) = deadline_at {
            self.set_alarm(at, Alarm::Deadline(id));
        }
        self.put_in_line(id, is_begun);
    }

    fn recover_outcome(
        &mut self,
        now: Instant,
        clock: &ClockReading,
        (peer, key): (&NodeId, CommandKey),
        row: &OutcomeRow,
        updates: Updates,
    ) {
        let ended_at = now.checked_sub(clock.since(&row.ended_at)).unwrap_or(now);
        let id = LocalId { peer: self.peers.meet(peer), key };
        let state = &mut self.peers[id.peer];
        // The numbers of an older epoch are not those of this one.
        if Some(key.epoch) == self.store {
            state.store.settled.insert(key.seq);
        }
        if let Some(idempotency) = &row.idempotency {
            state.keys.insert(idempotency.key.clone(), key);
        }
        let mut kept = Kept::new(row.clone(), ended_at);
        if let (Some((first, _)), Some((last, _))) = (updates.front(), updates.back()) {
            kept.stored_updates = (*first, *last);
        }
        kept.updates = updates;
        if !row.is_taken {
            kept.share = Some(Share::Common);
            self.total.add(&mut state.usage, false, Share::Common, row.class, 0);
        }
        let forget_at = kept.forget_at();
        state.kept.insert(key, kept);
        if let Some(at) = forget_at {
            self.set_alarm(at, Alarm::Forget(id));
        }
    }
}

impl CommandRow {
    /// Makes the command that was stored.
    fn to_command(&self, to: &NodeId, clock: &ClockReading) -> NewCommand {
        NewCommand {
            to: to.clone(),
            class: self.class,
            name: self.name.clone(),
            idempotent: self.idempotent,
            // It goes on a stream of its own, which is always right.
            is_message: false,
            args: self.args.clone(),
            payload: self.payload.clone(),
            has_body: self.body.is_some(),
            body_repeats: self.body.is_some(),
            body_held_bytes: self.body_held_bytes,
            wants_result_body: self.wants_result_body,
            updates: self.updates,
            steps: true,
            deadline: self.deadline.map(|deadline| deadline.remaining_at(clock)),
            durable: Some(Box::new(Durability {
                body: self.body.clone(),
                idempotency: self.idempotency.clone(),
                label: self.label.clone(),
            })),
        }
    }
}

impl Entry {
    /// Takes over how far it had come.
    fn recover(&mut self, progress: &ProgressRow, updates: Updates) {
        self.stage = Stage::Waiting;
        self.bound = progress.bound;
        let may_have_left = progress.bound.is_some();
        (self.is_begun, self.was_sent, self.may_be_known) = (may_have_left, may_have_left, may_have_left);
        self.is_cancelled = progress.is_cancelled;
        self.has_started = progress.has_started;
        self.runs = progress.runs;
        self.taken = TakenUpdates::at(progress.updates, progress.update_bytes);
        (self.updates_received, self.update_bytes_received) = (progress.updates, progress.update_bytes);
        self.update_bytes_taken = progress.update_bytes;
        for (number, content) in &updates {
            // Those that were taken may have been deleted later than it was noted that they were.
            if *number == self.updates_received + 1 {
                self.updates_received = *number;
                self.update_bytes_received += content.len() as u64;
                self.taken.came(content.clone());
            }
        }
        self.kept_updates = updates;
        self.kept_updates.retain(|(number, _)| *number > progress.updates);
        self.updates_held = self.updates_received;
        // Whoever followed it was in the process that is gone. What comes is kept for one who follows it from now on.
        self.is_followed = false;
        // And whoever read the body of its result has lost what was read.
        if may_have_left && self.command.wants_result_body {
            self.result_body = Some(Box::new(BodyIntake::unread()));
        }
    }
}
