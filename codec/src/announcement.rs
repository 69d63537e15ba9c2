//! Which process answers a dial, said before it knows who dials, in a datagram.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::copy::StreamCopy;
use crate::error::DecodeError;
use crate::id::Epoch;
use crate::varint::{PartialVarint, put_varint};

/// What a datagram says. Nothing depends on it: what is lost is said elsewhere, later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// Bytes of a stream that travel a second time.
    Copy(StreamCopy),
    /// The boot epoch of the acceptor's process. It authenticates itself by the handshake that it comes behind.
    Announcement(Epoch),
}

impl Datagram {
    /// Encodes an announcement.
    #[must_use]
    pub fn encode_announcement(boot: Epoch) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + 8);
        put_varint(ANNOUNCEMENT, &mut out);
        out.put_u64(boot.to_wire());
        out.freeze()
    }

    /// Decodes a datagram. Returns `None` for one of another kind that may be skipped.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is of an unknown kind that may not be skipped, cut short or too long.
    pub fn decode(datagram: Bytes) -> Result<Option<Self>, DecodeError> {
        let mut rest = &datagram[..];
        if PartialVarint::default().read(&mut rest)? != Some(ANNOUNCEMENT) {
            return Ok(StreamCopy::decode(datagram)?.map(Self::Copy));
        }
        let malformed = DecodeError::Malformed { what: "announcement" };
        if rest.len() != 8 {
            return Err(malformed);
        }
        Epoch::from_wire(rest.get_u64()).map(Self::Announcement).map(Some).ok_or(malformed)
    }
}

/// The kind of an announcement; an older node skips it.
const ANNOUNCEMENT: u64 = 0x02;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_comes_back_as_it_was() {
        let boot = Epoch::from_random(0x0102);
        let bytes = Datagram::encode_announcement(boot);
        assert_eq!(bytes[..], [0x02, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(Datagram::decode(bytes), Ok(Some(Datagram::Announcement(boot))));
    }

    #[test]
    fn a_copy_is_none_and_other_kinds_are_skipped_or_refused() {
        let copy = StreamCopy { stream: 4, offset: 0, bytes: Bytes::from_static(b"head") };
        assert_eq!(Datagram::decode(copy.encode()), Ok(Some(Datagram::Copy(copy))));
        assert_eq!(Datagram::decode(Bytes::from_static(&[0x04, 1])), Ok(None));
        for datagram in [&[0x03, 1][..], &[], &[0x02], &[0x02, 0, 0, 0, 0, 0, 0, 1], &[0x02; 10]] {
            assert!(Datagram::decode(Bytes::copy_from_slice(datagram)).is_err(), "{datagram:?}");
        }
        assert!(Datagram::decode(Bytes::from_static(&[0x02, 0, 0, 0, 0, 0, 0, 0, 0])).is_err());
    }
}
