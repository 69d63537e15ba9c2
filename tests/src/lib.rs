//! Whole nodes together: what the suites beside this folder share.
//!
//! [`pair`] is two nodes with a [`route`] between them over real sockets; [`commands`] and [`tally`] are what they are
//! made to do and the independent count of it. `cable` is for nodes in network namespaces. [`stranger`] speaks raw QUIC
//! to a node. [`process`] and [`supervised`] are processes that are killed, [`daemon`] those of the real program. [`sim`] is a network in memory on Tokio's
//! paused clock, and an environment that runs whole nodes on it; [`endless`] fills its links, [`recovery`] measures there
//! how soon commands are through again after a fault.

#[cfg(target_os = "linux")]
pub mod cable;
pub mod commands;
pub mod crashing;
pub mod daemon;
pub mod endless;
pub mod fleet;
pub mod follow;
pub mod heap;
pub mod log;
pub mod pair;
pub mod patience;
pub mod process;
pub mod recovery;
pub mod route;
pub mod seed;
pub mod sim;
pub mod stranger;
pub mod supervised;
pub mod tally;
