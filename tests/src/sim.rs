//! Whole nodes on a network in memory, on Tokio's paused clock: real quinn, real TLS, virtual time.

mod env;
mod network;
mod socket;

pub use self::env::SimEnv;
pub use self::network::{Counts, Network, PathConfig};
