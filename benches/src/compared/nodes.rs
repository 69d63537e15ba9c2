//! Runnel: a node in each process, its engine on a thread of its own, with its default settings.

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
    let worker = NodeBuilder::new(load_server(&setup.identities))
        .handlers(handlers(handling))
        .listen(setup.address)
        .start()
        .await
        .expect("the worker starts");
    (worker.handle().listening()[0], worker)
}

/// Starts the controller and waits for the link.
pub(super) async fn connect(setup: Setup) -> Controller {
    let worker: NodeId = SERVER.parse().expect("a valid name");
    let controller = NodeBuilder::new(load_client(&setup.identities))
        .peer(worker.clone(), [setup.address.to_string()])
        .start()
        .await
        .expect("the controller starts");
    controller.handle().wait_for_link(&worker).await.expect("the node lives");
    Controller { node: Arc::new(controller), worker }
}

impl Controller {
    async fn echo_as(&self, class: Class, bytes: Bytes) -> usize {
        let options = SubmitOptions { class, ..SubmitOptions::default() };
        let command = self.node.handle().submit::<Echo>(&self.worker, &bytes.to_vec(), options).await;
        command.expect("the queue has room").outcome().await.expect("it succeeds").len()
    }
}

impl Client for Controller {
    async fn echo(&self, bytes: Bytes) -> usize {
        self.echo_as(Class::Normal, bytes).await
    }

    async fn message(&self, bytes: Bytes) {
        let (args, options) = (bytes.to_vec(), SubmitOptions::default());
        let command = self.node.handle().submit::<Note>(&self.worker, &args, options).await;
        command.expect("the queue has room").outcome().await.expect("it succeeds");
    }

    async fn body(&self, bytes: Bytes) -> u64 {
        let body = Some(Body::bytes(bytes));
        let options = SubmitOptions { class: Class::Bulk, body, ..SubmitOptions::default() };
        let command = self.node.handle().submit::<Bulk>(&self.worker, &(), options).await;
        command.expect("the queue has room").outcome().await.expect("it succeeds")
    }

    async fn urgent(&self, bytes: Bytes) -> usize {
        self.echo_as(Class::Urgent, bytes).await
    }
}
