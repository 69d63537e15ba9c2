//! A node's end of the connection to a supervisor, shared by all that speak through it.
//!
//! Whoever waits drives it, so it needs no task: every wait reads what came, says what is to be said, and wakes the others.

use std::future::pending;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::supervise::error::SuperviseError;
use crate::supervise::message::{Frames, Notice, Request, State};

/// A connection to a supervisor, or what was left of one.
#[derive(Debug)]
pub(super) struct Line {
    /// `None` if there never was a connection.
    stream: Option<UnixStream>,
    frames: Mutex<Frames>,
    seen: watch::Sender<Seen>,
}

/// What is known of the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// How far it said that everything is; `None` before its first word.
    pub(super) state: Option<State>,
    pub(super) phase: Phase,
}

/// Whether there is another end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Another node has taken over.
    Replaced,
    /// All is gone, as was asked.
    Settled,
    /// It ended without a word.
    Lost,
}

impl Line {
    pub(super) fn open(stream: UnixStream) -> Self {
        Self::new(Some(stream), Seen { state: None, phase: Phase::Open })
    }

    /// Stands for a supervisor that is dead.
    pub(super) fn dead() -> Self {
        Self::new(None, Seen { state: None, phase: Phase::Lost })
    }

    fn new(stream: Option<UnixStream>, seen: Seen) -> Self {
        Self { stream, frames: Mutex::default(), seen: watch::Sender::new(seen) }
    }

    /// Returns what is known now.
    pub(super) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Asks something; it is said by the next wait, if not at once.
    pub(super) fn ask(&self, request: &Request) {
        let Some(stream) = self.stream.as_ref().filter(|_| self.is_open()) else { return };
        let mut frames = self.frames();
        frames.push(request);
        // That the other end is gone shows when it is read from.
        frames.flush(stream).ok();
    }

    /// Waits until something is so, and returns what is known then. What is so stays so once the line is not open.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn wait_for(&self, is_so: impl Fn(&Seen) -> bool) -> Seen {
        let mut told = self.seen.subscribe();
        let heard = async move {
            let seen = told.wait_for(|seen| is_so(seen) || seen.phase != Phase::Open).await;
            seen.ok().map(|seen| seen.clone())
        };
        let seen = tokio::select! {
            biased;
            seen = heard => seen,
            () = self.drive() => None,
        };
        match seen {
            Some(seen) => seen,
            // This holds the sender, and driving never ends.
            None => pending().await,
        }
    }

    /// Carries frames in both directions until the line is not open any more.
    async fn drive(&self) {
        let Some(stream) = &self.stream else { return pending().await };
        while self.is_open() {
            let interest = match self.frames().is_flushed() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            let result = match stream.ready(interest).await {
                Ok(_) => self.exchange(stream),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = result {
                tracing::debug!(%error, "connection to a supervisor lost");
                self.seen.send_if_modified(|seen| {
                    let was_open = seen.phase == Phase::Open;
                    if was_open {
                        seen.phase = Phase::Lost;
                    }
                    was_open
                });
            }
        }
        // Whoever waits sees that.
        pending().await
    }

    fn exchange(&self, stream: &UnixStream) -> Result<(), Ended> {
        let mut frames = self.frames();
        // A supervisor that leaves still has a last word, which is read before a failure to write counts.
        let flushed = frames.flush(stream);
        let goes_on = frames.fill(stream)?;
        while let Some(notice) = frames.pull("a word of a supervisor")? {
            self.handle(notice);
        }
        flushed?;
        if goes_on || !self.is_open() { Ok(()) } else { Err(Ended::Silently) }
    }

    fn handle(&self, notice: Notice) {
        self.seen.send_modify(|seen| match notice {
            Notice::State(state) => seen.state = Some(state),
            Notice::Replaced => seen.phase = Phase::Replaced,
            Notice::Settled => seen.phase = Phase::Settled,
        });
    }

    fn is_open(&self) -> bool {
        self.seen.borrow().phase == Phase::Open
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        // Nothing is left half-done by a panic while it is held.
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection is not one any more.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the other end is gone")]
    Silently,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] SuperviseError),
}
