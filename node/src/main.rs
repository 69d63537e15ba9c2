//! The program `runnel`.

mod cli;
mod daemon;
mod demo;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
