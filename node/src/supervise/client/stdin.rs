//! The writing end of a supervised program's standard input.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::line::{Line, Phase};
use crate::process::StdinError;
use crate::supervise::message::{Request, State};

/// The standard input of a supervised program.
///
/// Dropping it leaves the input open: a later node may go on with it.
#[derive(Debug)]
pub struct SupervisedStdin {
    line: Arc<Line>,
    /// Bytes that came before the next ones.
    offset: u64,
}

impl SupervisedStdin {
    pub(super) fn new(line: Arc<Line>) -> Self {
        Self { line, offset: 0 }
    }

    /// Hands `bytes` over, waiting while the program does not read. What is handed over leaves `bytes`.
    ///
    /// The input is written from its beginning by each node that follows the program; what the program was given before
    /// is passed over.
    ///
    /// # Errors
    ///
    /// [`StdinError::Closed`] when the program reads no more. It does not mean that the program has failed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost or handed over twice: `bytes` holds exactly what has not been.
    pub async fn write(&mut self, bytes: &mut Bytes) -> Result<(), StdinError> {
        while bytes.has_remaining() {
            let offset = self.offset;
            let seen =
                self.line.wait_for(|seen| seen.state.as_ref().is_some_and(|state| may_send(state, offset)));
            let seen = seen.await;
            let Some(state) = seen.state.filter(|state| seen.phase == Phase::Open && !state.is_stdin_closed)
            else {
                return Err(StdinError::Closed);
            };
            let known = usize::try_from(state.stdin_taken.saturating_sub(offset)).unwrap_or(usize::MAX);
            if known > 0 {
                let known = known.min(bytes.len());
                bytes.advance(known);
                self.offset += known as u64;
            } else {
                let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
                self.offset += piece.len() as u64;
                self.line.ask(&Request::Stdin { offset, bytes: piece.into() });
            }
        }
        Ok(())
    }

    /// Returns whether the program, as far as its supervisor has said, reads no more or has read all.
    pub fn is_closed(&self) -> bool {
        self.line.seen().state.is_some_and(|state| state.is_stdin_closed)
    }

    /// Lets the program read the end of its input.
    pub fn close(self) {
        self.line.ask(&Request::StdinEnd { offset: self.offset });
    }
}

fn may_send(state: &State, offset: u64) -> bool {
    state.is_stdin_closed || offset < state.stdin_written + AHEAD_BYTES_MAX
}

/// Largest piece of input. With all that frames it, it stays below the limit of a frame.
const PIECE_BYTES: usize = 32 << 10;
/// How much may be sent before the program has read it, less than one piece more.
const AHEAD_BYTES_MAX: u64 = 128 << 10;
