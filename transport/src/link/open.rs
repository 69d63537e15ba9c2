//! A link whose handshake is done: whose turn it is, and what comes on the connection itself.
//!
//! What its owner has it write is in `outgoing`, what comes of reading its streams in `incoming`, and what goes beside
//! them in datagrams in `copying`.

mod copying;
mod incoming;
mod outgoing;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::Connection;
use runnel_codec::{CloseCode, CloseText};
use tokio::time::{Sleep, sleep_until};

use super::LinkContext;
use super::budget::InFlight;
use super::control::{Control, SecondControl};
use super::copies::Copies;
use super::ending::Ending;
use super::event::{LinkEvent, Side};
use super::greeting::Greeting;
use super::heads::Heads;
use super::openings::{Openings, Pair};
use super::reader::Readers;
use super::stats::Remote;
use super::stream::{Stream, StreamEvent, id_of};
use super::streams::{Streams, Turn};
use crate::close::CloseReason;

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
        self.greeting.pass_on(events);
        if self.ending.is_found() {
            return;
        }
        self.ending.poll(cx);
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
