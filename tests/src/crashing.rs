//! Nodes that end as a crash ends a process, without a word, and come back with what is on their disk.

use std::sync::Arc;
use std::thread::JoinHandle;

use runnel::certs::Role;
use runnel::{Handlers, Node, NodeBuilder, NodeHandle, SystemEnv};
use runnel_queue::{FaultyDisk, MemoryStore, RedbStore, Store, StoreConfig};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::fleet::TestFleet;
use crate::route::local;

/// A node on a thread of its own.
#[derive(Debug)]
pub struct CrashingNode {
    handle: NodeHandle,
    crash: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl CrashingNode {
    /// Starts a node.
    ///
    /// # Panics
    ///
    /// When it does not start, like all of the harness.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the node runs as long as the process.
    pub async fn start(builder: NodeBuilder) -> Self {
        let (crash, crashed) = oneshot::channel();
        let (started, has_started) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("the system has room for a runtime");
            runtime.block_on(async move {
                let env = Arc::new(SystemEnv::new(tokio::runtime::Handle::current()));
                let node = builder.start_in(env, CancellationToken::new());
                let (handle, engine) = node.expect("the address is free");
                started.send(handle).expect("the test waits");
                tokio::select! {
                    () = engine => {}
                    _ = crashed => {}
                }
            });
        });
        Self { handle: has_started.await.expect("the node starts"), crash, thread }
    }

    /// Returns a handle to the node.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Ends it without a word.
    ///
    /// # Panics
    ///
    /// When it has ended by itself.
    pub fn crash(self) {
        self.crash.send(()).expect("it runs");
        self.thread.join().expect("it does not panic");
    }
}

/// A controller that stays, and what a worker `w1` is made of that comes and goes: a disk, and a folder.
#[derive(Debug)]
pub struct Site {
    /// The authority of both.
    pub fleet: TestFleet,
    /// The controller.
    pub controller: Node,
    /// The worker's disk.
    pub disk: FaultyDisk,
    /// The worker's folder.
    pub folder: TempDir,
}

impl Site {
    /// Starts the controller.
    ///
    /// # Panics
    ///
    /// When it does not start.
    ///
    /// # Cancel safety
    ///
    /// It stops if the future is dropped.
    pub async fn new() -> Self {
        let fleet = TestFleet::today();
        let controller = NodeBuilder::new(fleet.identity("c1", Role::Controller))
            .listen(local())
            .store(Box::new(MemoryStore::new()));
        let controller = controller.start().await.expect("the controller starts");
        let folder = tempfile::tempdir().expect("a folder");
        Self { fleet, controller, disk: FaultyDisk::new(1), folder }
    }

    /// Makes a worker with a store on the disk, for the process that is it from now on.
    pub fn worker(&self, handlers: Handlers) -> NodeBuilder {
        let controller = self.controller.handle();
        NodeBuilder::new(self.fleet.identity("w1", Role::Worker))
            .handlers(handlers)
            .store(store_on(&self.disk))
            .peer(controller.node().clone(), [controller.listening()[0].to_string()])
    }
}

/// Returns the store on a disk, for the process that has it from now on: whatever had it before has it no more.
pub fn store_on(disk: &FaultyDisk) -> Box<dyn Store> {
    disk.kill();
    let (file, blobs) = (Arc::new(disk.file("store.redb")), Arc::new(disk.blobs("payloads")));
    let config = StoreConfig { reserve_bytes: RESERVE_BYTES, ..StoreConfig::default() };
    Box::new(RedbStore::new(file, blobs, config))
}

/// Room that a store keeps for itself. A disk in memory is copied with it.
const RESERVE_BYTES: u64 = 64 << 10;
