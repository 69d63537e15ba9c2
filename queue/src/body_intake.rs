//! A body at its reader: how far it may be written, how far it has come, how far it is taken.
//!
//! The credit is always what was taken and a window that stays the same as long as the body lasts. So its writer can
//! tell what was taken, and let go of it.

use runnel_codec::{BodyEnd, CREDIT_STEP_BYTES_MAX};

/// How far a body that comes in has come.
#[derive(Debug, Default)]
pub(crate) struct BodyIntake {
    /// How far it may be written ahead of what is taken; 0 until it may be written at all.
    window: u64,
    /// Bytes that have come, in order.
    received: u64,
    /// Bytes that whoever reads it has taken.
    taken: u64,
    /// The credit that was said last.
    granted: u64,
    is_over: bool,
    /// Nobody reads it any more.
    is_discarded: bool,
    /// Its reader was told that it will not come whole.
    is_given_up: bool,
    /// How far it had come is not known any more, and nobody wants to know.
    is_unread: bool,
}

/// The writer went beyond its credit, or its end is not where it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyRefused;

impl BodyIntake {
    /// Makes one for a body whose reader is gone with all that it had read: whatever comes of it is taken at once.
    pub(crate) fn unread() -> Self {
        Self { window: EVERYTHING, is_discarded: true, is_given_up: true, is_unread: true, ..Self::default() }
    }

    /// Lets it be written. Returns the credit to say.
    pub(crate) fn open(&mut self, window: u64) -> u64 {
        self.window = window;
        self.granted = self.taken + window;
        self.granted
    }

    /// Returns whether it may be written at all.
    pub(crate) fn is_open(&self) -> bool {
        self.window > 0
    }

    /// Takes note of bytes that came. Returns whether anybody reads them; else they are taken at once.
    pub(crate) fn receive(&mut self, bytes: usize) -> Result<bool, BodyRefused> {
        if self.is_unread {
            return Ok(false);
        }
        let received = self.received + bytes as u64;
        if received > self.granted || self.is_over {
            return Err(BodyRefused);
        }
        self.received = received;
        Ok(!self.is_discarded)
    }

    /// Takes note of the end. Returns whether it is news: every stream says it again.
    pub(crate) fn end(&mut self, end: BodyEnd) -> Result<bool, BodyRefused> {
        if self.is_unread {
            return Ok(false);
        }
        if end.bytes != self.received {
            return Err(BodyRefused);
        }
        Ok(!std::mem::replace(&mut self.is_over, true) && !self.is_given_up)
    }

    /// The writer has given it up. Returns whether that is news.
    pub(crate) fn abort(&mut self) -> bool {
        !std::mem::replace(&mut self.is_over, true) && !self.is_given_up
    }

    /// Its writer is not heard any more: what still comes is dropped. Returns whether that is news to its reader.
    pub(crate) fn give_up(&mut self) -> bool {
        let is_news = !self.is_over && !self.is_given_up;
        self.is_given_up = true;
        self.is_discarded = true;
        is_news
    }

    /// Takes note of bytes that were taken. Returns the credit to say, if it is time: each costs a control frame.
    pub(crate) fn take(&mut self, bytes: u64) -> Option<u64> {
        if self.is_unread {
            return Some(EVERYTHING);
        }
        self.taken = self.taken.saturating_add(bytes).min(self.received);
        let credit = self.taken + self.window;
        let step = self.window.div_ceil(4).min(CREDIT_STEP_BYTES_MAX);
        if self.is_over || !self.is_open() || credit < self.granted + step {
            return None;
        }
        self.granted = credit;
        Some(credit)
    }

    /// Takes note that nobody reads it: what came and what comes counts as taken. Returns the credit to say, if any.
    pub(crate) fn discard(&mut self) -> Option<u64> {
        self.is_discarded = true;
        self.take(self.received - self.taken)
    }

    /// Returns whether everything that will come has been taken.
    pub(crate) fn is_done(&self) -> bool {
        self.is_over && self.taken == self.received
    }

    /// Returns how far it has come and the credit, for a new stream.
    pub(crate) fn offsets(&mut self) -> (u64, u64) {
        self.granted = if self.is_open() { self.taken + self.window } else { 0 };
        (self.received, self.granted)
    }

    /// Returns how far it may be written ahead of what is taken.
    pub(crate) fn window(&self) -> u64 {
        if self.is_unread { 0 } else { self.window }
    }

    /// Returns how many bytes are taken.
    pub(crate) fn taken(&self) -> u64 {
        if self.is_unread { EVERYTHING } else { self.taken }
    }

    /// Takes its window back: it will not be written any further. Returns it.
    pub(crate) fn close(&mut self) -> u64 {
        std::mem::take(&mut self.window)
    }
}

/// An offset behind every body.
const EVERYTHING: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn end(bytes: u64) -> BodyEnd {
        BodyEnd { bytes, hash: [0; 32] }
    }

    #[test]
    fn credit_is_what_was_taken_and_the_window() {
        let mut intake = BodyIntake::default();
        assert_eq!(intake.receive(1), Err(BodyRefused), "nothing was granted");
        assert_eq!(intake.open(100), 100);
        assert_eq!(intake.receive(100), Ok(true));
        assert_eq!(intake.receive(1), Err(BodyRefused));
        assert_eq!(intake.take(10), None, "not worth a frame");
        assert_eq!(intake.take(20), Some(130));
        assert_eq!(intake.offsets(), (100, 130));
        assert_eq!(intake.discard(), Some(200));
        assert_eq!(intake.receive(50), Ok(false), "nobody reads it");
        assert_eq!(intake.discard(), Some(250));
    }

    #[test]
    fn a_writer_that_holds_less_than_a_window_hears_what_was_taken() {
        let mut intake = BodyIntake::default();
        intake.open(CREDIT_STEP_BYTES_MAX * 100);
        intake.receive(usize::try_from(CREDIT_STEP_BYTES_MAX).unwrap()).unwrap();
        assert_eq!(intake.take(CREDIT_STEP_BYTES_MAX - 1), None);
        assert_eq!(intake.take(1), Some(CREDIT_STEP_BYTES_MAX * 101));
    }

    #[test]
    fn the_end_must_be_where_the_bytes_end_and_is_news_once() {
        let mut intake = BodyIntake::default();
        intake.open(100);
        intake.receive(5).unwrap();
        assert_eq!(intake.end(end(6)), Err(BodyRefused));
        assert_eq!(intake.end(end(5)), Ok(true));
        assert_eq!(intake.end(end(5)), Ok(false));
        assert_eq!(intake.receive(1), Err(BodyRefused), "nothing comes behind the end");
        assert_eq!(intake.take(5), None, "and nothing more may come");
    }
}
