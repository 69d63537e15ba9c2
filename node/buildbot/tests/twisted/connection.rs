//! A driver for a broker over TCP.

use runnel_buildbot::{Broker, Credentials, Event, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A broker and its socket.
pub(crate) struct Connection {
    pub(crate) broker: Broker,
    stream: TcpStream,
}

impl Connection {
    pub(crate) async fn open(port: u16, username: &str, password: &str, limits: Limits) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        let (username, password) = (username.to_owned(), password.to_owned());
        Self { broker: Broker::new(limits, Credentials { username, password }), stream }
    }

    /// Writes what is to be written and reads until something happens.
    pub(crate) async fn next_event(&mut self) -> Event {
        let mut chunk = vec![0; 64 << 10];
        loop {
            while let Some(bytes) = self.broker.poll_transmit() {
                if self.stream.write_all(&bytes).await.is_err() {
                    self.broker.handle_end();
                }
            }
            if let Some(event) = self.broker.poll_event() {
                return event;
            }
            match self.stream.read(&mut chunk).await {
                Ok(len) if len > 0 => self.broker.handle_bytes(&chunk[..len]),
                _ => self.broker.handle_end(),
            }
        }
    }
}
