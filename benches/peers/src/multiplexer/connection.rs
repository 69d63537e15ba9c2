//! One end of a stream: callers leave frames, one task writes what there is and deals out what comes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use slab::Slab;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::frame::{Frame, Kind, read_frame, write_frame};
use crate::stream::Stream;

/// What callers and the task share. Both are on one thread, so the lock is never waited for.
#[derive(Clone)]
pub(super) struct Connection(Arc<Mutex<State>>);

/// Whoever takes what comes.
pub(super) trait Takes {
    /// Takes a frame and may answer.
    fn take(&mut self, frame: Frame, replies: &mut BytesMut);
}

#[derive(Default)]
struct State {
    /// Frames that go first.
    small: BytesMut,
    /// Pieces of bodies, a frame each.
    pieces: VecDeque<BytesMut>,
    calls: Slab<Call>,
    /// The task, if it sleeps.
    task: Option<Waker>,
    /// Senders of bodies that wait for room.
    waiting_for_room: Vec<Waker>,
}

enum Call {
    Waits(Option<Waker>),
    Answered(Bytes),
}

/// The client's half: answers go to their callers.
pub(super) struct Calls(Connection);

impl Connection {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn calls(&self) -> Calls {
        Calls(self.clone())
    }

    /// Sends a request and waits for its answer. A caller that is dropped leaves its place behind.
    pub(super) async fn call(&self, kind: Kind, payload: &[u8]) -> Bytes {
        let id = {
            let mut state = self.lock();
            let id = state.open();
            write_frame(&mut state.small, id, kind, payload);
            state.wake_task();
            id
        };
        self.answer(id).await
    }

    /// Sends a body in pieces and waits for the answer.
    pub(super) async fn send_body(&self, body: &[u8]) -> Bytes {
        let id = self.lock().open();
        let mut pieces = body.chunks(PIECE_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            let kind = if pieces.peek().is_some() { Kind::Piece } else { Kind::LastPiece };
            poll_fn(|context| self.poll_room(context)).await;
            let mut state = self.lock();
            let mut frame = BytesMut::new();
            write_frame(&mut frame, id, kind, piece);
            state.pieces.push_back(frame);
            state.wake_task();
        }
        self.answer(id).await
    }

    /// Carries frames until the peer goes.
    pub(super) async fn carry(&self, stream: Stream, takes: impl Takes) {
        let mut carrier = Carrier {
            connection: self,
            stream,
            takes,
            read: BytesMut::with_capacity(BUFFER_BYTES),
            written: BytesMut::new(),
            is_flushed: true,
        };
        poll_fn(|context| carrier.poll(context)).await;
    }

    async fn answer(&self, id: u32) -> Bytes {
        poll_fn(|context| {
            let mut state = self.lock();
            match &mut state.calls[id as usize] {
                Call::Waits(waker) => {
                    *waker = Some(context.waker().clone());
                    Poll::Pending
                }
                Call::Answered(answer) => {
                    let answer = std::mem::take(answer);
                    state.calls.remove(id as usize);
                    Poll::Ready(answer)
                }
            }
        })
        .await
    }

    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.pieces.len() < PIECES_MAX {
            return Poll::Ready(());
        }
        state.waiting_for_room.push(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl State {
    fn open(&mut self) -> u32 {
        u32::try_from(self.calls.insert(Call::Waits(None))).expect("so many calls have no room in memory")
    }

    fn wake_task(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

impl Takes for Calls {
    fn take(&mut self, frame: Frame, _: &mut BytesMut) {
        let answered = Call::Answered(frame.payload);
        let call = std::mem::replace(&mut self.0.lock().calls[frame.id as usize], answered);
        if let Call::Waits(Some(waker)) = call {
            waker.wake();
        }
    }
}

/// The task of a connection.
struct Carrier<'a, T> {
    connection: &'a Connection,
    stream: Stream,
    takes: T,
    read: BytesMut,
    /// What is being written.
    written: BytesMut,
    /// The system has taken all that was written.
    is_flushed: bool,
}

impl<T: Takes> Carrier<'_, T> {
    /// Reads what is there, then writes what there is; ready when the peer is gone.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS_MAX {
            let read = self.poll_read(context);
            if read == Poll::Ready(0) {
                return Poll::Ready(());
            }
            // What the system does not take now it asks for later; reading goes on, or both ends could wait for ever.
            let _ = self.poll_write(context);
            if read.is_pending() {
                self.connection.lock().task = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once and deals out all frames that are whole. Returns the bytes that came, 0 at the end of the stream.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        self.read.reserve(BUFFER_BYTES);
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.read));
        let mut replies = BytesMut::new();
        while let Some(frame) = read_frame(&mut self.read) {
            self.takes.take(frame, &mut replies);
        }
        if !replies.is_empty() {
            let mut state = self.connection.lock();
            if state.small.is_empty() { state.small = replies } else { state.small.unsplit(replies) }
        }
        // A stream that breaks is one that ends.
        Poll::Ready(read.unwrap_or(0))
    }

    /// Writes until there is nothing more.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.written.is_empty() {
                self.choose();
            }
            let stream = Pin::new(&mut self.stream);
            if self.written.is_empty() {
                if !self.is_flushed {
                    ready!(stream.poll_flush(context)).ok();
                    self.is_flushed = true;
                    continue;
                }
                return Poll::Ready(());
            }
            self.is_flushed = false;
            // If it is broken, reading says so.
            let Ok(bytes) = ready!(stream.poll_write(context, &self.written)) else { return Poll::Pending };
            self.written.advance(bytes);
        }
    }

    /// Chooses what is written next: all small frames, else a piece, but that only when nothing waits before it.
    fn choose(&mut self) {
        let mut state = self.connection.lock();
        if !state.small.is_empty() {
            self.written = std::mem::take(&mut state.small);
        } else if self.is_flushed
            && let Some(piece) = state.pieces.pop_front()
        {
            self.written = piece;
            state.waiting_for_room.drain(..).for_each(Waker::wake);
        }
    }
}

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Bytes of a piece of a body: one record of TLS. An urgent frame waits for one at most.
const PIECE_BYTES: usize = (16 << 10) - 64;

/// Pieces that wait to be written.
const PIECES_MAX: usize = 16;

/// Reads and writes before the callers have their turn.
const TURNS_MAX: usize = 8;
