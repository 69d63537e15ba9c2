//! A link whose handshake is done: its streams, and who is polled when.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn::Connection;
use runnel_codec::{Class, CloseCode, CloseText, ControlFrame, Datagram, Head, StreamCopy, StreamFrame};
use tokio::time::{Sleep, sleep_until};

use super::LinkContext;
use super::budget::InFlight;
use super::control::{Control, SecondControl};
use super::copies::Copies;
use super::ending::Ending;
use super::event::{LinkEvent, Side};
use super::greeting::{Greeting, is_welcome};
use super::heads::Heads;
use super::openings::{Openings, Pair};
use super::reader::Readers;
use super::stats::Remote;
use super::stream::{Role, Stream, StreamEvent, StreamId, id_of};
use super::streams::{Streams, Turn};
use crate::close::CloseReason;
use crate::congestion::admit_probe;
use crate::error::NoPlace;

/// A link whose handshake is done. Dropping it closes the connection.
pub(super) struct Open {
    pub(super) connection: Connection,
    pub(super) side: Side,
    pub(super) in_flight: InFlight,
    pub(super) remote: Remote,
    context: Arc<LinkContext>,
    streams: Streams,
    openings: Openings,
    control: Control,
    greeting: Greeting,
    heads: Heads,
    /// What urgent commands have said, to be said a second time.
    copies: Copies,
    /// Of the head that takes too long, or of the next copy.
    timer: Pin<Box<Sleep>>,
    /// What happened on the stream whose turn it is. Kept for its capacity.
    happened: Vec<StreamEvent>,
    ending: Ending,
}

impl Open {
    pub(super) fn new(context: Arc<LinkContext>, side: Side, connection: Connection) -> Self {
        Self {
            ending: Ending::of(connection.clone()),
            openings: Openings::new(connection.clone()),
            remote: Remote::new(&connection),
            timer: Box::pin(sleep_until(tokio::time::Instant::now())),
            connection,
            side,
            streams: Streams::new(Readers::new(context.config.limits(), context.names.clone())),
            context,
            control: Control::default(),
            greeting: Greeting::default(),
            heads: Heads::default(),
            copies: Copies::default(),
            happened: Vec::new(),
            in_flight: InFlight::default(),
        }
    }

