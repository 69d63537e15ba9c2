//! What a node and a supervisor say to each other, and how it is framed.
//!
//! Both may be of two versions, so shapes never change: an enum only grows at its end.

use std::io;

use bytes::{Buf, BytesMut};
use runnel_codec::{Decode, Encode, SMALL_BODY_BYTES_MAX, decode_body, encode_body};
use tokio::net::UnixStream;

use super::error::SuperviseError;
use crate::process::ExitReason;

/// What a node asks of a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub(super) enum Request {
    /// Bytes for the standard input, and how many came before them.
    Stdin { offset: u64, bytes: Vec<u8> },
    /// Nothing comes behind this many bytes of input.
    StdinEnd { offset: u64 },
    /// The program is to end.
    Stop,
    /// Output is not needed any more.
    Trim(Trimmed),
    /// Nothing is needed any more: the program, if it still runs, and its folder are to go.
    Settle,
}

/// What a supervisor says to a node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub(super) enum Notice {
    /// How far everything is. Said at first, and whenever it changes.
    State(State),
    /// Another connection has taken over: this one ends.
    Replaced,
    /// All is gone, and this connection ends.
    Settled,
}

/// How far a supervised program is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub(super) struct State {
    /// Number of the last record of output that can be read.
    pub(super) written: u64,
    /// What was let go of.
    pub(super) trimmed: Trimmed,
    /// Bytes of input that the supervisor has taken charge of.
    pub(super) stdin_taken: u64,
    /// Bytes of input that the program's pipe has taken.
    pub(super) stdin_written: u64,
    /// The program reads no more input.
    pub(super) is_stdin_closed: bool,
    /// How it ended.
    pub(super) end: Option<End>,
}

/// How much of a program's output was let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct Trimmed {
    /// The last record of it.
    pub number: u64,
    /// What a node that let go of it wants the next one to know: how many bytes it made of it, say.
    pub mark: u64,
}

/// How a supervised program ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub(super) enum End {
    /// It ran.
    Exited(ExitReason),
    /// It could not be started.
    NotStarted(String),
}

/// One end of the connection between a node and a supervisor, as far as bytes go: both directions wait here.
#[derive(Debug, Default)]
pub(super) struct Frames {
    incoming: BytesMut,
    outgoing: BytesMut,
}

impl Frames {
    /// Adds a frame to what is to be said.
    pub(super) fn push<T: Encode>(&mut self, frame: &T) {
        let body = encode_body(frame, SMALL_BODY_BYTES_MAX).expect("frames are small: input comes in pieces");
        let len = u32::try_from(body.len()).expect("64 KiB fit");
        self.outgoing.extend_from_slice(&len.to_le_bytes());
        self.outgoing.extend_from_slice(&body);
    }

    /// Returns the next frame that has come whole.
    pub(super) fn pull<T: Decode<()>>(&mut self, what: &'static str) -> Result<Option<T>, SuperviseError> {
        let Some((len, _)) = self.incoming.split_first_chunk::<4>() else { return Ok(None) };
        // What is longer than any frame fails to decode, so no more than one read of it is ever held.
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let is_whole = self.incoming.len() - 4 >= len;
        if !is_whole && len <= SMALL_BODY_BYTES_MAX {
            return Ok(None);
        }
        self.incoming.advance(4);
        let body = self.incoming.split_to(len.min(self.incoming.len()));
        decode_body(&body, SMALL_BODY_BYTES_MAX).map(Some).map_err(SuperviseError::malformed(what))
    }

    /// Returns whether nothing waits to be said.
    pub(super) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Says as much as the socket takes now.
    pub(super) fn flush(&mut self, stream: &UnixStream) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match stream.try_write(&self.outgoing) {
                Ok(written) => self.outgoing.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once what has come. Returns whether the other end may say more.
    pub(super) fn fill(&mut self, stream: &UnixStream) -> io::Result<bool> {
        self.incoming.reserve(READ_BYTES);
        match stream.try_read_buf(&mut self.incoming) {
            Ok(read) => Ok(read > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Read at once from a connection.
const READ_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{ExitCause, ExitStatus};

    #[test]
    fn a_frame_is_understood_once_it_is_whole() {
        let end = ExitReason { status: ExitStatus::Code(3), cause: ExitCause::Natural };
        let notice = Notice::State(State { written: 7, end: Some(End::Exited(end)), ..State::default() });
        let mut frames = Frames::default();
        frames.push(&notice);
        frames.push(&Notice::Settled);
        let bytes = std::mem::take(&mut frames.outgoing);
        for byte in bytes {
            let before = frames.pull::<Notice>("a notice").unwrap();
            assert!(before.is_none() || before == Some(notice.clone()), "{before:?}");
            frames.incoming.extend_from_slice(&[byte]);
        }
        assert_eq!(frames.pull("a notice").unwrap(), Some(Notice::Settled));
        assert_eq!(frames.pull::<Notice>("a notice").unwrap(), None);
    }

    #[test]
    fn a_frame_of_any_length_is_refused_before_it_is_held() {
        let mut frames = Frames::default();
        frames.incoming.extend_from_slice(&[0xff; 5]);
        let refusal = frames.pull::<Request>("a request");
        assert!(matches!(refusal, Err(SuperviseError::Malformed { .. })), "{refusal:?}");
    }
}
