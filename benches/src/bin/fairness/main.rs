//! How Runnel shares a bottleneck: with links of its own kind, and with TCP of the kernel, on emulated links.
//!
//! Usage: `fairness [--seconds S] [--seeds N] [--only TEXT] [--flows N] [--trace]`
//!
//! Prints a Markdown table: a row for each cell of the matrix, with the spread over the seeds. Runs go beside each
//! other, each on a link of its own, as long as they have not more than ten flows together: two cores carry that. With
//! more than they carry, delays of the processor look like queues. `--trace` shows what each flow got, second by second.
//! Needs root; says so and ends well where it cannot run.

#[cfg(target_os = "linux")]
mod cell;
#[cfg(target_os = "linux")]
mod flow;
#[cfg(target_os = "linux")]
mod matrix;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    matrix::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    // Emulated links are made of Linux's network namespaces.
    runnel_benches::needs_linux("fairness")
}
