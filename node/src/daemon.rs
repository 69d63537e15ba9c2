//! A node as a daemon: its configuration file and its signals.

mod parent;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use self::parent::Parent;
use anyhow::Context;
use runnel::certs::{Identity, Role};
use runnel::codec::NodeId;
use runnel::commands::register_built_ins;
use runnel::process::Confinement;
use runnel::{Config, Handlers, NodeBuilder, load_or_create_endpoint_keys};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// What a daemon's configuration file says. Unknown keys are errors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DaemonConfig {
    /// Folder with `node.crt`, `node.key` and `ca.crt`.
    identity: PathBuf,
    /// Addresses to accept links at. Default: none.
    #[serde(default)]
    listen: Vec<SocketAddr>,
    /// Peers to dial, each with a list of `host:port`. Default: none.
    #[serde(default)]
    peers: BTreeMap<String, Vec<String>>,
    /// Folder for what the node keeps between restarts, made if it is missing. Default: none, and then peers notice a
    /// restart only by silence.
    #[serde(default)]
    state_dir: Option<PathBuf>,
    /// What a worker's `exec` may run. Default: anything.
    #[serde(default)]
    confinement: Confinement,
    /// Settings of the node. Default: see each of them.
    #[serde(default)]
    settings: Config,
}

impl DaemonConfig {
    /// Reads a configuration file.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("the configuration {} is wrong", path.display()))
    }
}

/// What a daemon ends with, apart from SIGTERM and SIGINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// Nothing else.
    None,
    /// The process at the other end of standard input.
    Parent,
}

/// Runs a node until SIGTERM or SIGINT, or until its parent is gone.
pub(crate) async fn run(config: DaemonConfig, tie: Tie) -> anyhow::Result<()> {
    let mut parent = match tie {
        Tie::None => None,
        Tie::Parent => Some(Parent::at_stdin().context("--exit-with-parent needs a pipe as standard input")?),
    };
    let identity = Identity::load(&config.identity)
        .with_context(|| format!("cannot load the identity in {}", config.identity.display()))?;
    let mut handlers = Handlers::new();
    if identity.role() == Role::Worker {
        register_built_ins(&mut handlers, config.confinement);
    }
    let mut builder = NodeBuilder::new(identity).config(config.settings).handlers(handlers);
    if let Some(folder) = &config.state_dir {
        let keys = load_or_create_endpoint_keys(folder)
            .with_context(|| format!("cannot use the state folder {}", folder.display()))?;
        builder = builder.endpoint_keys(keys);
    }
    for address in config.listen {
        builder = builder.listen(address);
    }
    for (peer, addresses) in config.peers {
        let peer: NodeId = peer.parse().with_context(|| format!("{peer:?} is no name for a peer"))?;
        builder = builder.peer(peer, addresses);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let node = builder.start().await?;
    info!(node = %node.handle().node(), listening = ?node.handle().listening(), "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = gone(&mut parent) => info!("the parent is gone"),
    }
    node.shutdown().await;
    Ok(())
}

/// Waits until the parent is gone; for ever without one.
async fn gone(parent: &mut Option<Parent>) {
    match parent {
        Some(parent) => parent.gone().await,
        None => std::future::pending().await,
    }
}
