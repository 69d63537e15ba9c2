//! What a program says that runs on Linux alone.

use std::io::Write as _;
use std::process::ExitCode;

/// Says so, and returns the status of a program that has not done what it was asked for.
#[must_use]
pub fn needs_linux(program: &str) -> ExitCode {
    // Nobody is left to be told if that fails.
    writeln!(std::io::stderr(), "{program} needs Linux").ok();
    ExitCode::FAILURE
}
