//! What comes of reading a link's streams: what is counted, kept back and passed on.

use std::collections::VecDeque;
use std::task::Context;

use runnel_codec::{CloseCode, ControlFrame};

use super::{Open, now};
use crate::link::event::{LinkEvent, Side};
use crate::link::greeting::is_welcome;
use crate::link::stream::{StreamEvent, StreamId};
use crate::link::streams::Turn;

impl Open {
    /// Writes what waits on a stream and takes what has come.
    pub(super) fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        events: &mut VecDeque<LinkEvent>,
    ) {
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
    pub(super) fn settle_stream(&mut self, index: usize, events: &mut VecDeque<LinkEvent>) {
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
    pub(super) fn report_taken(&mut self, is_busy: bool) {
        if !self.greeting.is_done() {
            // Nothing but an answer is said before the welcome, whatever came behind the hello.
            return;
        }
        if let Some(bytes) = self.in_flight.poll_report(is_busy) {
            self.push_control(&ControlFrame::Taken { bytes });
        }
    }
}
