//! Outcomes of durable commands: kept until somebody has taken them, and with an idempotency key for a while longer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use runnel_codec::{CommandId, NodeId};

use super::entry::Entry;
use super::notes::Note;
use super::usage::Share;
use super::words::SendEvent;
use super::{Alarm, LocalId, SendQueue};
use crate::clock::ClockReading;
use crate::error::{KeyConflict, NotFound};
use crate::store::{Idempotency, OutcomeRow};

/// A durable command that has ended.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) row: OutcomeRow,
    /// From which share of the queue it has its place; `None` once its outcome is taken.
    pub(super) share: Option<Share>,
    /// Updates that nobody has taken, with their numbers.
    pub(super) updates: VecDeque<(u64, Bytes)>,
    /// The first and the last of the rows of updates that are in the store.
    pub(super) stored_updates: (u64, u64),
    pub(super) ended_at: Instant,
}

impl SendQueue {
    /// Returns the command that a caller has submitted to a peer under this name.
    ///
    /// # Errors
    ///
    /// [`KeyConflict`] when that was another command.
    pub fn find(&self, to: &NodeId, wanted: &Idempotency) -> Result<Option<CommandId>, KeyConflict> {
        let Some(to) = self.peers.find(to) else { return Ok(None) };
        let peer = &self.peers[to];
        let Some(key) = peer.keys.get(&wanted.key) else { return Ok(None) };
        let of_entry =
            peer.entries.get(*key).and_then(|entry| entry.command.durable.as_ref()?.idempotency.as_ref());
        let of_kept = || peer.kept.get(key).and_then(|kept| kept.row.idempotency.as_ref());
        let id = self.id(LocalId { peer: to, key: *key });
        match of_entry.or_else(of_kept) {
            Some(found) if found.fingerprint != wanted.fingerprint => Err(KeyConflict(id)),
            Some(_) => Ok(Some(id)),
            None => Ok(None),
        }
    }

    /// Returns the outcome of a durable command that has ended, while it is kept.
    pub fn outcome(&self, id: &CommandId) -> Option<&OutcomeRow> {
        self.peers.get(&id.receiver)?.kept.get(&id.key).map(|kept| &kept.row)
    }

    /// Says the outcome of a command again that has ended, behind the updates that were kept.
    pub fn repeat_outcome(&mut self, id: &CommandId) {
        if let Some(row) = self.outcome(id) {
            let outcome = row.outcome.clone();
            self.events.push_back(SendEvent::Outcome { id: id.clone(), outcome });
        }
    }

    /// Returns from what the body of a durable command can be produced again.
    pub fn stored_body(&self, id: &CommandId) -> Option<Bytes> {
        self.entry(self.local(id)?)?.command.durable.as_ref()?.body.clone()
    }

    /// Somebody has taken the outcome of a durable command: it counts in no bound any more and is forgotten, at once or
    /// when its idempotency key is old enough.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when no such outcome is kept.
    pub fn handle_outcome_taken(&mut self, now: Instant, id: &CommandId) -> Result<(), NotFound> {
        let local = self.local(id).ok_or(NotFound)?;
        let peer = &mut self.peers[local.peer];
        let kept = peer.kept.get_mut(&id.key).ok_or(NotFound)?;
        let Some(share) = kept.share.take() else { return Ok(()) };
        let class = kept.row.class;
        kept.row.is_taken = true;
        kept.updates.clear();
        let forget_at = kept.forget_at().filter(|at| kept.row.idempotency.is_some() && *at > now);
        self.total.remove(&mut peer.usage, peer.link.is_some(), share, class, 0);
        match forget_at {
            Some(at) => {
                self.set_alarm(at, Alarm::Forget(local));
                self.note(class, Note::OutcomeTaken(local));
            }
            None => self.forget_outcome(local),
        }
        Ok(())
    }

    /// An outcome, or the idempotency key of one that was taken, may be old enough.
    pub(super) fn handle_outcome_age(&mut self, now: Instant, id: LocalId) {
        let kept = self.peers[id.peer].kept.get(&id.key);
        if kept.and_then(Kept::forget_at).is_some_and(|at| at <= now) {
            self.forget_outcome(id);
        }
    }

    /// Nothing of a command is of use any longer.
    fn forget_outcome(&mut self, id: LocalId) {
        let state = &mut self.peers[id.peer];
        let Some(kept) = state.kept.remove(&id.key) else { return };
        if let Some(idempotency) = &kept.row.idempotency {
            state.keys.remove(&idempotency.key);
        }
        if let Some(share) = kept.share {
            self.total.remove(&mut state.usage, state.link.is_some(), share, kept.row.class, 0);
        }
        self.note(kept.row.class, Note::Forgotten { id, updates: kept.stored_updates });
    }

    /// A durable command has ended and that is stored. Its outcome takes its place in the queue.
    pub(super) fn keep_outcome(&mut self, now: Instant, id: LocalId, entry: &mut Entry) {
        let peer = &mut self.peers[id.peer];
        let Some(row) = entry.end_row.take() else { return };
        let mut kept = Kept::new(*row, now);
        kept.share = Some(entry.share);
        // Those that were taken since are deleted with the others.
        kept.stored_updates = entry.end_updates;
        if !entry.is_followed {
            kept.updates = std::mem::take(&mut entry.kept_updates);
        }
        let forget_at = kept.forget_at();
        peer.kept.insert(id.key, kept);
        self.total.add(&mut peer.usage, peer.link.is_some(), entry.share, entry.command.class, 0);
        if let Some(at) = forget_at {
            self.set_alarm(at, Alarm::Forget(id));
        }
    }

    /// Says the updates of a command that has ended which nobody has taken.
    pub(super) fn release_kept(&mut self, id: &CommandId) -> Result<(), NotFound> {
        let kept =
            self.peers.get_mut(&id.receiver).and_then(|peer| peer.kept.get_mut(&id.key)).ok_or(NotFound)?;
        for (number, content) in std::mem::take(&mut kept.updates) {
            self.events.push_back(SendEvent::Update { id: id.clone(), number, content });
        }
        Ok(())
    }
}

impl Kept {
    pub(super) fn new(row: OutcomeRow, ended_at: Instant) -> Self {
        Self { row, share: None, updates: VecDeque::new(), stored_updates: (1, 0), ended_at }
    }

    /// Returns when it is forgotten if nobody takes it, or when its idempotency key is old enough if somebody has.
    pub(super) fn forget_at(&self) -> Option<Instant> {
        self.ended_at.checked_add(if self.row.is_taken { KEY_AGE_MIN } else { OUTCOME_AGE_MAX })
    }
}

impl Entry {
    /// Returns what is stored of a durable command that has ended.
    pub(super) fn outcome_row(&self, clock: &ClockReading) -> Option<OutcomeRow> {
        let durable = self.command.durable.as_ref()?;
        Some(OutcomeRow {
            class: self.command.class,
            name: self.command.name.clone(),
            outcome: self.outcome.clone()?,
            ended_at: *clock,
            is_taken: false,
            idempotency: durable.idempotency.clone(),
            label: durable.label.clone(),
        })
    }
}

/// How long an outcome is kept that nobody takes.
const OUTCOME_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long an idempotency key is kept at least.
const KEY_AGE_MIN: Duration = Duration::from_secs(24 * 60 * 60);
