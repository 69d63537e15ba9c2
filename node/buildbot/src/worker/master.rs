//! What a worker asks of its master.

use bytes::Bytes;

use super::Update;
use crate::jelly::{Failure, Value};

/// A call of an object of the master. Which object takes which is said with each.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterCall {
    /// To a command's sink: what the command has said. The master answers at once, before it has stored anything.
    Update(Vec<Update>),
    /// To a command's sink: the command has ended, with an exception if the worker could not carry it out. The last
    /// call of each command, exactly once.
    Complete(Option<Failure>),
    /// To a writer: the next block, of at most 640 KiB.
    Write(Bytes),
    /// To a writer or reader: there is no more. A writer puts the file where it belongs with this.
    Close,
    /// To the writer of a file, after its end: the file's times, in seconds since 1970.
    SetTimes {
        /// When it was read last.
        accessed_at: f64,
        /// When it was changed last.
        modified_at: f64,
    },
    /// To the writer of a folder, in place of [`Close`](Self::Close): the archive is whole.
    Unpack,
    /// To a reader: asks for the next block. [`block_of`] reads the answer.
    Read {
        /// Its longest length, in bytes: at most 640 KiB.
        bytes_max: usize,
    },
    /// To the perspective: nothing but a sign of life, for what is on the way to forget nothing.
    KeepAlive,
    /// To the perspective: give me no new builds, and shut me down when those that run have ended.
    ShutDown,
}

/// What a reader has answered is no block, or a longer one than was asked for. The download has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the master answers with something that is no block of at most {bytes_max} bytes")]
pub struct BlockError {
    /// What was asked for, in bytes.
    pub bytes_max: usize,
}

impl MasterCall {
    /// Returns the method and its arguments, for [`Broker::call`](crate::Broker::call).
    pub fn into_method(self) -> (&'static str, Vec<Value>) {
        match self {
            Self::Update(updates) => {
                let updates = updates.into_iter().map(Update::into_value);
                ("update", vec![Value::List(updates.collect())])
            }
            Self::Complete(failure) => {
                ("complete", vec![failure.map_or(Value::None, |failure| Value::Failure(Box::new(failure)))])
            }
            Self::Write(block) => ("write", vec![Value::Bytes(block)]),
            Self::Close => ("close", vec![]),
            Self::SetTimes { accessed_at, modified_at } => {
                let times = vec![Value::Float(accessed_at), Value::Float(modified_at)];
                ("utime", vec![Value::Tuple(times)])
            }
            Self::Unpack => ("unpack", vec![]),
            Self::Read { bytes_max } => {
                ("read", vec![Value::Int(i64::try_from(bytes_max).unwrap_or(i64::MAX))])
            }
            Self::KeepAlive => ("keepalive", vec![]),
            Self::ShutDown => ("shutdown", vec![]),
        }
    }
}

/// Returns the block that a reader has answered with; an empty one is the end.
///
/// # Errors
///
/// When it is none, or a longer one than was asked for.
pub fn block_of(answer: Value, bytes_max: usize) -> Result<Bytes, BlockError> {
    match answer {
        Value::Bytes(block) if block.len() <= bytes_max => Ok(block),
        // A reader that was closed answers with an empty text.
        Value::Text(text) if text.is_empty() => Ok(Bytes::new()),
        _ => Err(BlockError { bytes_max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(call: MasterCall, method: &str, args: &[Value]) {
        assert_eq!(call.into_method(), (method, args.to_vec()));
    }

    #[test]
    fn each_call_has_the_method_that_a_master_knows() {
        let update = |update: Update| update.into_value();
        let (said, code) = (Update::Stdout("a".to_owned()), Update::ReturnCode(0));
        let list = Value::List(vec![update(said.clone()), update(code.clone())]);
        check(MasterCall::Update(vec![said, code]), "update", &[list]);
        check(MasterCall::Complete(None), "complete", &[Value::None]);
        let failure = Failure::new("builtins.OSError", "disk full");
        let value = Value::Failure(Box::new(failure.clone()));
        check(MasterCall::Complete(Some(failure)), "complete", &[value]);
        let block = Bytes::from_static(b"block");
        check(MasterCall::Write(block.clone()), "write", &[Value::Bytes(block)]);
        check(MasterCall::Close, "close", &[]);
        let times = Value::Tuple(vec![Value::Float(1.5), Value::Float(2.5)]);
        check(MasterCall::SetTimes { accessed_at: 1.5, modified_at: 2.5 }, "utime", &[times]);
        check(MasterCall::Unpack, "unpack", &[]);
        check(MasterCall::Read { bytes_max: 16384 }, "read", &[Value::Int(16384)]);
        check(MasterCall::KeepAlive, "keepalive", &[]);
        check(MasterCall::ShutDown, "shutdown", &[]);
    }

    #[test]
    fn a_block_is_what_was_asked_for() {
        let block = |len| Value::Bytes(vec![0; len].into());
        assert_eq!(block_of(block(4), 4).map(|block| block.len()), Ok(4));
        assert_eq!(block_of(block(0), 4), Ok(Bytes::new()));
        assert_eq!(block_of("".into(), 4), Ok(Bytes::new()));
        assert_eq!(block_of(block(5), 4), Err(BlockError { bytes_max: 4 }));
        assert_eq!(block_of("text".into(), 4), Err(BlockError { bytes_max: 4 }));
        assert_eq!(block_of(Value::None, 4), Err(BlockError { bytes_max: 4 }));
    }
}
