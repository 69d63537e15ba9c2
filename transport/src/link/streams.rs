//! The streams of a link, what they share, and whose turn it is.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use slab::Slab;

use super::outbox::{Outbox, Outboxes};
use super::reader::Readers;
use super::stream::{Role, Stream, StreamEvent, StreamId};
use super::stream_map::StreamMap;
use crate::ready::ReadySet;

/// The streams of a link.
///
/// Each has an index as long as it lasts, which costs less to find than its number, and a waker that comes with it.
pub(super) struct Streams {
    streams: Slab<Stream>,
    indices: StreamMap<usize>,
    ready: ReadySet,
    /// Streams that are not read until the greeting has come or other heads are complete.
    paused: Vec<usize>,
    outboxes: Outboxes,
    readers: Readers,
}

/// What is woken and then polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The connection itself.
    Connection,
    /// The stream with this index.
    Stream(usize),
}

impl Streams {
    /// None yet. The first turn is the connection's.
    pub(super) fn new(readers: Readers) -> Self {
        let mut ready = ReadySet::default();
        ready.insert(Turn::Connection.number());
        Self {
            streams: Slab::new(),
            indices: StreamMap::default(),
            ready,
            paused: Vec::new(),
            outboxes: Outboxes::default(),
            readers,
        }
    }

    /// Adds a stream, which is polled once it is woken. Returns its index.
    #[inline]
    pub(super) fn add(&mut self, stream: Stream) -> usize {
        let id = stream.id();
        let index = self.streams.insert(stream);
        self.indices.insert(id, index);
        self.ready.register(Turn::Stream(index).number());
        index
    }

    /// Takes a stream away that is over.
    #[inline]
    pub(super) fn remove(&mut self, index: usize) {
        let mut stream = self.streams.remove(index);
        self.indices.remove(&stream.id());
        stream.let_go_of_reader(&mut self.readers);
    }

    /// Returns the index of a stream, unless it has ended.
    #[inline]
    pub(super) fn index_of(&self, id: StreamId) -> Option<usize> {
        self.indices.get(&id).copied()
    }

    pub(super) fn find(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(self.index_of(id)?)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Stream> {
        self.streams.get_mut(index)
    }

    /// Returns an outbox for a stream of which something is written at once.
    #[inline]
    pub(super) fn spare_outbox(&mut self) -> Outbox {
        self.outboxes.take().unwrap_or_default()
    }

    /// Returns a stream to which something is to be written, with an outbox, if it has this role.
    #[inline]
    pub(super) fn with_outbox(&mut self, index: usize, role: Role) -> Option<&mut Stream> {
        let stream = self.streams.get_mut(index).filter(|stream| stream.role() == role)?;
        stream.lend_outbox(&mut self.outboxes);
        Some(stream)
    }

    /// Writes what waits on a stream, and reads what has come, unless it has to wait: then it is
    /// [resumed](Self::resume_paused) later.
    #[inline]
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        must_wait: impl FnOnce(&Stream) -> bool,
        happened: &mut Vec<StreamEvent>,
    ) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        stream.poll_write(cx, happened);
        if let Some(outbox) = stream.take_outbox() {
            self.outboxes.keep(outbox);
        }
        if must_wait(stream) {
            self.paused.push(index);
        } else if !stream.poll_read(cx, &mut self.readers, happened) {
            // The number of reads in a turn is bounded, so that no stream keeps the others waiting.
            self.wake(Turn::Stream(index));
        }
    }

    /// Reads what a copy says of a stream.
    pub(super) fn read_copy(
        &mut self,
        index: usize,
        offset: u64,
        bytes: Bytes,
        happened: &mut Vec<StreamEvent>,
    ) {
        if let Some(stream) = self.streams.get_mut(index) {
            stream.read_copy(offset, bytes, &mut self.readers, happened);
        }
    }

    /// Has the streams polled that had to wait.
    pub(super) fn resume_paused(&mut self) {
        for index in self.paused.drain(..) {
            self.ready.wake(Turn::Stream(index).number());
        }
    }

    /// Has something polled.
    pub(super) fn wake(&self, turn: Turn) {
        self.ready.wake(turn.number());
    }

    /// Returns what wakes something: the connection, or a stream that is there.
    #[inline]
    pub(super) fn waker(&self, turn: Turn) -> Waker {
        self.ready.waker(turn.number())
    }

    /// Returns whose turn it is, if anything was woken.
    pub(super) fn next_turn(&mut self) -> Option<Turn> {
        self.ready.pop().map(Turn::of)
    }

    /// Returns whose turn it is, once something is woken.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.ready.poll_next(cx).map(Turn::of)
    }

    /// Returns how many were woken and have not had their turn.
    pub(super) fn woken(&self) -> usize {
        self.ready.woken()
    }
}

impl Turn {
    /// Returns the number among what is woken.
    fn number(self) -> usize {
        match self {
            Self::Connection => 0,
            Self::Stream(index) => index + 1,
        }
    }

    fn of(number: usize) -> Self {
        number.checked_sub(1).map_or(Self::Connection, Self::Stream)
    }
}
