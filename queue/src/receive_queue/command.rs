//! One command that a receiver knows, from its head to its settling.

use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{
    Class, CommandKey, CommandName, Epoch, Head, NodeId, Outcome, UnknownReason, UpdatePolicy,
};

use super::answers::Unsaid;
use super::waiting::Arrival;
use super::words::{Attachment, Start, StopReason};
use crate::body_intake::BodyIntake;
use crate::body_log::BodyLog;
use crate::boxes::Reused;
use crate::clock::ClockReading;
use crate::store::{AcceptedRow, Row, RowKey, RunRow, StoredDeadline};
use crate::stream_log::StreamLog;

/// How far a command has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for its turn, and stands here in its line.
    Queued(Arrival),
    /// The record of its start is on the way into the store. If it is not to start any more, this is its outcome.
    Starting(Option<Outcome>),
    /// Its handler has been called.
    Running,
    /// Its outcome is on the way into the store.
    Ending(Outcome),
    /// Its outcome is stored.
    Ended(Outcome),
}

/// A command that a receiver knows.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) state: State,
    /// What its head said; `None` for a tombstone of a command that was never accepted.
    pub(super) accepted: Option<Accepted>,
    /// It takes a running place.
    pub(super) has_place: bool,
    /// Its handler has been called.
    pub(super) was_called: bool,
    /// How often its handler was called, by older processes too.
    pub(super) runs: u32,
    /// An older process may have called its handler: that it never started nobody can say any more.
    pub(super) may_have_run: bool,
    /// The stream on which it is answered.
    pub(super) at: Option<Attachment>,
    /// What is still to be said there before anything else.
    pub(super) unsaid: Unsaid,
    /// The newest stream that it ever had.
    pub(super) newest: Option<Attachment>,
    pub(super) log: StreamLog,
    /// Its body, if it has one.
    pub(super) body: Option<Box<BodyIntake>>,
    /// The body of its result, if its caller reads one.
    pub(super) result_body: Option<Box<BodyLog>>,
    /// It stands in the ring of those that have something to write.
    pub(super) is_in_ring: bool,
    /// It was told to stop, for this reason, and has until then to do so; `None`: for ever.
    pub(super) stop: Option<(StopReason, Option<Instant>)>,
    /// Milliseconds that its handler wants to have for that, if it wants more than others; 0 if not.
    pub(super) stop_grace_ms: u32,
    /// Bytes that are kept with it since it has ended.
    pub(super) kept_bytes: u64,
    /// What of its words is in the store since it has ended.
    pub(super) stored_output: StoredOutput,
}

/// What of a command's words is in the store since it has ended: numbers of updates, offsets of the result's body.
#[derive(Debug, Default)]
pub(super) struct StoredOutput {
    updates: Vec<u64>,
    pieces: Vec<u64>,
}

/// What a receiver remembers of a head.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) class: Class,
    pub(super) name: CommandName,
    idempotent: bool,
    args: Bytes,
    payload: Bytes,
    pub(super) updates: UpdatePolicy,
    pub(super) deadline_at: Option<Instant>,
    has_body: bool,
    wants_result_body: bool,
}

impl Reused for Known {
    fn let_go(&mut self) {
        (self.state, self.accepted) = (State::Running, None);
        (self.log, self.stored_output) = (StreamLog::default(), StoredOutput::default());
        (self.body, self.result_body) = (None, None);
    }
}

impl Known {
    /// A command that has just been accepted.
    pub(super) fn queued(at: Attachment, arrival: Arrival, log: StreamLog, accepted: Accepted) -> Self {
        Self {
            log,
            body: accepted.has_body.then(Box::default),
            result_body: accepted.wants_result_body.then(Box::default),
            accepted: Some(accepted),
            ..Self::new(State::Queued(arrival), Some(at))
        }
    }

    /// A word that a command has not started and never will, on the way into the store.
    pub(super) fn tombstone(at: Option<Attachment>, outcome: Outcome) -> Self {
        Self::new(State::Ending(outcome), at)
    }

