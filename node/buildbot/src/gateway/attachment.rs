//! The life of one worker: attached while its node can be reached, and again after each loss.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::config::{Config, MasterProtocol, WorkerConfig};
use super::fault::Fault;
use super::fleet::Reach;
use super::machine::Machine;
use super::msgpack::Msgpack;
use super::node::{Halt, Node, Work};
use super::pb::Pb;
use super::protocol::{Closing, OpenError};
use super::session::{Attachment, Session, SessionEnd};
use crate::broker::Credentials;

/// One worker of a gateway.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) config: Arc<Config>,
    pub(super) worker: WorkerConfig,
    pub(super) credentials: Credentials,
    pub(super) node: Arc<Node>,
    pub(super) reach: watch::Receiver<Reach>,
}

impl Worker {
    /// Attaches again and again, until the gateway is to stop or the master wants the worker to.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                reach = self.reach.wait_for(|reach| *reach == Reach::Up) => {
                    if reach.is_err() {
                        return;
                    }
                }
            }
            let end = self.attach(&stop).await;
            pause = match self.judge(&end) {
                Again::Never => return,
                Again::AtOnce => FIRST_PAUSE,
                Again::Later => (pause * 3 / 2).min(self.config.reconnect_max),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                // Workers that lost the same master come back one by one.
                () = sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
            }
        }
    }

    /// Attaches once, and returns when that has ended.
    async fn attach(&self, stop: &CancellationToken) -> Result<SessionEnd, AttachError> {
        let halt = Halt { lost: stop.clone(), ..Halt::default() };
        // What an older session left may still write to a builder's folder.
        tokio::select! {
            () = stop.cancelled() => return Ok(SessionEnd::Stopped),
            cleared = self.node.clear_leftovers() => cleared?,
        }
        let machine = Machine::learn(&self.node, &halt).await?;
        let attachment = Attachment {
            info: machine.info(&self.worker),
            config: self.config.clone(),
            node: self.node.clone(),
            has_store: self.node.has_store().await?,
            machine,
            reach: self.reach.clone(),
        };
        let (address, limits) = (&self.config.master, self.config.limits.clone());
        let (node, folder) = (self.node.name.clone(), self.worker.folder.clone());
        match self.config.protocol {
            MasterProtocol::Pb => {
                let master = Pb::open(address, limits, self.credentials.clone(), node, folder).await?;
                Ok(Session::new(attachment, master).run(stop).await)
            }
            MasterProtocol::Msgpack => {
                self.make_folder(&halt).await?;
                let master = Msgpack::open(address, limits, &self.credentials, node, folder).await?;
                Ok(Session::new(attachment, master).run(stop).await)
            }
        }
    }

    /// Makes the worker's folder, which a master lists before it has any made in it.
    async fn make_folder(&self, halt: &Halt) -> Result<(), Fault> {
        let args = json!({ "paths": [self.worker.folder] });
        let outcome = self.node.call(&Work::small("fs.mkdir/1", args), halt).await?;
        match outcome.kind.as_str() {
            "done" => Ok(()),
            _ => Err(Fault::failed(outcome.message.unwrap_or(outcome.kind))),
        }
    }

    /// Says why it has ended, and what comes of it.
    fn judge(&self, end: &Result<SessionEnd, AttachError>) -> Again {
        let (node, worker) = (&self.node.name, &self.credentials.username);
        match end {
            Ok(SessionEnd::Stopped) => return Again::Never,
            Ok(SessionEnd::ShutDown) => {
                tracing::info!(
                    node,
                    worker,
                    "the master wants this worker to stop; it stays away until a restart"
                );
                return Again::Never;
            }
            Ok(SessionEnd::NodeAway) => {
                tracing::warn!(
                    node,
                    worker,
                    "the node is away for too long: detached, its builds begin again"
                );
                return Again::AtOnce;
            }
            Ok(SessionEnd::GivenUp { why }) => {
                tracing::warn!(node, worker, why, "detached: its builds begin again");
                return Again::AtOnce;
            }
            Ok(SessionEnd::Closed(Closing::Refused)) | Err(AttachError::Refused) => tracing::error!(
                node,
                worker,
                "the master does not know this worker or its password; see c['workers'] in its master.cfg"
            ),
            Ok(SessionEnd::Closed(Closing::Ended { why })) => {
                tracing::warn!(node, worker, reason = why, "detached from the master");
                return Again::AtOnce;
            }
            Err(error) => tracing::warn!(node, worker, %error, "cannot be attached"),
        }
        Again::Later
    }
}

/// When to attach again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Never,
    AtOnce,
    Later,
}

/// Why a worker could not be attached.
#[derive(Debug, thiserror::Error)]
enum AttachError {
    #[error("the master refuses this worker")]
    Refused,
    #[error("the master cannot be reached: {0}")]
    Master(std::io::Error),
    #[error("the node cannot be prepared: {0}")]
    Node(Fault),
}

impl From<Fault> for AttachError {
    fn from(fault: Fault) -> Self {
        Self::Node(fault)
    }
}

impl From<OpenError> for AttachError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused => Self::Refused,
            OpenError::Master(error) => Self::Master(error),
        }
    }
}

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
