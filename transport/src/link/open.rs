//! A link whose handshake is done: its streams, and who is polled when.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ConnectionError};
use runnel_codec::{
    Class, CloseCode, CloseText, ControlFrame, Datagram, Head, HelloAnswer, StreamFrame, StreamKind,
    encode_control, encode_stream_kind,
};
use slab::Slab;
use tokio::time::{Sleep, sleep_until};

use super::LinkContext;
use super::budget::InFlight;
use super::copies::Copies;
use super::event::{LinkEvent, Side};
use super::heads::Heads;
use super::openings::{Openings, Pair};
use super::outbox::Outbox;
use super::reader::Readers;
use super::stats::Remote;
use super::stream::{Role, Stream, StreamEvent, StreamId, id_of};
use super::stream_map::StreamMap;
use crate::close::CloseReason;
use crate::congestion::admit_probe;
use crate::error::NoPlace;
use crate::ready::ReadySet;

/// A link whose handshake is done. Dropping it closes the connection.
pub(super) struct Open {
    pub(super) connection: Connection,
    pub(super) side: Side,
    pub(super) in_flight: InFlight,
    pub(super) remote: Remote,
    context: Arc<LinkContext>,
    ready: ReadySet,
    streams: Slab<Stream>,
    indices: StreamMap<usize>,
    /// Empty, kept for their buffers.
    outboxes: Vec<Outbox>,
    readers: Readers,
    /// Index of the control stream among the streams.
    control: Option<usize>,
    /// Control frames said before the control stream was there.
    early_control: BytesMut,
    openings: Openings,
    /// A stream that is open and not used yet.
    place: Option<Pair>,
    /// Welcome was said, by the peer or to it: its commands count from then on.
    is_greeted: bool,
    /// What came on commands' streams before that.
    ungreeted: Vec<LinkEvent>,
    /// Streams that are not read until the greeting has come or other heads are complete.
    paused: Vec<usize>,
    heads: Heads,
    /// What urgent commands have said, to be said a second time.
    copies: Copies,
    /// Streams that the peer has opened, the control stream among them.
    accepted: u64,
    /// Of the head that takes too long, or of the next copy.
    timer: Pin<Box<Sleep>>,
    /// Kept for its capacity.
    happened: Vec<StreamEvent>,
    closed: Pin<Box<dyn Future<Output = ConnectionError> + Send>>,
    /// Why we have just closed it, if we did.
    closed_with: Option<CloseReason>,
    /// Why it has ended: what came before the end is still read.
    ended: Option<CloseReason>,
}

impl Open {
    pub(super) fn new(context: Arc<LinkContext>, side: Side, connection: Connection) -> Self {
        let mut ready = ReadySet::default();
        ready.insert(CONNECTION);
        let closed = {
            let connection = connection.clone();
            Box::pin(async move { connection.closed().await })
        };
        Self {
            openings: Openings::new(connection.clone()),
            remote: Remote::new(&connection),
            timer: Box::pin(sleep_until(tokio::time::Instant::now())),
            connection,
            side,
            ready,
            streams: Slab::new(),
            indices: StreamMap::default(),
            outboxes: Vec::new(),
            readers: Readers::new(context.config.limits(), context.names.clone()),
            context,
            control: None,
            early_control: BytesMut::new(),
            place: None,
            is_greeted: false,
            ungreeted: Vec::new(),
            paused: Vec::new(),
            heads: Heads::default(),
            copies: Copies::default(),
            accepted: 0,
            happened: Vec::new(),
            in_flight: InFlight::default(),
            closed,
            closed_with: None,
            ended: None,
        }
    }

