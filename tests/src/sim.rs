//! Whole nodes on a network in memory and a virtual clock: the real engine, transport and queues, with real QUIC and TLS.
//!
//! All that is random comes from seeds, so a run can be repeated byte by byte. [`Network`] carries packets over paths and
//! NATs with every fault that they have; a [`Machine`] outlives the processes on it, each of which is a [`SimEnv`].
//! [`Pair`] is the smallest whole: a controller and a worker.
//!
//! A [`World`] is many hosts, their callers and what befalls them, all drawn from one seed as [`Options`]; an [`Observer`]
//! sees it from outside and says which [`Invariant`] did not hold. [`run`] is the whole of it: start there.

mod bottleneck;
mod callers;
mod chaos;
mod crypto;
mod env;
mod fault;
mod firewall;
mod gilbert_elliott;
mod handlers;
mod identities;
mod machine;
mod mark;
mod nat;
mod network;
mod observer;
mod options;
mod order;
mod pair;
mod path;
mod process;
mod programs;
mod run;
mod socket;
mod strangers;
mod tasks;
mod trace;
mod violation;
mod workload;
mod world;

pub use bottleneck::RateConfig;
pub use env::SimEnv;
pub use fault::FaultKind;
pub use gilbert_elliott::BurstConfig;
pub use identities::identity;
pub use machine::Machine;
pub use mark::Mark;
pub use nat::{NatConfig, NatKind};
pub use network::{Counts, Network};
pub use observer::{Ended, Observer, Seat};
pub use options::Options;
pub use order::{Ending, Job, Keep, Kind, Note, Order, Repeat, Tell, Unheard, Work};
pub use pair::{CONTROLLER_HOST, Pair, WORKER_HOST};
pub use path::PathConfig;
pub use run::{Report, run};
pub use strangers::first_packets;
pub use tasks::TaskSet;
pub use trace::{Detail, Trace};
pub use violation::{Invariant, Violation};
pub use world::World;
