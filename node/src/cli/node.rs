//! `runnel node`: a node until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::exit::{Exit, Failure};
use crate::daemon;

/// Arguments of `runnel node`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NodeArgs {
    /// The node's configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// End when the other end of standard input, a pipe, is closed: for processes that start nodes.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

pub(crate) fn run(args: &NodeArgs) -> Result<(), Failure> {
    let config = daemon::DaemonConfig::load(&args.config)
        .map_err(|error| Failure::new(Exit::BadConfig, format!("{error:#}")))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime of the handlers")?;
    let tie = if args.exit_with_parent { daemon::Tie::Parent } else { daemon::Tie::None };
    runtime.block_on(daemon::run(config, tie)).map_err(|error| {
        let exit = if daemon::is_of_store(&error) { Exit::StoreFailed } else { Exit::Failed };
        Failure::new(exit, format!("{error:#}"))
    })
}

const EXAMPLES: &str = "\
Examples:
  runnel node --config /etc/runnel/node.toml
  printf '[peers]\\ndesk = [\"desk:4433\"]\\n' > identity/node.toml; runnel node --config identity/node.toml

An empty file is a valid configuration if node.key, node.crt and ca.crt lie beside it;
node/config.example.toml has every setting. One line of JSON on standard output says that the node
is ready (systemd: Type=notify). SIGTERM and Ctrl-C stop it in order.";
