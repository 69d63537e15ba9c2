//! Typed commands: a name and the types of its arguments, updates and result.
//!
//! This is how an application says what travels; the wire knows only names and bytes.

use bytes::Bytes;

use crate::body::{Decode, Encode, LARGE_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX, decode_body, encode_body};
use crate::error::{DecodeError, EncodeError};
use crate::head::CommandName;

/// What the arguments, updates and results of a command must be able to do. Implemented for every type that can.
pub trait Value: Encode + Decode<()> + Send + 'static {}

impl<T: Encode + Decode<()> + Send + 'static> Value for T {}

/// A type of command.
///
/// The types never change once they have been on the wire: a new shape is a new command with a new name.
///
/// ```
/// use runnel_codec::{Command, Decode, Encode};
///
/// #[derive(Debug, PartialEq, Encode, Decode)]
/// #[bincode(crate = "runnel_codec::bincode")]
/// struct Compress {
///     path: String,
///     level: u8,
/// }
///
/// impl Command for Compress {
///     const NAME: &'static str = "example.compress/1";
///     const IDEMPOTENT: bool = true;
///     type Args = Self;
///     type Update = u64;
///     type Result = String;
/// }
///
/// let bytes = Compress::encode_args(&Compress { path: "a.log".into(), level: 9 })?;
/// let args = Compress::decode_args(&bytes)?;
/// assert_eq!(args.level, 9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Command: 'static {
    /// Name on the wire with its version, such as `exec/1`.
    const NAME: &'static str;

    /// Running it again does no harm: after a crash in the middle it is run again instead of ending as `Unknown`.
    const IDEMPOTENT: bool = false;

    /// It is a [`Message`]: small ones travel together, several on a stream. Set for every message, and for nothing else.
    const IS_MESSAGE: bool = false;

    /// What the handler is called with. At most [`SMALL_BODY_BYTES_MAX`] when encoded.
    type Args: Value;

    /// One record of progress; [`Never`] if there is none. At most [`SMALL_BODY_BYTES_MAX`] when encoded.
    type Update: Value;

    /// What the handler returns. At most [`LARGE_BODY_BYTES_MAX`] when encoded.
    type Result: Value;

    /// Returns the name in the form that heads carry. It allocates: keep it and clone it.
    ///
    /// # Panics
    ///
    /// When [`Self::NAME`] breaks the rule of [`CommandName`].
    fn name() -> CommandName {
        match CommandName::from_static(Self::NAME) {
            Ok(name) => name,
            Err(error) => panic!("{:?} is no name for a command: {error}", Self::NAME),
        }
    }

    /// Encodes arguments.
    ///
    /// # Errors
    ///
    /// Those of [`encode_body`].
    fn encode_args(args: &Self::Args) -> Result<Bytes, EncodeError> {
        encode_body(args, SMALL_BODY_BYTES_MAX)
    }

    /// Decodes arguments.
    ///
    /// # Errors
    ///
    /// Those of [`decode_body`]; the command is then rejected as `BadArguments`.
    fn decode_args(bytes: &[u8]) -> Result<Self::Args, DecodeError> {
        decode_body(bytes, SMALL_BODY_BYTES_MAX)
    }

    /// Encodes an update.
    ///
    /// # Errors
    ///
    /// Those of [`encode_body`].
    fn encode_update(update: &Self::Update) -> Result<Bytes, EncodeError> {
        encode_body(update, SMALL_BODY_BYTES_MAX)
    }

    /// Decodes an update.
    ///
    /// # Errors
    ///
    /// Those of [`decode_body`].
    fn decode_update(bytes: &[u8]) -> Result<Self::Update, DecodeError> {
        decode_body(bytes, SMALL_BODY_BYTES_MAX)
    }

    /// Encodes a result.
    ///
    /// # Errors
    ///
    /// Those of [`encode_body`].
    fn encode_result(result: &Self::Result) -> Result<Bytes, EncodeError> {
        encode_body(result, LARGE_BODY_BYTES_MAX)
    }

    /// Decodes a result.
    ///
    /// # Errors
    ///
    /// Those of [`decode_body`].
    fn decode_result(bytes: &[u8]) -> Result<Self::Result, DecodeError> {
        decode_body(bytes, LARGE_BODY_BYTES_MAX)
    }
}

/// A command without updates, body and result: its outcome says only that it was handled.
///
/// ```
/// use runnel_codec::{Command, Message};
///
/// struct Wake;
///
/// impl Message for Wake {
///     const NAME: &'static str = "example.wake/1";
///     type Args = u32;
/// }
///
/// assert_eq!(Wake::name().as_str(), "example.wake/1");
/// ```
pub trait Message: 'static {
    /// Name on the wire with its version: see [`Command::NAME`].
    const NAME: &'static str;

    /// Handling it again does no harm: see [`Command::IDEMPOTENT`].
    const IDEMPOTENT: bool = false;

    /// What it says: see [`Command::Args`].
    type Args: Value;
}

impl<M: Message> Command for M {
    const NAME: &'static str = M::NAME;
    const IDEMPOTENT: bool = M::IDEMPOTENT;
    const IS_MESSAGE: bool = true;
    type Args = M::Args;
    type Update = Never;
    type Result = ();
}

/// The update type of commands that have none. There is no value of it, and no bytes decode to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Never {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Note;

    impl Message for Note {
        const NAME: &'static str = "test.note/1";
        type Args = (String, u8);
    }

    struct Misnamed;

    impl Message for Misnamed {
        const NAME: &'static str = "misnamed";
        type Args = ();
    }

    #[test]
    fn a_message_is_a_command_without_updates_and_result() {
        let args = ("hello".to_owned(), 1);
        let bytes = Note::encode_args(&args).unwrap();
        assert_eq!(Note::decode_args(&bytes), Ok(args));
        assert_eq!(Note::encode_result(&()).unwrap(), Bytes::new());
        assert!(Note::decode_update(&[]).is_err());
        assert!(Note::decode_update(&[0]).is_err());
    }

    #[test]
    #[should_panic(expected = "no name for a command")]
    fn a_command_with_a_wrong_name_is_found_at_once() {
        Misnamed::name();
    }
}
