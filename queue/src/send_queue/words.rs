//! What the send queue says: to the store, to links and to callers.

use bytes::Bytes;
use runnel_codec::{
    BodyEnd, Class, CommandId, CommandKey, Head, NodeId, Outcome, Part, Settled, StreamFrame,
};

/// What is to be written to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A command, on a stream of its own.
    Open {
        /// To whom.
        peer: NodeId,
        /// Which command.
        key: CommandKey,
        /// Its head.
        head: Head,
        /// Its inline payload.
        payload: Bytes,
    },
    /// Messages of one class, together on a stream: at least two, and within
    /// [`BATCH_BYTES_MAX`](runnel_codec::BATCH_BYTES_MAX).
    Batch {
        /// To whom.
        peer: NodeId,
        /// Their class.
        class: Class,
        /// Their heads.
        heads: Vec<Head>,
    },
    /// The next frame of a command's body, on its stream.
    Body {
        /// To whom.
        peer: NodeId,
        /// Which command.
        key: CommandKey,
        /// `Body` or `BodyEnd`.
        frame: StreamFrame,
    },
    /// A command's body will not come whole: its stream is finished without the body's end.
    BodyAborted {
        /// To whom.
        peer: NodeId,
        /// Which command.
        key: CommandKey,
    },
    /// The wish that a command be cancelled.
    Cancel {
        /// To whom.
        peer: NodeId,
        /// Which command.
        key: CommandKey,
    },
    /// What is settled.
    Settled {
        /// To whom.
        peer: NodeId,
        /// The numbers.
        settled: Settled,
    },
    /// What has been received of a command's updates.
    Received {
        /// To whom.
        peer: NodeId,
        /// Which command.
        key: CommandKey,
        /// Updates received.
        updates: u64,
        /// Bytes of the result body received.
        result_body: u64,
    },
    /// How far a part of a command may be written.
    Credit {
        /// To whom.
        peer: NodeId,
        /// Which command.
        key: CommandKey,
        /// Which part.
        part: Part,
        /// Absolute offset, in bytes.
        offset: u64,
    },
}

/// What happened to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendEvent {
    /// It is stored.
    Stored(CommandId),
    /// Its head is on a stream.
    Sent(CommandId),
    /// It is in the receiver's queue.
    Accepted(CommandId),
    /// Its handler has been called.
    Started(CommandId),
    /// It made progress.
    Update {
        /// The command.
        id: CommandId,
        /// Number of the record, from 1.
        number: u64,
        /// The record.
        content: Bytes,
    },
    /// Its body may be written from now on: it is to be produced, once.
    BodyWanted {
        /// The command.
        id: CommandId,
        /// The first byte that is wanted; more than 0 if an older process of this node had sent what comes before it.
        from: u64,
    },
    /// Bytes of its body were taken by the receiver: as many more may be held.
    BodyTaken {
        /// The command.
        id: CommandId,
        /// How many.
        bytes: usize,
    },
    /// A piece of its result body came.
    ResultBody {
        /// The command.
        id: CommandId,
        /// The piece.
        content: Bytes,
    },
    /// Its result body is complete.
    ResultBodyEnd {
        /// The command.
        id: CommandId,
        /// Length and hash.
        end: BodyEnd,
    },
    /// Its receiver has lost its memory of it. Being idempotent, it is sent again.
    Again(CommandId),
    /// One link after the other died after its head: it is held back until it is released, abandoned, or the receiver is
    /// another process.
    Held(CommandId),
    /// An outcome came after it had ended otherwise. That changes nothing.
    Late {
        /// The command.
        id: CommandId,
        /// What came late.
        outcome: Outcome,
    },
    /// Its deadline has passed and nobody knows what became of it.
    Overdue(CommandId),
    /// It has ended.
    Outcome {
        /// The command.
        id: CommandId,
        /// How.
        outcome: Outcome,
    },
}
