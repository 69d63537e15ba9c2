//! A body at its writer: bytes by offset, as far as credit goes, until the reader has taken them.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use runnel_codec::BodyEnd;

/// What was produced of a body and not taken by its reader yet.
#[derive(Debug, Default)]
pub(crate) struct BodyLog {
    /// Bytes that are held, oldest first.
    pieces: VecDeque<Bytes>,
    /// Offset of the first byte that is held: the reader has taken everything before it.
    held_from: u64,
    /// Offset behind the last byte that is held.
    held_to: u64,
    /// Which held piece is written next, and how much of it has been.
    cursor: (usize, usize),
    /// Offset of the next byte to write to the current stream.
    written: u64,
    /// Offset of the last byte that was ever written.
    written_max: u64,
    /// Offset up to which it may be written.
    credit: u64,
    /// Length and hash, once everything is produced.
    end: Option<BodyEnd>,
    is_end_written: bool,
    /// It is produced again by another process: its reader may have more of it than that has written, or produced.
    is_again: bool,
}

/// What is written of a body at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyPart {
    /// The next bytes.
    Piece(Bytes),
    /// There are no more.
    End(BodyEnd),
}

/// The reader claims to have what was never written, or wants again what it has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImpossibleOffset;

impl BodyLog {
    /// Makes one that goes on where an older process had stopped.
    pub(crate) fn begun_at(offset: u64) -> Self {
        Self { held_from: offset, held_to: offset, written: offset, written_max: offset, ..Self::default() }
    }

