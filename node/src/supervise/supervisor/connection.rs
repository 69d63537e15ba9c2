//! The connection to the node that follows the program.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::supervise::error::SuperviseError;
use crate::supervise::message::{Frames, Notice, Request, State};

/// A connection to a node.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    frames: Frames,
    /// The state that was said last.
    said: Option<State>,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, frames: Frames::default(), said: None }
    }

    /// Says how far everything is, unless that was said. While the node does not listen, newer states take the place of
    /// older ones.
    pub(super) fn tell(&mut self, state: &State) {
        if self.frames.is_flushed() && self.said.as_ref() != Some(state) {
            self.frames.push(&Notice::State(state.clone()));
            self.said = Some(state.clone());
            self.frames.flush(&self.stream).ok();
        }
    }

    /// Waits until something came or could be said. Returns whether the connection is still there.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn exchange(&mut self) -> io::Result<bool> {
        let interest = match self.frames.is_flushed() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        let ready = self.stream.ready(interest).await?;
        if ready.is_writable() {
            self.frames.flush(&self.stream)?;
        }
        if ready.is_readable() { self.frames.fill(&self.stream) } else { Ok(true) }
    }

    /// Returns the next request that has come.
    pub(super) fn next_request(&mut self) -> Result<Option<Request>, SuperviseError> {
        self.frames.pull("a request of a node")
    }

    /// Says a last word, as far as the node listens.
    pub(super) async fn close(mut self, word: &Notice) {
        self.frames.push(word);
        let say = async {
            while self.frames.flush(&self.stream).is_ok() && !self.frames.is_flushed() {
                if self.stream.writable().await.is_err() {
                    break;
                }
            }
        };
        timeout(LAST_WORD_TIMEOUT, say).await.ok();
    }
}

/// Waits for the next exchange of a connection, if there is one.
pub(super) async fn exchange(connection: &mut Option<Connection>) -> io::Result<bool> {
    match connection {
        Some(connection) => connection.exchange().await,
        None => pending().await,
    }
}

/// How long a node that does not listen is waited for.
const LAST_WORD_TIMEOUT: Duration = Duration::from_millis(500);
