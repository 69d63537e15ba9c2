//! Whole nodes together: what the suites beside this folder share.
//!
//! [`sim`] is a network in memory on Tokio's paused clock, and an environment that runs whole nodes on it.

pub mod fleet;
pub mod sim;
