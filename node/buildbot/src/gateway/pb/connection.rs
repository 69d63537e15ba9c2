//! The connection to a master: a broker and its socket.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::broker::{Broker, CloseReason, Credentials, Event};
use crate::limits::Limits;

/// A broker that is moved by [`next_event`](Self::next_event).
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) broker: Broker,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    unwritten: Bytes,
    chunk: BytesMut,
}

impl Connection {
    /// Connects. The broker logs in by itself while it is moved.
    pub(super) async fn open(address: &str, limits: Limits, credentials: Credentials) -> io::Result<Self> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let broker = Broker::new(limits, credentials);
        Ok(Self { broker, reader, writer, unwritten: Bytes::new(), chunk: BytesMut::new() })
    }

    /// Reads and writes until something happens. After the end it says so again.
    ///
    /// Cancel-safe: what was read is in the broker, and what was not written stays here.
    pub(super) async fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.broker.poll_event() {
                return event;
            }
            if self.unwritten.is_empty() {
                self.unwritten = self.broker.poll_transmit().unwrap_or_default();
            }
            let (has_bytes, wants_bytes) = (self.unwritten.has_remaining(), self.broker.wants_bytes());
            tokio::select! {
                written = self.writer.write_buf(&mut self.unwritten), if has_bytes => {
                    if written.is_err() {
                        self.broker.handle_end();
                    }
                }
                read = self.reader.read_buf(&mut self.chunk), if wants_bytes => match read {
                    Ok(1..) => self.broker.handle_bytes(&self.chunk.split()),
                    Ok(0) | Err(_) => self.broker.handle_end(),
                },
                else => return Event::Closed(CloseReason::Ended),
            }
            self.chunk.reserve(CHUNK_BYTES);
        }
    }

    /// Writes what waits.
    pub(super) async fn close(mut self) {
        while self.writer.write_all_buf(&mut self.unwritten).await.is_ok()
            && let Some(unwritten) = self.broker.poll_transmit()
        {
            self.unwritten = unwritten;
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// About how much is read at once.
const CHUNK_BYTES: usize = 64 << 10;
