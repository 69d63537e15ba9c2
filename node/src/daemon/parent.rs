//! The process that started this one, and its end.
//!
//! It holds the other end of our standard input and never writes to it. However it ends, the system closes that end: no
//! process id is compared and no moment is missed.

use std::io;
use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The parent at the other end of a pipe.
#[derive(Debug)]
pub(crate) struct Parent(pipe::Receiver);

impl Parent {
    /// Takes the parent at the other end of standard input, which must be a pipe.
    pub(crate) fn at_stdin() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        pipe::Receiver::from_owned_fd(stdin).map(Self)
    }

    /// Waits until the parent is gone. What it writes is ignored.
    pub(crate) async fn gone(&mut self) {
        let mut ignored = [0; 256];
        while self.0.read(&mut ignored).await.is_ok_and(|len| len > 0) {}
    }
}
