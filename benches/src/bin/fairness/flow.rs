//! A controller, a worker, and bodies between them that never end: one Runnel link that always has something to send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use runnel::{Body, BodyWriter, Config, Context, HandlerError, Handlers, NodeBuilder, SubmitOptions};
use runnel_benches::Fleet;
use runnel_benches::emulated::Link;
use runnel_certs::{Identity, Role};
use runnel_codec::{Class, Command, Never, NodeId};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A link at work, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct RunnelFlow {
    received: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// Takes its body.
enum Take {}

impl Command for Take {
    const NAME: &'static str = "fairness.take/1";
    type Args = ();
    type Update = Never;
    type Result = ();
}

impl RunnelFlow {
    /// Starts both nodes: the controller on the left sends to the worker on the right.
    pub(crate) fn start(link: &Link) -> Self {
        let fleet = Fleet::new();
        let worker = fleet.identity("worker", Role::Worker);
        let controller = fleet.identity("controller", Role::Controller);
        let received = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = watch::channel(false);
        let (told, address) = mpsc::channel();
        let listen = SocketAddr::from((link.right().address(), 0));
        let (counted, worker_stopped) = (received.clone(), stopped.clone());
        let right =
            link.right().spawn(move || block_on(take(worker, listen, &counted, &told, worker_stopped)));
        let (worker, address) = address.recv().expect("the worker starts");
        let left = link.left().spawn(move || block_on(make(controller, worker, address, stopped)));
        Self { received, stop, threads: vec![left, right] }
    }

    /// Returns how many bytes of bodies have arrived.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for RunnelFlow {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// Runs the worker.
async fn take(
    identity: Identity,
    listen: SocketAddr,
    received: &Arc<AtomicU64>,
    told: &mpsc::Sender<(NodeId, SocketAddr)>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut handlers = Handlers::new();
    let received = received.clone();
    handlers.on::<Take, _, _>(move |context, ()| count(context, received.clone()));
    let worker = NodeBuilder::new(identity).config(config()).handlers(handlers).listen(listen).start().await;
    let worker = worker.expect("the worker starts");
    told.send((worker.handle().node().clone(), worker.handle().listening()[0])).expect("it is waited for");
    // An end without a word is one as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
    worker.shutdown().await;
}

/// Runs the controller.
async fn make(identity: Identity, worker: NodeId, address: SocketAddr, mut stopped: watch::Receiver<bool>) {
    let controller = NodeBuilder::new(identity).config(config()).peer(worker.clone(), [address.to_string()]);
    let controller = controller.start().await.expect("the controller starts");
    let mut bodies = JoinSet::new();
    for _ in 0..BODIES {
        let (writer, body) = Body::live();
        let options = SubmitOptions { class: Class::Bulk, body: Some(body), ..SubmitOptions::default() };
        let submission = controller.handle().submit::<Take>(&worker, &(), options).await;
        let submission = submission.expect("the queue has room");
        bodies.spawn(async move {
            pour(writer).await;
            drop(submission);
        });
    }
    let _ = stopped.wait_for(|stopped| *stopped).await;
    bodies.shutdown().await;
    controller.shutdown().await;
}

async fn pour(mut body: BodyWriter) {
    let piece = Bytes::from(vec![0x5a; 64 << 10]);
    while body.write(piece.clone()).await.is_ok() {}
}

async fn count(mut context: Context<Take>, received: Arc<AtomicU64>) -> Result<(), HandlerError> {
    let mut body = context.body().ok_or_else(|| HandlerError::new("a body is missing"))?;
    while let Some(piece) = body.next().await? {
        received.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

fn config() -> Config {
    let mut config = Config::default();
    // What runs when a cell ends is of no use to anybody.
    config.node.drain_timeout = Duration::from_millis(100);
    config
}

fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system has timers").block_on(work);
}

/// Bodies at once.
const BODIES: usize = 2;
