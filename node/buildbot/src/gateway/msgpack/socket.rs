//! The WebSocket to a master: its handshake with the worker's name and password, and binary messages.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::broker::Credentials;
use crate::gateway::protocol::OpenError;
use crate::limits::Limits;

/// A WebSocket behind its handshake.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
}

/// What comes of a socket.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Bytes),
    /// It has ended, for this reason.
    End(String),
}

impl Socket {
    /// Connects and has the master let the worker in.
    pub(super) async fn open(
        address: &str,
        limits: &Limits,
        credentials: &Credentials,
    ) -> Result<Self, OpenError> {
        let opened = timeout(OPEN_TIMEOUT, Self::open_patiently(address, limits, credentials)).await;
        opened.map_err(io::Error::from)?
    }

    async fn open_patiently(
        address: &str,
        limits: &Limits,
        credentials: &Credentials,
    ) -> Result<Self, OpenError> {
        let other = |error: Error| OpenError::Master(io::Error::other(error));
        let mut request = format!("ws://{address}/").into_client_request().map_err(other)?;
        request.headers_mut().insert(header::AUTHORIZATION, authorization(credentials));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        // A message is one frame: a master does not divide it.
        let max = Some(limits.message_bytes_max);
        let config = WebSocketConfig::default().max_message_size(max).max_frame_size(max);
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(answer)) if answer.status() == StatusCode::UNAUTHORIZED => {
                Err(OpenError::Refused)
            }
            Err(Error::Io(error)) => Err(error.into()),
            Err(error) => Err(other(error)),
        }
    }

    /// Writes what `next` has, as far as the connection takes it. After an error nothing is written.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut() -> Option<Bytes>,
    ) -> Result<(), Error> {
        while self.stream.poll_ready_unpin(cx)?.is_ready() {
            let Some(message) = next() else { break };
            self.stream.start_send_unpin(Message::Binary(message))?;
        }
        match self.stream.poll_flush_unpin(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    /// Reads the next message. Pings are answered with what is written next.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        loop {
            let heard = match self.stream.poll_next_unpin(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(heard) => heard,
            };
            return Poll::Ready(match heard {
                Some(Ok(Message::Binary(message))) => Heard::Message(message),
                Some(Ok(Message::Close(Some(frame)))) if !frame.reason.is_empty() => {
                    Heard::End(format!("the master has closed the connection: {}", frame.reason))
                }
                Some(Ok(Message::Close(_))) | None => {
                    Heard::End("the master has closed the connection".to_owned())
                }
                // A text means nothing in this protocol; a ping is answered with the next flush.
                Some(Ok(_)) => {
                    let _ = self.stream.poll_flush_unpin(cx);
                    continue;
                }
                Some(Err(error)) => Heard::End(error.to_string()),
            });
        }
    }

    /// Says good-bye.
    pub(super) async fn close(&mut self) {
        // Who does not hear it sees the connection end.
        self.stream.close(None).await.ok();
    }
}

fn authorization(credentials: &Credentials) -> HeaderValue {
    let pair = BASE64_STANDARD.encode(format!("{}:{}", credentials.username, credentials.password));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).expect("base64 is plain ASCII");
    value.set_sensitive(true);
    value
}

/// How long connecting and the handshake may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// Opens a socket to a master that answers in one way, and returns what it was told beside what came of it.
    async fn opened(answer: &str) -> (Vec<String>, Result<Socket, OpenError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let credentials = Credentials { username: "w1".to_owned(), password: "sec:ret".to_owned() };
        let limits = Limits::default();
        let serve = async {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut told = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                match line.trim_end() {
                    "" => break,
                    line => told.push(line.to_owned()),
                }
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            told
        };
        tokio::join!(serve, Socket::open(&address, &limits, &credentials))
    }

    #[tokio::test]
    async fn a_refused_worker_is_told_from_a_master_that_speaks_something_else() {
        let (told, refused) = opened("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
        assert!(matches!(refused, Err(OpenError::Refused)), "{refused:?}");
        let basic = format!("Basic {}", BASE64_STANDARD.encode("w1:sec:ret"));
        let is_header = |line: &&String| line.to_ascii_lowercase().starts_with("authorization: ");
        assert!(told.iter().find(is_header).is_some_and(|line| line.ends_with(&basic)), "{told:?}");

        let (_, other) = opened("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        assert!(matches!(other, Err(OpenError::Master(_))), "{other:?}");
        let (_, pb) = opened("\x02\u{80}\x02\u{82}pb\x04\u{82}none").await;
        assert!(matches!(pb, Err(OpenError::Master(_))), "{pb:?}");
    }
}
