//! NDJSON: one object a line, and no line longer than a limit.

use bytes::BytesMut;

/// Cuts a stream of octets into lines.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    content: BytesMut,
    /// How much of it is known to hold no end of a line.
    searched: usize,
    /// Octets after the newest end of a line.
    unfinished: usize,
}

/// A line has more octets than a reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line from the node is longer than {LINE_BYTES_MAX} bytes")]
pub struct LineTooLong;

/// Longest line, in bytes: a piece of output has at most 1 MiB, and JSON may write each octet as six.
///
/// Lower, the output of strange programs cannot be shown; higher, whoever listens on the socket makes us hold more.
pub const LINE_BYTES_MAX: usize = 8 << 20;

impl LineBuffer {
    /// Takes what came.
    pub(crate) fn push(&mut self, octets: &[u8]) -> Result<(), LineTooLong> {
        self.content.extend_from_slice(octets);
        self.unfinished = match octets.iter().rposition(|octet| *octet == b'\n') {
            Some(end) => octets.len() - end - 1,
            None => self.unfinished + octets.len(),
        };
        if self.unfinished > LINE_BYTES_MAX { Err(LineTooLong) } else { Ok(()) }
    }

    /// Returns the next whole line without its end. Octets that are no UTF-8 are replaced.
    pub(crate) fn pop(&mut self) -> Option<String> {
        let Some(length) = self.content[self.searched..].iter().position(|octet| *octet == b'\n') else {
            self.searched = self.content.len();
            return None;
        };
        let line = self.content.split_to(self.searched + length + 1);
        self.searched = 0;
        Some(String::from_utf8_lossy(&line[..line.len() - 1]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_come_in() {
        let text = "{\"n\":1}\n\n{\"n\":2}\n{\"n\":";
        for piece in 1..text.len() {
            let mut buffer = LineBuffer::default();
            let mut lines = Vec::new();
            for octets in text.as_bytes().chunks(piece) {
                buffer.push(octets).unwrap();
                lines.extend(std::iter::from_fn(|| buffer.pop()));
            }
            assert_eq!(lines, ["{\"n\":1}", "", "{\"n\":2}"], "in pieces of {piece}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let mut buffer = LineBuffer::default();
        let piece = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(buffer.push(&piece), Ok(()));
        assert_eq!(buffer.push(b"\n"), Ok(()), "the limit itself is allowed");
        assert_eq!(buffer.pop().map(|line| line.len()), Some(LINE_BYTES_MAX));
        assert_eq!(buffer.push(&piece), Ok(()));
        assert_eq!(buffer.push(b"x"), Err(LineTooLong));
    }
}
