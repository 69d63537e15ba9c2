//! A link: one authenticated connection to one peer.
//!
//! It has no task of its own: its owner calls [`Link::poll_event`] until it is pending. Each of its streams has a waker
//! of its own, so that only those are touched that have something to do. Everything that arrives is taken off its
//! stream at once; what the receiver does with it is bounded by credit, above.
//!
//! What its owner writes goes through `open/outgoing.rs` and `stream/sending.rs` into an `outbox.rs`, and from there to
//! QUIC; what the peer has written comes by `openings.rs`, `stream/receiving.rs` and `open/incoming.rs`, and is an event.

mod budget;
mod control;
mod copies;
mod ending;
mod event;
mod greeting;
mod heads;
mod open;
mod openings;
mod outbox;
mod peer;
mod reader;
mod stats;
mod stream;
mod stream_map;
mod streams;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::Connection;
use runnel_certs::{ChainCheck, PeerIdentity, Trust};
use runnel_codec::{Class, CloseCode, CloseText, ControlFrame, Head, KnownNames, StreamFrame};
use tracing::trace;

pub use self::event::{LinkEvent, Side};
use self::open::Open;
pub use self::stats::LinkStats;
pub use self::stream::StreamId;
pub use self::stream_map::{NumberHasher, StreamMap};
use crate::close::{CloseReason, LinkClosed};
use crate::config::{TransportConfig, varint};
use crate::error::NoPlace;

/// One authenticated connection to one peer. Dropping it closes it.
#[must_use]
pub struct Link {
    context: Arc<LinkContext>,
    side: Side,
    phase: Phase,
    remote: Option<SocketAddr>,
    peer: Option<PeerIdentity>,
    events: VecDeque<LinkEvent>,
}

/// What all links of an endpoint share.
#[derive(Debug)]
pub(crate) struct LinkContext {
    pub(crate) trust: Trust,
    /// Verifies once more whom a handshake has shown: one that was resumed did not.
    pub(crate) chains: ChainCheck,
    pub(crate) config: TransportConfig,
    /// Command types that need no allocation when they come in a head.
    pub(crate) names: KnownNames,
    /// Handshakes under way with peers that dialled us.
    pub(crate) handshakes: AtomicU32,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Connection, CloseReason>> + Send>>;

enum Phase {
    Connecting(Handshake),
    Open(Box<Open>),
    Closed,
}

/// A handshake under way. It is counted while it lasts, if the peer dialled.
struct Handshake {
    connecting: Connecting,
    counted: Option<Arc<LinkContext>>,
}

impl Link {
    pub(crate) fn connecting(context: Arc<LinkContext>, side: Side, connecting: Connecting) -> Self {
        let counted = (side == Side::Acceptor).then(|| {
            context.handshakes.fetch_add(1, Ordering::Relaxed);
            context.clone()
        });
        let phase = Phase::Connecting(Handshake { connecting, counted });
        Self { context, side, phase, remote: None, peer: None, events: VecDeque::new() }
    }

    pub(crate) fn with_remote(mut self, remote: SocketAddr) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Returns the next event. After [`LinkEvent::Closed`] there is none.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent> {
        loop {
            if let Some(event) = self.next_event() {
                return Poll::Ready(event);
            }
            match &mut self.phase {
                Phase::Connecting(handshake) => {
                    let Poll::Ready(result) = handshake.connecting.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    self.handle_handshake(result);
                }
                Phase::Open(open) => match open.poll(cx, &mut self.events) {
                    Poll::Ready(Some(reason)) => self.end(reason),
                    Poll::Ready(None) => {}
                    Poll::Pending if self.events.is_empty() => return Poll::Pending,
                    Poll::Pending => {}
                },
                Phase::Closed => return Poll::Pending,
            }
        }
    }