    fn new(state: State, at: Option<Attachment>) -> Self {
        Self {
            state,
            accepted: None,
            has_place: false,
            was_called: false,
            runs: 0,
            may_have_run: false,
            at,
            unsaid: Unsaid::default(),
            newest: at,
            log: StreamLog::default(),
            body: None,
            result_body: None,
            is_in_ring: false,
            stop: None,
            stop_grace_ms: 0,
            kept_bytes: 0,
            stored_output: StoredOutput::default(),
        }
    }

    /// Returns whether its end is stored.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Returns whether its end is stored and said, and nothing is held with it that somebody waits for.
    pub(super) fn is_over(&self) -> bool {
        self.has_ended()
            && self.at.is_none()
            && !self.is_in_ring
            && self.body.is_none()
            && self.held_bytes() == 0
    }

    /// Returns whether a stream may take over: nothing lives on another, and it was not overtaken by one.
    pub(super) fn may_attach(&self, at: Attachment) -> bool {
        let is_overtaken = self.newest.is_some_and(|newest| newest.link == at.link && newest >= at);
        self.at.is_none() && !is_overtaken
    }

    /// Returns the bytes of what is written next, if credit allows it. Updates go before the result body.
    pub(super) fn writable(&self) -> Option<u64> {
        self.log.writable().or_else(|| self.result_body.as_ref()?.writable())
    }

    /// Returns whether nothing has to be written before the outcome. A result body without an end has none to wait for.
    pub(super) fn is_written(&self) -> bool {
        self.log.is_written()
            && self.result_body.as_ref().is_none_or(|body| !body.has_end() || body.is_written())
    }

    /// Returns the class that its updates and result body are written with.
    pub(super) fn bulk_class(&self) -> Option<Class> {
        self.accepted.as_ref().map(|accepted| accepted.class.of_bulk_bytes())
    }

    /// Returns what can truly be said of how it ends.
    pub(super) fn final_outcome(&self, outcome: Outcome) -> Outcome {
        if self.may_have_run && outcome.is_never() {
            return Outcome::Unknown(UnknownReason::HandlerLost);
        }
        outcome
    }

    /// Returns the bytes that are kept with it once it has ended.
    pub(super) fn held_bytes(&self) -> u64 {
        self.log.held_bytes() + self.result_body.as_deref().map_or(0, BodyLog::held_bytes)
    }

    /// Makes what is stored of it.
    pub(super) fn run_row(&self, now: Instant, clock: &ClockReading) -> RunRow {
        let result_end = self.result_body.as_deref().and_then(BodyLog::produced);
        let outcome = match &self.state {
            State::Ending(outcome) | State::Ended(outcome) => Some(outcome.clone()),
            State::Queued(_) | State::Starting(_) | State::Running => None,
        };
        RunRow {
            accepted: self.accepted.as_ref().map(|accepted| AcceptedRow {
                class: accepted.class,
                name: accepted.name.clone(),
                idempotent: accepted.idempotent,
                updates: accepted.updates,
                has_body: accepted.has_body,
                wants_result_body: accepted.wants_result_body,
                result_end: result_end.map(|end| (end.bytes, end.hash)),
                deadline: accepted.deadline_at.map(|at| StoredDeadline {
                    remaining: at.saturating_duration_since(now),
                    read_at: *clock,
                }),
            }),
            outcome,
            runs: self.runs,
            updates: self.log.acknowledged(),
        }
    }

    /// Makes the rows of what its sender does not hold yet, to be stored with its end.
    pub(super) fn output_rows(&mut self, from: &NodeId, key: CommandKey) -> Vec<Row> {
        let updates = self.log.records().map(|(number, content)| (number, content.clone()));
        let updates: Vec<_> = updates.collect();
        let pieces = self.result_body.as_deref().into_iter().flat_map(BodyLog::pieces);
        let pieces: Vec<_> = pieces.map(|(offset, content)| (offset, content.clone())).collect();
        self.stored_output = StoredOutput::of(&updates, &pieces);
        let updates =
            updates.into_iter().map(|(number, content)| Row::Output(from.clone(), key, number, content));
        let pieces =
            pieces.into_iter().map(|(offset, content)| Row::ResultPiece(from.clone(), key, offset, content));
        updates.chain(pieces).collect()
    }

