//! How the program ends: the one table of exit codes, and failures that say what to do next.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::process::ExitCode;

use serde_json::json;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Success,
    /// The command ran and failed, or something here did.
    Failed,
    /// The command line is wrong.
    Usage,
    /// A node's store cannot be opened, or has failed.
    StoreFailed,
    /// A node's configuration is wrong.
    BadConfig,
    /// The node is unknown, or has no link and the caller does not want to wait for one.
    Unreachable,
    /// The node's send queue is full: nothing was stored.
    QueueFull,
    /// The receiver will not run it.
    Rejected,
    /// Its deadline passed before it started.
    Expired,
    /// It was stopped because its time was over.
    TimedOut,
    /// It was cancelled.
    Cancelled,
    /// Nobody can say whether it ran, or how it ended.
    Unknown,
    /// Its deadline has passed and nobody knows yet.
    Overdue,
    /// No node listens on the socket, or it went away.
    NoDaemon,
    /// The terminal has gone: the command goes on.
    HungUp,
    /// Left by a second Ctrl-C.
    Interrupted,
    /// Whoever read our output stopped reading.
    OutputClosed,
    /// Told to stop by SIGTERM: the command goes on.
    Terminated,
    /// What the remote program said, with `--propagate-exit`.
    Remote(u8),
}

impl Exit {
    /// Returns the number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::StoreFailed => 74,
            Self::BadConfig => 78,
            Self::Unreachable => 80,
            Self::QueueFull => 81,
            Self::Rejected => 82,
            Self::Expired => 83,
            Self::TimedOut => 84,
            Self::Cancelled => 85,
            Self::Unknown => 86,
            Self::Overdue => 87,
            Self::NoDaemon => 88,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::OutputClosed => 141,
            Self::Terminated => 143,
            Self::Remote(code) => code,
        }
    }

    /// Returns the stable word that `--json` shows.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::StoreFailed => "store-failed",
            Self::BadConfig => "bad-config",
            Self::Unreachable => "unreachable",
            Self::QueueFull => "queue-full",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Overdue => "overdue",
            Self::NoDaemon => "no-daemon",
            Self::HungUp => "hung-up",
            Self::Interrupted => "interrupted",
            Self::OutputClosed => "output-closed",
            Self::Terminated => "terminated",
            Self::Remote(_) => "remote",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Success => "all is well",
            Self::Failed => "the command ran and failed, or something on this machine did",
            Self::Usage => "the command line is wrong",
            Self::StoreFailed => "`runnel node`: the store cannot be opened, or its disk has failed",
            Self::BadConfig => "`runnel node`: the configuration cannot be read, or is wrong",
            Self::Unreachable => "the node is unknown, or has no link and --no-wait was given",
            Self::QueueFull => "the send queue or its disk is full: nothing was stored, try again",
            Self::Rejected => "denied, unknown to the receiver or badly formed: it never started",
            Self::Expired => "its deadline passed before it started: it never will",
            Self::TimedOut => "it was stopped at its deadline or timeout",
            Self::Cancelled => "it was cancelled",
            Self::Unknown => "nobody can say whether it ran, or how it ended",
            Self::Overdue => "its deadline has passed and nobody knows yet; attach waits for the outcome",
            Self::NoDaemon => "no node listens on the socket, or it went away",
            Self::HungUp => "the terminal has gone; the command goes on",
            Self::Interrupted => "left by a second Ctrl-C",
            Self::OutputClosed => "the reader of our output has gone; a command goes on",
            Self::Terminated => "left by SIGTERM; the command goes on",
            Self::Remote(_) => "the remote program's own code",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a verb could not do what it was told.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// A stable word for programs.
    word: Cow<'static, str>,
    /// For people: what happened, and what to do next. Empty if nobody listens.
    text: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, word: exit.word().into(), text: text.into() }
    }

    /// Gives it another word than that of its exit code.
    pub(crate) fn with_word(mut self, word: impl Into<Cow<'static, str>>) -> Self {
        self.word = word.into();
        self
    }

    /// Makes the failure of a write to standard output.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        // A vanished terminal (EIO) and a closed pipe are the same to us: there is nobody to tell.
        let is_gone = matches!(error.kind(), io::ErrorKind::BrokenPipe) || error.raw_os_error() == Some(EIO);
        if is_gone {
            return Self::new(Exit::OutputClosed, "");
        }
        Self::new(Exit::Failed, format!("cannot write the output: {error}"))
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns the line for standard error, if there is anything to say.
    pub(crate) fn line(&self, json: bool) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        if json {
            let error = json!({ "code": self.word, "message": self.text, "exit": self.exit.code() });
            return Some(json!({ "error": error }).to_string());
        }
        Some(format!("runnel: {}", self.text))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

/// Returns the table of exit codes, for the help.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in TABLE {
        writeln!(text, "  {:>3}  {}", exit.code(), exit.meaning()).expect("a String takes everything");
    }
    text.push_str(
        "With --propagate-exit, a program that ran gives its own code, or 128 + the signal that ended it.",
    );
    text
}

const TABLE: [Exit; 18] = [
    Exit::Success,
    Exit::Failed,
    Exit::Usage,
    Exit::StoreFailed,
    Exit::BadConfig,
    Exit::Unreachable,
    Exit::QueueFull,
    Exit::Rejected,
    Exit::Expired,
    Exit::TimedOut,
    Exit::Cancelled,
    Exit::Unknown,
    Exit::Overdue,
    Exit::NoDaemon,
    Exit::HungUp,
    Exit::Interrupted,
    Exit::OutputClosed,
    Exit::Terminated,
];

/// A write to a terminal that has gone. The same number on Linux, macOS and the BSDs.
const EIO: i32 = 5;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_distinct_and_in_the_table() {
        let codes: BTreeSet<u8> = TABLE.iter().map(|exit| exit.code()).collect();
        let words: BTreeSet<&str> = TABLE.iter().map(|exit| exit.word()).collect();
        assert_eq!((codes.len(), words.len()), (TABLE.len(), TABLE.len()));
        let text = table();
        for exit in TABLE {
            assert!(text.contains(&format!("{:>3}  {}", exit.code(), exit.meaning())), "{exit:?}");
        }
    }

    #[test]
    fn no_code_is_one_that_shells_and_panics_use() {
        for exit in TABLE {
            let taken = [101, 126, 127].contains(&exit.code());
            assert!(!taken, "{exit:?} has the code of a panic or of a shell's own error");
        }
    }

    #[test]
    fn a_failure_is_one_line_for_people_or_for_programs() {
        let failure = Failure::new(Exit::QueueFull, "the queue is full");
        assert_eq!(failure.line(false).as_deref(), Some("runnel: the queue is full"));
        assert_eq!(
            failure.line(true).as_deref(),
            Some(r#"{"error":{"code":"queue-full","exit":81,"message":"the queue is full"}}"#)
        );
    }

    #[test]
    fn a_closed_output_is_not_complained_about() {
        let failure = Failure::of_output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit(), failure.line(false)), (Exit::OutputClosed, None));
        let failure = Failure::of_output(&io::Error::from_raw_os_error(EIO));
        assert_eq!((failure.exit(), failure.line(true)), (Exit::OutputClosed, None));
        assert_eq!(Failure::of_output(&io::ErrorKind::StorageFull.into()).exit(), Exit::Failed);
    }
}
