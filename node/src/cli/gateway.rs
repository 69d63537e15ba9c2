//! `runnel gateway`: processes by which other systems drive the fleet.
//!
//! Each speaks that system's protocol on one side and the local node's HTTP API on the other.

mod amp;
mod buildbot;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};

/// Arguments of `runnel gateway`.
#[derive(Debug, Args)]
pub(super) struct GatewayArgs {
    #[command(subcommand)]
    system: System,
}

#[derive(Debug, Subcommand)]
enum System {
    /// Twisted programs call commands on nodes, over AMP.
    Amp(amp::AmpArgs),
    /// Nodes as workers of a Buildbot master.
    Buildbot(buildbot::BuildbotArgs),
}

pub(super) fn run(args: GatewayArgs) -> Result<Exit, Failure> {
    match args.system {
        System::Amp(args) => amp::run(args),
        System::Buildbot(args) => buildbot::run(args),
    }
}
