//! A gateway: nodes of a fleet as workers of a Buildbot master.
//!
//! It knows the fleet through the HTTP API of the local node alone, and the master through a connection for each worker.
//! Start with [`run`]; the life of a build's command goes through `session` (the master's call), `order` and what is below
//! it (what is done for it), `node` (the commands that do it) and `report` (what the master is told).
//!
//! A command of the master's is one of Runnel's or a few, each kept by the local node. So it lives through lost links,
//! other addresses and restarts of its node's daemon without the master's knowing. What a session leaves behind is
//! cancelled, by the keys of its commands, before the next one begins.

mod attachment;
mod config;
mod fault;
mod fleet;
mod machine;
mod master;
mod msgpack;
mod node;
mod order;
mod paths;
mod pb;
mod protocol;
mod report;
mod session;
mod spool;
mod text;

use std::path::Path;
use std::sync::Arc;

use runnel_client::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::attachment::Worker;
use self::fleet::Fleet;
use self::node::Node;
use crate::broker::Credentials;

pub use self::config::{Config, ConfigError, MasterProtocol, WorkerConfig};

/// Serves the master until `stop` is cancelled. Passwords are read from files that count from `folder`.
///
/// Runs on the caller's runtime of tokio. What runs for the master when it is stopped is cancelled.
///
/// # Errors
///
/// When the configuration does not hold together or a password cannot be read. Everything else is waited for: a master or
/// a node that is not there may come.
pub async fn run(
    config: Config,
    folder: &Path,
    client: Client,
    stop: CancellationToken,
) -> Result<(), ConfigError> {
    config.check()?;
    let config = Arc::new(config);
    let mut fleet = Fleet::new(client.clone());
    let mut workers = Vec::new();
    for (name, worker) in &config.workers {
        workers.push(Worker {
            config: config.clone(),
            worker: worker.clone(),
            credentials: Credentials {
                username: worker.name.clone().unwrap_or_else(|| name.clone()),
                password: worker.password(name, folder)?,
            },
            node: Arc::new(Node::new(
                client.clone(),
                name.clone(),
                &config.name,
                config.node_patience,
                config.interrupt_patience,
            )),
            reach: fleet.watch(name),
        });
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(fleet.run());
    let mut attached = JoinSet::new();
    for worker in workers {
        attached.spawn(worker.run(stop.clone()));
    }
    while attached.join_next().await.is_some() {}
    // Workers that the master has sent away do not end the gateway: it would only be started again.
    stop.cancelled().await;
    Ok(())
}
