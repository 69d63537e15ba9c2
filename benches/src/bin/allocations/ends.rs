//! What the two processes do: each counts its own blocks, and says so when it is asked by a line on its standard input.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use runnel::{Handlers, Node, NodeBuilder, SubmitOptions};
use runnel_benches::Echo;
use runnel_benches::led::{lines, say};
use runnel_codec::{Command, Never, NodeId};
use runnel_workload::{SERVER, load_client, load_server};
use tokio::task::JoinSet;

use super::profile::Profile;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// Runnel, with arguments and results that have a heap block of their own.
    Runnel,
    /// Runnel, with arguments and results that have none.
    RunnelFixed,
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

/// The end that asks.
struct Client {
    node: Node,
    worker: NodeId,
    is_fixed: bool,
}

/// Answers commands. It counts from one line that it is told to the next, and says what.
///
/// # Errors
///
/// Those of counting.
pub(crate) async fn serve(identities: &Path) -> io::Result<()> {
    let node = worker(identities);
    say(node.handle().listening()[0]);
    let mut lines = lines();
    while lines.recv().await.is_some() {
        let profile = Profile::begin()?;
        say("counting");
        lines.recv().await;
        say(profile.finish()?);
    }
    Ok(())
}

/// Sends commands, and says how much so many of them take from the heap each time it is asked, until nobody asks any more.
///
/// # Errors
///
/// Those of counting.
pub(crate) async fn drive(
    system: System,
    identities: &Path,
    server: SocketAddr,
    commands: u32,
) -> io::Result<()> {
    let client = Arc::new(Client::connect(system, identities, server).await);
    client.clone().send(WARM_UP_COMMANDS).await;
    say("ready");
    let mut lines = lines();
    while lines.recv().await.is_some() {
        let profile = Profile::begin()?;
        client.clone().send(commands).await;
        say(profile.finish()?);
    }
    Ok(())
}

/// Starts the end that is asked.
fn worker(identities: &Path) -> Node {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Echo, _>(Ok);
    handlers.on_inline::<Fixed, _>(Ok);
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let node = NodeBuilder::new(load_server(identities)).handlers(handlers).listen(listen).start_here();
    node.expect("the worker starts")
}

impl Client {
    async fn connect(system: System, identities: &Path, server: SocketAddr) -> Self {
        let worker: NodeId = SERVER.parse().expect("a valid name");
        let builder = NodeBuilder::new(load_client(identities)).peer(worker.clone(), [server.to_string()]);
        let node = builder.start_here().expect("the controller starts");
        node.handle().wait_for_link(&worker).await.expect("the node lives");
        Self { node, worker, is_fixed: system == System::RunnelFixed }
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
        let (handle, worker) = (self.node.handle(), &self.worker);
        for _ in 0..times {
            if self.is_fixed {
                let result = handle.call::<Fixed>(worker, &[7; ARGS_BYTES], SubmitOptions::default());
                assert_eq!(result.await.expect("it succeeds"), [7; ARGS_BYTES]);
            } else {
                let result = handle.call::<Echo>(worker, &args, SubmitOptions::default());
                assert_eq!(result.await.expect("it succeeds"), args);
            }
        }
    }
}

/// Bytes of a command's arguments, and of its result.
const ARGS_BYTES: usize = 64;

/// Commands under way at once.
pub(crate) const IN_FLIGHT: u32 = 64;

/// Commands after which tables have grown to their size and shared blocks come round again.
const WARM_UP_COMMANDS: u32 = 6400;
