//! Whole nodes on a network in memory and a virtual clock: the real engine, transport and queues, with real QUIC and TLS.
//!
//! All that is random comes from seeds, so a run can be repeated byte by byte. [`Network`] carries packets over paths and
//! NATs with every fault that they have; a [`Machine`] outlives the processes on it, each of which is a [`SimEnv`].
//! [`Pair`] is the smallest whole: a controller and a worker.

mod bottleneck;
mod crypto;
mod env;
mod gilbert_elliott;
mod identities;
mod machine;
mod nat;
mod network;
mod pair;
mod path;
mod socket;
mod tasks;
mod trace;

pub use bottleneck::RateConfig;
pub use env::SimEnv;
pub use gilbert_elliott::BurstConfig;
pub use identities::identity;
pub use machine::Machine;
pub use nat::{NatConfig, NatKind};
pub use network::{Counts, Network};
pub use pair::{CONTROLLER_HOST, Pair, WORKER_HOST};
pub use path::PathConfig;
pub use tasks::TaskSet;
pub use trace::{Detail, Trace};
