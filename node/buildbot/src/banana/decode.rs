//! Reading elements from whatever bytes have come.

use bytes::{Buf, Bytes, BytesMut};

use super::integer::{Integer, integer_of, length_of};
use super::word::word_of;
use super::{DIGITS_MAX, Dialect, Element, FLOAT, INT, LIST, LONG_INT, LONG_NEG, NEG, STRING, WORD};
use crate::limits::Limits;

/// Why bytes of a peer were refused. There is no way to go on: close the connection.
///
/// A decoder that has failed stays failed and returns the same error again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A number goes on for too long.
    #[error("a number has more than {DIGITS_MAX} digits")]
    NumberTooLong,
    /// A type byte that does not exist.
    #[error("there is no type byte {byte:#x}")]
    UnknownType {
        /// The byte.
        byte: u8,
    },
    /// A word that the vocabulary does not have, or a word in a dialect without vocabulary.
    #[error("there is no word {number}")]
    UnknownWord {
        /// Its number, or the largest if it does not fit.
        number: u64,
    },
    /// The peer announced a longer string than is allowed. Nothing was kept for it.
    #[error("a string of {len} bytes exceeds the limit of {max}")]
    StringTooLong {
        /// Announced, in bytes.
        len: u64,
        /// Allowed, in bytes.
        max: usize,
    },
    /// A message takes more bytes than are allowed.
    #[error("a message exceeds the limit of {max} bytes")]
    MessageTooLong {
        /// Allowed, in bytes.
        max: usize,
    },
    /// The peer announced lists of more elements than are allowed. Nothing was kept for them.
    #[error("a message exceeds the limit of {max} elements")]
    TooManyElements {
        /// Allowed.
        max: usize,
    },
    /// Lists are nested too deep.
    #[error("lists are nested deeper than {max} levels")]
    TooDeep {
        /// Allowed.
        max: usize,
    },
}

/// Reads elements, one after the other.
///
/// What is announced is held against the limits before anything is kept for it, and memory grows with the bytes that
/// really come.
#[derive(Debug)]
#[must_use]
pub struct Decoder {
    limits: Limits,
    dialect: Dialect,
    /// What has come and is not read.
    unread: BytesMut,
    /// The lists whose end has not come, the innermost last.
    open: Vec<OpenList>,
    /// Bytes of the message that is being read, up to what is unread.
    message_bytes: usize,
    /// Elements that the message's lists have announced so far, and itself.
    elements: usize,
    failed: Option<DecodeError>,
}

#[derive(Debug)]
struct OpenList {
    missing: usize,
    elements: Vec<Element>,
}

