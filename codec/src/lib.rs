//! Words and bytes of Runnel: what nodes say to each other, and how it is written down.
//!
//! The words are plain types: names and numbers ([`NodeId`], [`CommandId`], [`Epoch`], [`Seq`], [`LinkNumber`]), the five
//! [classes](Class), a command's [`Head`] and [`StreamFrame`]s, the [`ControlFrame`]s of a link, [`Outcome`]s and
//! [`CloseCode`]s. The bytes are laid out by hand and specified in `WIRE.md`; what an application puts into arguments,
//! updates and results goes through [`Command`] and one module that names the serializer.
//!
//! This crate never does I/O, reads no clock, draws no random numbers, starts nothing and keeps nothing: it does not know
//! what a connection is. What it reads from a peer never makes it panic, and it holds no more of it than [`Limits`] say.
//!
//! Start with [`Command`] to define what travels, with [`encode_head`] and [`encode_frame`] to write a stream, and with
//! [`StreamDecoder`] and [`ReplyDecoder`] to read one.
//!
//! ```
//! use bytes::BytesMut;
//! use runnel_codec::*;
//!
//! struct Greet;
//!
//! impl Message for Greet {
//!     const NAME: &'static str = "example.greet/1";
//!     type Args = String;
//! }
//!
//! // The sender writes a head ...
//! let head = Head {
//!     key: CommandKey { epoch: Epoch::from_random(7), seq: Seq::FIRST },
//!     class: Class::Normal,
//!     name: Greet::name(),
//!     idempotent: false,
//!     cancelled: false,
//!     resent: false,
//!     started: false,
//!     early: false,
//!     updates: UpdatePolicy::Discard,
//!     deadline_remaining: None,
//!     updates_received: 0,
//!     result_body_received: 0,
//!     updates_credit: 0,
//!     result_body_credit: 0,
//!     payload_bytes: 0,
//!     has_body: false,
//!     args: Greet::encode_args(&"hello".to_owned())?,
//! };
//! let mut stream = BytesMut::new();
//! encode_head(&head, &mut stream);
//!
//! // ... which arrives in pieces ...
//! let mut decoder = StreamDecoder::new(Limits::default());
//! decoder.push(stream.split_to(10).freeze());
//! assert_eq!(decoder.next_item()?, Some(StreamItem::Kind(StreamKind::Command)));
//! assert_eq!(decoder.next_item()?, None);
//! decoder.push(stream.freeze());
//! let Some(StreamItem::Head(head)) = decoder.next_item()? else { panic!("the head is complete") };
//! assert_eq!(Greet::decode_args(&head.args)?, "hello");
//!
//! // ... and the receiver answers.
//! let outcome = Outcome::Done { result: Greet::encode_result(&())? };
//! let mut answers = BytesMut::new();
//! encode_frame(&StreamFrame::Accepted { body_received: 0, body_credit: 0 }, &mut answers);
//! encode_frame(&StreamFrame::Outcome(outcome.clone()), &mut answers);
//! let mut decoder = ReplyDecoder::new(Limits::default(), head.updates_received);
//! decoder.push(answers.freeze());
//! assert!(matches!(decoder.next_frame()?, Some(StreamFrame::Accepted { .. })));
//! assert_eq!(decoder.next_frame()?, Some(StreamFrame::Outcome(outcome)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod announcement;
mod body;
mod class;
mod close_code;
mod close_text;
mod command;
mod copy;
mod decode;
mod encode;
mod error;
mod frame;
mod head;
mod hello;
mod id;
mod kind;
mod limits;
mod lineage;
mod names;
mod outcome;
mod varint;

/// The library behind [`Encode`] and [`Decode`], for `#[bincode(crate = "runnel_codec::bincode")]` on derives.
pub use announcement::Datagram;
pub use bincode;
pub use body::{Decode, Encode, LARGE_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX, decode_body, encode_body};
pub use class::{Class, ClassMap};
pub use close_code::CloseCode;
pub use close_text::{CLOSE_PAUSE_MAX, CloseText};
pub use command::{Command, Message, Never, Value};
pub use copy::{COPY_HEADER_BYTES_MAX, StreamCopy};
pub use decode::{
    BatchDecoder, CommandItem, CommandStreamDecoder, ControlDecoder, ControlSide, ReplyDecoder,
    StreamDecoder, StreamItem,
};
pub use encode::{
    PieceKind, PiecePrefix, control_encoded_len, encode_control, encode_frame, encode_frame_split,
    encode_head, encode_head_split, encode_message, encode_stream_kind, frame_encoded_len, head_encoded_len,
    message_encoded_len, piece_prefix,
};
pub use error::{DecodeError, EncodeError, NameError};
pub use frame::{BodyEnd, BusyScope, ControlFrame, LastWord, Part, Reached, Step, StreamFrame, StreamKind};
pub use head::{COMMAND_NAME_BYTES_MAX, CommandName, Head, UpdatePolicy};
pub use hello::{
    FEATURE_BATCHES, GoAway, GoAwayReason, HELLO_COMMANDS_MAX, HELLO_SETTLED_MAX, Hello, HelloAnswer, Settled,
};
pub use id::{CommandId, CommandKey, Epoch, FleetId, LinkNumber, NAME_BYTES_MAX, NodeId, Seq};
pub use limits::{BATCH_BYTES_MAX, CREDIT_STEP_BYTES_MAX, Limits};
pub use lineage::{LINEAGE_MAX, Lineage, REACHES_MAX, Reach, StoreProcess};
pub use names::KnownNames;
pub use outcome::{
    Failure, FailureKind, MESSAGE_BYTES_MAX, Outcome, Rejection, RejectionKind, UnknownReason,
};
