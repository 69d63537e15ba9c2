//! What the owner of a link has it write: commands, batches, frames, and the ends of streams.

use std::collections::VecDeque;
use std::task::Context;

use bytes::Bytes;
use runnel_codec::{Class, CloseCode, ControlFrame, Head, StreamFrame};

use super::Open;
use crate::congestion::admit_probe;
use crate::error::NoPlace;
use crate::link::budget::InFlight;
use crate::link::event::{LinkEvent, Side};
use crate::link::greeting::is_welcome;
use crate::link::stream::{Role, Stream, StreamId};
use crate::link::streams::Turn;

impl Open {
    pub(in crate::link) fn open_command(
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

    pub(in crate::link) fn open_batch(
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
    pub(in crate::link) fn send_last(
        &mut self,
        id: StreamId,
        frame: &StreamFrame,
        events: &mut VecDeque<LinkEvent>,
    ) {
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
    pub(in crate::link) fn act_on(&mut self, id: StreamId, act: impl FnOnce(&mut Stream, &mut InFlight)) {
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

    pub(in crate::link) fn reset(&mut self, id: StreamId, code: CloseCode) {
        let mut written = None;
        self.act_on(id, |stream, _| written = stream.reset(code));
        if let Some(written) = written {
            self.push_control(&ControlFrame::StreamEnded { stream: id.to_wire(), bytes: written });
        }
    }

    pub(in crate::link) fn pending_bytes(&self, id: StreamId) -> usize {
        self.streams.find(id).map_or(0, Stream::pending_bytes)
    }

    pub(in crate::link) fn push_control(&mut self, frame: &ControlFrame) {
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
    pub(in crate::link) fn push_probe(&mut self, events: &mut VecDeque<LinkEvent>) {
        self.push_control(&ControlFrame::Heartbeat);
        admit_probe(self.connection.congestion_state());
        if let Some(index) = self.control.index() {
            let waker = self.streams.waker(Turn::Stream(index));
            self.poll_stream(&mut Context::from_waker(&waker), index, events);
        }
    }
}
