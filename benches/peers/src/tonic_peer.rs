//! tonic: a service written by hand, whose messages are plain bytes, so that no serializer is measured.
//!
//! As its users do for latency, what is urgent has a connection of its own. Bodies are streams of pieces.

mod codec;
mod io;
mod service;

use std::net::SocketAddr;

use async_stream::stream;
use bytes::Bytes;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use runnel_workload::{Client, Setup};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tower::service_fn;

use self::codec::Raw;
use self::io::Connection;
use self::service::{BODY, ECHO, MESSAGE, Peer};
use crate::stream::{Listener, dial};

/// The client's end.
#[derive(Clone)]
pub(crate) struct Tonic {
    channel: Channel,
    urgent: Channel,
}

/// Serves every connection that comes, until the guard is dropped.
pub(crate) async fn start(setup: Setup) -> (SocketAddr, JoinSet<()>) {
    let listener = Listener::bind(&setup, PROTOCOL);
    let address = listener.address();
    let incoming = stream! {
        loop {
            yield Ok::<_, std::io::Error>(Connection(listener.accept().await));
        }
    };
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS)
        .max_frame_size(FRAME_BYTES)
        .add_service(Peer)
        .serve_with_incoming(incoming);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { server.await.expect("it listens already") });
    (address, tasks)
}

/// Connects to the server.
pub(crate) async fn connect(setup: Setup) -> Tonic {
    Tonic { channel: channel(&setup).await, urgent: channel(&setup).await }
}

impl Client for Tonic {
    async fn echo(&self, bytes: Bytes) -> usize {
        unary(&self.channel, ECHO, bytes).await.len()
    }

    async fn message(&self, bytes: Bytes) {
        unary(&self.channel, MESSAGE, bytes).await;
    }

    async fn body(&self, bytes: Bytes) -> u64 {
        let pieces = stream! {
            let mut rest = bytes;
            while !rest.is_empty() {
                yield rest.split_to(rest.len().min(PIECE_BYTES));
            }
        };
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.expect("the server lives");
        let path = PathAndQuery::from_static(BODY);
        let answer = client.client_streaming(Request::new(pieces), path, Raw).await;
        let answer = answer.expect("the server answers").into_inner();
        u64::from_be_bytes(answer.as_ref().try_into().expect("the server answers with a count"))
    }

    async fn urgent(&self, bytes: Bytes) -> usize {
        unary(&self.urgent, ECHO, bytes).await.len()
    }
}

async fn channel(setup: &Setup) -> Channel {
    let setup = setup.clone();
    let connector = service_fn(move |_: Uri| {
        let setup = setup.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(dial(&setup, PROTOCOL).await)) }
    });
    Endpoint::from_static("http://worker")
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .buffer_size(STREAMS as usize)
        .connect_with_connector(connector)
        .await
        .expect("the server listens")
}

async fn unary(channel: &Channel, path: &'static str, bytes: Bytes) -> Bytes {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("the server lives");
    let answer = client.unary(Request::new(bytes), PathAndQuery::from_static(path), Raw).await;
    answer.expect("the server answers").into_inner()
}

const PROTOCOL: &[u8] = b"h2";
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
const FRAME_BYTES: u32 = 64 << 10;
const STREAMS: u32 = 4096;
const PIECE_BYTES: usize = 64 << 10;
