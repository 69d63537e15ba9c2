//! A link: one authenticated connection to one peer.
//!
//! It has no task of its own: its owner calls [`Link::poll_event`] until it is pending. Each of its streams has a waker
//! of its own, so that only those are touched that have something to do. Everything that arrives is taken off its
//! stream at once; what the receiver does with it is bounded by credit, above.

mod budget;
mod stream;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use runnel_certs::{PeerIdentity, Trust, check_peer, read_identity};
use runnel_codec::{
    CloseCode, ControlFrame, Head, StreamFrame, StreamKind, encode_control, encode_stream_kind,
};
use rustls::pki_types::CertificateDer;
use slab::Slab;
use tokio::time::{Sleep, sleep_until};

use self::budget::InFlight;
pub use self::stream::StreamId;
use self::stream::{Role, Stream, StreamEvent};
use crate::close::{CloseReason, LinkClosed, code_of_identity};
use crate::config::{TransportConfig, varint};
use crate::error::NoPlace;
use crate::ready::ReadySet;

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
    pub(crate) config: TransportConfig,
    /// Handshakes under way with peers that dialled us.
    pub(crate) handshakes: AtomicU32,
}

/// Which end of a link this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It dialled.
    Dialler,
    /// It was dialled.
    Acceptor,
}

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The handshake is done and [`Link::peer`] is known. The dialler says hello now.
    Connected,
    /// A frame of the control stream.
    Control(ControlFrame),
    /// The peer opened a stream with a command; its inline payload, if announced, is complete.
    Head {
        /// The stream.
        stream: StreamId,
        /// The head.
        head: Head,
        /// The inline payload; empty if none was announced.
        payload: Bytes,
    },
    /// A further frame of a command's stream, in either direction.
    Frame {
        /// The stream.
        stream: StreamId,
        /// The frame.
        frame: StreamFrame,
    },
    /// The peer's half of a stream has ended as it should.
    Finished {
        /// The stream.
        stream: StreamId,
    },
    /// The peer's half of a stream was aborted.
    Lost {
        /// The stream.
        stream: StreamId,
        /// Why; `None` if the code is not ours.
        code: Option<CloseCode>,
    },
    /// [`Link::open_command`] may succeed again.
    Places,
    /// The peer has taken bytes that were in flight.
    Budget,
    /// The link has ended; the last event.
    Closed(LinkClosed),
}

/// Figures of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Congestion window, in bytes.
    pub congestion_window: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets found lost.
    pub packets_lost: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received.
    pub bytes_received: u64,
    /// Authenticated frames received: the peer's signs of life.
    pub frames_received: u64,
    /// Times the peer's address changed.
    pub migrations: u64,
    /// Largest UDP payload that the path carries.
    pub mtu: u16,
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

/// A link whose handshake is done.
struct Open {
    connection: Connection,
    context: Arc<LinkContext>,
    side: Side,
    ready: ReadySet,
    streams: Slab<Stream>,
    indices: HashMap<StreamId, usize>,
    /// Index of the control stream among the streams.
    control: Option<usize>,
    /// Control frames said before the control stream was there.
    early_control: BytesMut,
    opening: Opening,
    accepting: Opening,
    closed: Pin<Box<dyn Future<Output = ConnectionError> + Send>>,
    /// A stream that is open and not used yet.
    place: Option<(SendStream, RecvStream)>,
    /// Streams whose head is not complete, oldest first.
    heads: VecDeque<(Instant, usize, StreamId)>,
    head_timer: Pin<Box<Sleep>>,
    in_flight: InFlight,
    /// Why we closed it, if we did.
    closed_with: Option<CloseReason>,
    remote: SocketAddr,
    migrations: u64,
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

    /// A link that could not even be tried.
    pub(crate) fn failed(context: Arc<LinkContext>, error: &io::Error) -> Self {
        let reason = CloseReason::Unreachable { text: error.to_string() };
        Self::connecting(context, Side::Dialler, Box::pin(std::future::ready(Err(reason))))
    }

