//! Authenticated QUIC links between nodes. This is the only crate that names quinn.
//!
//! An [`Endpoint`] owns a node's sockets; a [`Link`] is one connection to one peer, identified by its certificate.
//! A link moves frames and knows nothing of what they promise: it says what came ([`LinkEvent`]) and writes what it is
//! given. [`Liveness`], [`Reconnect`] and [`PathWatch`] decide, without I/O, when a link is dead, when to
//! dial again, and when to move to new sockets.
//!
//! Nothing here starts a thread or a task: whoever owns a link polls it. quinn's own tasks, the clock, randomness and
//! sockets come from the [`Env`].

// Unit tests may look at a clock; what they test may not.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod close;
mod config;
mod congestion;
mod dial;
mod dialling;
mod endpoint;
mod env;
mod error;
mod handshakes;
mod keys;
mod link;
mod link_settings;
mod liveness;
mod path;
mod ready;
mod reconnect;
mod runtime;
mod socket;
mod tickets;

pub use close::{CloseReason, LinkClosed, TlsFailure};
pub use config::{CongestionControl, TransportConfig};
pub use dial::DialRequest;
pub use endpoint::Endpoint;
pub use env::Env;
pub use error::{EndpointError, NoPlace};
pub use keys::EndpointKeys;
pub use link::{Link, LinkEvent, LinkStats, NumberHasher, Side, StreamId, StreamMap};
pub use liveness::{Liveness, LivenessConfig};
pub use path::{Look, MoveCause, PathConfig, PathEvent, PathWatch};
pub use ready::ReadySet;
pub use reconnect::{Dial, Reconnect, ReconnectConfig};
pub use socket::{Socket, SocketStats};
