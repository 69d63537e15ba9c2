//! Links over real sockets, on one thread: handshakes that succeed and fail, streams, and what is in flight.

// These run over real sockets, on a real clock.
#![allow(clippy::disallowed_methods)]

mod batches;
mod budget;
mod dialling;
mod harness;
mod refusals;
mod resumption;
mod sockets;
mod streams;
