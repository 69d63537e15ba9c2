//! A record of a spool: one byte that says what it is, four for the length of what follows.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use runnel_codec::{SMALL_BODY_BYTES_MAX, decode_body, encode_body};

use crate::process::{OutputStream, Piece};

/// One piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervise) struct Record {
    /// Its place in the row of all output; the first is 1.
    pub(in crate::supervise) number: u64,
    pub(in crate::supervise) piece: Piece,
}

/// Appends a record to `bytes`.
///
/// # Errors
///
/// When the piece is longer than any is.
pub(super) fn write(piece: &Piece, bytes: &mut Vec<u8>) -> io::Result<()> {
    let begin = bytes.len();
    bytes.put_bytes(0, HEADER_BYTES);
    let kind = match piece {
        Piece::Stream { stream, bytes: content } => {
            bytes.put_slice(content);
            match stream {
                OutputStream::Stdout => STDOUT,
                OutputStream::Stderr => STDERR,
            }
        }
        Piece::Environment(variables) => {
            bytes.put_slice(&encode_body(variables, SMALL_BODY_BYTES_MAX).map_err(io::Error::other)?);
            ENVIRONMENT
        }
        Piece::Log { name, bytes: content } => {
            bytes.put_u32_le(len_of(name.as_bytes())?);
            bytes.put_slice(name.as_bytes());
            bytes.put_slice(content);
            LOG
        }
    };
    let len = len_of(&bytes[begin + HEADER_BYTES..])?;
    bytes[begin] = kind;
    bytes[begin + 1..begin + HEADER_BYTES].copy_from_slice(&len.to_le_bytes());
    Ok(())
}

/// Takes a record from the front of `buffer` if it is whole.
///
/// # Errors
///
/// When it is none.
pub(super) fn take(buffer: &mut BytesMut) -> io::Result<Option<Piece>> {
    let Some((header, content)) = buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [kind, len @ ..] = *header;
    let len = usize::try_from(u32::from_le_bytes(len)).map_err(|_| io::ErrorKind::InvalidData)?;
    if content.len() < len {
        return Ok(None);
    }
    buffer.advance(HEADER_BYTES);
    read(kind, buffer.split_to(len).freeze()).map(Some)
}

fn read(kind: u8, mut content: Bytes) -> io::Result<Piece> {
    match kind {
        STDOUT => Ok(Piece::Stream { stream: OutputStream::Stdout, bytes: content }),
        STDERR => Ok(Piece::Stream { stream: OutputStream::Stderr, bytes: content }),
        ENVIRONMENT => {
            decode_body(&content, SMALL_BODY_BYTES_MAX).map(Piece::Environment).map_err(io::Error::other)
        }
        LOG => {
            let len = content.try_get_u32_le().map_err(io::Error::other)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > content.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let name = String::from_utf8_lossy(&content.split_to(len)).into_owned();
            Ok(Piece::Log { name, bytes: content })
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn len_of(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Bytes before the content of a record.
pub(super) const HEADER_BYTES: usize = 5;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ENVIRONMENT: u8 = 3;
const LOG: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_piece_is_read_as_it_was_written() {
        let pieces = [
            Piece::Environment(vec![("A".to_owned(), "b c".to_owned())]),
            Piece::Stream { stream: OutputStream::Stdout, bytes: Bytes::from_static(b"out") },
            Piece::Log { name: "test".to_owned(), bytes: Bytes::from_static(b"\xff\n") },
            Piece::Stream { stream: OutputStream::Stderr, bytes: Bytes::from_static(b"err") },
        ];
        let mut written = Vec::new();
        for piece in &pieces {
            write(piece, &mut written).unwrap();
        }
        let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
        for byte in written {
            buffer.put_u8(byte);
            read.extend(take(&mut buffer).unwrap());
        }
        assert_eq!(read, pieces);
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bytes in [
            &[9, 0, 0, 0, 0][..],
            &[LOG, 1, 0, 0, 0, 0],
            &[LOG, 5, 0, 0, 0, 2, 0, 0, 0, b'a'],
            &[ENVIRONMENT, 1, 0, 0, 0, 9],
        ] {
            assert!(take(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
    }
}
