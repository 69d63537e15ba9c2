//! Starting a node and stopping it: where its engine runs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use runnel_queue::StoreError;
use runnel_transport::EndpointError;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task;
use tokio_util::sync::CancellationToken;

use super::{NodeBuilder, NodeHandle};
use crate::engine::{Engine, Inbox, Ways};
use crate::env::{Env, SystemEnv};
use crate::status::Status;

/// A running node: it stops when it is shut down or dropped.
#[derive(Debug)]
#[must_use = "a node stops when it is dropped"]
pub struct Node {
    handle: NodeHandle,
    stop: CancellationToken,
    engine: Option<Running>,
}

/// An engine at work, to be waited for.
#[derive(Debug)]
enum Running {
    Thread(thread::JoinHandle<()>),
    Task(task::JoinHandle<()>),
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The endpoint could not be made: look at the identity and the configuration.
    #[error("the endpoint could not be made")]
    Endpoint(#[from] EndpointError),
    /// An address could not be listened on: it is in use, or not one of this machine.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store could not be loaded.
    #[error("the store could not be loaded")]
    Store(#[from] StoreError),
    /// The engine's thread could not be started.
    #[error("the engine's thread could not be started")]
    Thread(#[source] io::Error),
}

impl NodeBuilder {
    /// Starts the node on a thread of its own. Handlers run on the current Tokio runtime; callers may be on any.
    ///
    /// The application may block its own threads without delaying links. [`start_here`](Self::start_here) makes small
    /// commands cheaper.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the node is not started, or stops at once.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn start(self) -> Result<Node, StartError> {
        let env = Arc::new(SystemEnv::new(Handle::current()));
        let stop = CancellationToken::new();
        let (started, has_started) = oneshot::channel();
        let thread = {
            let stop = stop.clone();
            let name = format!("runnel-{}", self.identity.node());
            thread::Builder::new()
                .name(name)
                .spawn(move || run_thread(self, env, stop, started))
                .map_err(StartError::Thread)?
        };
        match has_started.await {
            Ok(handle) => Ok(Node { handle: handle?, stop, engine: Some(Running::Thread(thread)) }),
            Err(_) => Err(StartError::Thread(io::Error::other("the thread ended before it was ready"))),
        }
    }

    /// Starts the node as a task of the current Tokio runtime, beside its callers and handlers.
    ///
    /// On a runtime with one thread this is the fastest way for small commands: nothing that callers and the engine tell
    /// each other wakes another thread. What it asks for is that nothing on the runtime blocks: while something does, no
    /// heartbeat is sent, and after some seconds peers take the link for dead. The first time that it is held up for a second
    /// is logged as a warning.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn start_here(self) -> Result<Node, StartError> {
        let stop = CancellationToken::new();
        let env = Arc::new(SystemEnv::new(Handle::current()));
        let (handle, engine) = self.start_in(env, stop.clone())?;
        let engine = tokio::spawn(Box::pin(engine));
        Ok(Node { handle, stop, engine: Some(Running::Task(engine)) })
    }

    /// Makes the node's engine inside the caller's current-thread runtime: the caller drives the returned future. It
    /// ends some time after `stop` fires.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn start_in(
        self,
        env: Arc<dyn Env>,
        stop: CancellationToken,
    ) -> Result<(NodeHandle, impl Future<Output = ()> + Send + use<>), StartError> {
        let (node, has_store) = (self.identity.node().clone(), self.store.is_some());
        let (inbox, requests) = mpsc::channel(self.config.node.inbox_capacity.get());
        let (status, status_seen) = watch::channel(Arc::new(Status::default()));
        // At most three for each command that is here: of the readers of its updates and bodies, and of a writer.
        let (releases, released) = mpsc::unbounded_channel();
        let engine_end = Inbox { requests, released, to_self: inbox.clone(), releases: releases.clone() };
        let (engine, listening) = Engine::new(self, env, engine_end, status, stop)?;
        let (boot, status, listening) = (engine.boot(), status_seen, listening.into());
        let ways = Arc::new(Ways { inbox, releases, wakes: engine.wakes() });
        let link_changes = engine.link_changes();
        let handle = NodeHandle { node, boot, has_store, ways, status, link_changes, listening };
        Ok((handle, Box::new(engine).run()))
    }
}

impl Node {
    /// Returns a handle to the node.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Stops the node in order: nothing new is taken, outcomes that are ready are sent, links are closed.
    ///
    /// # Cancel safety
    ///
    /// The node stops all the same if the future is dropped.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let Some(engine) = self.engine.take() else { return };
        let panic = match engine {
            // Joining blocks, and handlers that end meanwhile may need this very thread.
            Running::Thread(thread) => {
                task::spawn_blocking(move || thread.join()).await.ok().and_then(Result::err)
            }
            Running::Task(task) => task.await.err().and_then(|error| error.try_into_panic().ok()),
        };
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn run_thread(
    builder: NodeBuilder,
    env: Arc<SystemEnv>,
    stop: CancellationToken,
    started: oneshot::Sender<Result<NodeHandle, StartError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            started.send(Err(StartError::Thread(error))).ok();
            return;
        }
    };
    runtime.block_on(async move {
        match builder.start_in(env, stop) {
            Ok((handle, engine)) => {
                if started.send(Ok(handle)).is_ok() {
                    Box::pin(engine).await;
                }
            }
            Err(error) => {
                started.send(Err(error)).ok();
            }
        }
    });
}
