//! Commands of types that this program does not know: a name, and bytes that are passed on as they are.

use bytes::Bytes;
use runnel_codec::{Command, CommandName, DecodeError, EncodeError};

/// A command of a type that this program does not know, for [`NodeHandle::submit_raw`](crate::NodeHandle::submit_raw).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawCommand {
    /// The name of its type.
    pub name: CommandName,
    /// Its arguments as its type encodes them, at most 64 KiB.
    pub args: Bytes,
}

/// Stands for the type of a [`RawCommand`]: its updates and its result are the bytes that came.
///
/// It has no name of its own: submitted as a type, it is one that no receiver knows.
#[derive(Debug)]
pub enum Raw {}

impl Command for Raw {
    const NAME: &'static str = "raw/1";
    type Args = Vec<u8>;
    type Update = Vec<u8>;
    type Result = Vec<u8>;

    fn encode_args(args: &Vec<u8>) -> Result<Bytes, EncodeError> {
        Ok(Bytes::copy_from_slice(args))
    }

    fn decode_args(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Ok(bytes.to_vec())
    }

    fn encode_update(update: &Vec<u8>) -> Result<Bytes, EncodeError> {
        Ok(Bytes::copy_from_slice(update))
    }

    fn decode_update(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Ok(bytes.to_vec())
    }

    fn encode_result(result: &Vec<u8>) -> Result<Bytes, EncodeError> {
        Ok(Bytes::copy_from_slice(result))
    }

    fn decode_result(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        Ok(bytes.to_vec())
    }
}
