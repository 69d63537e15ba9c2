//! The local HTTP API, as a client uses it: real daemons, real sockets, every path and every error.

mod bodies;
mod client;
mod documented;
mod errors;
mod exec;
mod folders;
mod follow;
#[cfg(target_os = "linux")]
mod full_disk;
mod lifetime;
mod nodes;
mod raw;
mod restart;
mod submit;
#[path = "../shared/supervisors.rs"]
mod supervisors;
