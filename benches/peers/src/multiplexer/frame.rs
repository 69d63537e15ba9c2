//! Frames: length of the payload (4 bytes), id (4), kind (1), payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A frame that came.
pub(super) struct Frame {
    pub(super) id: u32,
    pub(super) kind: Kind,
    pub(super) payload: Bytes,
}

/// What it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Echo = 0,
    Message = 1,
    Piece = 2,
    LastPiece = 3,
    Reply = 4,
}

/// Appends a frame.
pub(super) fn write_frame(buffer: &mut BytesMut, id: u32, kind: Kind, payload: &[u8]) {
    buffer.reserve(HEADER_BYTES + payload.len());
    buffer.put_u32(u32::try_from(payload.len()).expect("payloads are small"));
    buffer.put_u32(id);
    buffer.put_u8(kind as u8);
    buffer.put_slice(payload);
}

/// Takes a frame off the front, if all of it is there.
pub(super) fn read_frame(buffer: &mut BytesMut) -> Option<Frame> {
    let mut header = buffer.get(..HEADER_BYTES)?;
    let (len, id, kind) = (header.get_u32() as usize, header.get_u32(), header.get_u8());
    if buffer.len() < HEADER_BYTES + len {
        return None;
    }
    buffer.advance(HEADER_BYTES);
    let kind = match kind {
        0 => Kind::Echo,
        1 => Kind::Message,
        2 => Kind::Piece,
        3 => Kind::LastPiece,
        _ => Kind::Reply,
    };
    Some(Frame { id, kind, payload: buffer.split_to(len).freeze() })
}

const HEADER_BYTES: usize = 9;
