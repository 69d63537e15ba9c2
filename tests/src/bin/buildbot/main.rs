//! Unmodified Buildbot: its master runs builds with ordinary steps on a node of Runnel's and on its own worker, on direct
//! and on bad networks, and directly over its other protocol.
//!
//! Usage: `buildbot [--quick | --measure] [--only TEXT] [--list] [--json] [--keep]`
//!
//! Master and reference worker are installed from PyPI into a virtual environment below the target folder; where that
//! cannot be, it says that it is skipped, and why. `peer/` is what they run, `builders` what has to come of it, `matrix`
//! runs every builder everywhere, `faults` lets builds endure something, `measure` takes times. Prints Markdown, or JSON.
//! Ends with 1 if something is not as it has to be.

#[cfg(target_os = "linux")]
mod arguments;
#[cfg(target_os = "linux")]
mod builders;
#[cfg(target_os = "linux")]
mod environment;
#[cfg(target_os = "linux")]
mod expected;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod fleet;
#[cfg(target_os = "linux")]
mod judge;
#[cfg(target_os = "linux")]
mod master;
#[cfg(target_os = "linux")]
mod matrix;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod scene;
#[cfg(target_os = "linux")]
mod show;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod told;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    run::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    use std::io::Write as _;
    // Emulated links are made of Linux's network namespaces, and processes are looked for in /proc.
    writeln!(std::io::stdout(), "skipped: it needs Linux").ok();
    ExitCode::SUCCESS
}