impl Decoder {
    /// Makes a decoder for the beginning of a connection, where no dialect has been chosen.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            dialect: Dialect::None,
            unread: BytesMut::new(),
            open: Vec::new(),
            message_bytes: 0,
            elements: 1,
            failed: None,
        }
    }

    /// Reads the words of this dialect from the next element on.
    pub fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// Takes the next bytes. Ask for elements until there are none before giving it more.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.failed.is_none() {
            self.unread.extend_from_slice(chunk);
        }
    }

    /// Returns the next whole element, or `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// Whenever the peer broke the rules.
    pub fn next_element(&mut self) -> Result<Option<Element>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.read().inspect_err(|&error| self.fail(error))
    }

    /// Returns how many bytes are held that belong to no whole element.
    pub fn unread_bytes(&self) -> usize {
        self.unread.len()
    }

    fn fail(&mut self, error: DecodeError) {
        self.failed = Some(error);
        self.unread = BytesMut::new();
        self.open = Vec::new();
    }

    fn read(&mut self) -> Result<Option<Element>, DecodeError> {
        while let Some(item) = self.read_item()? {
            let finished = match item {
                Item::Whole(element) => self.place(element),
                Item::List { len } => self.begin_list(len)?,
            };
            if finished.is_some() {
                self.message_bytes = 0;
                self.elements = 1;
                return Ok(finished);
            }
        }
        Ok(None)
    }

    /// Reads an element that is no list, or the beginning of one that is.
    fn read_item(&mut self) -> Result<Option<Item>, DecodeError> {
        let Some((prefix_len, announced)) = self.peek_prefix()? else {
            return Ok(None);
        };
        let len = prefix_len + announced.content_len();
        let max = self.limits.message_bytes_max;
        if self.message_bytes + len > max {
            return Err(DecodeError::MessageTooLong { max });
        }
        if self.unread.len() < len {
            return Ok(None);
        }
        self.message_bytes += len;
        self.unread.advance(prefix_len);
        Ok(Some(match announced {
            Announced::List { len } => Item::List { len },
            Announced::String { len } => Item::Whole(Element::Bytes(self.take_string(len))),
            Announced::Float => Item::Whole(Element::Float(self.unread.get_f64())),
            Announced::Whole(element) => Item::Whole(element),
        }))
    }

    /// Looks at the number and type byte that come next, and returns how many bytes they take and what they say.
    fn peek_prefix(&self) -> Result<Option<(usize, Announced)>, DecodeError> {
        let scanned = &self.unread[..self.unread.len().min(DIGITS_MAX + 1)];
        let Some(digits) = scanned.iter().position(|byte| byte & 0x80 != 0) else {
            return if scanned.len() > DIGITS_MAX { Err(DecodeError::NumberTooLong) } else { Ok(None) };
        };
        let number = &scanned[..digits];
        let announced = match scanned[digits] {
            LIST => Announced::List { len: length_of(number) },
            STRING => Announced::String { len: self.string_len(length_of(number))? },
            INT | LONG_INT => Announced::Whole(integer_of(number, false).into()),
            NEG | LONG_NEG => Announced::Whole(integer_of(number, true).into()),
            WORD => Announced::Whole(self.word(length_of(number))?),
            FLOAT => Announced::Float,
            byte => return Err(DecodeError::UnknownType { byte }),
        };
        Ok(Some((digits + 1, announced)))
    }

    fn string_len(&self, len: u64) -> Result<usize, DecodeError> {
        let max = self.limits.string_bytes_max;
        match usize::try_from(len) {
            Ok(len) if len <= max => Ok(len),
            _ => Err(DecodeError::StringTooLong { len, max }),
        }
    }

    /// Copies a string out of the buffer, so that a short one does not keep a long buffer.
    fn take_string(&mut self, len: usize) -> Bytes {
        let string = Bytes::copy_from_slice(&self.unread[..len]);
        self.unread.advance(len);
        string
    }

    fn word(&self, number: u64) -> Result<Element, DecodeError> {
        let word = if self.dialect == Dialect::Pb { word_of(number) } else { None };
        word.map(Element::Bytes).ok_or(DecodeError::UnknownWord { number })
    }

    fn begin_list(&mut self, len: u64) -> Result<Option<Element>, DecodeError> {
        let max = self.limits.elements_max;
        let missing = usize::try_from(len).map_err(|_| DecodeError::TooManyElements { max })?;
        self.elements = self.elements.saturating_add(missing);
        if self.elements > max {
            return Err(DecodeError::TooManyElements { max });
        }
        if self.open.len() >= self.limits.depth() {
            return Err(DecodeError::TooDeep { max: self.limits.depth() });
        }
        if missing == 0 {
            return Ok(self.place(Element::List(Vec::new())));
        }
        self.open.push(OpenList { missing, elements: Vec::new() });
        Ok(None)
    }

    /// Puts an element where it belongs. Returns the outermost one if that is whole with it.
    fn place(&mut self, mut element: Element) -> Option<Element> {
        while let Some(list) = self.open.last_mut() {
            list.elements.push(element);
            list.missing -= 1;
            if list.missing > 0 {
                return None;
            }
            element = Element::List(self.open.pop()?.elements);
        }
        Some(element)
    }
}

/// What a number and its type byte say.
enum Announced {
    List { len: u64 },
    String { len: usize },
    Float,
    Whole(Element),
}

impl Announced {
    /// Returns how many bytes of content follow.
    fn content_len(&self) -> usize {
        match self {
            Self::String { len } => *len,
            Self::Float => size_of::<f64>(),
            Self::List { .. } | Self::Whole(_) => 0,
        }
    }
}

enum Item {
    Whole(Element),
    List { len: u64 },
}

impl From<Integer> for Element {
    fn from(integer: Integer) -> Self {
        match integer {
            Integer::Short(value) => Self::Int(value),
            Integer::Long(long) => Self::Long(long),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            string_bytes_max: 16,
            message_bytes_max: 80,
            elements_max: 8,
            depth_max: 3,
            ..Limits::default()
        }
    }

