//! One command that a receiver knows, from its head to its settling.

use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{Class, CommandKey, CommandName, Head, NodeId, Outcome, UpdatePolicy};

use super::{Attachment, Start, StopReason};
use crate::stream_log::StreamLog;

/// How far a command has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for its turn.
    Queued,
    /// The record of its start is on the way into the store.
    Starting,
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
    /// The handler was called, or is about to be.
    pub(super) has_started: bool,
    pub(super) class: Class,
    pub(super) name: Option<CommandName>,
    pub(super) idempotent: bool,
    pub(super) args: Bytes,
    pub(super) payload: Bytes,
    pub(super) updates: UpdatePolicy,
    pub(super) deadline_at: Option<Instant>,
    /// The stream on which it is answered.
    pub(super) at: Option<Attachment>,
    pub(super) log: StreamLog,
    /// It was told to stop, for this reason.
    pub(super) stop: Option<StopReason>,
    /// When its handler's time to stop is over.
    pub(super) stop_until: Option<Instant>,
}

impl Known {
    /// A command that has just been accepted.
    pub(super) fn queued(now: Instant, at: Attachment, head: Head, payload: Bytes) -> Self {
        let mut log = StreamLog::default();
        log.attach(head.updates_received, head.updates_credit);
        Self {
            state: State::Queued,
            has_started: false,
            class: head.class,
            name: Some(head.name),
            idempotent: head.idempotent,
            args: head.args,
            payload,
            updates: head.updates,
            deadline_at: head.deadline_remaining.map(|remaining| now + remaining),
            at: Some(at),
            log,
            stop: None,
            stop_until: None,
        }
    }

    /// A word that a command has not started and never will, on the way into the store.
    pub(super) fn tombstone(at: Option<Attachment>, outcome: Outcome) -> Self {
        Self {
            state: State::Ending(outcome),
            has_started: false,
            class: Class::default(),
            name: None,
            idempotent: false,
            args: Bytes::new(),
            payload: Bytes::new(),
            updates: UpdatePolicy::Discard,
            deadline_at: None,
            at,
            log: StreamLog::default(),
            stop: None,
            stop_until: None,
        }
    }

    /// Bytes that wait for its start.
    pub(super) fn waiting_bytes(&self) -> u64 {
        (self.args.len() + self.payload.len()) as u64
    }

    /// Makes what the handler is called with; it is kept here no longer.
    pub(super) fn take_start(&mut self, from: NodeId, key: CommandKey) -> Option<Start> {
        Some(Start {
            from,
            key,
            name: self.name.clone()?,
            class: self.class,
            args: std::mem::take(&mut self.args),
            payload: std::mem::take(&mut self.payload),
            deadline_at: self.deadline_at,
            idempotent: self.idempotent,
            updates: self.updates,
        })
    }
}
