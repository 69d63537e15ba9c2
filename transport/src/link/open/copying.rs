//! What goes beside the streams of a link, in datagrams: what urgent commands say a second time, and announcements.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use runnel_codec::{Datagram, StreamCopy};

use super::{Open, now};
use crate::link::event::{LinkEvent, Side};
use crate::link::stream::{Stream, StreamId};
use crate::link::streams::Turn;

impl Open {
    /// Returns whether what urgent commands say is said a second time.
    pub(super) fn is_lossy(&self) -> bool {
        self.remote.loss_permille() >= self.context.config.copies_from_loss_permille
    }

    /// Has bytes of a stream copied later, from an offset on, if there are any.
    pub(super) fn copy_later(&mut self, stream: StreamId, uncopied: Option<(u64, BytesMut)>) {
        if let Some((offset, bytes)) = uncopied {
            self.copies.handle_written(now(), stream, offset, &bytes);
            // It polls the timer.
            self.streams.wake(Turn::Connection);
        }
    }

    /// Sends the copies whose moment has come.
    pub(super) fn send_copies(&mut self) {
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

    pub(super) fn handle_datagram(&mut self, datagram: Bytes, events: &mut VecDeque<LinkEvent>) {
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

/// Streams of the peer's that may be known from copies before they come.
const ANNOUNCED_MAX: u64 = 64;
