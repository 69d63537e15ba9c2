//! What Buildbot's master and workers say to each other: Twisted's Perspective Broker, as far as a worker needs it.
//!
//! Four layers, from the bytes up: [`banana`] makes lists of strings and numbers of bytes, [`jelly`] makes values of
//! Python of lists, a [`Broker`] carries calls of objects in both directions, and [`worker`] has what a master and a
//! worker call, as types. `PB.md` describes the subset that is spoken.
//!
//! This crate never does I/O, reads no clock, draws no random numbers and starts nothing. What it reads from a peer
//! never makes it panic, nothing is made of it but what a list of types allows, and it holds no more of it than
//! [`Limits`] say. It knows nothing of Runnel.
//!
//! Start with [`Broker`], and with [`worker::MindCall`] for what the first calls are.
//!
//! ```
//! use runnel_buildbot::{Broker, Credentials, Event, Limits};
//!
//! let credentials = Credentials { username: "worker1".to_owned(), password: "secret".to_owned() };
//! let mut broker = Broker::new(Limits::default(), credentials);
//!
//! // The master offers two dialects ...
//! broker.handle_bytes(b"\x02\x80\x02\x82pb\x04\x82none");
//! // ... and the broker chooses one, says its version and asks for a challenge.
//! let answer = broker.poll_transmit().expect("something to say");
//! assert!(answer.starts_with(b"\x02\x82pb"));
//!
//! broker.handle_end();
//! assert!(matches!(broker.poll_event(), Some(Event::Closed(_))));
//! ```

pub mod banana;
mod broker;
mod ids;
pub mod jelly;
mod limits;
pub mod worker;

pub use broker::{Broker, CallFailure, Called, CloseReason, Credentials, Event, SendError, TooManyObjects};
pub use ids::{CallId, ObjectId, RemoteId, RequestId};
pub use limits::Limits;
