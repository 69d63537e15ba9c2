//! `runnel gateway buildbot`: nodes as workers of a Buildbot master, until it is told to stop.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use runnel_buildbot::gateway::{self, Config};
use runnel_client::Client;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::exit::{Exit, Failure};
use super::super::signals::Signals;
use crate::daemon::{announce, default_socket, say_stopping};

/// Arguments of `runnel gateway buildbot`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BuildbotArgs {
    /// The gateway's configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The local node's socket [default: that of the configuration, else where a node of this user makes it].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

pub(super) fn run(args: BuildbotArgs) -> Result<Exit, Failure> {
    let bad_config = |error: anyhow::Error| Failure::new(Exit::BadConfig, format!("{error:#}"));
    let config = load(&args.config).map_err(bad_config)?;
    let socket = match args.socket.or_else(|| config.socket.clone()) {
        Some(socket) => socket,
        None => default_socket().map_err(bad_config)?,
    };
    let folder = args.config.parent().unwrap_or(Path::new("")).to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start the gateway's runtime")?;
    runtime.block_on(serve(config, &folder, Client::new(socket)))
}

async fn serve(config: Config, folder: &Path, client: Client) -> Result<Exit, Failure> {
    let mut signals = Signals::catch().map_err(anyhow::Error::from)?;
    let stop = CancellationToken::new();
    let workers: Vec<_> = config.workers.keys().collect();
    let ready = json!({ "ready": true, "gateway": "buildbot", "master": config.master, "workers": workers });
    let stopped = {
        let stop = stop.clone();
        async move {
            signals.next().await;
            say_stopping();
            stop.cancel();
            // A second one does not wait for what is cancelled.
            signals.next().await;
        }
    };
    config.check().map_err(|error| Failure::new(Exit::BadConfig, error.to_string()))?;
    announce(&ready);
    tokio::select! {
        served = gateway::run(config, folder, client, stop) => {
            served.map_err(|error| Failure::new(Exit::BadConfig, error.to_string()))?;
        }
        () = stopped => {}
    }
    Ok(Exit::Success)
}

fn load(path: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: Config =
        toml::from_str(&text).with_context(|| format!("{} is no configuration", path.display()))?;
    config.check().with_context(|| format!("{} is no configuration", path.display()))?;
    Ok(config)
}

const EXAMPLES: &str = "\
Examples:
  runnel gateway buildbot --config gateway.toml

gateway.toml names the master and the nodes that are its workers:
  master = \"127.0.0.1:9989\"         # where it listens for the protocol pb
  # protocol = \"msgpack\"            # if it listens there for msgpack_experimental_v7
  [workers.w1]                        # a node of the fleet, and the worker's name in master.cfg
  password_file = \"w1.password\"     # mode 0600; or password_env = \"W1_PASSWORD\"
  folder = \"/var/lib/runnel/builds\" # on the node: holds the builders' folders

It belongs on the master's machine, beside a node that is a controller (runnel node), and
docs/buildbot.md has the whole way. One line of JSON on standard output says that it is ready;
SIGTERM and Ctrl-C stop it, and what runs for the master with it.";
