//! What the receive queue says: to the store, to handlers and to streams.

use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{
    BodyEnd, Class, CommandKey, CommandName, LinkNumber, NodeId, Part, StreamFrame, UpdatePolicy,
};

/// Which stream of which link; a newer one is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The link.
    pub link: LinkNumber,
    /// The QUIC stream id.
    pub stream: u64,
    /// The stream is a batch: what is said to it goes out on the control stream.
    pub is_batch: bool,
}

/// A command whose handler is to be called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Who sent it.
    pub from: NodeId,
    /// Which of its commands.
    pub key: CommandKey,
    /// Its type.
    pub name: CommandName,
    /// Its priority.
    pub class: Class,
    /// Encoded arguments.
    pub args: Bytes,
    /// Inline payload.
    pub payload: Bytes,
    /// When its deadline passes.
    pub deadline_at: Option<Instant>,
    /// Its type declares that running it again does no harm.
    pub idempotent: bool,
    /// It outlives the process that sent it, and so does its body.
    pub is_durable: bool,
    /// What becomes of its updates.
    pub updates: UpdatePolicy,
    /// A body comes: see [`Delivery`].
    pub has_body: bool,
    /// Its caller reads a body of the result.
    pub wants_result_body: bool,
    /// Its handler was called by an older process and left this to be found again by: it is to go on with that. Arguments
    /// and payload are not there any more; the body comes again once it is wanted
    /// ([`handle_body_wanted`](crate::ReceiveQueue::handle_body_wanted)), and that of the result is written again from its
    /// beginning.
    pub recover: Option<Bytes>,
}

/// Something of a command's body, for its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who sent the command.
    pub from: NodeId,
    /// Which of its commands.
    pub key: CommandKey,
    /// What came.
    pub part: DeliveryPart,
}

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryPart {
    /// The next bytes.
    Piece(Bytes),
    /// It is complete; this is what it should be.
    End(BodyEnd),
    /// Its sender has given it up.
    Aborted,
}

/// Bytes of a handler's words that its caller's node holds now: as many more may be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freed {
    /// Who sent the command.
    pub from: NodeId,
    /// Which of its commands.
    pub key: CommandKey,
    /// `Updates` or `ResultBody`.
    pub part: Part,
    /// How many.
    pub bytes: usize,
}

/// A running command that is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Who sent it.
    pub from: NodeId,
    /// Which of its commands.
    pub key: CommandKey,
    /// Why.
    pub reason: StopReason,
}

/// Why a running command is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Its caller cancelled it.
    Cancelled,
    /// Its deadline has passed.
    DeadlineExceeded,
}

/// What is to be written to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// To whom.
    pub peer: NodeId,
    /// On which stream.
    pub at: Attachment,
    /// The frame.
    pub frame: StreamFrame,
    /// Nothing follows it.
    pub is_last: bool,
}

/// How full a receive queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounts {
    /// Commands that wait for their start.
    pub waiting: usize,
    /// Bytes of arguments and payloads that wait with them.
    pub waiting_bytes: u64,
    /// Commands that take a running place, from the record of their start to that of their end.
    pub running: usize,
    /// Commands that are accepted and have not ended.
    pub unfinished: usize,
    /// Commands and tombstones that are remembered until their sender has settled them.
    pub remembered: usize,
    /// Bytes of outcomes and of unacknowledged updates that are kept with those that have ended.
    pub kept_bytes: u64,
    /// Handlers that returned after their command had ended without them, since the queue was made.
    pub late: u64,
}