    fn decoder(dialect: Dialect) -> Decoder {
        let mut decoder = Decoder::new(limits());
        decoder.set_dialect(dialect);
        decoder
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Element) {
        let mut decoder = decoder(Dialect::Pb);
        decoder.push(bytes);
        assert_eq!(decoder.next_element(), Ok(Some(expected.clone())));
        assert_eq!(decoder.next_element(), Ok(None));
        assert_eq!(decoder.unread_bytes(), 0);
        let mut found = None;
        for byte in bytes {
            assert_eq!(found, None, "the element is whole before its last byte");
            decoder.push(&[*byte]);
            found = decoder.next_element().expect("good bytes");
        }
        assert_eq!(found, Some(expected));
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: DecodeError) {
        let mut decoder = decoder(Dialect::Pb);
        decoder.push(bytes);
        assert_eq!(decoder.next_element(), Err(expected));
        decoder.push(&[1, INT]);
        assert_eq!(decoder.next_element(), Err(expected), "it stays failed");
        assert_eq!(decoder.unread_bytes(), 0, "and holds nothing");
    }

    #[test]
    fn elements_are_read_in_one_piece_and_byte_by_byte() {
        check(&[5, INT], Element::Int(5));
        check(&[5, LONG_NEG], Element::Int(-5));
        check(b"\x02\x82hi", Element::word("hi"));
        check(&[11, WORD], Element::word("tuple"));
        check(&[FLOAT, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], Element::Float(1.5));
        check(&[0, LIST], Element::List(vec![]));
        let inner = Element::List(vec![Element::Int(1), Element::List(vec![])]);
        check(&[2, LIST, 2, LIST, 1, INT, LIST, 7, INT], Element::List(vec![inner, Element::Int(7)]));
    }

    #[test]
    fn a_number_has_at_most_64_digits() {
        let digits = |count| [vec![1; count], vec![INT]].concat();
        let mut decoder = decoder(Dialect::Pb);
        decoder.push(&digits(64));
        assert!(matches!(decoder.next_element(), Ok(Some(Element::Long(_)))));
        check_refused(&digits(65), DecodeError::NumberTooLong);
        check_refused(&[1; 65], DecodeError::NumberTooLong);
    }

    #[test]
    fn lies_are_refused_before_their_content_comes() {
        check_refused(&[17, STRING], DecodeError::StringTooLong { len: 17, max: 16 });
        let lie = [[0x7f; 64].as_slice(), &[STRING]].concat();
        check_refused(&lie, DecodeError::StringTooLong { len: u64::MAX, max: 16 });
        let lie = [[0x7f; 64].as_slice(), &[LIST]].concat();
        check_refused(&lie, DecodeError::TooManyElements { max: 8 });
        check_refused(&[8, LIST], DecodeError::TooManyElements { max: 8 });
        check_refused(&[4, LIST, 4, LIST], DecodeError::TooManyElements { max: 8 });
        check_refused(&[1, LIST, 1, LIST, 1, LIST, 1, LIST], DecodeError::TooDeep { max: 3 });
        let string = [[16, STRING].as_slice(), &[0; 16]].concat();
        let long = [[5, LIST].as_slice(), &string.repeat(4), &[16, STRING]].concat();
        check_refused(&long, DecodeError::MessageTooLong { max: 80 });
    }

    #[test]
    fn limits_hold_for_each_message_anew() {
        let mut decoder = decoder(Dialect::Pb);
        for _ in 0..20 {
            decoder.push(&[7, LIST, 1, INT, 1, INT, 1, INT, 1, INT, 1, INT, 1, INT, 1, INT]);
            assert!(matches!(decoder.next_element(), Ok(Some(Element::List(list))) if list.len() == 7));
        }
    }

    #[test]
    fn unknown_types_and_words_are_refused() {
        check_refused(&[0x88], DecodeError::UnknownType { byte: 0x88 });
        check_refused(&[0xff], DecodeError::UnknownType { byte: 0xff });
        check_refused(&[0, WORD], DecodeError::UnknownWord { number: 0 });
        check_refused(&[32, WORD], DecodeError::UnknownWord { number: 32 });
        let mut decoder = decoder(Dialect::None);
        decoder.push(&[11, WORD]);
        assert_eq!(decoder.next_element(), Err(DecodeError::UnknownWord { number: 11 }));
    }
}
