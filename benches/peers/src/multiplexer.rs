//! The least that could work: frames with ids on one TLS stream, one task at each end, everything that is ready in one
//! write, small frames before pieces of bodies. It has no types, no queue, no limits, no reconnecting and no memory of
//! what it did: it is what all of that is measured against.

mod connection;
mod frame;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use runnel_workload::{Client, Setup, count_received};
use tokio::task::JoinSet;

use self::connection::{Connection, Takes};
use self::frame::{Frame, Kind, write_frame};
use crate::stream::{Listener, dial};

/// The client's end.
#[derive(Clone)]
pub(crate) struct Multiplexer {
    connection: Connection,
    /// Carries its frames until the last of its clones is dropped.
    _tasks: Arc<JoinSet<()>>,
}

/// Serves every stream that comes, until the guard is dropped.
pub(crate) async fn start(setup: Setup) -> (SocketAddr, JoinSet<()>) {
    Listener::bind(&setup, PROTOCOL)
        .serve(|stream| async move { Connection::new().carry(stream, Answers::default()).await })
}

/// Connects to the server.
pub(crate) async fn connect(setup: Setup) -> Multiplexer {
    let stream = dial(&setup, PROTOCOL).await;
    let connection = Connection::new();
    let carried = connection.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let calls = carried.calls();
        carried.carry(stream, calls).await;
    });
    Multiplexer { connection, _tasks: Arc::new(tasks) }
}

impl Client for Multiplexer {
    async fn echo(&self, bytes: Bytes) -> usize {
        self.connection.call(Kind::Echo, &bytes).await.len()
    }

    async fn message(&self, bytes: Bytes) {
        self.connection.call(Kind::Message, &bytes).await;
    }

    async fn body(&self, bytes: Bytes) -> u64 {
        let answer = self.connection.send_body(&bytes).await;
        u64::from_be_bytes(answer.as_ref().try_into().expect("the server answers with a count"))
    }

    async fn urgent(&self, bytes: Bytes) -> usize {
        self.echo(bytes).await
    }
}

/// The server's half: how much of each body has come.
#[derive(Default)]
struct Answers(Vec<u64>);

impl Takes for Answers {
    fn take(&mut self, frame: Frame, replies: &mut bytes::BytesMut) {
        match frame.kind {
            Kind::Echo => write_frame(replies, frame.id, Kind::Reply, &frame.payload),
            Kind::Message => write_frame(replies, frame.id, Kind::Reply, &[]),
            Kind::Piece => self.count(&frame),
            Kind::LastPiece => {
                self.count(&frame);
                let bytes = std::mem::take(&mut self.0[frame.id as usize]);
                write_frame(replies, frame.id, Kind::Reply, &bytes.to_be_bytes());
            }
            Kind::Reply => unreachable!("a client answers nothing"),
        }
    }
}

impl Answers {
    fn count(&mut self, frame: &Frame) {
        let index = frame.id as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        self.0[index] += frame.payload.len() as u64;
        count_received(frame.payload.len());
    }
}

const PROTOCOL: &[u8] = b"multiplexer";