    /// Returns the keys of all its rows.
    pub(super) fn row_keys(&self, from: &NodeId, key: CommandKey) -> impl Iterator<Item = RowKey> {
        let own = [RowKey::Run(from.clone(), key), RowKey::Token(from.clone(), key)];
        own.into_iter().chain(self.stored_output.keys(from, key))
    }

    /// Returns all instants at which somebody looks after it.
    pub(super) fn alarms(&self) -> impl Iterator<Item = Instant> {
        let deadline_at = self.accepted.as_ref().and_then(|accepted| accepted.deadline_at);
        let stop_until = self.stop.and_then(|(_, until)| until);
        deadline_at.into_iter().chain(stop_until)
    }
}

impl StoredOutput {
    /// Takes note of updates by number and pieces by offset.
    pub(super) fn of(updates: &[(u64, Bytes)], pieces: &[(u64, Bytes)]) -> Self {
        let numbers = |rows: &[(u64, Bytes)]| rows.iter().map(|(number, _)| *number).collect();
        Self { updates: numbers(updates), pieces: numbers(pieces) }
    }

    fn keys(&self, from: &NodeId, key: CommandKey) -> impl Iterator<Item = RowKey> {
        let updates = self.updates.iter().map(move |number| RowKey::Output(from.clone(), key, *number));
        let pieces = self.pieces.iter().map(move |offset| RowKey::ResultPiece(from.clone(), key, *offset));
        updates.chain(pieces).collect::<Vec<_>>().into_iter()
    }
}

impl Accepted {
    /// Takes over what was stored of a head.
    pub(super) fn recovered(row: &AcceptedRow, now: Instant, clock: &ClockReading) -> Self {
        let remaining = row.deadline.map(|deadline| deadline.remaining_at(clock));
        Self {
            class: row.class,
            name: row.name.clone(),
            idempotent: row.idempotent,
            args: Bytes::new(),
            payload: Bytes::new(),
            updates: row.updates,
            deadline_at: remaining.and_then(|remaining| now.checked_add(remaining)),
            has_body: row.has_body,
            wants_result_body: row.wants_result_body,
        }
    }

    /// Takes what is remembered of a head. A deadline beyond what the clock can count to never passes.
    pub(super) fn new(now: Instant, head: Head, payload: Bytes) -> Self {
        Self {
            wants_result_body: wants_result_body(&head),
            class: head.class,
            name: head.name,
            idempotent: head.idempotent,
            args: head.args,
            payload,
            updates: head.updates,
            has_body: head.has_body,
            deadline_at: head.deadline_remaining.and_then(|remaining| now.checked_add(remaining)),
        }
    }

    /// Bytes that wait for its start.
    pub(super) fn waiting_bytes(&self) -> u64 {
        (self.args.len() + self.payload.len()) as u64
    }

    /// Makes what the handler is called with; it is kept here no longer. `store`: the epoch of its sender's store.
    pub(super) fn take_start(&mut self, from: NodeId, key: CommandKey, store: Option<Epoch>) -> Start {
        Start {
            from,
            key,
            name: self.name.clone(),
            class: self.class,
            args: std::mem::take(&mut self.args),
            payload: std::mem::take(&mut self.payload),
            deadline_at: self.deadline_at,
            idempotent: self.idempotent,
            is_durable: store == Some(key.epoch),
            updates: self.updates,
            has_body: self.has_body,
            wants_result_body: self.wants_result_body,
            recover: None,
        }
    }

    /// Lets go of what only a handler needs.
    pub(super) fn drop_content(&mut self) {
        self.args = Bytes::new();
        self.payload = Bytes::new();
    }
}

/// Returns whether a head asks for a body of the result.
pub(super) fn wants_result_body(head: &Head) -> bool {
    head.result_body_credit > 0
}

/// Returns the bytes that are kept with an outcome.
pub(super) fn outcome_bytes(outcome: &Outcome) -> u64 {
    let bytes = match outcome {
        Outcome::Done { result } => result.len(),
        Outcome::Failed(failure) => failure.message.len(),
        Outcome::Rejected(rejection) => rejection.message.len(),
        Outcome::Expired | Outcome::Cancelled | Outcome::Unknown(_) => 0,
    };
    bytes as u64
}
