//! What a process tells: its output, and how it ended.

use bytes::Bytes;
use runnel_codec::{Decode, Encode};

/// One thing that happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// There is a piece of what it brings forth.
    Output(Piece),
    /// The process has ended, its output is complete and its group is gone. Always the last event.
    Exited(ExitReason),
}

/// A piece of what a process brings forth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Variables of its environment, sorted by name. Before all other pieces, and only if it was
    /// [asked for](super::ProcessSpec::report_env); a large environment comes in several pieces. What is not UTF-8 is
    /// replaced by U+FFFD, and a value of more than 16 KiB ends there with an ellipsis.
    Environment(Vec<(String, String)>),
    /// The process, or one that it started, wrote something.
    Stream {
        /// Where it was written. The order between the two streams is not known.
        stream: OutputStream,
        /// What was written: 1 to 32768 bytes, cut anywhere.
        bytes: Bytes,
    },
    /// A [followed file](super::ProcessSpec::log_files) has grown.
    Log {
        /// The name by which the file is followed.
        name: String,
        /// What was added: 1 to 32768 bytes, cut anywhere.
        bytes: Bytes,
    },
}

/// One of the two outputs of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum OutputStream {
    /// File descriptor 1; with a terminal all that is written there.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// How a process ended, and on whose account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub struct ExitReason {
    /// What the system says about the end.
    pub status: ExitStatus,
    /// Who brought it about.
    pub cause: ExitCause,
}

/// What the system says about the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum ExitStatus {
    /// It returned this code, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It has ended, but something else in this program waits for all child processes and took the status
    /// away.
    Lost,
}

/// Who brought about the end of a process.
///
/// Says what was asked first, not what had the effect: a process that is told to stop may still return 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum ExitCause {
    /// The process itself, or somebody outside this node.
    Natural,
    /// `timeout` passed.
    TimedOut,
    /// `no_output_timeout` passed.
    NoOutput,
    /// [`Process::stop`](super::Process::stop) was called.
    Stopped,
    /// It wrote more than `lines_max` lines. It may have ended just before that was noticed.
    TooManyLines {
        /// How many there were when it was noticed.
        lines: u64,
    },
}
