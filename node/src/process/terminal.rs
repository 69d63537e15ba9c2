//! A terminal for a process: its streams, and what controls it.
//!
//! The process leads a session of its own, whose terminal this is. It ends once nobody in there has it open any more; the
//! system says so by an error, which is no failure.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use pty_process::{OwnedReadPty, OwnedWritePty, Pts, Size};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::process::{Child, Command};

/// A terminal to which no process belongs yet.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) output: TerminalOutput,
    pub(super) input: TerminalInput,
}

/// The other side of a terminal: what a process is to have as its streams.
pub(super) struct ProcessEnd(Pts);

impl Terminal {
    /// Makes a terminal.
    pub(super) fn open() -> io::Result<(Self, ProcessEnd)> {
        let (ours, process_end) = pty_process::open().map_err(io_error)?;
        ours.resize(Size::new(ROWS, COLUMNS)).map_err(io_error)?;
        // What is written to the process must not be taken for what it writes.
        let mut modes = tcgetattr(&process_end)?;
        modes.local_modes -= LocalModes::ECHO;
        tcsetattr(&process_end, OptionalActions::Now, &modes)?;
        let end = modes.special_codes[SpecialCodeIndex::VEOF];
        let counted = ours.as_fd().try_clone_to_owned()?;
        let (reader, writer) = ours.into_split();
        let output = TerminalOutput { reader, counted };
        let input = TerminalInput { writer, end, is_in_line: false, ends_said: 0 };
        Ok((Self { output, input }, ProcessEnd(process_end)))
    }

    /// Says the end of an input without anything in it. A new terminal has room for that.
    pub(super) fn end_input(&self) -> io::Result<()> {
        rustix::io::write(&self.output.counted, &[self.input.end])?;
        Ok(())
    }
}

impl ProcessEnd {
    /// Starts a command in the terminal, as the leader of a session of its own.
    pub(super) fn spawn(self, command: Command) -> io::Result<Child> {
        pty_process::Command::from(command).spawn(self.0).map_err(io_error)
    }
}

/// What a process writes to its terminal.
#[derive(Debug)]
pub(super) struct TerminalOutput {
    reader: OwnedReadPty,
    /// The same, to ask how much waits there.
    counted: OwnedFd,
}

impl AsyncRead for TerminalOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.reader).poll_read(cx, buffer) {
            // That is how its end shows.
            Poll::Ready(Err(error)) if is_hung_up(&error) => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsFd for TerminalOutput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counted.as_fd()
    }
}

/// What a process reads from its terminal.
#[derive(Debug)]
pub(super) struct TerminalInput {
    writer: OwnedWritePty,
    /// The character that stands for the end of the input.
    end: u8,
    /// Whether the last byte was not the end of a line.
    is_in_line: bool,
    /// How often the end was said.
    ends_said: u8,
}

impl TerminalInput {
    /// Writes some of `bytes`. What is written leaves them.
    ///
    /// # Cancel safety
    /// Nothing is lost or written twice.
    pub(super) async fn write(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        let written = self.writer.write(bytes).await?;
        if let Some(last) = bytes[..written].last() {
            self.is_in_line = *last != b'\n';
        }
        bytes.advance(written);
        Ok(())
    }

    /// Says the end: within a line, what has come of the line goes to the process by the first time.
    ///
    /// # Cancel safety
    /// Nothing is lost or written twice: it can be called again.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        while self.ends_said < 1 + u8::from(self.is_in_line) {
            self.ends_said += u8::from(self.writer.write(&[self.end]).await? > 0);
        }
        Ok(())
    }
}

/// Returns whether an error of a terminal says that no process has it open.
pub(super) fn is_hung_up(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::IO)
}

fn io_error(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        pty_process::Error::Rustix(errno) => errno.into(),
        other => io::Error::other(other.to_string()),
    }
}

/// The size that programs find, which nobody changes: that of terminals of old.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;
