//! A controller and a worker on loopback, each with its engine on a thread of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use runnel::{Body, Context, HandlerError, Handlers, Node, NodeBuilder, NodeHandle, SubmitOptions};
use runnel_certs::Role;
use runnel_codec::NodeId;
use runnel_workload::{BODY_BYTES, Fleet, count_received};
use tokio::runtime::Runtime;

use crate::commands::{Bulk, Echo, Note};
use crate::load::{Caller, callers_runtime, run};

/// Two nodes with a link between them.
#[derive(Debug)]
pub struct NodePair {
    runtime: Runtime,
    controller: Node,
    worker: Node,
}

/// How the worker's handlers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// On the engine's thread.
    Inline,
    /// Each in a task of its own, on the thread of the callers.
    Spawned,
}

#[derive(Debug)]
struct EchoCaller(Peer, Vec<u8>);

#[derive(Debug)]
struct NoteCaller(Peer, Vec<u8>);

#[derive(Debug)]
struct BulkCaller(Peer, Bytes);

/// A way to the worker.
#[derive(Clone, Debug)]
struct Peer {
    handle: NodeHandle,
    worker: NodeId,
}

impl NodePair {
    /// Starts both and waits for the link.
    ///
    /// # Panics
    ///
    /// When a node does not start.
    #[must_use]
    pub fn start(handling: Handling) -> Self {
        let fleet = Fleet::new();
        let runtime = callers_runtime();
        let (controller, worker) = runtime.block_on(async {
            let worker = NodeBuilder::new(fleet.identity("worker", Role::Worker))
                .handlers(handlers(handling))
                .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                .start()
                .await
                .expect("the worker starts");
            let address = worker.handle().listening()[0].to_string();
            let name = worker.handle().node().clone();
            let controller = NodeBuilder::new(fleet.identity("controller", Role::Controller))
                .peer(name.clone(), [address])
                .start()
                .await
                .expect("the controller starts");
            controller.handle().wait_for_link(&name).await.expect("the node lives");
            (controller, worker)
        });
        Self { runtime, controller, worker }
    }

    /// Echoes 64 bytes so many times, `in_flight` at once.
    pub fn echo(&self, in_flight: usize, commands: u64) -> Duration {
        let mut callers: Vec<_> =
            (0..in_flight).map(|_| EchoCaller(self.peer(), vec![7; ARGS_BYTES])).collect();
        run(&self.runtime, &mut callers, commands)
    }

    /// Sends so many messages of 64 bytes, `in_flight` at once, and waits until each is handled.
    pub fn messages(&self, in_flight: usize, commands: u64) -> Duration {
        let mut callers: Vec<_> =
            (0..in_flight).map(|_| NoteCaller(self.peer(), vec![7; ARGS_BYTES])).collect();
        run(&self.runtime, &mut callers, commands)
    }

    /// Sends so many bodies of [`BODY_BYTES`], `in_flight` at once, and waits until each is read and checked.
    pub fn bulk(&self, in_flight: usize, bodies: u64) -> Duration {
        let body = Bytes::from(vec![7; BODY_BYTES]);
        let mut callers: Vec<_> = (0..in_flight).map(|_| BulkCaller(self.peer(), body.clone())).collect();
        run(&self.runtime, &mut callers, bodies)
    }

    /// Stops both.
    pub fn stop(self) {
        self.runtime.block_on(async {
            self.controller.shutdown().await;
            self.worker.shutdown().await;
        });
    }

    fn peer(&self) -> Peer {
        Peer { handle: self.controller.handle().clone(), worker: self.worker.handle().node().clone() }
    }
}

impl Caller for EchoCaller {
    async fn call(&mut self) {
        let Self(peer, args) = self;
        let result = peer.handle.call::<Echo>(&peer.worker, args, SubmitOptions::default()).await;
        let result = result.expect("it succeeds");
        assert_eq!(result.len(), args.len(), "the answer has the wrong length");
    }
}

impl Caller for NoteCaller {
    async fn call(&mut self) {
        let Self(peer, args) = self;
        let handled = peer.handle.call::<Note>(&peer.worker, args, SubmitOptions::default()).await;
        handled.expect("it succeeds");
    }
}

impl Caller for BulkCaller {
    async fn call(&mut self) {
        let Self(peer, body) = self;
        let options = SubmitOptions { body: Some(Body::bytes(body.clone())), ..SubmitOptions::default() };
        let bytes = peer.handle.call::<Bulk>(&peer.worker, &(), options).await.expect("it succeeds");
        assert_eq!(bytes, body.len() as u64, "the body has the wrong length");
    }
}

async fn read_body(mut context: Context<Bulk>) -> Result<u64, HandlerError> {
    let mut body = context.body().ok_or_else(|| HandlerError::new("a body is missing"))?;
    let mut bytes = 0;
    while let Some(piece) = body.next().await? {
        bytes += piece.len() as u64;
        count_received(piece.len());
    }
    Ok(bytes)
}

/// Makes the handlers of everything that is measured.
pub(crate) fn handlers(handling: Handling) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on::<Bulk, _, _>(|context, ()| read_body(context));
    match handling {
        Handling::Inline => {
            handlers.on_inline::<Echo, _>(Ok);
            handlers.on_inline::<Note, _>(|_| Ok(()));
        }
        Handling::Spawned => {
            handlers.on::<Echo, _, _>(|_, args| async { Ok(args) });
            handlers.on::<Note, _, _>(|_, _| async { Ok(()) });
        }
    }
    handlers
}

/// Bytes of a command's arguments, and of its result if it has one.
pub(crate) const ARGS_BYTES: usize = 64;