    /// Makes one of what an older process held: any of it may have been written.
    pub(crate) fn recovered<'a>(offset: u64, pieces: impl IntoIterator<Item = &'a Bytes>) -> Self {
        let mut log = Self::begun_at(offset);
        for piece in pieces {
            log.push(piece.clone());
        }
        log.written_max = log.held_to;
        log
    }

    /// Makes one that is produced again from its beginning, of which an older process may have written any part.
    pub(crate) fn again() -> Self {
        Self { is_again: true, ..Self::default() }
    }

    /// Adds bytes that were produced. Returns the bytes let go of, which are those that the reader has already.
    pub(crate) fn push(&mut self, mut content: Bytes) -> usize {
        if content.is_empty() || self.end.is_some() {
            return 0;
        }
        let known = usize::try_from(self.written.saturating_sub(self.held_to)).unwrap_or(usize::MAX);
        let known = known.min(content.len());
        content.advance(known);
        self.held_from += known as u64;
        self.held_to += (known + content.len()) as u64;
        if !content.is_empty() {
            self.pieces.push_back(content);
        }
        known
    }

    /// Adds bytes that were produced and begin at `offset`, as far as they are what comes next: what is here already is
    /// dropped, and so is what lies ahead.
    pub(crate) fn push_at(&mut self, offset: u64, mut content: Bytes) {
        if let Some(held) = self.held_to.checked_sub(offset) {
            content.advance(usize::try_from(held).unwrap_or(usize::MAX).min(content.len()));
            self.push(content);
        }
    }

    /// Everything is produced. Where the reader has more than that, this is not what was produced before: there is no end to
    /// say then.
    pub(crate) fn end(&mut self, end: BodyEnd) {
        if end.bytes >= self.written {
            self.end.get_or_insert(end);
        }
    }

    /// Continues on a new stream behind what the reader has. Returns the bytes let go of.
    pub(crate) fn attach(&mut self, received: u64, credit: u64) -> Result<usize, ImpossibleOffset> {
        if self.is_again {
            self.written_max = self.written_max.max(received);
            self.end = self.end.filter(|end| end.bytes >= received);
        }
        if received < self.held_from || received > self.written_max {
            return Err(ImpossibleOffset);
        }
        let freed = self.acknowledge(received);
        self.cursor = (0, 0);
        self.written = received;
        // A credit on the control stream may have overtaken the stream that says this one.
        self.credit = self.credit.max(credit);
        self.is_end_written = false;
        Ok(freed)
    }

    /// Takes a new credit; it never shrinks on one stream.
    pub(crate) fn grant(&mut self, credit: u64) {
        self.credit = self.credit.max(credit);
    }

    /// Lets go of what the reader has taken; what was not written is not taken. Returns the bytes let go of.
    pub(crate) fn acknowledge(&mut self, offset: u64) -> usize {
        let mut left = usize::try_from(offset.min(self.written_max).saturating_sub(self.held_from))
            .unwrap_or(usize::MAX);
        let mut freed = 0;
        while left > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let bytes = left.min(piece.len());
            piece.advance(bytes);
            left -= bytes;
            freed += bytes;
            let (index, begun) = self.cursor;
            self.cursor = if index == 0 { (0, begun.saturating_sub(bytes)) } else { (index, begun) };
            if piece.is_empty() {
                self.pieces.pop_front();
                self.cursor.0 = self.cursor.0.saturating_sub(1);
            }
        }
        self.held_from += freed as u64;
        self.written = self.written.max(self.held_from);
        freed
    }

    /// Returns how many bytes could be written now; `Some(0)` if only the end is left to say.
    pub(crate) fn writable(&self) -> Option<u64> {
        let bytes = self.held_to.min(self.credit).saturating_sub(self.written);
        let end_is_due = self.end.is_some() && !self.is_end_written && self.written == self.held_to;
        (bytes > 0 || end_is_due).then_some(bytes)
    }

    /// Takes what is written next: at most `bytes_max`, and no more than credit allows.
    pub(crate) fn poll(&mut self, bytes_max: u64) -> Option<BodyPart> {
        let bytes = self.writable()?;
        if bytes == 0 {
            self.is_end_written = true;
            return self.end.map(BodyPart::End);
        }
        let (index, begun) = self.cursor;
        let piece = self.pieces.get(index)?;
        let most = usize::try_from(bytes.min(bytes_max)).unwrap_or(usize::MAX);
        let end = begun.saturating_add(most).min(piece.len());
        let part = piece.slice(begun..end);
        self.cursor = if end == piece.len() { (index + 1, 0) } else { (index, end) };
        self.written += part.len() as u64;
        self.written_max = self.written_max.max(self.written);
        Some(BodyPart::Piece(part))
    }

    /// Returns the pieces that are held, with their offsets.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.pieces.iter().scan(self.held_from, |offset, piece| {
            let at = *offset;
            *offset += piece.len() as u64;
            Some((at, piece))
        })
    }

    /// Returns how far it was produced.
    pub(crate) fn produced_to(&self) -> u64 {
        self.held_to
    }

    /// Returns how far it may be written.
    pub(crate) fn credit(&self) -> u64 {
        self.credit
    }

    /// Goes back to the beginning, if all of it is held, for a reader that has granted nothing yet. Returns whether it is.
    pub(crate) fn rewind(&mut self) -> bool {
        let is_whole = self.held_from == 0;
        if is_whole {
            (self.cursor, self.written, self.written_max) = ((0, 0), 0, 0);
            (self.credit, self.is_end_written) = (0, false);
        }
        is_whole
    }

    /// Returns its length and hash, once everything is produced.
    pub(crate) fn produced(&self) -> Option<BodyEnd> {
        self.end
    }

    /// Returns whether everything is produced.
    pub(crate) fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// Returns the bytes that are held.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_to - self.held_from
    }

    /// Returns whether everything, the end included, is written to the current stream.
    pub(crate) fn is_written(&self) -> bool {
        self.is_end_written
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn end(bytes: u64) -> BodyEnd {
        BodyEnd { bytes, hash: [7; 32] }
    }

    fn piece(text: &'static str) -> Option<BodyPart> {
        Some(BodyPart::Piece(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn pieces_go_as_far_as_credit_and_the_end_comes_last() {
        let mut log = BodyLog::default();
        log.push("abcdef".into());
        assert_eq!(log.writable(), None, "no credit yet");
        log.attach(0, 4).unwrap();
        assert_eq!(log.poll(3), piece("abc"));
        assert_eq!(log.poll(3), piece("d"));
        assert_eq!(log.poll(3), None);
        log.end(end(6));
        assert_eq!(log.writable(), None, "two bytes are still to come before the end");
        log.grant(100);
        assert_eq!(log.poll(100), piece("ef"));
        assert_eq!(log.writable(), Some(0));
        assert_eq!(log.poll(100), Some(BodyPart::End(end(6))));
        assert!(log.is_written() && log.poll(100).is_none());
    }

    #[test]
    fn a_new_stream_continues_behind_what_was_received() {
        let mut log = BodyLog::default();
        log.attach(0, 100).unwrap();
        log.push("abc".into());
        log.push("def".into());
        log.end(end(6));
        while log.poll(2).is_some() {}
        assert_eq!(log.attach(4, 100), Ok(4));
        assert_eq!((log.held_bytes(), log.poll(100)), (2, piece("ef")));
        assert_eq!(log.poll(100), Some(BodyPart::End(end(6))), "the end is said on every stream");
    }

    #[test]
    fn a_reader_that_claims_the_impossible_is_refused() {
        let mut log = BodyLog::default();
        log.attach(0, 100).unwrap();
        log.push("abc".into());
        assert_eq!(log.attach(1, 100), Err(ImpossibleOffset), "it was not written");
        log.poll(100);
        log.acknowledge(2);
        assert_eq!(log.attach(1, 100), Err(ImpossibleOffset), "it was taken");
        assert_eq!(log.acknowledge(u64::MAX), 1, "no more than was written");
    }

    #[test]
    fn what_is_produced_again_is_passed_over_as_far_as_the_reader_has_it() {
        for is_late in [false, true] {
            let mut log = BodyLog::again();
            let mut freed = if is_late { log.push("abc".into()) } else { 0 };
            freed += log.attach(5, 100).unwrap();
            freed += if is_late { 0 } else { log.push("abc".into()) };
            assert_eq!((log.writable(), log.held_bytes()), (None, 0));
            assert_eq!(log.attach(5, 100), Ok(0), "on the next link too");
            freed += log.push("defg".into());
            assert_eq!((freed, log.poll(100)), (5, piece("fg")), "late: {is_late}");
            log.end(end(7));
            assert_eq!(log.poll(100), Some(BodyPart::End(end(7))));
        }
    }

    #[test]
    fn what_is_produced_again_and_is_less_has_no_end() {
        for is_late in [false, true] {
            let mut log = BodyLog::again();
            let attach = |log: &mut BodyLog| log.attach(5, 100).map(drop).unwrap();
            if is_late {
                log.push("abc".into());
                log.end(end(3));
                attach(&mut log);
            } else {
                attach(&mut log);
                log.push("abc".into());
                log.end(end(3));
            }
            assert!(!log.has_end() && log.writable().is_none(), "late: {is_late}");
        }
    }

    proptest! {
        /// Whatever is cut, acknowledged and attached again: the reader gets every byte once and in order.
        #[test]
        fn the_reader_gets_every_byte_in_order(
            pieces in prop::collection::vec(1_usize..20, 0..20),
            turns in prop::collection::vec((0_u8..6, 0_u64..30), 0..200),
        ) {
            let whole: Vec<u8> = (0..pieces.iter().sum::<usize>()).map(|at| at.to_le_bytes()[0]).collect();
            let mut source = Bytes::from(whole.clone());
            let mut pieces = pieces.into_iter();
            let (mut log, mut got, mut taken) = (BodyLog::default(), Vec::new(), 0_u64);
            log.attach(0, 0).unwrap();
            for (turn, number) in turns {
                match turn {
                    0 => if let Some(bytes) = pieces.next() { log.push(source.split_to(bytes)); },
                    1 => log.grant(got.len() as u64 + number),
                    2 => {
                        taken = (taken + number).min(got.len() as u64);
                        log.acknowledge(taken);
                    }
                    3 => {
                        log.attach(got.len() as u64, got.len() as u64 + number).unwrap();
                        taken = got.len() as u64;
                    }
                    _ => if let Some(BodyPart::Piece(piece)) = log.poll(number.max(1)) {
                        prop_assert!(piece.len() as u64 <= number.max(1));
                        got.extend_from_slice(&piece);
                    },
                }
                prop_assert_eq!(&got[..], &whole[..got.len()]);
            }
            for bytes in pieces { log.push(source.split_to(bytes)); }
            log.end(end(whole.len() as u64));
            log.grant(u64::MAX);
            while let Some(BodyPart::Piece(piece)) = log.poll(7) { got.extend_from_slice(&piece) }
            prop_assert_eq!(got, whole);
            prop_assert!(log.is_written());
        }
    }
}
