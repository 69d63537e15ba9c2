//! Nodes as workers of a Buildbot master.
//!
//! Four layers have what master and worker say to each other, Twisted's Perspective Broker, from the bytes up: [`banana`] makes lists of strings and numbers of bytes, [`jelly`] makes values of
//! Python of lists, a [`Broker`] carries calls of objects in both directions, and [`worker`] has what a master and a
//! worker call, as types. `PB.md` describes the subset that is spoken. The other protocol of Buildbot, [`msgpack`], carries
//! the same commands in other words.
//!
//! These never do I/O, read no clock, draw no random numbers and start nothing. What they read from a peer never makes
//! them panic, nothing is made of it but what a list of types allows, and they hold no more of it than [`Limits`] say. They
//! know nothing of Runnel. [`gateway`] does: it drives a broker for each node and has the nodes do what the master wants.
//!
//! Start with [`Broker`], with [`worker::MindCall`] for what the first calls are, and with [`gateway::run`].
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
#[cfg(feature = "gateway")]
pub mod gateway;
mod ids;
pub mod jelly;
mod limits;
pub mod msgpack;
pub mod worker;

pub use broker::{Broker, CallFailure, Called, CloseReason, Credentials, Event, SendError, TooManyObjects};
pub use ids::{CallId, ObjectId, RemoteId, RequestId};
pub use limits::Limits;