    /// Does the next thing that can be done now. Ready with a reason when the link has ended, ready without one after it
    /// did something.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut VecDeque<LinkEvent>,
    ) -> Poll<Option<CloseReason>> {
        if let Some(reason) = self.closed_with.take() {
            return Poll::Ready(Some(reason));
        }
        let index = match self.ready.pop() {
            Some(index) => index,
            None if self.ended.is_some() => return Poll::Ready(self.ended.take()),
            None => {
                self.report_taken(false);
                ready!(self.ready.poll_next(cx))
            }
        };
        let waker = self.ready.waker(index);
        let mut cx = Context::from_waker(&waker);
        if index == CONNECTION {
            self.poll_connection(&mut cx, events);
        } else {
            self.poll_stream(&mut cx, index - 1, events);
        }
        self.report_taken(true);
        Poll::Ready(None)
    }

    /// Returns how many streams were woken and not polled since.
    pub(super) fn woken(&self) -> usize {
        self.ready.woken()
    }

    /// Returns how many streams the peer has opened.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Returns how many commands can be opened for sure now.
    pub(super) fn places(&self) -> usize {
        usize::from(self.place.is_some())
    }

    pub(super) fn open_command(
        &mut self,
        head: &Head,
        payload: Bytes,
        events: &mut VecDeque<LinkEvent>,
    ) -> Result<StreamId, NoPlace> {
        let pair = self.place.take().ok_or(NoPlace)?;
        let outbox = self.outboxes.pop().unwrap_or_default();
        let mut stream = Stream::opened(pair, head, payload, outbox, self.is_lossy());
        self.in_flight.add_written(stream.written());
        let id = stream.id();
        if let Some((offset, bytes)) = stream.take_uncopied() {
            self.copies.handle_written(now(), id, offset, &bytes);
            self.ready.wake(CONNECTION);
        }
        let index = self.add_stream(stream);
        self.poll_now(index, events);
        // The next place, if there is one, is there at once; otherwise its coming is an event.
        let waker = self.ready.waker(CONNECTION);
        self.poll_place(&mut Context::from_waker(&waker));
        Ok(id)
    }

    pub(super) fn open_batch(
        &mut self,
        class: Class,
        messages: &[Head],
        events: &mut VecDeque<LinkEvent>,
    ) -> Result<StreamId, NoPlace> {
        let pair = self.place.take().ok_or(NoPlace)?;
        let stream = Stream::batch(pair, class, messages);
        self.in_flight.add_written(stream.written());
        let id = stream.id();
        let index = self.add_stream(stream);
        self.poll_now(index, events);
        let waker = self.ready.waker(CONNECTION);
        self.poll_place(&mut Context::from_waker(&waker));
        Ok(id)
    }

    /// Writes the last frame of this side to a command's stream, and its end.
    pub(super) fn send_last(&mut self, id: StreamId, frame: &StreamFrame, events: &mut VecDeque<LinkEvent>) {
        let index = self.with_command(id, |stream, in_flight| {
            in_flight.add_written(stream.push_frame(frame));
            stream.finish();
        });
        if let Some(index) = index {
            self.poll_now(index, events);
        }
    }

    /// Polls a stream of which all is there that will be written, so that it need not be woken for that.
    fn poll_now(&mut self, index: usize, events: &mut VecDeque<LinkEvent>) {
        let waker = self.ready.waker(index + 1);
        self.poll_stream(&mut Context::from_waker(&waker), index, events);
        if !events.is_empty() {
            waker.wake();
        }
    }

    /// Does something with a command's stream, unless it has ended. It is to be polled then; returns its index.
    fn with_command(&mut self, id: StreamId, act: impl FnOnce(&mut Stream, &mut InFlight)) -> Option<usize> {
        let index = self.indices.get(&id).copied()?;
        let stream = self.streams.get_mut(index).filter(|stream| stream.role() == Role::Command)?;
        stream.lend_outbox(&mut self.outboxes);
        act(stream, &mut self.in_flight);
        if let Some((offset, bytes)) = stream.take_uncopied() {
            self.copies.handle_written(now(), id, offset, &bytes);
            // It polls the timer.
            self.ready.wake(CONNECTION);
        }
        Some(index)
    }

    /// Does something with a command's stream, unless it has ended, and has it polled.
    pub(super) fn act_on(&mut self, id: StreamId, act: impl FnOnce(&mut Stream, &mut InFlight)) {
        if let Some(index) = self.with_command(id, act) {
            self.ready.wake(index + 1);
        }
    }

    pub(super) fn reset(&mut self, id: StreamId, code: CloseCode) {
        let mut written = None;
        self.act_on(id, |stream, _| written = stream.reset(code));
        if let Some(written) = written {
            self.push_control(&ControlFrame::StreamEnded { stream: id.to_wire(), bytes: written });
        }
    }

    pub(super) fn pending_bytes(&self, id: StreamId) -> usize {
        let stream = self.indices.get(&id).and_then(|index| self.streams.get(*index));
        stream.map_or(0, Stream::pending_bytes)
    }

    pub(super) fn push_control(&mut self, frame: &ControlFrame) {
        match self.control.and_then(|index| Some((index, self.streams.get_mut(index)?))) {
            Some((index, stream)) => {
                stream.lend_outbox(&mut self.outboxes);
                stream.push_control(frame);
                self.ready.wake(index + 1);
            }
            None => encode_control(frame, &mut self.early_control),
        }
        if self.side == Side::Acceptor && is_welcome(frame) {
            self.is_greeted = true;
            self.resume_paused();
            // It passes on what has waited for this.
            self.ready.wake(CONNECTION);
        }
    }

    /// Writes a heartbeat that goes out although the window is full.
    ///
    /// It is handed to QUIC at once: what is admitted now is for whatever leaves first.
    pub(super) fn push_probe(&mut self, events: &mut VecDeque<LinkEvent>) {
        self.push_control(&ControlFrame::Heartbeat);
        admit_probe(self.connection.congestion_state());
        if let Some(index) = self.control {
            let waker = self.ready.waker(index + 1);
            self.poll_stream(&mut Context::from_waker(&waker), index, events);
        }
    }

    pub(super) fn close(&mut self, code: CloseCode, why: impl Into<CloseText>) {
        if self.closed_with.is_none() && self.ended.is_none() {
            let why = why.into();
            self.connection.close(code.to_wire().into(), why.encode().as_bytes());
            self.closed_with = Some(CloseReason::local(code, &why.text));
            self.ready.wake(CONNECTION);
        }
    }

    /// Looks whether the connection has ended, and takes new streams, from the peer and for ourselves.
    fn poll_connection(&mut self, cx: &mut Context<'_>, events: &mut VecDeque<LinkEvent>) {
        if self.ended.is_some() {
            return;
        }
        if let Poll::Ready(error) = self.closed.as_mut().poll(cx) {
            // quinn has woken every stream, so that what came before the end is read now.
            self.ended = Some(CloseReason::of_connection(&error));
        }
        if self.is_greeted {
            events.extend(self.ungreeted.drain(..));
        }
        while let Poll::Ready(Ok(pair)) = self.openings.poll_accept(cx) {
            self.accept(pair);
        }
        while let Poll::Ready(Ok(datagram)) = self.openings.poll_datagram(cx) {
            self.handle_datagram(datagram, events);
        }
        if self.place.is_none() && self.poll_place(cx) {
            events.push_back(LinkEvent::Places);
        }
        self.poll_timer(cx);
        self.remote.look(&self.connection);
    }

    /// Gets the next stream of ours: the dialler's first is the control stream. Returns whether there is a place now.
    fn poll_place(&mut self, cx: &mut Context<'_>) -> bool {
        while self.place.is_none() {
            let Poll::Ready(Ok(pair)) = self.openings.poll_open(cx) else { return false };
            if self.side == Side::Dialler && self.control.is_none() {
                self.open_control(pair);
            } else {
                self.place = Some(pair);
            }
        }
        true
    }

    /// Closes the link when a head takes too long, and sends the copies whose moment has come.
    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        loop {
            let deadlines = [self.heads.deadline_at(), self.copies.poll_timeout()];
            let Some(at) = deadlines.into_iter().flatten().min() else { return };
            self.timer.as_mut().reset(at.into());
            if self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            if self.heads.deadline_at().is_some_and(|at| at <= now()) {
                return self.close(CloseCode::HeadTimeout, "a head was not complete in time");
            }
            self.send_copies();
        }
    }

    fn accept(&mut self, pair: Pair) {
        self.accepted += 1;
        if let Some(index) = self.indices.get(&id_of(&pair)).copied()
            && let Some(stream) = self.streams.get_mut(index)
        {
            stream.attach(pair);
            return self.ready.wake(index + 1);
        }
        let mut stream = Stream::accepted(pair);
        stream.set_copied(self.is_lossy());
        let index = self.add_stream(stream);
        self.ready.wake(index + 1);
    }

    /// Returns whether what urgent commands say is said a second time.
    fn is_lossy(&self) -> bool {
        self.remote.loss_permille() >= self.context.config.copies_from_loss_permille
    }

    fn send_copies(&mut self) {
        while let Some(copy) = self.copies.poll_due(now()) {
            let stream = self.indices.get(&StreamId::from_wire(copy.stream));
            let is_answered =
                stream.and_then(|index| self.streams.get(*index)).is_some_and(Stream::is_answered);
            let encoded = copy.encode();
            // What does not fit, or what the peer wants none of, goes without.
            if !is_answered && self.connection.max_datagram_size().is_some_and(|max| encoded.len() <= max) {
                self.connection.send_datagram(encoded).ok();
            }
        }
    }

    /// Reads what the peer says a second time; it may be the first that comes.
    fn handle_datagram(&mut self, datagram: Bytes, events: &mut VecDeque<LinkEvent>) {
        let copy = match Datagram::decode(datagram) {
            Ok(Some(Datagram::Copy(copy))) => copy,
            Ok(Some(Datagram::Announcement(boot))) if self.side == Side::Dialler => {
                return events.push_back(LinkEvent::Announced(boot));
            }
            Ok(_) => return,
            Err(error) => return self.close(error.close_code(), error.to_string()),
        };
        let id = StreamId::from_wire(copy.stream);
        let Some(index) = self.indices.get(&id).copied().or_else(|| self.announce(id)) else { return };
        let Some(stream) = self.streams.get_mut(index) else { return };
        let mut happened = std::mem::take(&mut self.happened);
        stream.read_copy(copy.offset, copy.bytes, &mut self.readers, &mut happened);
        self.settle_stream(index, happened, events);
    }

    /// Makes a stream of the peer's that has not come, unless it is over or too many have not come.
    fn announce(&mut self, id: StreamId) -> Option<usize> {
        let (number, is_ours) =
            (id.to_wire() >> 2, id.to_wire() & 1 == u64::from(self.side == Side::Acceptor));
        let is_new = (self.accepted..self.accepted + ANNOUNCED_MAX).contains(&number);
        if is_ours || !is_new || !self.is_greeted || self.heads.must_wait(id) {
            return None;
        }
        let mut stream = Stream::announced(id);
        stream.set_copied(self.is_lossy());
        Some(self.add_stream(stream))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, index: usize, events: &mut VecDeque<LinkEvent>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let id = stream.id();
        let mut happened = std::mem::take(&mut self.happened);
        stream.poll_write(cx, &mut happened);
        if let Some(outbox) = stream.take_outbox() {
            keep(&mut self.outboxes, outbox);
        }
        let is_early = !self.is_greeted && stream.is_incoming_command();
        if is_early || stream.expects_head() && self.heads.must_wait(id) {
            self.paused.push(index);
        } else if !stream.poll_read(cx, &mut self.readers, &mut happened) {
            // The number of reads in a turn is bounded, so that no stream keeps the others waiting.
            self.ready.wake(index + 1);
        }
        self.settle_stream(index, happened, events);
    }

    /// Counts and passes on what was read of a stream, and takes it away when it is over.
    fn settle_stream(
        &mut self,
        index: usize,
        mut happened: Vec<StreamEvent>,
        events: &mut VecDeque<LinkEvent>,
    ) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let id = stream.id();
        self.in_flight.add_taken(stream.count_taken());
        let (taken, is_read, is_over, head_bytes) =
            (stream.taken(), stream.is_read(), stream.is_over(), stream.head_bytes());
        self.note_head(id, head_bytes);
        if is_over {
            self.remove_stream(index);
        }
        for event in happened.drain(..) {
            if let StreamEvent::Lost { .. } = event {
                self.in_flight.handle_lost(id, taken);
            }
            self.handle_stream_event(id, index, is_read, event, events);
        }
        self.happened = happened;
    }

    /// Keeps count of heads in assembly.
    fn note_head(&mut self, stream: StreamId, head_bytes: Option<usize>) {
        match head_bytes {
            Some(bytes) => {
                self.heads.handle_grown(now(), stream, bytes, self.context.config.head_timeout);
                // It polls the timer.
                self.ready.wake(CONNECTION);
            }
            None if self.heads.handle_ended(stream) => self.resume_paused(),
            None => {}
        }
    }

    fn resume_paused(&mut self) {
        for index in self.paused.drain(..) {
            self.ready.wake(index + 1);
        }
    }

    fn handle_stream_event(
        &mut self,
        stream: StreamId,
        index: usize,
        is_read: bool,
        event: StreamEvent,
        events: &mut VecDeque<LinkEvent>,
    ) {
        let is_control = self.control == Some(index);
        match event {
            StreamEvent::Finished | StreamEvent::Lost { .. } | StreamEvent::Stopped { .. } if is_control => {
                self.close(CloseCode::UnexpectedFrame, "the control stream ended");
            }
            StreamEvent::IsControl => self.take_control(index),
            StreamEvent::Control(frame) => self.handle_control(frame, events),
            StreamEvent::Head { head, payload } => {
                self.say(LinkEvent::Head { stream, head, payload }, events)
            }
            StreamEvent::Messages(heads) => self.say(LinkEvent::Messages { heads, stream }, events),
            StreamEvent::Frame(frame) => self.say(LinkEvent::Frame { stream, frame }, events),
            StreamEvent::Finished => self.say(LinkEvent::Finished { stream }, events),
            StreamEvent::Lost { code, is_known: true } => self.say(LinkEvent::Lost { stream, code }, events),
            StreamEvent::Lost { .. } => {}
            StreamEvent::Stopped { code, written } => {
                self.push_control(&ControlFrame::StreamEnded { stream: stream.to_wire(), bytes: written });
                if !is_read {
                    self.say(LinkEvent::Lost { stream, code }, events);
                }
            }
            StreamEvent::Writable if is_control => {}
            StreamEvent::Writable => self.say(LinkEvent::Writable { stream }, events),
            StreamEvent::Broken(error) => self.close(error.close_code(), error.to_string()),
        }
    }

    /// Passes on what happened on a command's stream, after the greeting.
    fn say(&mut self, event: LinkEvent, events: &mut VecDeque<LinkEvent>) {
        if self.is_greeted { events.push_back(event) } else { self.ungreeted.push(event) }
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
            frame => {
                let greets = self.side == Side::Dialler && is_welcome(&frame);
                events.push_back(LinkEvent::Control(frame));
                if greets && !self.is_greeted {
                    self.is_greeted = true;
                    events.extend(self.ungreeted.drain(..));
                    self.resume_paused();
                }
            }
        }
    }

    fn open_control(&mut self, pair: Pair) {
        let index = self.add_stream(Stream::control(pair, self.context.config.limits()));
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
            stream.become_control();
            stream.push_bytes(early);
        }
        self.ready.wake(index + 1);
    }

    /// Tells the peer what was taken: in steps while there is more to do, all of it before a rest.
    fn report_taken(&mut self, is_busy: bool) {
        if !self.is_greeted {
            // Nothing but an answer is said before the welcome, whatever came behind the hello.
            return;
        }
        if let Some(bytes) = self.in_flight.poll_report(is_busy) {
            self.push_control(&ControlFrame::Taken { bytes });
        }
    }

    fn add_stream(&mut self, stream: Stream) -> usize {
        let id = stream.id();
        let index = self.streams.insert(stream);
        self.indices.insert(id, index);
        self.ready.register(index + 1);
        index
    }

    fn remove_stream(&mut self, index: usize) {
        let mut stream = self.streams.remove(index);
        self.indices.remove(&stream.id());
        stream.let_go_of_reader(&mut self.readers);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Dropped streams count as finished: the close has to come first, or half a frame looks like a whole stream.
        self.connection.close(CloseCode::Normal.to_wire().into(), b"");
    }
}

/// Keeps an outbox for later streams, up to a bound.
fn keep(outboxes: &mut Vec<Outbox>, outbox: Outbox) {
    if outboxes.len() < OUTBOXES_MAX && outbox.is_worth_keeping() {
        outboxes.push(outbox);
    }
}

/// Returns whether both sides of the link are up with this frame.
fn is_welcome(frame: &ControlFrame) -> bool {
    matches!(frame, ControlFrame::HelloAnswer(answer) if matches!(**answer, HelloAnswer::Welcome(_)))
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Number of the connection itself among what is woken; stream `i` has number `i + 1`.
const CONNECTION: usize = 0;

/// Outboxes kept for later streams. Most are written in one go, and need one for that long.
const OUTBOXES_MAX: usize = 64;

/// Streams of the peer's that may be known from copies before they come.
const ANNOUNCED_MAX: u64 = 64;
