//! Reading boxes from whatever bytes have come.

use bytes::{Buf, Bytes, BytesMut};

use crate::amp_box::{AmpBox, KEY_BYTES_MAX};
use crate::limits::Limits;

/// Why bytes of a peer were refused. There is no way to go on: close the connection.
///
/// A decoder that has failed stays failed and returns the same error again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The peer announced a key above AMP's limit: it most likely does not speak AMP.
    #[error("a key of {len} bytes exceeds AMP's limit of {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// Announced, in bytes.
        len: usize,
    },
    /// A box has a key twice.
    #[error("a box has a key twice")]
    KeyTwice,
    /// A box has no pairs.
    #[error("a box is empty")]
    EmptyBox,
    /// A box has more pairs than are allowed.
    #[error("a box has more than {max} pairs")]
    TooManyPairs {
        /// Allowed.
        max: usize,
    },
    /// A box takes more bytes than are allowed. What is too long was not kept.
    #[error("a box exceeds the limit of {max} bytes")]
    BoxTooLong {
        /// Allowed, in bytes.
        max: usize,
    },
}

/// Reads boxes, one after the other.
///
/// What is announced is held against the limits before anything is kept for it, and memory grows with the bytes that
/// really come.
#[derive(Debug)]
#[must_use]
pub struct Decoder {
    limits: Limits,
    /// What has come and is not read.
    unread: BytesMut,
    /// The key whose value has not come.
    key: Option<Bytes>,
    /// The pairs of the box whose end has not come.
    open: AmpBox,
    /// Bytes of that box, up to what is unread.
    box_bytes: usize,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// Makes a decoder for the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        let limits = limits.for_connection();
        Self { limits, unread: BytesMut::new(), key: None, open: AmpBox::new(), box_bytes: 0, failed: None }
    }

    /// Takes the next bytes. Ask for boxes until there are none before giving it more.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.failed.is_none() {
            self.unread.extend_from_slice(chunk);
        }
    }

    /// Returns the next whole box, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// Whenever the peer broke the rules.
    pub fn next_box(&mut self) -> Result<Option<AmpBox>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.read().inspect_err(|&error| self.fail(error))
    }

    /// Returns how many bytes are held that belong to no whole key or value.
    pub fn unread_bytes(&self) -> usize {
        self.unread.len()
    }

    /// Returns whether all that has come belongs to whole boxes.
    pub fn is_between_boxes(&self) -> bool {
        self.unread.is_empty() && self.box_bytes == 0
    }

    fn fail(&mut self, error: DecodeError) {
        self.failed = Some(error);
        self.unread = BytesMut::new();
        self.open = AmpBox::new();
        self.key = None;
    }

    fn read(&mut self) -> Result<Option<AmpBox>, DecodeError> {
        while let Some(string) = self.read_string()? {
            match self.key.take() {
                Some(key) => {
                    if self.open.insert(key, string).is_some() {
                        return Err(DecodeError::KeyTwice);
                    }
                }
                None if string.is_empty() => return self.end_box().map(Some),
                None if self.open.len() >= self.limits.pairs_max => {
                    return Err(DecodeError::TooManyPairs { max: self.limits.pairs_max });
                }
                None => self.key = Some(string),
            }
        }
        Ok(None)
    }

    /// Reads the key or value that comes next, once it is whole.
    fn read_string(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(&[high, low]) = self.unread.first_chunk() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if self.key.is_none() && len > KEY_BYTES_MAX {
            return Err(DecodeError::KeyTooLong { len });
        }
        let max = self.limits.box_bytes_max;
        if self.box_bytes + 2 + len > max {
            return Err(DecodeError::BoxTooLong { max });
        }
        if self.unread.len() < 2 + len {
            return Ok(None);
        }
        self.box_bytes += 2 + len;
        self.unread.advance(2);
        // A copy: a short value that is kept must not keep what came beside it.
        let string = Bytes::copy_from_slice(&self.unread[..len]);
        self.unread.advance(len);
        Ok(Some(string))
    }

    fn end_box(&mut self) -> Result<AmpBox, DecodeError> {
        self.box_bytes = 0;
        let whole = std::mem::take(&mut self.open);
        if whole.is_empty() { Err(DecodeError::EmptyBox) } else { Ok(whole) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], limits: Limits, expected: Result<Option<AmpBox>, DecodeError>) {
        let mut decoder = Decoder::new(limits);
        decoder.push(bytes);
        assert_eq!(decoder.next_box(), expected);
        assert_eq!(decoder.next_box(), expected.map(|_| None), "a failure stays");
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let limits = Limits::default;
        check(b"\0\x01a\0\x011\0\0", limits(), Ok(Some(AmpBox::new().with("a", "1"))));
        check(b"\0\x01a\0\x011\0", limits(), Ok(None));
        check(b"\0\0", limits(), Err(DecodeError::EmptyBox));
        check(b"\0\x01a\0\x011\0\x01a\0\x012\0\0", limits(), Err(DecodeError::KeyTwice));
        check(b"\x01\0", limits(), Err(DecodeError::KeyTooLong { len: 256 }));
        check(b"GET / HTTP/1.1\r\n\r\n", limits(), Err(DecodeError::KeyTooLong { len: 0x4745 }));
    }

    #[test]
    fn what_is_too_long_is_refused_when_it_is_announced() {
        let limits = || Limits { box_bytes_max: 1 << 10, pairs_max: 8, ..Limits::default() };
        check(b"\0\x01a\x04\0", limits(), Err(DecodeError::BoxTooLong { max: 1 << 10 }));
        let many: Vec<u8> = (b'a'..=b'i').flat_map(|key| [0, 1, key, 0, 0]).collect();
        check(&many, limits(), Err(DecodeError::TooManyPairs { max: 8 }));
    }
}
