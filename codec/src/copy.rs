//! Bytes of a stream that travel a second time, in a datagram.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::varint::{PartialVarint, VARINT_MAX, put_varint};

/// Bytes of a stream that travel a second time, in a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamCopy {
    /// The stream's number in QUIC.
    pub stream: u64,
    /// Where the bytes begin in the writer's half of it.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

impl StreamCopy {
    /// Encodes the whole datagram.
    ///
    /// # Panics
    ///
    /// When a number does not fit in 62 bits; QUIC's do.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(COPY_HEADER_BYTES_MAX + self.bytes.len());
        put_varint(COPY, &mut out);
        put_varint(self.stream, &mut out);
        put_varint(self.offset, &mut out);
        out.extend_from_slice(&self.bytes);
        out.freeze()
    }

    /// Decodes a datagram. Returns `None` for one of another kind that may be skipped.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is of an unknown kind that may not be skipped, or cut short.
    pub fn decode(mut datagram: Bytes) -> Result<Option<Self>, DecodeError> {
        let kind = take_varint(&mut datagram)?;
        if kind != COPY {
            return if kind % 2 == 0 { Ok(None) } else { Err(DecodeError::Malformed { what: "datagram" }) };
        }
        let stream = take_varint(&mut datagram)?;
        let offset = take_varint(&mut datagram)?;
        if offset.saturating_add(datagram.len() as u64) > VARINT_MAX {
            return Err(DecodeError::Malformed { what: "datagram" });
        }
        Ok(Some(Self { stream, offset, bytes: datagram }))
    }
}

fn take_varint(datagram: &mut Bytes) -> Result<u64, DecodeError> {
    let mut input = &datagram[..];
    let value = PartialVarint::default().read(&mut input)?;
    let taken = datagram.len() - input.len();
    datagram.advance(taken);
    value.ok_or(DecodeError::Malformed { what: "datagram" })
}

/// The kind of a copy.
const COPY: u64 = 0x01;

/// Most bytes of a datagram before the stream's own.
pub const COPY_HEADER_BYTES_MAX: usize = 1 + 8 + 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_come_back_as_they_were() {
        let copy = StreamCopy { stream: 400, offset: 7, bytes: Bytes::from_static(b"outcome") };
        assert_eq!(copy.encode()[..], [&[0x01, 0x41, 0x90, 0x07][..], b"outcome"].concat());
        assert_eq!(StreamCopy::decode(copy.encode()), Ok(Some(copy)));
    }

    #[test]
    fn what_is_cut_short_or_of_an_unknown_kind_is_told_apart() {
        for datagram in [&b""[..], &[0x01], &[0x01, 0x41], &[0x01, 0x00, 0xc0, 1, 2], &[0x03, 0, 0]] {
            assert!(StreamCopy::decode(Bytes::copy_from_slice(datagram)).is_err(), "{datagram:?}");
        }
        assert_eq!(StreamCopy::decode(Bytes::from_static(&[0x02, 0xff])), Ok(None));
    }
}
