//! Buildbot's other worker protocol, `msgpack_experimental_v7`: maps of MessagePack, one in each message of a WebSocket.
//!
//! An [`Exchange`] numbers what is asked and answered on one connection, [`Ask`] is what a master asks, and [`Commands`]
//! has the commands that a master has started: it says their updates, ends and blocks in this protocol's words, and makes
//! whole lines of their text. `MSGPACK.md` describes what is spoken.
//!
//! As everything here that is not the gateway, it does no I/O, reads no clock, and holds no more of what a peer says than
//! [`Limits`](crate::Limits) allow. The values are those of [`jelly`](crate::jelly): both protocols carry Python's.

mod ask;
mod commands;
mod exchange;
mod lines;
mod message;
mod newline;
mod read;
mod write;

pub use self::ask::Ask;
pub use self::commands::{Commands, NoSuchCall, Outgoing};
pub use self::exchange::{CloseReason, Event, Exchange, SendError};
pub use self::newline::NEWLINE_RE;
pub use self::read::{ReadError, read};
pub use self::write::{WriteError, write};
