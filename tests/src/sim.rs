//! Whole nodes on a network in memory, on Tokio's paused clock: real quinn, real TLS, virtual time.

mod env;
mod network;
mod pair;
mod socket;

pub use self::env::SimEnv;
pub use self::network::{Counts, Network, PathConfig};
pub use self::pair::{CONTROLLER_HOST, Pair, WORKER_HOST};
