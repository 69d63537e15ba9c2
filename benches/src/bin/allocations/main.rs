//! How many heap blocks a small command takes at each end, as dhat counts them, and how many of them are ours.
//!
//! ```sh
//! cargo run --release -p runnel-benches --bin allocations
//! ```
//!
//! Echoes of 64 bytes through an inline handler, 64 in flight, once all tables have grown: in two processes, each with
//! one thread. A block is quinn's if quinn's code asked for it; a type of arguments without heap tells apart what callers
//! and handlers are given. `ends.rs` is what the processes do, `profile.rs` counts in them, `run.rs` leads them, `cost.rs` is
//! what they say.

mod cost;
mod ends;
mod profile;
mod run;

use std::process::ExitCode;

/// Counts every block of the process while a profiler of dhat's lives.
#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

fn main() -> ExitCode {
    run::main()
}
