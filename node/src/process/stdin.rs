//! The writing end of a process's standard input.

use std::io;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use super::terminal::{TerminalInput, is_hung_up};

/// The standard input of a process. The process reads its end once this handle is closed; if it has no terminal, also
/// once it is dropped.
#[derive(Debug)]
pub struct Stdin(Kind);

#[derive(Debug)]
enum Kind {
    Pipe(ChildStdin),
    Terminal(TerminalInput),
    Closed,
}

impl Stdin {
    pub(super) fn pipe(pipe: ChildStdin) -> Self {
        Self(Kind::Pipe(pipe))
    }

    pub(super) fn terminal(input: TerminalInput) -> Self {
        Self(Kind::Terminal(input))
    }

    /// Writes all of `bytes`, waiting while the process does not read. What is written leaves `bytes`.
    ///
    /// # Errors
    /// See [`StdinError`]. Neither variant means that the process has failed.
    ///
    /// # Cancel safety
    /// Nothing is lost or written twice: `bytes` holds exactly what has not been written.
    pub async fn write(&mut self, bytes: &mut Bytes) -> Result<(), StdinError> {
        while bytes.has_remaining() {
            match &mut self.0 {
                Kind::Pipe(pipe) => pipe.write_buf(bytes).await.map(drop),
                Kind::Terminal(input) => input.write(bytes).await,
                Kind::Closed => return Err(StdinError::Closed),
            }
            .map_err(StdinError::new)?;
        }
        Ok(())
    }

    /// Lets the process read the end of its input; waits only for a terminal that is full.
    ///
    /// # Errors
    /// See [`StdinError`]. Neither variant means that the process has failed.
    ///
    /// # Cancel safety
    /// Nothing is lost: it can be called again.
    pub async fn close(&mut self) -> Result<(), StdinError> {
        if let Kind::Terminal(input) = &mut self.0 {
            input.end().await.map_err(StdinError::new)?;
        }
        self.0 = Kind::Closed;
        Ok(())
    }
}

/// Why a process did not take its input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdinError {
    /// The process has closed its input or has ended: stop writing and wait for its exit, which may well be a
    /// success.
    #[error("the process does not read its input any more")]
    Closed,
    /// The pipe failed for another reason: stop writing.
    #[error("cannot write to the input of the process")]
    Io(#[source] io::Error),
}

impl StdinError {
    fn new(error: io::Error) -> Self {
        // A terminal without a process says that it has failed.
        let is_closed = error.kind() == io::ErrorKind::BrokenPipe || is_hung_up(&error);
        if is_closed { Self::Closed } else { Self::Io(error) }
    }
}