    pub(crate) fn with_remote(mut self, remote: SocketAddr) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Returns the next event. After [`LinkEvent::Closed`] there is none.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match &mut self.phase {
                Phase::Connecting(handshake) => {
                    let Poll::Ready(result) = handshake.connecting.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    self.handle_handshake(result);
                }
                Phase::Open(open) => {
                    let poll = open.poll(cx, &mut self.events);
                    self.remote = Some(open.remote);
                    match poll {
                        Poll::Ready(Some(reason)) => {
                            self.events.push_back(LinkEvent::Closed(LinkClosed { reason }));
                            self.phase = Phase::Closed;
                        }
                        Poll::Ready(None) => {}
                        Poll::Pending if self.events.is_empty() => return Poll::Pending,
                        Poll::Pending => {}
                    }
                }
                Phase::Closed => return Poll::Pending,
            }
        }
    }

    /// Opens a stream for a command and writes its head and inline payload.
    ///
    /// # Errors
    ///
    /// [`NoPlace`] when the peer allows no further stream now.
    pub fn open_command(&mut self, head: &Head, payload: Bytes) -> Result<StreamId, NoPlace> {
        match &mut self.phase {
            Phase::Open(open) => open.open_command(head, payload),
            _ => Err(NoPlace),
        }
    }

    /// Returns how many commands can be opened for sure now.
    pub fn places(&self) -> usize {
        match &self.phase {
            Phase::Open(open) => usize::from(open.place.is_some()),
            _ => 0,
        }
    }

    /// Writes a frame to a command's stream. Frames for a stream that has ended are ignored.
    pub fn send(&mut self, stream: StreamId, frame: &StreamFrame) {
        if let Phase::Open(open) = &mut self.phase {
            open.with_stream(stream, |stream, in_flight| in_flight.add_written(stream.push_frame(frame)));
        }
    }

    /// Ends this side of a stream after what has been written.
    pub fn finish(&mut self, stream: StreamId) {
        if let Phase::Open(open) = &mut self.phase {
            open.with_stream(stream, |stream, _| stream.finish());
        }
    }

    /// Aborts this side of a stream: what has not arrived is dropped.
    pub fn reset(&mut self, stream: StreamId, code: CloseCode) {
        let Phase::Open(open) = &mut self.phase else { return };
        let mut bytes = None;
        open.with_stream(stream, |stream, _| bytes = stream.reset(code));
        if let Some(bytes) = bytes {
            open.push_control(&ControlFrame::StreamEnded { stream: stream.to_wire(), bytes });
        }
    }

    /// Asks the peer to abort its side of a stream; what comes of it is dropped.
    pub fn stop(&mut self, stream: StreamId, code: CloseCode) {
        if let Phase::Open(open) = &mut self.phase {
            open.with_stream(stream, |stream, _| stream.stop(code));
        }
    }

    /// Writes a frame to the control stream, ahead of all commands.
    pub fn send_control(&mut self, frame: &ControlFrame) {
        if let Phase::Open(open) = &mut self.phase {
            open.push_control(frame);
        }
    }

    /// Sets how many streams of the peer's may be open at once, the control stream not counted.
    pub fn set_places(&mut self, places: usize) {
        if let Phase::Open(open) = &mut self.phase {
            let control = usize::from(open.side == Side::Acceptor);
            open.connection.set_max_concurrent_bi_streams(varint((places + control) as u64));
        }
    }

    /// Returns the budgeted bytes that were written and not yet taken by the peer's transport.
    pub fn in_flight(&self) -> u64 {
        match &self.phase {
            Phase::Open(open) => open.in_flight.bytes(),
            _ => 0,
        }
    }

    /// Closes the link. [`LinkEvent::Closed`] follows.
    pub fn close(&mut self, code: CloseCode, text: &str) {
        let reason = CloseReason::local(code, text);
        match &mut self.phase {
            Phase::Connecting(_) => {
                self.phase = Phase::Closed;
                self.events.push_back(LinkEvent::Closed(LinkClosed { reason }));
            }
            Phase::Open(open) => open.close(code, text),
            Phase::Closed => {}
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
        self.remote
    }

    /// Returns the link's figures. They cost a lock of the connection.
    pub fn stats(&self) -> LinkStats {
        let Phase::Open(open) = &self.phase else { return LinkStats::default() };
        let stats = open.connection.stats();
        LinkStats {
            rtt: stats.path.rtt,
            congestion_window: stats.path.cwnd,
            packets_sent: stats.path.sent_packets,
            packets_lost: stats.path.lost_packets,
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            frames_received: frames_received(&stats.frame_rx),
            migrations: open.migrations,
            mtu: stats.path.current_mtu,
        }
    }

    fn handle_handshake(&mut self, result: Result<Connection, CloseReason>) {
        let connection = match result {
            Ok(connection) => connection,
            Err(reason) => {
                self.phase = Phase::Closed;
                return self.events.push_back(LinkEvent::Closed(LinkClosed { reason }));
            }
        };
        self.remote = Some(connection.remote_address());
        let identity = identify(&connection, &self.context.trust);
        let mut open = Box::new(Open::new(self.context.clone(), self.side, connection));
        match identity {
            Ok(peer) => {
                self.peer = Some(peer);
                self.events.push_back(LinkEvent::Connected);
            }
            Err((code, text)) => open.close(code, &text),
        }
        self.phase = Phase::Open(open);
    }
}