    /// Returns the next event of those that have come already, without looking for more.
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// Opens a stream for a command and writes its head and inline payload. Unless the head says that a body follows, that
    /// ends this side of it.
    ///
    /// # Errors
    ///
    /// [`NoPlace`] when the peer allows no further stream now.
    pub fn open_command(&mut self, head: &Head, payload: Bytes) -> Result<StreamId, NoPlace> {
        match &mut self.phase {
            Phase::Open(open) => open.open_command(head, payload, &mut self.events),
            _ => Err(NoPlace),
        }
    }

    /// Opens a stream for messages of one class, writes them and finishes it. That the peer has read all of them is said by
    /// [`LinkEvent::Finished`]. Only for a peer whose hello has [`FEATURE_BATCHES`](runnel_codec::FEATURE_BATCHES); together
    /// they are no longer than [`BATCH_BYTES_MAX`](runnel_codec::BATCH_BYTES_MAX).
    ///
    /// # Errors
    ///
    /// [`NoPlace`] when the peer allows no further stream now.
    pub fn open_batch(&mut self, class: Class, messages: &[Head]) -> Result<StreamId, NoPlace> {
        match &mut self.phase {
            Phase::Open(open) => open.open_batch(class, messages, &mut self.events),
            _ => Err(NoPlace),
        }
    }

    /// Returns how many commands can be opened for sure now.
    pub fn places(&self) -> usize {
        match &self.phase {
            Phase::Open(open) => open.places(),
            _ => 0,
        }
    }

    /// Writes a frame to a command's stream, behind what waits there already. Frames for a stream that has ended are
    /// ignored.
    ///
    /// Nothing bounds what waits but the caller, by the budget and by [`pending_bytes`](Self::pending_bytes).
    pub fn send(&mut self, stream: StreamId, frame: &StreamFrame) {
        if let Phase::Open(open) = &mut self.phase {
            open.act_on(stream, |stream, in_flight| in_flight.add_written(stream.push_frame(frame)));
        }
    }

    /// Writes the last frame of this side to a command's stream: [`send`](Self::send) and [`finish`](Self::finish) in one.
    pub fn send_last(&mut self, stream: StreamId, frame: &StreamFrame) {
        if let Phase::Open(open) = &mut self.phase {
            open.send_last(stream, frame, &mut self.events);
        }
    }

    /// Returns the bytes that wait to be written to a stream: QUIC's windows are full, or [`poll_event`](Self::poll_event)
    /// was not called since. When they have been many, [`LinkEvent::Writable`] says that they are few again.
    pub fn pending_bytes(&self, stream: StreamId) -> usize {
        match &self.phase {
            Phase::Open(open) => open.pending_bytes(stream),
            _ => 0,
        }
    }

    /// Ends this side of a stream after what has been written.
    pub fn finish(&mut self, stream: StreamId) {
        if let Phase::Open(open) = &mut self.phase {
            open.act_on(stream, |stream, _| stream.finish());
        }
    }

    /// Aborts this side of a stream: what has not arrived is dropped. The peer gets [`LinkEvent::Lost`].
    pub fn reset(&mut self, stream: StreamId, code: CloseCode) {
        if let Phase::Open(open) = &mut self.phase {
            open.reset(stream, code);
        }
    }

    /// Drops what still comes of the peer's side of a stream; no event tells of it any more.
    ///
    /// It is read and counted nonetheless, so that the peer's bytes in flight do not seem to grow for ever. The peer
    /// learns of it when this side is [reset](Self::reset), or from the credit that it no longer gets.
    pub fn stop(&mut self, stream: StreamId, code: CloseCode) {
        trace!(%stream, %code, "dropping what still comes");
        if let Phase::Open(open) = &mut self.phase {
            open.act_on(stream, |stream, _| stream.discard());
        }
    }

    /// Writes a frame to the control stream, ahead of all commands.
    pub fn send_control(&mut self, frame: &ControlFrame) {
        if let Phase::Open(open) = &mut self.phase {
            open.push_control(frame);
        }
    }