    /// Does the next thing that can be done now. Ready with a reason when the link has ended, ready without one after it
    /// did something.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut VecDeque<LinkEvent>,
    ) -> Poll<Option<CloseReason>> {
        if let Some(reason) = self.ending.take_ours() {
            return Poll::Ready(Some(reason));
        }
        let turn = match self.streams.next_turn() {
            Some(turn) => turn,
            None if self.ending.is_found() => return Poll::Ready(self.ending.take_found()),
            None => {
                self.report_taken(false);
                ready!(self.streams.poll_turn(cx))
            }
        };
        let waker = self.streams.waker(turn);
        let mut cx = Context::from_waker(&waker);
        match turn {
            Turn::Connection => self.poll_connection(&mut cx, events),
            Turn::Stream(index) => self.poll_stream(&mut cx, index, events),
        }
        self.report_taken(true);
        Poll::Ready(None)
    }

    /// Returns how many of its streams were woken and not polled since.
    pub(super) fn woken(&self) -> usize {
        self.streams.woken()
    }

    /// Returns how many streams the peer has opened.
    pub(super) fn accepted(&self) -> u64 {
        self.openings.accepted()
    }

    /// Returns how many commands can be opened for sure now.
    pub(super) fn places(&self) -> usize {
        usize::from(self.openings.has_place())
    }

    pub(super) fn close(&mut self, code: CloseCode, why: impl Into<CloseText>) {
        if self.ending.close(&self.connection, code, &why.into()) {
            self.streams.wake(Turn::Connection);
        }
    }

    /// Looks whether the connection has ended, and takes new streams, from the peer and for ourselves.
    fn poll_connection(&mut self, cx: &mut Context<'_>, events: &mut VecDeque<LinkEvent>) {
        if self.ending.is_found() {
            return;
        }
        self.ending.poll(cx);
        self.greeting.pass_on(events);
        while let Poll::Ready(Ok(pair)) = self.openings.poll_accept(cx) {
            self.accept(pair);
        }
        while let Poll::Ready(Ok(datagram)) = self.openings.poll_datagram(cx) {
            self.handle_datagram(datagram, events);
        }
        if !self.openings.has_place() && self.poll_place(cx) {
            events.push_back(LinkEvent::Places);
        }
        self.poll_timer(cx);
        self.remote.look(&self.connection);
    }

    /// Takes a stream that the peer has opened, or of which a copy had told.
    fn accept(&mut self, pair: Pair) {
        let known = self.streams.index_of(id_of(&pair));
        let index = match known.and_then(|index| Some((index, self.streams.get_mut(index)?))) {
            Some((index, stream)) => {
                stream.attach(pair);
                index
            }
            None => {
                let mut stream = Stream::accepted(pair);
                stream.set_copied(self.is_lossy());
                self.streams.add(stream)
            }
        };
        self.streams.wake(Turn::Stream(index));
    }

    /// Gets the next stream of ours: the dialler's first is the control stream. Returns whether there is a place now.
    fn poll_place(&mut self, cx: &mut Context<'_>) -> bool {
        while self.openings.poll_place(cx) {
            if self.side == Side::Acceptor || self.control.index().is_some() {
                return true;
            }
            if let Some(pair) = self.openings.take_place() {
                let opened = self.control.open(pair, self.context.config.limits(), &mut self.streams);
                self.check_control(opened);
            }
        }
        false
    }

    /// Closes the link if there is a second control stream.
    fn check_control(&mut self, taken: Result<(), SecondControl>) {
        if let Err(SecondControl) = taken {
            self.close(CloseCode::UnexpectedFrame, "a second control stream");
        }
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

    pub(super) fn open_command(
        &mut self,
        head: &Head,
        payload: Bytes,
        events: &mut VecDeque<LinkEvent>,
    ) -> Result<StreamId, NoPlace> {
        let pair = self.openings.take_place().ok_or(NoPlace)?;
        let outbox = self.streams.spare_outbox();
        let mut stream = Stream::opened(pair, head, payload, outbox, self.is_lossy());
        let uncopied = stream.take_uncopied();
        self.copy_later(stream.id(), uncopied);
        Ok(self.add_written(stream, events))
    }

    pub(super) fn open_batch(
        &mut self,
        class: Class,
        messages: &[Head],
        events: &mut VecDeque<LinkEvent>,
    ) -> Result<StreamId, NoPlace> {
        let pair = self.openings.take_place().ok_or(NoPlace)?;
        Ok(self.add_written(Stream::batch(pair, class, messages), events))
    }

    /// Adds a stream of ours with its beginning, which goes out now.
    fn add_written(&mut self, stream: Stream, events: &mut VecDeque<LinkEvent>) -> StreamId {
        self.in_flight.add_written(stream.written());
        let id = stream.id();
        let index = self.streams.add(stream);
        self.poll_now(index, events);
        // The next place, if there is one, is there at once; otherwise its coming is an event.
        let waker = self.streams.waker(Turn::Connection);
        self.poll_place(&mut Context::from_waker(&waker));
        id
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
        let waker = self.streams.waker(Turn::Stream(index));
        self.poll_stream(&mut Context::from_waker(&waker), index, events);
        if !events.is_empty() {
            waker.wake();
        }
    }

    /// Does something with a command's stream, unless it has ended, and has it polled.
    pub(super) fn act_on(&mut self, id: StreamId, act: impl FnOnce(&mut Stream, &mut InFlight)) {
        if let Some(index) = self.with_command(id, act) {
            self.streams.wake(Turn::Stream(index));
        }
    }

    /// Does something with a command's stream, unless it has ended. It is to be polled then; returns its index.
    fn with_command(&mut self, id: StreamId, act: impl FnOnce(&mut Stream, &mut InFlight)) -> Option<usize> {
        let index = self.streams.index_of(id)?;
        let stream = self.streams.with_outbox(index, Role::Command)?;
        act(stream, &mut self.in_flight);
        let uncopied = stream.take_uncopied();
        self.copy_later(id, uncopied);
        Some(index)
    }

    pub(super) fn reset(&mut self, id: StreamId, code: CloseCode) {
        let mut written = None;
        self.act_on(id, |stream, _| written = stream.reset(code));
        if let Some(written) = written {
            self.push_control(&ControlFrame::StreamEnded { stream: id.to_wire(), bytes: written });
        }
    }

    pub(super) fn pending_bytes(&self, id: StreamId) -> usize {
        self.streams.find(id).map_or(0, Stream::pending_bytes)
    }

    pub(super) fn push_control(&mut self, frame: &ControlFrame) {
        self.control.push(frame, &mut self.streams);
        if self.side == Side::Acceptor && is_welcome(frame) {
            self.greeting.handle_welcome();
            self.streams.resume_paused();
            // It passes on what has waited for this.
            self.streams.wake(Turn::Connection);
        }
    }

    /// Writes a heartbeat that goes out although the window is full.
    ///
    /// It is handed to QUIC at once: what is admitted now is for whatever leaves first.
    pub(super) fn push_probe(&mut self, events: &mut VecDeque<LinkEvent>) {
        self.push_control(&ControlFrame::Heartbeat);
        admit_probe(self.connection.congestion_state());
        if let Some(index) = self.control.index() {
            let waker = self.streams.waker(Turn::Stream(index));
            self.poll_stream(&mut Context::from_waker(&waker), index, events);
        }
    }

    /// Writes what waits on a stream and takes what has come.
    fn poll_stream(&mut self, cx: &mut Context<'_>, index: usize, events: &mut VecDeque<LinkEvent>) {
        let (is_greeted, heads) = (self.greeting.is_done(), &self.heads);
        self.streams.poll(
            cx,
            index,
            |stream| {
                let is_early = !is_greeted && stream.is_incoming_command();
                is_early || stream.expects_head() && heads.must_wait(stream.id())
            },
            &mut self.happened,
        );
        self.settle_stream(index, events);
    }

    /// Counts and passes on what was read of a stream, and takes it away when it is over.
    fn settle_stream(&mut self, index: usize, events: &mut VecDeque<LinkEvent>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let id = stream.id();
        self.in_flight.add_taken(stream.count_taken());
        let (taken, is_read, is_over, head_bytes) =
            (stream.taken(), stream.is_read(), stream.is_over(), stream.head_bytes());
        self.note_head(id, head_bytes);
        if is_over {
            self.streams.remove(index);
        }
        let mut happened = std::mem::take(&mut self.happened);
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
                self.streams.wake(Turn::Connection);
            }
            None if self.heads.handle_ended(stream) => self.streams.resume_paused(),
            None => {}
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
        let is_control = self.control.index() == Some(index);
        let event = match event {
            StreamEvent::Finished | StreamEvent::Lost { .. } | StreamEvent::Stopped { .. } if is_control => {
                return self.close(CloseCode::UnexpectedFrame, "the control stream ended");
            }
            StreamEvent::IsControl => {
                let taken = self.control.take(index, &mut self.streams);
                return self.check_control(taken);
            }
            StreamEvent::Control(frame) => return self.handle_control(frame, events),
            StreamEvent::Broken(error) => return self.close(error.close_code(), error.to_string()),
            StreamEvent::Lost { is_known: false, .. } => return,
            StreamEvent::Writable if is_control => return,
            StreamEvent::Stopped { code, written } => {
                self.push_control(&ControlFrame::StreamEnded { stream: stream.to_wire(), bytes: written });
                if is_read {
                    return;
                }
                LinkEvent::Lost { stream, code }
            }
            StreamEvent::Head { head, payload } => LinkEvent::Head { stream, head, payload },
            StreamEvent::Messages(heads) => LinkEvent::Messages { heads, stream },
            StreamEvent::Frame(frame) => LinkEvent::Frame { stream, frame },
            StreamEvent::Finished => LinkEvent::Finished { stream },
            StreamEvent::Lost { code, .. } => LinkEvent::Lost { stream, code },
            StreamEvent::Writable => LinkEvent::Writable { stream },
        };
        self.greeting.say(event, events);
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
                if greets && !self.greeting.is_done() {
                    self.greeting.handle_welcome();
                    self.greeting.pass_on(events);
                    self.streams.resume_paused();
                }
            }
        }
    }

    /// Tells the peer what was taken: in steps while there is more to do, all of it before a rest.
    fn report_taken(&mut self, is_busy: bool) {
        if !self.greeting.is_done() {
            // Nothing but an answer is said before the welcome, whatever came behind the hello.
            return;
        }
        if let Some(bytes) = self.in_flight.poll_report(is_busy) {
            self.push_control(&ControlFrame::Taken { bytes });
        }
    }

    /// Returns whether what urgent commands say is said a second time.
    fn is_lossy(&self) -> bool {
        self.remote.loss_permille() >= self.context.config.copies_from_loss_permille
    }

    /// Has bytes of a stream copied later, from an offset on, if there are any.
    fn copy_later(&mut self, stream: StreamId, uncopied: Option<(u64, BytesMut)>) {
        if let Some((offset, bytes)) = uncopied {
            self.copies.handle_written(now(), stream, offset, &bytes);
            // It polls the timer.
            self.streams.wake(Turn::Connection);
        }
    }

    /// Sends the copies whose moment has come.
    fn send_copies(&mut self) {
        while let Some(copy) = self.copies.poll_due(now()) {
            let is_answered =
                self.streams.find(StreamId::from_wire(copy.stream)).is_some_and(Stream::is_answered);
            let encoded = copy.encode();
            // What does not fit, or what the peer wants none of, goes without.
            if !is_answered && self.connection.max_datagram_size().is_some_and(|max| encoded.len() <= max) {
                self.connection.send_datagram(encoded).ok();
            }
        }
    }

    fn handle_datagram(&mut self, datagram: Bytes, events: &mut VecDeque<LinkEvent>) {
        match Datagram::decode(datagram) {
            Ok(Some(Datagram::Copy(copy))) => self.handle_copy(copy, events),
            Ok(Some(Datagram::Announcement(boot))) if self.side == Side::Dialler => {
                events.push_back(LinkEvent::Announced(boot));
            }
            Ok(_) => {}
            Err(error) => self.close(error.close_code(), error.to_string()),
        }
    }

    /// Reads what the peer says a second time; it may be the first that comes.
    fn handle_copy(&mut self, copy: StreamCopy, events: &mut VecDeque<LinkEvent>) {
        let id = StreamId::from_wire(copy.stream);
        if let Some(index) = self.streams.index_of(id).or_else(|| self.announce(id)) {
            self.streams.read_copy(index, copy.offset, copy.bytes, &mut self.happened);
            self.settle_stream(index, events);
        }
    }

    /// Makes a stream of the peer's that has not come, unless it is over or too many have not come.
    fn announce(&mut self, id: StreamId) -> Option<usize> {
        let (number, is_ours) =
            (id.to_wire() >> 2, id.to_wire() & 1 == u64::from(self.side == Side::Acceptor));
        let accepted = self.openings.accepted();
        let is_new = (accepted..accepted + ANNOUNCED_MAX).contains(&number);
        if is_ours || !is_new || !self.greeting.is_done() || self.heads.must_wait(id) {
            return None;
        }
        let mut stream = Stream::announced(id);
        stream.set_copied(self.is_lossy());
        Some(self.streams.add(stream))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Dropped streams count as finished: the close has to come first, or half a frame looks like a whole stream.
        self.connection.close(CloseCode::Normal.to_wire().into(), b"");
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Streams of the peer's that may be known from copies before they come.
const ANNOUNCED_MAX: u64 = 64;