impl Open {
    fn new(context: Arc<LinkContext>, side: Side, connection: Connection) -> Self {
        let mut ready = ReadySet::default();
        ready.insert(CONNECTION);
        let closed = {
            let connection = connection.clone();
            Box::pin(async move { connection.closed().await })
        };
        Self {
            opening: open_bi(&connection),
            accepting: accept_bi(&connection),
            remote: connection.remote_address(),
            head_timer: Box::pin(sleep_until(tokio::time::Instant::now())),
            connection,
            context,
            side,
            ready,
            streams: Slab::new(),
            indices: HashMap::new(),
            control: None,
            early_control: BytesMut::new(),
            closed,
            place: None,
            heads: VecDeque::new(),
            in_flight: InFlight::default(),
            closed_with: None,
            migrations: 0,
        }
    }

    /// Does all that can be done now. Ready with a reason when the link has ended, ready without one after it did
    /// something.
    fn poll(&mut self, cx: &mut Context<'_>, events: &mut VecDeque<LinkEvent>) -> Poll<Option<CloseReason>> {
        let Poll::Ready(index) = self.ready.poll_next(cx) else {
            self.report_taken(false);
            return match self.ready.poll_next(cx) {
                Poll::Ready(index) => {
                    self.ready.wake(index);
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            };
        };
        let waker = self.ready.waker(index);
        let mut cx = Context::from_waker(&waker);
        if index == CONNECTION {
            if let Poll::Ready(error) = self.closed.as_mut().poll(&mut cx) {
                let reason = self.closed_with.take();
                return Poll::Ready(Some(reason.unwrap_or_else(|| CloseReason::of_connection(&error))));
            }
            self.poll_connection(&mut cx, events);
        } else {
            self.poll_stream(&mut cx, index - 1, events);
        }
        self.report_taken(true);
        Poll::Ready(None)
    }

    /// Takes new streams, from the peer and for ourselves.
    fn poll_connection(&mut self, cx: &mut Context<'_>, events: &mut VecDeque<LinkEvent>) {
        while let Poll::Ready(Ok((send, recv))) = self.accepting.as_mut().poll(cx) {
            self.accepting = accept_bi(&self.connection);
            let stream = Stream::accepted(send, recv, self.context.config.limits());
            let id = stream.id();
            let index = self.add_stream(stream);
            self.heads.push_back((now() + self.context.config.head_timeout, index, id));
        }
        while self.place.is_none() {
            let Poll::Ready(Ok((send, recv))) = self.opening.as_mut().poll(cx) else { break };
            self.opening = open_bi(&self.connection);
            if self.side == Side::Dialler && self.control.is_none() {
                self.open_control(send, recv);
            } else {
                self.place = Some((send, recv));
                events.push_back(LinkEvent::Places);
            }
        }
        self.poll_heads(cx);
        let remote = self.connection.remote_address();
        if remote != self.remote {
            self.remote = remote;
            self.migrations += 1;
        }
    }

    /// Closes the link when a head takes too long.
    fn poll_heads(&mut self, cx: &mut Context<'_>) {
        while let Some((until, index, id)) = self.heads.front().copied() {
            let is_waiting =
                self.streams.get(index).is_some_and(|stream| stream.id() == id && stream.lacks_head());
            if !is_waiting {
                self.heads.pop_front();
                continue;
            }
            self.head_timer.as_mut().reset(until.into());
            if self.head_timer.as_mut().poll(cx).is_ready() {
                self.close(CloseCode::HeadTimeout, "a head was not complete in time");
            }
            return;
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, index: usize, events: &mut VecDeque<LinkEvent>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let id = stream.id();
        let stopped_bytes = stream.poll_write(cx);
        // The number of reads in a turn is bounded inside, so that no stream keeps the others waiting.
        let (is_blocked, mut happened) = stream.poll_read(cx);
        if !is_blocked {
            self.ready.wake(index + 1);
        }
        if stream.is_over() {
            self.remove_stream(index);
        }
        if let Some(bytes) = stopped_bytes {
            self.push_control(&ControlFrame::StreamEnded { stream: id.to_wire(), bytes });
        }
        for event in happened.drain(..) {
            self.handle_stream_event(id, index, event, events);
        }
    }

    fn handle_stream_event(
        &mut self,
        stream: StreamId,
        index: usize,
        event: StreamEvent,
        events: &mut VecDeque<LinkEvent>,
    ) {
        match event {
            StreamEvent::IsControl => self.take_control(index),
            StreamEvent::Control(frame) => self.handle_control(frame, events),
            StreamEvent::Head { head, payload, taken } => {
                self.in_flight.add_taken(taken);
                events.push_back(LinkEvent::Head { stream, head, payload });
            }
            StreamEvent::Frame { frame, taken } => {
                self.in_flight.add_taken(taken);
                events.push_back(LinkEvent::Frame { stream, frame });
            }
            StreamEvent::Finished if self.control == Some(index) => {
                self.close(CloseCode::UnexpectedFrame, "the control stream ended");
            }
            StreamEvent::Finished => events.push_back(LinkEvent::Finished { stream }),
            StreamEvent::Lost { code, taken } => {
                self.in_flight.handle_lost(stream, taken);
                events.push_back(LinkEvent::Lost { stream, code });
            }
            StreamEvent::Broken(error) => self.close(error.close_code(), &error.to_string()),
        }
    }

    /// Keeps what is the transport's own and passes the rest on.
    fn handle_control(&mut self, frame: ControlFrame, events: &mut VecDeque<LinkEvent>) {
        match frame {
            ControlFrame::Taken { bytes } => {
                if self.in_flight.handle_taken(bytes) {
                    events.push_back(LinkEvent::Budget);
                }
            }
            ControlFrame::StreamEnded { stream, bytes } => {
                self.in_flight.handle_stream_ended(StreamId::from_wire(stream), bytes);
            }
            frame => events.push_back(LinkEvent::Control(frame)),
        }
    }

    fn open_command(&mut self, head: &Head, payload: Bytes) -> Result<StreamId, NoPlace> {
        let (send, recv) = self.place.take().ok_or(NoPlace)?;
        self.ready.wake(CONNECTION);
        let (stream, written) = Stream::opened(send, recv, self.context.config.limits(), head, payload);
        self.in_flight.add_written(written);
        let id = stream.id();
        self.add_stream(stream);
        Ok(id)
    }

    fn open_control(&mut self, send: SendStream, recv: RecvStream) {
        let stream = Stream::control(send, recv, self.context.config.limits());
        let index = self.add_stream(stream);
        let mut kind = BytesMut::new();
        encode_stream_kind(StreamKind::Control, &mut kind);
        kind.unsplit(std::mem::take(&mut self.early_control));
        self.early_control = kind;
        self.take_control(index);
    }

    /// The control stream is there: what was said before goes out first.
    fn take_control(&mut self, index: usize) {
        if self.control.is_some() {
            return self.close(CloseCode::UnexpectedFrame, "a second control stream");
        }
        self.control = Some(index);
        let early = std::mem::take(&mut self.early_control).freeze();
        if let Some(stream) = self.streams.get_mut(index) {
            stream.set_role(Role::Control);
            stream.push_bytes(early);
        }
        self.ready.wake(index + 1);
    }

    fn push_control(&mut self, frame: &ControlFrame) {
        match self.control.and_then(|index| Some((index, self.streams.get_mut(index)?))) {
            Some((index, stream)) => {
                stream.push_control(frame);
                self.ready.wake(index + 1);
            }
            None => encode_control(frame, &mut self.early_control),
        }
    }

    /// Tells the peer what was taken: in steps while there is more to do, all of it before a rest.
    fn report_taken(&mut self, is_busy: bool) {
        if let Some(bytes) = self.in_flight.poll_report(is_busy) {
            self.push_control(&ControlFrame::Taken { bytes });
        }
    }

    fn with_stream(&mut self, id: StreamId, act: impl FnOnce(&mut Stream, &mut InFlight)) {
        let Some(index) = self.indices.get(&id).copied() else { return };
        if let Some(stream) = self.streams.get_mut(index) {
            act(stream, &mut self.in_flight);
            self.ready.wake(index + 1);
        }
    }

    fn add_stream(&mut self, stream: Stream) -> usize {
        let id = stream.id();
        let index = self.streams.insert(stream);
        self.indices.insert(id, index);
        self.ready.insert(index + 1);
        index
    }

    fn remove_stream(&mut self, index: usize) {
        let stream = self.streams.remove(index);
        self.indices.remove(&stream.id());
    }

    fn close(&mut self, code: CloseCode, text: &str) {
        if self.closed_with.is_none() {
            self.closed_with = Some(CloseReason::local(code, text));
            self.connection.close(code.to_wire().into(), text.as_bytes());
            self.ready.wake(CONNECTION);
        }
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
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<(SendStream, RecvStream), ConnectionError>> + Send>>;

fn open_bi(connection: &Connection) -> Opening {
    let connection = connection.clone();
    Box::pin(async move { connection.open_bi().await })
}

fn accept_bi(connection: &Connection) -> Opening {
    let connection = connection.clone();
    Box::pin(async move { connection.accept_bi().await })
}

/// Reads who the peer is from the leaf that TLS has verified, and whether we accept it.
fn identify(connection: &Connection, trust: &Trust) -> Result<PeerIdentity, (CloseCode, String)> {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let Some(leaf) = chain.as_deref().and_then(|chain| chain.first()) else {
        return Err((CloseCode::BadIdentity, "no certificate was shown".to_owned()));
    };
    let checked = read_identity(leaf).and_then(|peer| check_peer(trust, &peer).map(|()| peer));
    checked.map_err(|error| (code_of_identity(&error), error.to_string()))
}

/// Everything that only an authenticated packet can carry.
fn frames_received(frames: &quinn::FrameStats) -> u64 {
    frames.acks
        + frames.crypto
        + frames.data_blocked
        + u64::from(frames.handshake_done)
        + frames.max_data
        + frames.max_stream_data
        + frames.max_streams_bidi
        + frames.new_connection_id
        + frames.path_challenge
        + frames.path_response
        + frames.ping
        + frames.reset_stream
        + frames.retire_connection_id
        + frames.stop_sending
        + frames.stream
        + frames.stream_data_blocked
        + frames.streams_blocked_bidi
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Number of the connection itself among what is woken; stream `i` has number `i + 1`.
const CONNECTION: usize = 0;