    /// Writes a heartbeat that goes out although the window is full, if the rate is found by
    /// [`Delay`](crate::CongestionControl::Delay): in silence nothing else would for long.
    pub fn send_probe(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.push_probe(&mut self.events);
        }
    }

    /// Keeps `free` places for streams of the peer's beside the `used` ones, the control stream not counted.
    ///
    /// The peer sees some more or fewer, but never less than seven eighths of the free ones.
    pub fn set_places(&mut self, used: usize, free: usize) {
        if let Phase::Open(open) = &mut self.phase {
            let control = usize::from(open.side == Side::Acceptor);
            // quinn announces a limit only when it has grown by more than an eighth of it: without a share of those in
            // use, many long-lived streams would hide all free places behind that eighth.
            let places = control + used + used.div_ceil(7) + free;
            open.connection.set_max_concurrent_bi_streams(varint(places as u64));
        }
    }

    /// Returns how many streams the peer has opened since the link began, the control stream among them.
    pub fn streams_accepted(&self) -> u64 {
        match &self.phase {
            Phase::Open(open) => open.accepted(),
            _ => 0,
        }
    }

    /// Returns the budgeted bytes that were written and not yet taken by the peer's transport.
    pub fn in_flight(&self) -> u64 {
        match &self.phase {
            Phase::Open(open) => open.in_flight.bytes(),
            _ => 0,
        }
    }

    /// Returns the budgeted bytes that were written since the link began.
    pub fn budgeted_bytes(&self) -> u64 {
        match &self.phase {
            Phase::Open(open) => open.in_flight.written(),
            _ => 0,
        }
    }

    /// Closes the link. [`LinkEvent::Closed`] follows.
    pub fn close(&mut self, code: CloseCode, why: impl Into<CloseText>) {
        match &mut self.phase {
            Phase::Connecting(_) => self.end(CloseReason::local(code, &why.into().text)),
            Phase::Open(open) => open.close(code, why),
            Phase::Closed => {}
        }
    }

    /// Returns how many of its streams were woken and not polled since.
    pub fn woken_streams(&self) -> usize {
        match &self.phase {
            Phase::Open(open) => open.woken(),
            _ => 0,
        }
    }

    /// Returns which end of the link this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Returns who the peer is, once the handshake is done.
    pub fn peer(&self) -> Option<&PeerIdentity> {
        self.peer.as_ref()
    }

    /// Returns where the peer's packets come from, as far as is known.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        match &self.phase {
            Phase::Open(open) => Some(open.remote.look(&open.connection)),
            _ => self.remote,
        }
    }

    /// Returns the link's figures. They cost a lock of the connection.
    pub fn stats(&self) -> LinkStats {
        match &self.phase {
            Phase::Open(open) => open.remote.stats(&open.connection),
            _ => LinkStats::default(),
        }
    }

    fn handle_handshake(&mut self, result: Result<Connection, CloseReason>) {
        let connection = match result {
            Ok(connection) => connection,
            Err(reason) => return self.end(reason),
        };
        let identity = peer::identify(&connection, self.side, &self.context);
        let mut open = Box::new(Open::new(self.context.clone(), self.side, connection));
        match identity {
            Ok(peer) => {
                self.peer = Some(peer);
                self.events.push_back(LinkEvent::Connected);
            }
            Err((code, text)) => open.close(code, text),
        }
        self.phase = Phase::Open(open);
    }

    fn end(&mut self, reason: CloseReason) {
        self.remote = self.remote_address();
        self.phase = Phase::Closed;
        self.events.push_back(LinkEvent::Closed(LinkClosed { reason }));
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        if let Some(context) = &self.counted {
            context.handshakes.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Connecting(_) => "connecting",
            Phase::Open(_) => "open",
            Phase::Closed => "closed",
        };
        f.debug_struct("Link")
            .field("side", &self.side)
            .field("phase", &phase)
            .field("peer", &self.peer)
            .field("remote", &self.remote_address())
            .finish_non_exhaustive()
    }
}
