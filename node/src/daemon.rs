//! A node as a daemon: its configuration file, its local HTTP API and its signals.
//!
//! Start at [`run`]. `api` has the paths, `commands` what was submitted through them, `registry` and `log` what is
//! remembered of it (both pure).

mod api;
mod command_types;
mod commands;
mod config;
mod ending;
mod error;
mod event;
mod label;
mod log;
mod node_states;
mod outcome;
mod parent;
mod ready;
mod registry;
mod socket;
mod spool;
mod why;

use std::time::Instant;

use anyhow::Context;
use runnel::certs::{Identity, Role};
use runnel::codec::NodeId;
use runnel::commands::{
    register_built_ins, register_exec, register_folder_commands, register_supervised_exec,
};
use runnel::supervise::Supervision;
use runnel::{
    Delivery, Handlers, LinkChangesError, Node, NodeBuilder, NodeHandle, OpenStoreError, StartError,
    StoreStatus, load_or_create_endpoint_keys, open_store,
};
use tracing::info;

use self::api::{About, ApiServer};
pub(crate) use self::config::DaemonConfig;
use self::ending::Ending;
pub(crate) use self::ending::Tie;
pub(crate) use self::ready::{announce, say_stopping};
use self::socket::ApiSocket;
pub(crate) use self::socket::{SocketFile, bind_private, default_path as default_socket};
use self::spool::BodySpool;

/// The store has failed while the node ran, and nothing can be promised without it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store has failed: {0}; nothing that was stored is lost, start the node again once its disk works"
)]
struct StoreFailed(String);

/// Returns whether a node ended, or did not start, because of its store.
pub(crate) fn is_of_store(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<OpenStoreError>()
            || cause.is::<StoreFailed>()
            || matches!(cause.downcast_ref(), Some(StartError::Store(_)))
    })
}

/// Runs a node until SIGTERM or SIGINT, until what it is tied to is gone, or until its store fails.
pub(crate) async fn run(config: DaemonConfig, tie: Tie) -> anyhow::Result<()> {
    let mut ending = Ending::new(tie)?;
    let identity = Identity::load(&config.identity)
        .with_context(|| format!("cannot load the identity in {}", config.identity.display()))?;
    let about = About {
        fleet: identity.fleet().to_string(),
        role: identity.role().as_str(),
        started_at: Instant::now(),
        certificate_ends_at: identity.not_after(),
    };
    let drain_timeout = config.settings.node.drain_timeout;
    let delivery = if config.store_folder().is_some() { Delivery::Durable } else { Delivery::Memory };
    // The socket comes first: who finds another node there has not started a second one beside it.
    let socket = bind_socket(&config)?;
    let path = socket.as_ref().map(|socket| socket.path().to_owned());
    let api_config = config.api.clone();
    let spool = config.bodies_folder().map(|folder| {
        let failed = format!("cannot open the folder of bodies, {}", folder.display());
        BodySpool::open(folder, config.api.bodies_bytes_max, config.api.body_age).context(failed)
    });
    let spool = spool.transpose()?;
    let node = builder(identity, config)?.start().await?;
    let handle = node.handle().clone();
    let server = match socket {
        Some(socket) => {
            Some(ApiServer::start(socket, handle.clone(), about, &api_config, delivery, spool).await)
        }
        None => None,
    };
    info!(node = %handle.node(), listening = ?handle.listening(), socket = ?path, "ready");
    ready::say_ready(handle.node().as_str(), handle.listening(), path.as_deref());
    tokio::select! {
        () = ending.wait() => {}
        () = stopped(&handle) => {}
    }
    say_stopping();
    shut_down(node, server, drain_timeout).await;
    match &handle.status().borrow().store {
        StoreStatus::Failed(failure) => Err(StoreFailed(failure.clone()).into()),
        _ => Ok(()),
    }
}

/// Waits until the node has stopped by itself.
async fn stopped(handle: &NodeHandle) {
    let Some(mut changes) = handle.link_changes() else { return };
    while !matches!(changes.next().await, Err(LinkChangesError::NodeStopped)) {}
}

/// Stops in order: no more requests, then the node, then those who followed its commands.
async fn shut_down(node: Node, server: Option<ApiServer>, drain_timeout: std::time::Duration) {
    let Some(mut server) = server else { return node.shutdown().await };
    server.stop(drain_timeout).await;
    node.shutdown().await;
    server.wait_idle().await;
}

fn bind_socket(config: &DaemonConfig) -> anyhow::Result<Option<ApiSocket>> {
    if !config.api.enabled {
        return Ok(None);
    }
    let path = match &config.api.socket {
        Some(path) => path.clone(),
        None => socket::default_path()?,
    };
    ApiSocket::bind(&path, config.api.connections_max).map(Some)
}

fn builder(identity: Identity, config: DaemonConfig) -> anyhow::Result<NodeBuilder> {
    let mut handlers = Handlers::new();
    if identity.role() == Role::Worker {
        register_built_ins(&mut handlers, config.confinement.clone());
        register_exec(&mut handlers, config.confinement.clone(), config.exec.clone());
        register_folder_commands(&mut handlers, config.confinement.clone(), config.folders.clone());
        if let Some(folder) = &config.state_dir {
            let program =
                std::env::current_exe().context("cannot find this program to supervise others with")?;
            let supervision = Supervision::new(folder.join("exec"), program, config.supervision.clone());
            let confinement = config.confinement.clone();
            register_supervised_exec(&mut handlers, confinement, supervision, config.exec.clone());
        }
    }
    let mut builder = NodeBuilder::new(identity)
        .config(config.node_settings())
        .handlers(handlers)
        .policy(config.policy.clone());
    if let Some(folder) = config.store_folder() {
        builder = builder.store(open_store(&folder, &config.store.database)?);
    }
    if let Some(folder) = config.spill_folder() {
        builder = builder.spill_folder(folder);
    }
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
    Ok(builder)
}
