//! What is asked of every system that is compared, and how it is measured: the same code in every process, so that no
//! system is timed in another way than its neighbour.
//!
//! A system is two processes, one that serves and one that drives. A process is started with a [`Setup`] as its only
//! argument and calls [`serve`] or [`drive`]; what is specific to its system is a [`Client`] and a server that tells
//! [`count_received`] of the bytes of bodies that it takes. [`Workload`] says what a client does, [`Measured`] what came
//! of it. This package knows no system.

mod client;
mod fleet;
mod identities;
mod load;
mod measured;
mod process;
mod processor;
mod received;
mod setup;
mod urgent;
mod workload;

pub use client::Client;
pub use fleet::Fleet;
pub use identities::{CLIENT, SERVER, load_client, load_server, write_identities};
pub use measured::{Latency, Measured, Served};
pub use process::{Line, drive, serve};
pub use received::count_received;
pub use setup::{Congestion, Role, Setup};
pub use workload::{BODY_BYTES, Kind, Workload};
