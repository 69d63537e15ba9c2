//! Runnel beside raw quinn, tonic, tarpc and a bare multiplexer over TLS: the same workloads in one run, in turns.
//!
//! ```sh
//! cargo run --release -p runnel-benches --bin compare                     # all of it: some ten minutes
//! cargo run --release -p runnel-benches --bin compare -- --only runnel --only quinn --kind echo
//! ```
//!
//! Each measurement is two processes of its own, on loopback each on one processor. `comparison/systems.rs` says who
//! takes part, `plan.rs` what is asked of whom, `pair.rs` does it; `results.rs`, `table.rs` and `plot.rs` tell it.

#[cfg(target_os = "linux")]
mod comparison;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    comparison::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    // The processors of processes and the emulated links are Linux's.
    runnel_benches::needs_linux("compare")
}
