//! The two ends of the connection.

use bytes::Bytes;
use quinn::{Connection, Endpoint, RecvStream, VarInt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::switchboard::Lanes;
use crate::commands::WireSizes;

/// Carries requests until all callers are gone, then closes the connection.
pub(super) async fn carry(connection: Connection, mut lanes: Lanes, sizes: WireSizes) {
    let mut tasks = JoinSet::new();
    let mut to_lanes = Vec::new();
    for index in 0..lanes.count {
        let (request, requests) = mpsc::channel(1);
        to_lanes.push(request);
        tasks.spawn(lane(connection.clone(), index, requests, lanes.answers.clone(), sizes.reply));
    }
    while let Some((index, request)) = lanes.requests.recv().await {
        to_lanes[index].try_send(request).expect("its caller has waited for the last answer");
    }
    drop(to_lanes);
    while let Some(end) = tasks.join_next().await {
        end.expect("a lane does not panic");
    }
    connection.close(VarInt::from_u32(0), b"");
}

/// Carries one request after the other.
async fn lane(
    connection: Connection,
    index: usize,
    mut requests: mpsc::Receiver<Bytes>,
    answers: mpsc::UnboundedSender<(usize, usize)>,
    reply_bytes: usize,
) {
    while let Some(request) = requests.recv().await {
        let (mut send, mut recv) = connection.open_bi().await.expect("the server lives");
        send.write_chunk(request).await.expect("the server reads");
        send.finish().expect("it is open");
        let bytes = read_to_end(&mut recv, reply_bytes).await;
        answers.send((index, bytes)).ok();
    }
}

/// Takes one connection and answers its streams until `stopped`.
pub(super) async fn serve(endpoint: Endpoint, sizes: WireSizes, stopped: oneshot::Receiver<()>) {
    let incoming = endpoint.accept().await.expect("the endpoint is open");
    let connection = incoming.await.expect("the client is one of the fleet");
    let mut tasks = JoinSet::new();
    let reply = Bytes::from(vec![7; sizes.reply]);
    for _ in 0..ACCEPTORS {
        tasks.spawn(answer(connection.clone(), sizes.request, reply.clone()));
    }
    // It ends with its sender, on purpose.
    stopped.await.ok();
    tasks.shutdown().await;
    endpoint.wait_idle().await;
}

/// Reads one stream after the other and answers it.
async fn answer(connection: Connection, request_bytes: usize, reply: Bytes) {
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let bytes = read_to_end(&mut recv, request_bytes).await;
        assert_eq!(bytes, request_bytes, "the request has the wrong length");
        send.write_chunk(reply.clone()).await.expect("the client reads");
        send.finish().expect("it is open");
    }
}

pub(super) async fn read_to_end(recv: &mut RecvStream, bytes_max: usize) -> usize {
    let mut bytes = 0;
    while let Some(chunk) = recv.read_chunk(bytes_max + 1, true).await.expect("the peer lives") {
        bytes += chunk.bytes.len();
    }
    bytes
}

/// Tasks that accept streams and read them inline: what was fastest for small ones.
const ACCEPTORS: usize = 4;
