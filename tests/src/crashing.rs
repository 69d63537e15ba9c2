//! Nodes that end as a crash ends a process, without a word, and come back with what is on their disk.

use std::sync::Arc;
use std::thread::JoinHandle;

use runnel::{NodeBuilder, NodeHandle, SystemEnv};
use runnel_queue::{FaultyDisk, RedbStore, Store, StoreConfig};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

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

/// Returns the store on a disk, for the process that has it from now on: whatever had it before has it no more.
pub fn store_on(disk: &FaultyDisk) -> Box<dyn Store> {
    disk.kill();
    let (file, blobs) = (Arc::new(disk.file("store.redb")), Arc::new(disk.blobs("payloads")));
    let config = StoreConfig { reserve_bytes: RESERVE_BYTES, ..StoreConfig::default() };
    Box::new(RedbStore::new(file, blobs, config))
}

/// Room that a store keeps for itself. A disk in memory is copied with it.
const RESERVE_BYTES: u64 = 64 << 10;
