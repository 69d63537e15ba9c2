//! The two outputs of a process, pipes or its terminal, read in turn and never ahead of the caller.

use std::fmt;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::Child;

use super::event::OutputStream;
use super::terminal::TerminalOutput;

/// Both outputs of one process. Holds one piece at most; the rest stays in the pipes and presses back on the
/// process.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Pipe,
    stderr: Pipe,
    /// The stream that is asked first, so that neither can keep the other waiting.
    turn: OutputStream,
    is_cut: bool,
    buffer: Box<[u8]>,
}

impl Output {
    /// Takes the pipes from `child`.
    pub(super) fn of(child: &mut Child) -> Self {
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Source>);
        let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Source>);
        Self::new(stdout, stderr)
    }

    /// Takes what is written to a terminal as the one, and nothing as the other.
    pub(super) fn of_terminal(terminal: TerminalOutput) -> Self {
        Self::new(Some(Box::new(terminal)), None)
    }

    fn new(stdout: Option<Box<dyn Source>>, stderr: Option<Box<dyn Source>>) -> Self {
        Self {
            stdout: Pipe { reader: stdout, limit: u64::MAX },
            stderr: Pipe { reader: stderr, limit: u64::MAX },
            turn: OutputStream::Stdout,
            is_cut: false,
            buffer: vec![0; PIECE_BYTES_MAX].into_boxed_slice(),
        }
    }

    /// Reads the next piece, or `None` once both streams have ended. Nothing is lost between two calls.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<(OutputStream, Bytes)>> {
        for stream in [self.turn, other(self.turn)] {
            let piece = match stream {
                OutputStream::Stdout => self.stdout.poll_read(cx, &mut self.buffer),
                OutputStream::Stderr => self.stderr.poll_read(cx, &mut self.buffer),
            };
            if let Poll::Ready(Some(bytes)) = piece {
                self.turn = other(stream);
                return Poll::Ready(Some((stream, bytes)));
            }
        }
        if self.is_closed() { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Ends both streams behind what has been written until now.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
        self.stdout.cut();
        self.stderr.cut();
    }

    /// Whether no more can come than the pipes hold already.
    pub(super) fn is_ending(&self) -> bool {
        self.is_cut || self.is_closed()
    }

    /// Whether both streams have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.stdout.reader.is_none() && self.stderr.reader.is_none()
    }

    /// Whether something has been written and not been read.
    pub(super) fn is_waiting(&self) -> bool {
        self.stdout.waiting_bytes() + self.stderr.waiting_bytes() > 0
    }

    #[cfg(test)]
    pub(super) fn is_waiting_on_both(&self) -> bool {
        self.stdout.waiting_bytes() > 0 && self.stderr.waiting_bytes() > 0
    }
}

/// What a piece of output is read from.
trait Source: AsyncRead + AsFd + Unpin + Send + Sync + fmt::Debug {}

impl<T: AsyncRead + AsFd + Unpin + Send + Sync + fmt::Debug> Source for T {}

/// One pipe, closed as soon as it has ended.
#[derive(Debug)]
struct Pipe {
    reader: Option<Box<dyn Source>>,
    /// How many bytes are still wanted.
    limit: u64,
}

impl Pipe {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Option<Bytes>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        let wanted = usize::try_from(self.limit).unwrap_or(usize::MAX).min(buffer.len());
        let mut piece = ReadBuf::new(&mut buffer[..wanted]);
        if wanted > 0
            && let Err(error) = ready!(Pin::new(reader).poll_read(cx, &mut piece))
        {
            tracing::debug!(%error, "output pipe failed, taken for its end");
        }
        // The copy is exact: a queue of small pieces must not keep a whole buffer alive for each of them.
        let bytes = Bytes::copy_from_slice(piece.filled());
        if bytes.is_empty() {
            self.reader = None;
            return Poll::Ready(None);
        }
        self.limit = self.limit.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(bytes))
    }

    fn cut(&mut self) {
        self.limit = self.waiting_bytes();
    }

    fn waiting_bytes(&self) -> u64 {
        self.reader.as_ref().map_or(0, |reader| ioctl_fionread(reader).unwrap_or(0))
    }
}

fn other(stream: OutputStream) -> OutputStream {
    match stream {
        OutputStream::Stdout => OutputStream::Stderr,
        OutputStream::Stderr => OutputStream::Stdout,
    }
}

/// Largest piece of output. Half of what a Linux pipe holds: large enough that the cost of a piece does not
/// matter.
const PIECE_BYTES_MAX: usize = 32 * 1024;
