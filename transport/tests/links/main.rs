//! Links over real sockets, on one thread: handshakes that succeed and fail, streams, and what is in flight.

mod budget;
mod dialling;
mod harness;
mod refusals;
mod streams;
