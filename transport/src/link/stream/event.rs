//! What a stream says to its link.

use bytes::Bytes;
use runnel_codec::{CloseCode, ControlFrame, DecodeError, Head, StreamFrame};

/// What happened on a stream.
pub(in crate::link) enum StreamEvent {
    /// It is the control stream.
    IsControl,
    Control(ControlFrame),
    Head {
        head: Head,
        payload: Bytes,
    },
    Messages(Vec<Head>),
    Frame(StreamFrame),
    Finished,
    /// The peer aborted its half.
    Lost {
        code: Option<CloseCode>,
        /// Its head has been passed on, or we opened it.
        is_known: bool,
    },
    /// The peer wants no more of our half, to which this many budgeted bytes were written.
    Stopped {
        code: Option<CloseCode>,
        written: u64,
    },
    Writable,
    /// The peer broke the rules.
    Broken(DecodeError),
}
