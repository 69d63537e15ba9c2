//! What a link says, and which end of it speaks.

use bytes::Bytes;
use runnel_codec::{CloseCode, ControlFrame, Epoch, Head, StreamFrame};

use super::stream::StreamId;
use crate::close::LinkClosed;

/// Which end of a link this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It dialled.
    Dialler,
    /// It was dialled.
    Acceptor,
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The handshake is done and [`Link::peer`](crate::Link::peer) is known. The dialler says hello now.
    Connected,
    /// The acceptor is the process of this boot epoch. Comes to a dialler, with the end of the handshake or later, or never.
    Announced(Epoch),
    /// A frame of the control stream.
    Control(ControlFrame),
    /// The peer opened a stream with a command; its inline payload, if announced, is complete.
    ///
    /// Comes only after the welcome that was said to the peer (from a dialler) or by it (from an acceptor), whatever order
    /// the packets came in.
    Head {
        /// The stream.
        stream: StreamId,
        /// The head.
        head: Head,
        /// The inline payload; empty if none was announced.
        payload: Bytes,
    },
    /// Messages of one class have come in a batch that the peer opened. Comes no earlier than [`Head`](Self::Head). They are
    /// answered on the control stream.
    Messages {
        /// The batch's stream.
        stream: StreamId,
        /// Their heads, at least one. More may follow of the same batch.
        heads: Vec<Head>,
    },
    /// A further frame of a command's stream, in either direction.
    Frame {
        /// The stream.
        stream: StreamId,
        /// The frame.
        frame: StreamFrame,
    },
    /// The peer's half of a stream has ended as it should: on a batch of ours, it has read all of it.
    Finished {
        /// The stream.
        stream: StreamId,
    },
    /// The peer's half of a stream was aborted, or, after it had ended, the peer wants no more of ours.
    Lost {
        /// The stream.
        stream: StreamId,
        /// Why; `None` if the code is not ours.
        code: Option<CloseCode>,
    },
    /// Much waited to be written to a stream, and now little does: see [`Link::pending_bytes`](crate::Link::pending_bytes).
    Writable {
        /// The stream.
        stream: StreamId,
    },
    /// [`Link::open_command`](crate::Link::open_command) may succeed again.
    Places,
    /// The peer has taken bytes that were in flight.
    Budget,
    /// The link has ended; the last event.
    Closed(LinkClosed),
}
