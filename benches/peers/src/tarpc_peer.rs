//! tarpc, with its own transport for serde and bincode; bytes are taken whole, not one by one.
//!
//! It has no streams: a body is calls of a piece each, so many at once that they fill a fast path. What is urgent has a
//! connection of its own, as with tonic.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use runnel_workload::{Client, Setup, count_received};
use tarpc::context::{self, Context};
use tarpc::serde_transport;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tokio::task::JoinSet;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::stream::{Listener, Stream, dial};

/// What the server does.
#[tarpc::service]
trait Peer {
    /// Gives the bytes back.
    async fn echo(bytes: Bytes) -> Bytes;
    /// Takes them.
    async fn message(bytes: Bytes);
    /// Takes a piece of a body and says how long it was.
    async fn piece(bytes: Bytes) -> u64;
}

/// The client's end.
#[derive(Clone)]
pub(crate) struct Tarpc {
    peer: PeerClient,
    urgent: PeerClient,
}

#[derive(Clone, Copy)]
struct Server;

/// Serves every connection that comes, until the guard is dropped.
pub(crate) async fn start(setup: Setup) -> (SocketAddr, JoinSet<()>) {
    Listener::bind(&setup, PROTOCOL).serve(|stream| {
        let transport = serde_transport::new(frames(stream), Bincode::default());
        let config = tarpc::server::Config { pending_response_buffer: PENDING };
        // Handlers that never wait need no task of their own.
        BaseChannel::new(config, transport).execute(Server.serve()).for_each(|answer| answer)
    })
}

/// Connects to the server.
pub(crate) async fn connect(setup: Setup) -> Tarpc {
    Tarpc { peer: peer(&setup).await, urgent: peer(&setup).await }
}

impl Peer for Server {
    async fn echo(self, _: Context, bytes: Bytes) -> Bytes {
        bytes
    }

    async fn message(self, _: Context, _: Bytes) {}

    async fn piece(self, _: Context, bytes: Bytes) -> u64 {
        count_received(bytes.len());
        bytes.len() as u64
    }
}

impl Client for Tarpc {
    async fn echo(&self, bytes: Bytes) -> usize {
        self.peer.echo(patient(), bytes).await.expect("the server answers").len()
    }

    async fn message(&self, bytes: Bytes) {
        self.peer.message(patient(), bytes).await.expect("the server answers");
    }

    async fn body(&self, bytes: Bytes) -> u64 {
        let pieces = (0..bytes.len()).step_by(PIECE_BYTES).map(|at| {
            let piece = bytes.slice(at..bytes.len().min(at + PIECE_BYTES));
            async move { self.peer.piece(patient(), piece).await.expect("the server answers") }
        });
        stream::iter(pieces).buffer_unordered(PIECES).fold(0, async |bytes, piece| bytes + piece).await
    }

    async fn urgent(&self, bytes: Bytes) -> usize {
        self.urgent.echo(patient(), bytes).await.expect("the server answers").len()
    }
}

async fn peer(setup: &Setup) -> PeerClient {
    let transport = serde_transport::new(frames(dial(setup, PROTOCOL).await), Bincode::default());
    let mut config = tarpc::client::Config::default();
    config.max_in_flight_requests = PENDING;
    config.pending_request_buffer = PENDING;
    PeerClient::new(config, transport).spawn()
}

fn frames(stream: Stream) -> Framed<Stream, LengthDelimitedCodec> {
    Framed::new(stream, LengthDelimitedCodec::new())
}

/// The default deadline of 10 s is none of what is measured.
fn patient() -> Context {
    let mut context = context::current();
    context.deadline = Instant::now() + DEADLINE;
    context
}

const PROTOCOL: &[u8] = b"tarpc";
const DEADLINE: Duration = Duration::from_secs(600);
const PENDING: usize = 4096;
const PIECE_BYTES: usize = 64 << 10;

/// Pieces of a body under way.
const PIECES: usize = 8;
