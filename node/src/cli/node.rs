//! `runnel node`: a node until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::daemon;

/// Arguments of `runnel node`.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node's configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) fn run(args: &NodeArgs) -> anyhow::Result<()> {
    let config = daemon::DaemonConfig::load(&args.config)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime of the handlers")?;
    runtime.block_on(daemon::run(config))
}
