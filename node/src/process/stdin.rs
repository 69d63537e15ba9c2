//! The writing end of a process's standard input.

use std::io;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

/// The standard input of a process. The process reads its end once this handle is closed or dropped.
#[derive(Debug)]
pub struct Stdin(ChildStdin);

impl Stdin {
    pub(super) fn new(pipe: ChildStdin) -> Self {
        Self(pipe)
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
            self.0.write_buf(bytes).await.map_err(StdinError::new)?;
        }
        Ok(())
    }

    /// Lets the process read the end of its input.
    pub fn close(self) {}
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
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Io(error) }
    }
}
