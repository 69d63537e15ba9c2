//! What a worker tells of a command while it runs.

use std::time::Duration;

use crate::jelly::Value;

/// Something that a command has said or found. The master keeps all of them for the step, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A piece of standard output. The master makes lines of pieces.
    Stdout(String),
    /// A piece of standard error.
    Stderr(String),
    /// What the worker itself has to say, for people.
    Header(String),
    /// A piece of a log file.
    Log {
        /// The name that the master has given to the file.
        name: String,
        /// The piece.
        text: String,
    },
    /// The return code: 0 if all is well. Every command has to send one, and only one.
    ReturnCode(i64),
    /// How long the command took.
    Elapsed(Duration),
    /// Why a program was ended.
    Failure(FailureReason),
    /// Names or paths that were found.
    Files(Vec<String>),
    /// What a file is.
    Status(FileStatus),
}

/// Which limit a program has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// Its time.
    TimeMax,
    /// Its time without saying anything.
    Silence,
    /// Its number of lines.
    LinesMax,
}

/// What the system knows of a file. Times are in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStatus {
    /// Type and permissions, as `stat` has them.
    pub mode: u32,
    /// Number of the file on its device.
    pub inode: u64,
    /// Number of the device.
    pub device: u64,
    /// How many names it has.
    pub links: u64,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its length, in bytes.
    pub len: u64,
    /// When it was read last.
    pub accessed_at: i64,
    /// When its content was changed last.
    pub modified_at: i64,
    /// When anything of it was changed last.
    pub changed_at: i64,
}

impl Update {
    /// Returns the update as an item of what `update` is called with: a dictionary of one key, and a number that old
    /// masters look at.
    pub(super) fn into_value(self) -> Value {
        let (key, value) = self.into_pair();
        Value::List(vec![Value::Dict(vec![(key.into(), value)]), Value::Int(0)])
    }

    /// Returns the update's key and what a master finds under it.
    pub(crate) fn into_pair(self) -> (&'static str, Value) {
        match self {
            Self::Stdout(text) => ("stdout", Value::Text(text)),
            Self::Stderr(text) => ("stderr", Value::Text(text)),
            Self::Header(text) => ("header", Value::Text(text)),
            Self::Log { name, text } => ("log", Value::Tuple(vec![Value::Text(name), Value::Text(text)])),
            Self::ReturnCode(code) => ("rc", Value::Int(code)),
            Self::Elapsed(time) => ("elapsed", Value::Float(time.as_secs_f64())),
            Self::Failure(reason) => ("failure_reason", reason.word().into()),
            Self::Files(files) => ("files", Value::List(files.into_iter().map(Value::Text).collect())),
            Self::Status(status) => ("stat", status.into_value()),
        }
    }
}

impl FailureReason {
    fn word(self) -> &'static str {
        match self {
            Self::TimeMax => "timeout",
            Self::Silence => "timeout_without_output",
            Self::LinesMax => "max_lines_failure",
        }
    }
}

impl FileStatus {
    /// Returns the ten numbers in the order in which Python has them.
    fn into_value(self) -> Value {
        let numbers: [i128; 10] = [
            self.mode.into(),
            self.inode.into(),
            self.device.into(),
            self.links.into(),
            self.uid.into(),
            self.gid.into(),
            self.len.into(),
            self.accessed_at.into(),
            self.modified_at.into(),
            self.changed_at.into(),
        ];
        Value::Tuple(numbers.into_iter().map(Value::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(update: Update, key: &str, expected: Value) {
        let pair = Value::Dict(vec![(key.into(), expected)]);
        assert_eq!(update.into_value(), Value::List(vec![pair, Value::Int(0)]));
    }

    #[test]
    fn each_update_has_the_key_that_a_master_looks_for() {
        check(Update::Stdout("ä\n".to_owned()), "stdout", "ä\n".into());
        check(Update::Stderr("e".to_owned()), "stderr", "e".into());
        check(Update::Header("h".to_owned()), "header", "h".into());
        let log = Update::Log { name: "test".to_owned(), text: "t".to_owned() };
        check(log, "log", Value::Tuple(vec!["test".into(), "t".into()]));
        check(Update::ReturnCode(-1), "rc", Value::Int(-1));
        check(Update::Elapsed(Duration::from_millis(1500)), "elapsed", Value::Float(1.5));
        check(Update::Failure(FailureReason::TimeMax), "failure_reason", "timeout".into());
        check(Update::Failure(FailureReason::Silence), "failure_reason", "timeout_without_output".into());
        check(Update::Failure(FailureReason::LinesMax), "failure_reason", "max_lines_failure".into());
        check(Update::Files(vec!["a".to_owned()]), "files", Value::List(vec!["a".into()]));
    }

    #[test]
    fn a_status_is_ten_numbers_however_large() {
        let status =
            FileStatus { mode: 0o100_644, inode: u64::MAX, len: 7, changed_at: -1, ..FileStatus::default() };
        let mut numbers = vec![Value::Int(0); 10];
        numbers[0] = Value::Int(0o100_644);
        numbers[1] = Value::from(i128::from(u64::MAX));
        numbers[6] = Value::Int(7);
        numbers[9] = Value::Int(-1);
        check(Update::Status(status), "stat", Value::Tuple(numbers));
    }
}
