//! Runnel: a node in each process, with its default settings. What the system is called says how handlers are declared and
//! where the engine runs: beside its callers, or on a thread of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use runnel::{Body, Node, NodeBuilder, SubmitOptions};
use runnel_codec::{Class, NodeId};
use runnel_workload::{Client, SERVER, Setup, load_client, load_server};

use crate::commands::{Bulk, Echo, Note};
use crate::nodes::{Handling, handlers};

/// A controller that knows its worker.
#[derive(Clone, Debug)]
pub(super) struct Controller {
    node: Arc<Node>,
    worker: NodeId,
}

/// Starts the worker.
pub(super) async fn start(setup: Setup) -> (SocketAddr, Node) {
    let handling = if setup.system == "runnel-inline" { Handling::Inline } else { Handling::Spawned };
    let worker = NodeBuilder::new(load_server(&setup.identities)).handlers(handlers(handling));
    let worker = run(worker.listen(setup.address), &setup).await;
    (worker.handle().listening()[0], worker)
}

/// Starts the controller and waits for the link.
pub(super) async fn connect(setup: Setup) -> Controller {
    let worker: NodeId = SERVER.parse().expect("a valid name");
    let controller = NodeBuilder::new(load_client(&setup.identities));
    let controller = run(controller.peer(worker.clone(), [setup.address.to_string()]), &setup).await;
    controller.handle().wait_for_link(&worker).await.expect("the node lives");
    Controller { node: Arc::new(controller), worker }
}

async fn run(node: NodeBuilder, setup: &Setup) -> Node {
    let started = if setup.system == "runnel" { node.start().await } else { node.start_here() };
    started.expect("the node starts")
}

impl Controller {
    async fn echo_as(&self, class: Class, bytes: Bytes) -> usize {
        let options = SubmitOptions { class, ..SubmitOptions::default() };
        let answer = self.node.handle().call::<Echo>(&self.worker, &bytes.to_vec(), options).await;
        answer.expect("it succeeds").len()
    }
}

impl Client for Controller {
    async fn echo(&self, bytes: Bytes) -> usize {
        self.echo_as(Class::Normal, bytes).await
    }

    async fn message(&self, bytes: Bytes) {
        let (args, options) = (bytes.to_vec(), SubmitOptions::default());
        self.node.handle().call::<Note>(&self.worker, &args, options).await.expect("it succeeds");
    }

    async fn body(&self, bytes: Bytes) -> u64 {
        let body = Some(Body::bytes(bytes));
        let options = SubmitOptions { class: Class::Bulk, body, ..SubmitOptions::default() };
        self.node.handle().call::<Bulk>(&self.worker, &(), options).await.expect("it succeeds")
    }

    async fn urgent(&self, bytes: Bytes) -> usize {
        self.echo_as(Class::Urgent, bytes).await
    }
}
