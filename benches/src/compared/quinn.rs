//! Raw quinn: a stream for each request, body and message, and nothing else. Each process has one thread, on which the
//! callers run too: what is fastest for quinn.
//!
//! The first byte of a stream says what it is. Messages go on streams in one direction and are confirmed by number on
//! one stream back, many at once.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};
use runnel_transport::CongestionControl;
use runnel_workload::{Client, Setup, count_received, load_client, load_server};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::raw::settings;

/// A connection to the server.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    connection: Connection,
    confirmations: Arc<Confirmations>,
    /// Bodies are hashed at both ends.
    hashes: bool,
    /// Ends with it.
    _endpoint: Endpoint,
    /// Takes confirmations until the last of its clones is dropped.
    _tasks: Arc<JoinSet<()>>,
}

/// Messages that wait for their confirmation.
#[derive(Debug, Default)]
struct Confirmations {
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    next: AtomicU64,
}

/// Listens; the guard keeps it serving.
pub(super) async fn start(setup: Setup) -> (SocketAddr, JoinSet<()>) {
    let endpoint = settings::server(&load_server(&setup.identities), setup.address, transport(&setup));
    let address = endpoint.local_addr().expect("it is bound");
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(endpoint));
    (address, tasks)
}

/// Connects to the server.
pub(super) async fn connect(setup: Setup) -> Streams {
    let identity = load_client(&setup.identities);
    let local = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let endpoint = settings::client(&identity, local, transport(&setup));
    let name = settings::server_name(&identity);
    let connecting = endpoint.connect(setup.address, &name).expect("the settings are right");
    let connection = connecting.await.expect("the server answers");
    let confirmations = Arc::new(Confirmations::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(confirmations.clone().take(connection.clone()));
    let hashes = setup.system == "quinn-hashed";
    Streams { connection, confirmations, hashes, _endpoint: endpoint, _tasks: Arc::new(tasks) }
}

impl Streams {
    /// Opens a stream, asks and returns what is answered.
    async fn ask(&self, kind: u8, priority: i32, bytes: Bytes) -> Vec<u8> {
        let (mut send, mut recv) = self.connection.open_bi().await.expect("the server lives");
        if priority != 0 {
            send.set_priority(priority).expect("it is open");
        }
        send.write_all_chunks(&mut [Bytes::copy_from_slice(&[kind]), bytes]).await.expect("the server reads");
        send.finish().expect("it is open");
        recv.read_to_end(ANSWER_BYTES_MAX).await.expect("the server answers")
    }

    /// Sends a body piece by piece, and the hash of all behind it.
    async fn ask_hashed(&self, mut bytes: Bytes) -> Vec<u8> {
        let (mut send, mut recv) = self.connection.open_bi().await.expect("the server lives");
        send.set_priority(-1).expect("it is open");
        send.write_all(&[HASHED_BODY]).await.expect("the server reads");
        let mut hasher = blake3::Hasher::new();
        while !bytes.is_empty() {
            let piece = bytes.split_to(PIECE_BYTES.min(bytes.len()));
            hasher.update(&piece);
            send.write_chunk(piece).await.expect("the server reads");
        }
        send.write_all(hasher.finalize().as_bytes()).await.expect("the server reads");
        send.finish().expect("it is open");
        recv.read_to_end(ANSWER_BYTES_MAX).await.expect("the server answers")
    }
}

impl Client for Streams {
    async fn echo(&self, bytes: Bytes) -> usize {
        self.ask(ECHO, 0, bytes).await.len()
    }

    async fn message(&self, bytes: Bytes) {
        let mut send = self.connection.open_uni().await.expect("the server lives");
        let (number, confirmed) = self.confirmations.expect();
        let mut message = BytesMut::with_capacity(NUMBER_BYTES + bytes.len());
        message.put_u64(number);
        message.put_slice(&bytes);
        send.write_chunk(message.freeze()).await.expect("the server reads");
        send.finish().expect("it is open");
        confirmed.await.expect("the server confirms");
    }

    async fn body(&self, bytes: Bytes) -> u64 {
        let answer = match self.hashes {
            true => self.ask_hashed(bytes).await,
            false => self.ask(BODY, -1, bytes).await,
        };
        u64::from_be_bytes(answer.try_into().expect("the server answers with a count"))
    }

    async fn urgent(&self, bytes: Bytes) -> usize {
        self.ask(ECHO, 1, bytes).await.len()
    }
}

impl Confirmations {
    fn expect(&self) -> (u64, oneshot::Receiver<()>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (confirm, confirmed) = oneshot::channel();
        self.waiting.lock().expect("nobody panics with it").insert(number, confirm);
        (number, confirmed)
    }

    /// Takes confirmations until the connection ends.
    async fn take(self: Arc<Self>, connection: Connection) {
        let Ok(mut recv) = connection.accept_uni().await else { return };
        let mut rest = BytesMut::new();
        while let Ok(Some(chunk)) = recv.read_chunk(usize::MAX, true).await {
            rest.extend_from_slice(&chunk.bytes);
            let mut waiting = self.waiting.lock().expect("nobody panics with it");
            while rest.len() >= NUMBER_BYTES {
                let confirm = waiting.remove(&rest.get_u64()).expect("it was sent and not confirmed");
                // A caller that is gone waits for nothing.
                confirm.send(()).ok();
            }
        }
    }
}

async fn serve(endpoint: Endpoint) {
    let mut connections = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await.expect("the client is one of the fleet");
        for _ in 0..ACCEPTORS {
            connections.spawn(answer_streams(connection.clone()));
        }
        let confirmed = Arc::new(Confirmed::default());
        for _ in 0..ACCEPTORS {
            connections.spawn(take_messages(connection.clone(), confirmed.clone()));
        }
        connections.spawn(confirm(connection, confirmed));
    }
}

