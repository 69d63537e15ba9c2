//! What the two processes do: each counts its own blocks, and says so when it is asked by a line on its standard input.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use runnel::{Handlers, Node, NodeBuilder, SubmitOptions};
use runnel_benches::led::{lines, say};
use runnel_benches::{Echo, RawClient, RawServer, WireSizes};
use runnel_codec::{Command, Never, NodeId};
use runnel_workload::{SERVER, load_client, load_server};
use tokio::task::JoinSet;

use super::cost::Heap;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// Runnel, with arguments and results that have a heap block of their own.
    Runnel,
    /// Runnel, with arguments and results that have none.
    RunnelFixed,
    /// quinn, with as many bytes.
    Quinn,
}

/// `bench.fixed/1`: gives back the bytes it is called with, which need no heap.
#[derive(Debug)]
enum Fixed {}

impl Command for Fixed {
    const NAME: &'static str = "bench.fixed/1";
    type Args = [u8; ARGS_BYTES];
    type Update = Never;
    type Result = [u8; ARGS_BYTES];
}

/// The end that is asked. It has one of these.
enum Server {
    Node(#[expect(dead_code, reason = "it runs until it is dropped")] Node),
    Raw(#[expect(dead_code, reason = "it runs until it is dropped")] RawServer),
}

/// The end that asks.
enum Client {
    Node { node: Node, worker: NodeId, is_fixed: bool },
    Raw(RawClient),
}

/// Answers commands, and says how much it has taken from the heap each time it is asked, until nobody asks any more.
pub(crate) async fn serve(system: System, identities: &Path) {
    let _profiler = profiler();
    let (server, address) = Server::start(system, identities);
    say(address);
    let mut lines = lines();
    while lines.recv().await.is_some() {
        say(heap());
    }
    drop(server);
}

/// Sends commands, and says how much so many of them take from the heap each time it is asked, until nobody asks any more.
pub(crate) async fn drive(system: System, identities: &Path, server: SocketAddr, commands: u32) {
    let _profiler = profiler();
    let client = Arc::new(Client::connect(system, identities, server).await);
    client.clone().send(WARM_UP_COMMANDS).await;
    say("ready");
    let mut lines = lines();
    while lines.recv().await.is_some() {
        let before = heap();
        client.clone().send(commands).await;
        say(heap().since(before));
    }
}

impl Server {
    fn start(system: System, identities: &Path) -> (Self, SocketAddr) {
        let identity = load_server(identities);
        if system == System::Quinn {
            let server = RawServer::start(&identity, wire_sizes(), IN_FLIGHT as usize);
            let address = server.address();
            return (Self::Raw(server), address);
        }
        let mut handlers = Handlers::new();
        handlers.on_inline::<Echo, _>(Ok);
        handlers.on_inline::<Fixed, _>(Ok);
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let node = NodeBuilder::new(identity).handlers(handlers).listen(listen).start_here();
        let node = node.expect("the worker starts");
        let address = node.handle().listening()[0];
        (Self::Node(node), address)
    }
}

impl Client {
    async fn connect(system: System, identities: &Path, server: SocketAddr) -> Self {
        let identity = load_client(identities);
        if system == System::Quinn {
            return Self::Raw(RawClient::connect(&identity, server, wire_sizes(), IN_FLIGHT as usize).await);
        }
        let worker: NodeId = SERVER.parse().expect("a valid name");
        let node = NodeBuilder::new(identity).peer(worker.clone(), [server.to_string()]).start_here();
        let node = node.expect("the controller starts");
        node.handle().wait_for_link(&worker).await.expect("the node lives");
        Self::Node { node, worker, is_fixed: system == System::RunnelFixed }
    }

    /// Sends so many commands, always [`IN_FLIGHT`] at once, and waits for their answers.
    async fn send(self: Arc<Self>, commands: u32) {
        let mut callers = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            callers.spawn(self.clone().call(commands / IN_FLIGHT));
        }
        while let Some(end) = callers.join_next().await {
            end.expect("a caller does not panic");
        }
    }

    async fn call(self: Arc<Self>, times: u32) {
        let args = vec![7; ARGS_BYTES];
        for _ in 0..times {
            match &*self {
                Self::Raw(client) => client.echo().await,
                Self::Node { node, worker, is_fixed: true } => {
                    let result =
                        node.handle().call::<Fixed>(worker, &[7; ARGS_BYTES], SubmitOptions::default());
                    assert_eq!(result.await.expect("it succeeds"), [7; ARGS_BYTES]);
                }
                Self::Node { node, worker, is_fixed: false } => {
                    let result = node.handle().call::<Echo>(worker, &args, SubmitOptions::default());
                    assert_eq!(result.await.expect("it succeeds"), args);
                }
            }
        }
    }
}

/// What a command takes on the wire, for quinn to carry as much.
fn wire_sizes() -> WireSizes {
    WireSizes::of::<Fixed>(&[7; ARGS_BYTES], &[7; ARGS_BYTES])
}

/// Where a block was asked for is not told, and looking for it costs most of the time.
fn profiler() -> dhat::Profiler {
    dhat::Profiler::builder().testing().trim_backtraces(Some(1)).build()
}

fn heap() -> Heap {
    let stats = dhat::HeapStats::get();
    Heap { blocks: stats.total_blocks, bytes: stats.total_bytes }
}

/// Bytes of a command's arguments, and of its result.
const ARGS_BYTES: usize = 64;

/// Commands under way at once.
pub(crate) const IN_FLIGHT: u32 = 64;

/// Commands after which tables have grown to their size and shared blocks come round again.
const WARM_UP_COMMANDS: u32 = 6400;
