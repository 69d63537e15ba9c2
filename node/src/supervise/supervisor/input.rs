//! Standard input on its way from a node into the program.

use std::collections::VecDeque;
use std::future::pending;

use bytes::Bytes;

use crate::process::Stdin;

/// The standard input of a supervised program.
#[derive(Debug)]
pub(super) struct Input {
    /// `None` once the program reads no more, or has read all.
    pipe: Option<Stdin>,
    /// Taken from the node and not written. No longer than what a node sends ahead.
    waiting: VecDeque<Bytes>,
    /// Bytes taken from nodes.
    taken: u64,
    /// Nothing comes behind what was taken.
    has_end: bool,
}

impl Input {
    pub(super) fn new(pipe: Option<Stdin>) -> Self {
        Self { pipe, waiting: VecDeque::new(), taken: 0, has_end: false }
    }

    /// Takes bytes that begin at `offset`. What was taken before, from an earlier node, is not taken again.
    pub(super) fn take(&mut self, offset: u64, mut bytes: Bytes) {
        let Some(known) = self.taken.checked_sub(offset) else {
            return tracing::warn!(offset, taken = self.taken, "input with a gap before it was let go of");
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
        let new = bytes.split_off(known);
        self.taken += new.len() as u64;
        if !new.is_empty() && self.pipe.is_some() {
            self.waiting.push_back(new);
        }
    }

    /// Nothing comes behind what was taken.
    pub(super) fn end(&mut self) {
        self.has_end = true;
    }

    /// Nobody reads input any more.
    pub(super) fn close(&mut self) {
        self.pipe = None;
        self.waiting.clear();
    }

    /// Writes the next piece, or lets the program read the end behind the last; pends while there is nothing to do.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost or written twice.
    pub(super) async fn feed(&mut self) {
        let Some(pipe) = &mut self.pipe else { return pending().await };
        match self.waiting.front_mut() {
            Some(piece) => match pipe.write(piece).await {
                Ok(()) => drop(self.waiting.pop_front()),
                // The program reads no more, and need not.
                Err(_) => self.close(),
            },
            None if self.has_end => {
                // That it reads no more is as good as its end.
                pipe.close().await.ok();
                self.close();
            }
            None => pending().await,
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns how many bytes are in the program's pipe, or will never be.
    pub(super) fn written(&self) -> u64 {
        self.taken - self.waiting.iter().map(|piece| piece.len() as u64).sum::<u64>()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pipe.is_none()
    }
}
