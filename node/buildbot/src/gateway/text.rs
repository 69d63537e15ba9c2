//! Text of bytes that are cut anywhere.

/// Makes text of the pieces of one stream. A character that is cut between two pieces is put together; what is no UTF-8
/// becomes U+FFFD, as Python does it.
#[derive(Debug, Default)]
pub(super) struct TextPieces {
    /// The beginning of a character: three bytes at most.
    cut: Vec<u8>,
}

impl TextPieces {
    /// Returns the text of the next piece, without a character that is not whole yet.
    pub(super) fn push(&mut self, piece: &[u8]) -> String {
        self.cut.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.cut);
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            let is_last = chunk.invalid().as_ptr_range().end == bytes.as_ptr_range().end;
            if is_last && is_beginning(chunk.invalid()) {
                self.cut = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// Returns what is left of a character that never became whole.
    pub(super) fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.cut);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// Returns whether these bytes, which are no UTF-8, may be the beginning of a character.
fn is_beginning(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Cuts a text into pieces of at most `bytes_max` bytes, at characters. `bytes_max` is 4 at least.
pub(super) fn cut(text: &str, bytes_max: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, left) = rest.split_at(rest.floor_char_boundary(bytes_max));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_whole_however_they_are_cut() {
        let text = "häß€𝄞\n";
        for len in 1..text.len() {
            let mut pieces = TextPieces::default();
            let mut read: String = text.as_bytes().chunks(len).map(|piece| pieces.push(piece)).collect();
            read += &pieces.finish();
            assert_eq!(read, text, "in pieces of {len}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced_as_if_it_came_at_once() {
        let bytes = b"a\xff\xe2\x82b\xf0\x9d\x84\xe2";
        for len in 1..bytes.len() {
            let mut pieces = TextPieces::default();
            let mut read: String = bytes.chunks(len).map(|piece| pieces.push(piece)).collect();
            read += &pieces.finish();
            assert_eq!(read, String::from_utf8_lossy(bytes), "in pieces of {len}");
        }
    }

    #[test]
    fn long_texts_are_cut_at_characters() {
        let pieces: Vec<_> = cut("aä€𝄞", 4).collect();
        assert_eq!(pieces, ["aä", "€", "𝄞"]);
        assert_eq!(cut("", 4).count(), 0);
    }
}
