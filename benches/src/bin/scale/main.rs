//! What large numbers cost: choosing among many queued commands, and many idle links.
//!
//! ```sh
//! cargo run --release -p runnel-benches --bin scale                        # up to 10,000 workers: some minutes
//! cargo run --release -p runnel-benches --bin scale -- --workers 100 --seconds 5
//! ```
//!
//! Links are real: a process with one controller, and one with as many worker nodes as there are links, on loopback.
//! `links.rs` leads the two and looks at them from outside, `ends.rs` is what they do.

#[cfg(target_os = "linux")]
mod choices;
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod figures;
#[cfg(target_os = "linux")]
mod links;
#[cfg(target_os = "linux")]
mod plot;
#[cfg(target_os = "linux")]
mod run;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    run::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    // What a process holds and uses is read from Linux's /proc.
    runnel_benches::needs_linux("scale")
}