/// Reads one stream after the other and answers it; bodies beside that.
async fn answer_streams(connection: Connection) {
    let mut bodies = JoinSet::new();
    while let Ok((send, mut recv)) = connection.accept_bi().await {
        let first = recv.read_chunk(usize::MAX, true).await.expect("the client lives");
        let mut bytes = first.expect("a stream has a kind").bytes;
        match bytes.get_u8() {
            ECHO => echo(send, recv, bytes).await,
            HASHED_BODY => drop(bodies.spawn(take_hashed_body(send, recv, bytes))),
            _ => drop(bodies.spawn(take_body(send, recv, bytes))),
        }
        while bodies.try_join_next().is_some() {}
    }
}

async fn echo(mut send: SendStream, mut recv: RecvStream, first: Bytes) {
    let mut whole = first;
    while let Some(chunk) = recv.read_chunk(usize::MAX, true).await.expect("the client lives") {
        whole = [whole, chunk.bytes].concat().into();
    }
    send.write_chunk(whole).await.expect("the client reads");
    send.finish().expect("it is open");
}

async fn take_body(mut send: SendStream, mut recv: RecvStream, first: Bytes) {
    let mut bytes = first.len() as u64;
    count_received(first.len());
    // A client that is gone wants no answer.
    while let Ok(Some(chunk)) = recv.read_chunk(usize::MAX, true).await {
        bytes += chunk.bytes.len() as u64;
        count_received(chunk.bytes.len());
    }
    if send.write_all(&bytes.to_be_bytes()).await.is_ok() {
        send.finish().ok();
    }
}
/// Takes a body whose hash is behind it. It is hashed in large pieces, which is several times faster than packet by packet.
async fn take_hashed_body(mut send: SendStream, mut recv: RecvStream, first: Bytes) {
    let (mut hasher, mut bytes, mut waiting) = (blake3::Hasher::new(), 0, BytesMut::from(first));
    count_received(waiting.len());
    loop {
        // A client that is gone wants no answer.
        let Ok(chunk) = recv.read_chunk(usize::MAX, true).await else { return };
        let Some(chunk) = chunk else { break };
        count_received(chunk.bytes.len());
        waiting.extend_from_slice(&chunk.bytes);
        if waiting.len() >= PIECE_BYTES + blake3::OUT_LEN {
            // The last bytes may be the hash.
            let piece = waiting.split_to(waiting.len() - blake3::OUT_LEN);
            hasher.update(&piece);
            bytes += piece.len() as u64;
        }
    }
    let rest = waiting.split_to(waiting.len().saturating_sub(blake3::OUT_LEN));
    hasher.update(&rest);
    bytes += rest.len() as u64;
    if waiting[..] != *hasher.finalize().as_bytes() {
        // The stream of a client that ends in the middle of a body is finished there. Any other client misses the answer.
        return;
    }
    if send.write_all(&bytes.to_be_bytes()).await.is_ok() {
        send.finish().ok();
    }
}

/// Numbers to be confirmed.
#[derive(Debug, Default)]
struct Confirmed {
    numbers: Mutex<BytesMut>,
    some: Notify,
}

async fn take_messages(connection: Connection, confirmed: Arc<Confirmed>) {
    while let Ok(mut recv) = connection.accept_uni().await {
        let first = recv.read_chunk(usize::MAX, true).await.expect("the client lives");
        let number = first.expect("a message has a number").bytes.get_u64();
        while let Some(_chunk) = recv.read_chunk(usize::MAX, true).await.expect("the client lives") {}
        confirmed.numbers.lock().expect("nobody panics with it").put_u64(number);
        confirmed.some.notify_one();
    }
}

/// Writes all numbers that there are at once.
async fn confirm(connection: Connection, confirmed: Arc<Confirmed>) {
    let Ok(mut send) = connection.open_uni().await else { return };
    loop {
        confirmed.some.notified().await;
        let numbers = confirmed.numbers.lock().expect("nobody panics with it").split().freeze();
        if send.write_chunk(numbers).await.is_err() {
            return;
        }
    }
}

/// A node's settings, or those with quinn's own way to find the rate.
fn transport(setup: &Setup) -> Arc<TransportConfig> {
    let mut config = runnel_transport::TransportConfig::default();
    if setup.system == "quinn-cubic" {
        config.congestion = CongestionControl::Cubic;
    }
    let mut transport = settings::transport_as(&config, setup.address.ip(), STREAMS as usize);
    transport.max_concurrent_uni_streams(VarInt::from_u32(STREAMS));
    Arc::new(transport)
}

const ECHO: u8 = 0;
const BODY: u8 = 1;
const HASHED_BODY: u8 = 2;

/// Bytes that are hashed and written at once: as much as Runnel writes.
const PIECE_BYTES: usize = 64 << 10;

/// Requests under way at once, at most.
const STREAMS: u32 = 1024;

/// Bytes of a message's number.
const NUMBER_BYTES: usize = 8;

/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Tasks that accept streams and read them inline: what was fastest for small ones.
const ACCEPTORS: usize = 4;
