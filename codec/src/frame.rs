//! Frames: what follows the first varint of a stream.
//!
//! A command's stream carries a [`Head`](crate::Head) and then [`StreamFrame`]s, a batch the heads of messages; the control
//! stream carries [`ControlFrame`]s. `WIRE.md` has the bytes and the state table.

use std::time::Duration;

use bytes::Bytes;

use crate::hello::{GoAway, Hello, HelloAnswer, Settled};
use crate::id::{CommandKey, Epoch, Seq};
use crate::outcome::Outcome;

/// What a stream is for: its first varint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// The one bidirectional stream, opened first by the dialler, that carries [`ControlFrame`]s both ways.
    Control,
    /// One command: a head and then [`StreamFrame`]s.
    Command,
    /// Small messages of one class, one after the other. Only for a peer with [`FEATURE_BATCHES`](crate::FEATURE_BATCHES).
    Batch,
}

/// A frame of a command's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamFrame {
    /// Sender: the inline payload that the head announced.
    Payload(Bytes),
    /// Sender: a piece of the body, of at most [`Limits::piece_bytes_max`](crate::Limits::piece_bytes_max).
    Body(Bytes),
    /// Sender: the body is complete.
    BodyEnd(BodyEnd),
    /// Receiver: the command is in the receive queue.
    Accepted {
        /// Bytes of the body that the receiver has already: the sender continues there.
        body_received: u64,
        /// How far the sender may write the body, in bytes since its beginning.
        body_credit: u64,
    },
    /// Receiver: the handler has been called.
    Started,
    /// Receiver: one record of progress.
    Update {
        /// Number of the record, from 1.
        number: u64,
        /// Encoded record.
        content: Bytes,
    },
    /// Receiver: a piece of the result body.
    ResultBody(Bytes),
    /// Receiver: the result body is complete.
    ResultBodyEnd(BodyEnd),
    /// Receiver: the outcome; the last frame.
    Outcome(Outcome),
    /// Receiver: not now; the last frame.
    Busy {
        /// What is full.
        scope: BusyScope,
        /// When to send it again, in whole milliseconds on the wire.
        retry_after: Duration,
    },
    /// Receiver: the sender has settled this command; nothing will be run; the last frame.
    Stale,
    /// Receiver: a second head of this command on the same link; the first goes on; the last frame.
    Duplicate,
}

/// The end of a body, without which a finished stream is an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyEnd {
    /// Bytes of the whole body.
    pub bytes: u64,
    /// BLAKE3 hash of the whole body.
    pub hash: [u8; 32],
}

/// What is full at a receiver that answers `Busy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyScope {
    /// The receiver takes nothing from this sender for now.
    Peer,
    /// It takes nothing of this class.
    Class,
}

/// A frame of the control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// The dialler's first frame.
    Hello(Box<Hello>),
    /// The acceptor's first frame.
    HelloAnswer(Box<HelloAnswer>),
    /// I am here. Carries nothing; any authenticated packet counts as a sign of life.
    Heartbeat,
    /// The caller wants this command of the frame's sender cancelled.
    Cancel(CommandKey),
    /// These commands of the frame's sender are settled.
    Settled(Settled),
    /// Budgeted bytes of the peer's command streams that this side's transport has taken, in all since the link began.
    Taken {
        /// Cumulative count, in bytes.
        bytes: u64,
    },
    /// A command stream ended early after this many budgeted bytes were written to it, so that both sides agree on
    /// what is in flight.
    StreamEnded {
        /// QUIC stream id.
        stream: u64,
        /// Budgeted bytes that the frame's sender wrote to it.
        bytes: u64,
    },
    /// How far a body or update stream may be written.
    Credit {
        /// The command.
        key: CommandKey,
        /// Which of its streams.
        part: Part,
        /// Absolute offset, in bytes since its beginning.
        offset: u64,
    },
    /// What the sender of a command holds of its updates and result body, so that the receiver can let go of them.
    Received {
        /// The command.
        key: CommandKey,
        /// Updates held.
        updates: u64,
        /// Bytes of the result body held.
        result_body: u64,
    },
    /// Send nothing new on this link.
    GoAway(GoAway),
    /// How far messages of batches have come.
    Reached(Reached),
    /// The last word about a message of a batch that [`Reached`] cannot say.
    Ended {
        /// The message.
        key: CommandKey,
        /// What is said of it.
        last: LastWord,
    },
}

/// How far messages have come that came in batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// How far.
    pub step: Step,
    /// The epoch that numbered the messages.
    pub epoch: Epoch,
    /// Their numbers, both ends included, ascending, neither touching nor overlapping.
    pub ranges: Vec<(Seq, Seq)>,
}

/// A step of a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// It is in the receiver's queue.
    Accepted,
    /// Its handler has been called.
    Started,
    /// Its outcome is `Done`, with the empty result. The last word.
    Done,
}

/// The last word about a message of a batch: what the last frame of its stream would say, if it had one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastWord {
    /// The outcome.
    Outcome(Outcome),
    /// Not now.
    Busy {
        /// What is full.
        scope: BusyScope,
        /// When to send it again, in whole milliseconds on the wire.
        retry_after: Duration,
    },
    /// The sender has settled it; nothing will be run.
    Stale,
    /// A second head of it on the same link; the first goes on.
    Duplicate,
}

/// The parts of a command that are written as far as credit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// From the command's sender to its receiver.
    Body,
    /// From its receiver to its sender.
    Updates,
    /// From its receiver to its sender.
    ResultBody,
}

impl StreamFrame {
    /// Returns whether the frame's bytes count against the budget also on the stream of an urgent command.
    ///
    /// On the streams of all other classes every byte counts.
    pub fn is_bulk(&self) -> bool {
        matches!(
            self,
            Self::Payload(_)
                | Self::Body(_)
                | Self::BodyEnd(_)
                | Self::Update { .. }
                | Self::ResultBody(_)
                | Self::ResultBodyEnd(_)
        )
    }
}

impl LastWord {
    /// Returns what a frame of a command's stream says, if it is a last word.
    pub fn from_frame(frame: StreamFrame) -> Option<Self> {
        match frame {
            StreamFrame::Outcome(outcome) => Some(Self::Outcome(outcome)),
            StreamFrame::Busy { scope, retry_after } => Some(Self::Busy { scope, retry_after }),
            StreamFrame::Stale => Some(Self::Stale),
            StreamFrame::Duplicate => Some(Self::Duplicate),
            _ => None,
        }
    }

    /// Returns the frame that says the same on a command's stream.
    pub fn into_frame(self) -> StreamFrame {
        match self {
            Self::Outcome(outcome) => StreamFrame::Outcome(outcome),
            Self::Busy { scope, retry_after } => StreamFrame::Busy { scope, retry_after },
            Self::Stale => StreamFrame::Stale,
            Self::Duplicate => StreamFrame::Duplicate,
        }
    }
}

impl Step {
    const ALL: [Self; 3] = [Self::Accepted, Self::Started, Self::Done];

    /// Reads it from the wire.
    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire.
    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }
}

impl BusyScope {
    const ALL: [Self; 2] = [Self::Peer, Self::Class];

    /// Reads it from the wire.
    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire.
    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }
}

impl Part {
    const ALL: [Self; 3] = [Self::Body, Self::Updates, Self::ResultBody];

    /// Reads it from the wire.
    pub(crate) fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// Returns the byte that goes on the wire.
    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }
}
