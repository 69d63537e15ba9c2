//! One command in the send queue, from its submit to its settling.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use runnel_codec::{
    Class, CommandKey, CommandName, Epoch, Failure, FailureKind, Head, NodeId, Outcome, UnknownReason,
    UpdatePolicy,
};

use super::credits::result_body_window;
use super::early::BeforeEarly;
use super::updates::TakenUpdates;
use super::usage::Share;
use crate::body_intake::BodyIntake;
use crate::body_log::BodyLog;
use crate::config::SendQueueConfig;
use crate::store::{Idempotency, OutcomeRow};

/// A command to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// Whom it is for.
    pub to: NodeId,
    /// Its priority.
    pub class: Class,
    /// Its type.
    pub name: CommandName,
    /// Its type declares that running it again does no harm.
    pub idempotent: bool,
    /// Its type is a message, so that it may travel in a batch if it is small.
    pub is_message: bool,
    /// Encoded arguments.
    pub args: Bytes,
    /// Inline payload; empty if none.
    pub payload: Bytes,
    /// A body follows: see [`SendEvent::BodyWanted`](crate::SendEvent::BodyWanted).
    pub has_body: bool,
    /// The body can be produced again, from any offset, for a receiver that has lost it.
    pub body_repeats: bool,
    /// Bytes of the body that this node holds until the command has ended.
    pub body_held_bytes: u64,
    /// The caller reads a body of the result.
    pub wants_result_body: bool,
    /// What becomes of its updates.
    pub updates: UpdatePolicy,
    /// Its steps are told, until its end: that it is stored, sent, accepted, started, overdue.
    pub steps: bool,
    /// Time until it is no longer wanted.
    pub deadline: Option<Duration>,
    /// It outlives this process; `None`: only links.
    pub durable: Option<Box<Durability>>,
}

/// A command to be sent, in the memory that it takes in the queue: it is not moved about on its way there.
#[derive(Debug)]
pub struct Prepared(pub(super) Box<Entry>);

/// What the store keeps beside a durable command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durability {
    /// From what its body can be produced again, as its node understands it.
    pub body: Option<Bytes>,
    /// Under which it may be submitted again without being stored twice.
    pub idempotency: Option<Idempotency>,
    /// What its node wants to know of it later.
    pub label: Bytes,
}

/// How far a command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its record is on the way into the store.
    Storing,
    /// It waits to be sent.
    Waiting,
    /// Its head is on a stream.
    Sent,
    /// It is in the receiver's queue.
    Accepted,
    /// Its handler has been called.
    Started,
    /// Its outcome is on the way into the store.
    Ending,
}

/// A command in the queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) command: NewCommand,
    /// From which share of the queue it has its place.
    pub(super) share: Share,
    pub(super) stage: Stage,
    /// The receiver epoch that it is bound to, once it may have left.
    pub(super) bound: Option<Epoch>,
    /// The receiver epoch that it is about to be bound to: that is on the way into the store.
    pub(super) binding: Option<Epoch>,
    /// It has stood in line before: it goes on before anything new is begun.
    pub(super) is_begun: bool,
    /// It may share a stream with others.
    pub(super) is_small_message: bool,
    /// It was on a stream before.
    pub(super) was_sent: bool,
    /// The receiver may have it: it was on a stream, and the last word about it was not `Busy`.
    pub(super) may_be_known: bool,
    /// What was known of it before its head was written to a link that is presumed to come up.
    pub(super) before_early: Option<BeforeEarly>,
    /// The receiver that it is bound to has said that it has started.
    pub(super) has_started: bool,
    pub(super) is_cancelled: bool,
    pub(super) deadline_at: Option<Instant>,
    pub(super) is_overdue: bool,
    /// It stands in its class's line of waiting commands.
    pub(super) is_in_line: bool,
    /// When it may be sent again.
    pub(super) resend_at: Option<Instant>,
    /// How many of its streams were lost since it was last answered.
    pub(super) streams_lost: u32,
    /// How many links died after its head since it was last answered.
    pub(super) links_died: u32,
    /// It is not sent any more: it may be what these links died of.
    pub(super) is_held: bool,
    /// How many processes of its receiver may have run it and are gone.
    pub(super) runs: u32,
    pub(super) updates_received: u64,
    pub(super) update_bytes_received: u64,
    pub(super) update_bytes_taken: u64,
    /// Which updates of a durable command its caller has taken.
    pub(super) taken: TakenUpdates,
    /// How many of them the receiver need not keep: they are taken or stored, and that is stored.
    pub(super) updates_held: u64,
    pub(super) update_bytes_granted: u64,
    /// Somebody takes its updates as they come.
    pub(super) is_followed: bool,
    /// Those that came while nobody did, with their numbers.
    pub(super) kept_updates: VecDeque<(u64, Bytes)>,
    /// Boxed like all that few commands have: an entry is moved when it comes and when it goes.
    pub(super) body: Option<Box<OutgoingBody>>,
    pub(super) result_body: Option<Box<BodyIntake>>,
    pub(super) outcome: Option<Outcome>,
    /// What is written of its end, on the way into the store.
    pub(super) end_row: Option<Box<OutcomeRow>>,
    /// The first and the last of the updates that are stored with it.
    pub(super) end_updates: (u64, u64),
}

