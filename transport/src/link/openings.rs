//! What comes on a connection by itself: streams, as they are opened here and by the peer, and datagrams.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};

/// Both halves of a new stream.
pub(super) type Pair = (SendStream, RecvStream);

/// The waits for the next stream of either side.
///
/// A stream that is there already is had without an allocation; only a wait needs one.
pub(super) struct Openings {
    connection: Connection,
    /// A stream of ours that is open and not used yet.
    place: Option<Pair>,
    /// Streams that the peer has opened.
    accepted: u64,
    opening: Option<Wait>,
    accepting: Option<Wait>,
    receiving: Option<DatagramWait>,
}

type Wait = Pin<Box<dyn Future<Output = Result<Pair, ConnectionError>> + Send>>;
type DatagramWait = Pin<Box<dyn Future<Output = Result<Bytes, ConnectionError>> + Send>>;

impl Openings {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, place: None, accepted: 0, opening: None, accepting: None, receiving: None }
    }

    /// Gets the next stream of ours, unless there is one, once the peer's limit allows it. Returns whether it is there now.
    pub(super) fn poll_place(&mut self, cx: &mut Context<'_>) -> bool {
        if self.place.is_none()
            && let Poll::Ready(Ok(pair)) = self.poll_open(cx)
        {
            self.place = Some(pair);
        }
        self.place.is_some()
    }

    /// Returns a stream of ours that is not used yet.
    pub(super) fn take_place(&mut self) -> Option<Pair> {
        self.place.take()
    }

    /// Returns whether there is a stream of ours that is not used yet.
    pub(super) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    /// Returns how many streams the peer has opened, the control stream among them.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pair, ConnectionError>> {
        if self.opening.is_none() {
            let at_once = pin!(self.connection.open_bi()).poll(cx);
            if at_once.is_ready() {
                return at_once;
            }
        }
        let connection = &self.connection;
        poll_wait(&mut self.opening, cx, || {
            let connection = connection.clone();
            Box::pin(async move { connection.open_bi().await })
        })
    }

    /// Returns the next stream that the peer has opened.
    pub(super) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pair, ConnectionError>> {
        let accepted = ready!(self.poll_accept_next(cx));
        self.accepted += u64::from(accepted.is_ok());
        Poll::Ready(accepted)
    }

    fn poll_accept_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pair, ConnectionError>> {
        if self.accepting.is_none() {
            let at_once = pin!(self.connection.accept_bi()).poll(cx);
            if at_once.is_ready() {
                return at_once;
            }
        }
        let connection = &self.connection;
        poll_wait(&mut self.accepting, cx, || {
            let connection = connection.clone();
            Box::pin(async move { connection.accept_bi().await })
        })
    }

    /// Returns the next datagram that has come.
    pub(super) fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ConnectionError>> {
        let connection = &self.connection;
        poll_wait(&mut self.receiving, cx, || {
            let connection = connection.clone();
            Box::pin(async move { connection.read_datagram().await })
        })
    }
}

fn poll_wait<T>(
    wait: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    cx: &mut Context<'_>,
    begin: impl FnOnce() -> Pin<Box<dyn Future<Output = T> + Send>>,
) -> Poll<T> {
    let poll = wait.get_or_insert_with(begin).as_mut().poll(cx);
    if poll.is_ready() {
        *wait = None;
    }
    poll
}

impl fmt::Debug for Openings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Openings").finish_non_exhaustive()
    }
}
