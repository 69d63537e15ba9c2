//! The floor: what quinn does without Runnel around it.
//!
//! Two endpoints on loopback with the TLS and the transport settings of nodes, each on a current-thread runtime on a
//! thread of its own. Callers on another thread hand a request to a lane, a task beside the connection, which opens a
//! stream for it. The other side reads each stream to its end and answers with as many bytes as Runnel would. Nothing
//! is decoded or remembered for a command, and threads wake each other once for all that has come meanwhile.

mod ends;
pub(crate) mod settings;
mod switchboard;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use runnel_certs::Role;
use runnel_workload::{BODY_BYTES, Fleet};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use self::switchboard::{Call, Connected, Switchboard};
use crate::commands::{Bulk, Echo, Note, WireSizes};
use crate::load::{Caller, callers_runtime, run};
use crate::nodes::ARGS_BYTES;

/// Two quinn endpoints with a connection between them.
#[derive(Debug)]
pub struct RawPair {
    runtime: Runtime,
    lanes: Vec<LaneCaller>,
    switchboard: Switchboard,
    /// Its end stops the server.
    stop: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// A caller with its way to a lane and back.
#[derive(Debug)]
struct LaneCaller {
    call: Call,
    request: Bytes,
    reply_bytes: usize,
}

impl RawPair {
    /// Starts both ends for echoes of 64 bytes, at most `in_flight` at once.
    #[must_use]
    pub fn echo(in_flight: usize) -> Self {
        let bytes = vec![7; ARGS_BYTES];
        Self::start(in_flight, WireSizes::of::<Echo>(&bytes, &bytes))
    }

    /// Starts both ends for messages of 64 bytes, at most `in_flight` at once.
    #[must_use]
    pub fn messages(in_flight: usize) -> Self {
        Self::start(in_flight, WireSizes::of::<Note>(&vec![7; ARGS_BYTES], &()))
    }

    /// Starts both ends for bodies of [`BODY_BYTES`], at most `in_flight` at once.
    #[must_use]
    pub fn bulk(in_flight: usize) -> Self {
        let reply = WireSizes::of::<Bulk>(&(), &0).reply;
        Self::start(in_flight, WireSizes { request: BODY_BYTES, reply })
    }

    /// Starts both ends and connects them.
    ///
    /// # Panics
    ///
    /// When the system refuses sockets or threads.
    #[must_use]
    pub fn start(in_flight: usize, sizes: WireSizes) -> Self {
        let fleet = Fleet::new();
        let server = fleet.identity("worker", Role::Worker);
        let client = fleet.identity("controller", Role::Controller);
        let (stop, stopped) = oneshot::channel();
        let (address_known, address) = oneshot::channel();
        let (connected, is_connected) = oneshot::channel();
        let runtime = callers_runtime();
        let Connected { switchboard, calls, lanes } = switchboard::connect(in_flight);
        let request = Bytes::from(vec![7; sizes.request]);
        let callers = calls.into_iter().map(|call| LaneCaller {
            call,
            request: request.clone(),
            reply_bytes: sizes.reply,
        });
        let server_thread = thread("raw-server", async move {
            let endpoint = settings::server(&server, LOOPBACK, settings::transport(LOOPBACK.ip(), in_flight));
            address_known.send(endpoint.local_addr().expect("it is bound")).expect("somebody waits");
            ends::serve(endpoint, sizes, stopped).await;
        });
        let client_thread = thread("raw-client", async move {
            let endpoint = settings::client(&client, LOOPBACK, settings::transport(LOOPBACK.ip(), in_flight));
            let name = settings::server_name(&client);
            let address = address.await.expect("the server is bound");
            let connecting = endpoint.connect(address, &name).expect("the settings are right");
            let connection = connecting.await.expect("the server answers");
            connected.send(()).expect("somebody waits");
            ends::carry(connection, lanes, sizes).await;
            endpoint.wait_idle().await;
        });
        runtime.block_on(is_connected).expect("the client connects");
        Self {
            lanes: callers.collect(),
            switchboard,
            runtime,
            stop: Some(stop),
            threads: vec![server_thread, client_thread],
        }
    }

    /// Sends so many commands with `in_flight` of them at once.
    pub fn run(&mut self, in_flight: usize, commands: u64) -> Duration {
        let mut callers = self.lanes.split_off(self.lanes.len() - in_flight);
        let distribution = self.switchboard.distribute(&self.runtime);
        let elapsed = run(&self.runtime, &mut callers, commands);
        self.switchboard.take_back(&self.runtime, distribution);
        self.lanes.append(&mut callers);
        elapsed
    }

    /// Stops both ends.
    ///
    /// # Panics
    ///
    /// When one of them did.
    pub fn stop(mut self) {
        self.lanes.clear();
        self.stop.take();
        for thread in self.threads.drain(..) {
            thread.join().expect("an end does not panic");
        }
    }
}

impl Caller for LaneCaller {
    async fn call(&mut self) {
        let bytes = self.call.send(self.request.clone()).await;
        assert_eq!(bytes, self.reply_bytes, "the answer has the wrong length");
    }
}

fn thread(name: &str, run: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || callers_runtime().block_on(run))
        .expect("the system has threads")
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