/// The body of a command that is sent.
#[derive(Debug, Default)]
pub(super) struct OutgoingBody {
    pub(super) log: BodyLog,
    /// The process of the receiver that reads it: another one has nothing of it.
    pub(super) reader: Option<Epoch>,
    /// That process has said how far it has it.
    pub(super) is_reader_met: bool,
    /// How far the receiver lets it be written ahead of what is taken: its first credit. 0 before that.
    pub(super) window: u64,
    /// Whoever produces it was told to.
    pub(super) is_wanted: bool,
    /// Why it will not come whole.
    pub(super) failure: Option<Failure>,
    /// It stands in the ring of bodies that can be written.
    pub(super) is_in_ring: bool,
}

impl OutgoingBody {
    /// Hears of it from a process of the receiver. If that is another one than before, it goes back to the beginning: by
    /// itself if nothing of it was let go of, else by being produced again.
    pub(super) fn meet(&mut self, reader: Epoch, repeats: bool) {
        if self.reader.replace(reader) == Some(reader) {
            return;
        }
        (self.is_reader_met, self.window) = (false, 0);
        if repeats {
            (self.log, self.is_wanted) = (BodyLog::default(), false);
        } else if !self.log.rewind() {
            let message =
                "the receiver has lost a part of the body that is not held here any more".to_owned();
            self.failure.get_or_insert(Failure { kind: FailureKind::BodyBroken, message });
        }
    }
}

impl From<NewCommand> for Prepared {
    fn from(command: NewCommand) -> Self {
        Self(Box::new(Entry::new(command)))
    }
}

impl Prepared {
    /// Returns the command.
    pub fn command(&self) -> &NewCommand {
        &self.0.command
    }
}

impl Entry {
    /// One that has no place in the queue yet.
    pub(super) fn new(command: NewCommand) -> Self {
        let is_followed = command.updates != UpdatePolicy::Store;
        Self {
            body: command.has_body.then(Box::default),
            result_body: command.wants_result_body.then(Box::default),
            command,
            share: Share::Common,
            stage: Stage::Storing,
            bound: None,
            binding: None,
            is_begun: false,
            is_small_message: false,
            was_sent: false,
            may_be_known: false,
            before_early: None,
            has_started: false,
            is_cancelled: false,
            deadline_at: None,
            is_overdue: false,
            is_in_line: false,
            resend_at: None,
            streams_lost: 0,
            links_died: 0,
            is_held: false,
            runs: 0,
            updates_received: 0,
            update_bytes_received: 0,
            update_bytes_taken: 0,
            taken: TakenUpdates::default(),
            updates_held: 0,
            update_bytes_granted: 0,
            is_followed,
            kept_updates: VecDeque::new(),
            outcome: None,
            end_row: None,
            end_updates: (1, 0),
        }
    }

    /// Bytes that count in the bounds: what the queue holds of it.
    pub(super) fn bytes(&self) -> u64 {
        (self.command.args.len() + self.command.payload.len()) as u64 + self.command.body_held_bytes
    }

    /// Returns whether it outlives this process.
    pub(super) fn is_durable(&self) -> bool {
        self.command.durable.is_some()
    }

    /// Returns the outcome to tell: what failed here explains what failed there.
    pub(super) fn final_outcome(&self, outcome: Outcome) -> Outcome {
        // It may have started in a process that is gone, or at a copy of the receiver, whatever this one knows.
        if (self.runs > 0 || self.has_started) && outcome.is_never() {
            return Outcome::Unknown(UnknownReason::ReceiverStateLost);
        }
        match (&outcome, self.body.as_ref().and_then(|body| body.failure.clone())) {
            (Outcome::Failed(_), Some(failure)) => Outcome::Failed(failure),
            _ => outcome,
        }
    }

    /// Returns whether it is on no stream and cannot get there before it is bound: then its end needs no receiver's word.
    pub(super) fn is_here_alone(&self) -> bool {
        self.bound.is_none() && self.binding.is_none() && !self.was_sent
    }

    /// Returns whether its updates have come as far as was granted: the receiver may begin no other.
    pub(super) fn has_used_credit(&self) -> bool {
        self.update_bytes_received >= self.update_bytes_granted
    }

    /// Makes the head for a stream opened now.
    ///
    /// What it grants is within what the credits of others leave. It is never less than was granted before: a receiver
    /// that has the command keeps to the higher one.
    pub(super) fn head(
        &mut self,
        key: CommandKey,
        now: Instant,
        config: &SendQueueConfig,
        left: u64,
    ) -> Head {
        let granted = match self.updates_window(config, left) {
            0 => 0,
            window => self.update_bytes_granted.max(self.update_bytes_taken + window),
        };
        let left = left.saturating_sub(granted - self.update_bytes_taken);
        let (result_body_received, result_body_credit) = match &mut self.result_body {
            None => (0, 0),
            Some(intake) if intake.is_open() => intake.offsets(),
            Some(intake) => (0, intake.open(result_body_window(config, left))),
        };
        self.update_bytes_granted = granted;
        Head {
            key,
            class: self.command.class,
            name: self.command.name.clone(),
            idempotent: self.command.idempotent,
            cancelled: self.is_cancelled,
            resent: self.was_sent,
            started: self.has_started,
            early: false,
            updates: self.command.updates,
            deadline_remaining: self.deadline_at.map(|at| at.saturating_duration_since(now)),
            updates_received: self.updates_received
                + u64::from(planted!(UpdateOffsetOff) && self.updates_received > 0),
            result_body_received,
            updates_credit: granted,
            result_body_credit,
            // The length of an inline payload was checked at the submit.
            payload_bytes: u32::try_from(self.command.payload.len()).unwrap_or(u32::MAX),
            has_body: self.command.has_body,
            args: self.command.args.clone(),
        }
    }
}
