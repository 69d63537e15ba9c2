//! Requests to the local node: HTTP/1.1 and JSON over its Unix socket, one connection a request.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use crate::error::ClientError;
use crate::lines::LineBuffer;

/// What is sent with a request.
pub type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// The local node, as its clients see it. Requests may be made side by side.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// An answer whose content comes as a stream.
#[derive(Debug)]
pub struct Content {
    body: Incoming,
    /// Moves the octets of the connection; ends with the content.
    _connection: AbortOnDropHandle<()>,
}

/// An answer of lines, each an object.
#[derive(Debug)]
pub struct Lines {
    content: Content,
    buffer: LineBuffer,
}

impl Client {
    /// Asks the node that listens on this socket. Connects with each request.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Reads an object.
    ///
    /// # Errors
    ///
    /// See [`ClientError`], here and below.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let content = self.send(Method::GET, path, empty()).await?;
        content.json().await
    }

    /// Sends an object, and reads one.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, value: &Value) -> Result<T, ClientError> {
        let content = self.send(Method::POST, path, full(value.to_string())).await?;
        content.json().await
    }

    /// Sends nothing and expects nothing.
    pub async fn tell(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::POST, path, empty()).await.map(|_| ())
    }

    /// Sends a stream, and returns when all of it was taken.
    pub async fn put(&self, path: &str, body: RequestBody) -> Result<(), ClientError> {
        self.send(Method::PUT, path, body).await.map(|_| ())
    }

    /// Sends a stream, and reads what came of it.
    pub async fn post_stream<T: DeserializeOwned>(
        &self,
        path: &str,
        body: RequestBody,
    ) -> Result<T, ClientError> {
        self.send(Method::POST, path, body).await?.json().await
    }

    /// Reads lines as they come.
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let content = self.send(Method::GET, path, empty()).await?;
        Ok(Lines { content, buffer: LineBuffer::default() })
    }

    /// Reads a stream as it comes.
    pub async fn content(&self, path: &str) -> Result<Content, ClientError> {
        self.send(Method::GET, path, empty()).await
    }

    async fn send(&self, method: Method, path: &str, body: RequestBody) -> Result<Content, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::NoDaemon { socket: self.socket.clone(), source })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async {
            // What went wrong with the connection is said by the request that it served.
            connection.await.ok();
        }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "runnel")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .expect("paths are made of ids and words, which need no escape");
        let response = sender.send_request(request).await?;
        let status = response.status();
        let content = Content::new(response, connection);
        if status.is_success() { Ok(content) } else { Err(ClientError::refused(status, content).await) }
    }
}

impl Content {
    fn new(response: Response<Incoming>, connection: AbortOnDropHandle<()>) -> Self {
        Self { body: response.into_body(), _connection: connection }
    }

    /// Returns the next piece, or `None` at the end. Cancel-safe: what came stays in the connection.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(octets) = frame?.into_data() {
                return Ok(Some(octets));
            }
        }
        Ok(None)
    }

    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let Self { body, _connection } = self;
        let octets = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let octets = octets.map_err(ClientError::Answer)?.to_bytes();
        serde_json::from_slice(&octets).map_err(ClientError::Malformed)
    }
}

impl Lines {
    /// Returns the next line that is not empty, or `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            while let Some(line) = self.buffer.pop() {
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            let Some(octets) = self.content.next().await? else { return Ok(None) };
            self.buffer.push(&octets)?;
        }
    }
}

/// Sends pieces as they come. An error breaks the request off, so that nobody takes what was sent for the whole.
pub fn streamed(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> RequestBody {
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

fn empty() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(text: String) -> RequestBody {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

/// Largest answer that is held as a whole, in bytes: a list of some 100,000 commands.
///
/// Lower, long lists cannot be shown; higher, whoever listens on the socket makes us hold more.
const ANSWER_BYTES_MAX: usize = 64 << 20;
