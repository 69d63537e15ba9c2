//! AMP, Twisted's Asynchronous Messaging Protocol: what a Twisted program says to a Runnel node, and hears from it.
//!
//! Two layers, from the bytes up: an [`AmpBox`] is what one side says at once, pairs of a key and a value that a
//! [`Decoder`] reads, and a [`Session`] makes asks and answers of boxes, in both directions. [`value`] has the types of
//! arguments as Twisted writes them. `AMP.md` describes all of it.
//!
//! These never do I/O, read no clock and start nothing. What they read from a peer never makes them panic, and they hold
//! no more of it than [`Limits`] say. [`gateway`] drives sessions and has the local node do what Twisted programs ask.
//!
//! ```
//! use runnel_amp::{AmpBox, Event, Limits, Session};
//!
//! let mut session = Session::new(Limits::default());
//! session.handle_bytes(b"\0\x04_ask\0\x011\0\x08_command\0\x04Ping\0\0");
//! let Some(Event::Called(called)) = session.poll_event() else { panic!("a call") };
//! assert_eq!(&called.command[..], b"Ping");
//! session.answer(called.request, AmpBox::new()).expect("it waits for an answer");
//! assert_eq!(session.poll_transmit().as_deref(), Some(&b"\0\x07_answer\0\x011\0\0"[..]));
//! ```

mod amp_box;
mod decode;
#[cfg(feature = "gateway")]
pub mod gateway;
mod limits;
mod session;
pub mod value;

pub use amp_box::{AmpBox, EncodeError, KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use decode::{DecodeError, Decoder};
pub use limits::Limits;
pub use session::{AskFailure, AskId, Called, CloseReason, Event, RequestId, SendError, Session, UNHANDLED};
