//! Writing elements.

use bytes::{BufMut, BytesMut};

use super::integer::write_digits;
use super::word::number_of;
use super::{Dialect, Element, FLOAT, INT, LIST, LONG_INT, LONG_NEG, NEG, STRING, WORD};
use crate::limits::Limits;

/// Why an element was not written. Always the caller's fault; nothing of it is in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A peer refuses longer strings: send it in pieces.
    #[error("a string of {len} bytes exceeds the limit of {max}")]
    StringTooLong {
        /// Its length, in bytes.
        len: usize,
        /// Allowed, in bytes.
        max: usize,
    },
    /// The whole takes more bytes than a message may have: say it in several.
    #[error("a message exceeds the limit of {max} bytes")]
    MessageTooLong {
        /// Allowed, in bytes.
        max: usize,
    },
    /// There are more elements than a message may have: say it in several.
    #[error("a message exceeds the limit of {max} elements")]
    TooManyElements {
        /// Allowed.
        max: usize,
    },
    /// The lists are nested deeper than a message may be.
    #[error("lists are nested deeper than {max} levels")]
    TooDeep {
        /// Allowed.
        max: usize,
    },
}

/// Writes an element behind what `out` has.
///
/// # Errors
///
/// When a peer with the same limits would refuse it. `out` is then as it was.
pub fn encode(
    element: &Element,
    dialect: Dialect,
    limits: &Limits,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let start = out.len();
    let mut writer = Writer { dialect, limits, out, start, elements: 1, open: Vec::new() };
    let written = writer.write_all(element);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

struct Writer<'a> {
    dialect: Dialect,
    limits: &'a Limits,
    out: &'a mut BytesMut,
    /// Where the message begins in `out`.
    start: usize,
    /// Elements announced so far.
    elements: usize,
    /// What is left of the lists that are being written, the innermost last.
    open: Vec<std::slice::Iter<'a, Element>>,
}

impl<'a> Writer<'a> {
    fn write_all(&mut self, element: &'a Element) -> Result<(), EncodeError> {
        self.write(element)?;
        while let Some(list) = self.open.last_mut() {
            match list.next() {
                Some(element) => self.write(element)?,
                None => drop(self.open.pop()),
            }
        }
        Ok(())
    }

    fn write(&mut self, element: &'a Element) -> Result<(), EncodeError> {
        match element {
            Element::Int(value) => self.write_int(*value),
            Element::Long(long) => {
                self.out.put_slice(long.digits());
                self.out.put_u8(if long.is_negative() { LONG_NEG } else { LONG_INT });
            }
            Element::Float(value) => {
                self.out.put_u8(FLOAT);
                self.out.put_f64(*value);
            }
            Element::Bytes(bytes) => self.write_bytes(bytes)?,
            Element::List(list) => self.begin_list(list)?,
        }
        let max = self.limits.message_bytes_max;
        if self.out.len() - self.start > max { Err(EncodeError::MessageTooLong { max }) } else { Ok(()) }
    }

    fn write_int(&mut self, value: i64) {
        let type_byte = match (value < 0, i32::try_from(value)) {
            (false, Ok(_)) => INT,
            (false, Err(_)) => LONG_INT,
            (true, Ok(_)) => NEG,
            (true, Err(_)) => LONG_NEG,
        };
        self.write_number(u128::from(value.unsigned_abs()), type_byte);
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let word = if self.dialect == Dialect::Pb { number_of(bytes) } else { None };
        if let Some(number) = word {
            self.write_number(number.into(), WORD);
            return Ok(());
        }
        let (len, max) = (bytes.len(), self.limits.string_bytes_max);
        if len > max {
            return Err(EncodeError::StringTooLong { len, max });
        }
        self.write_number(len as u128, STRING);
        self.out.put_slice(bytes);
        Ok(())
    }

    fn begin_list(&mut self, list: &'a [Element]) -> Result<(), EncodeError> {
        self.elements = self.elements.saturating_add(list.len());
        if self.elements > self.limits.elements_max {
            return Err(EncodeError::TooManyElements { max: self.limits.elements_max });
        }
        if self.open.len() >= self.limits.depth() {
            return Err(EncodeError::TooDeep { max: self.limits.depth() });
        }
        self.write_number(list.len() as u128, LIST);
        self.open.push(list.iter());
        Ok(())
    }

    fn write_number(&mut self, number: u128, type_byte: u8) {
        write_digits(number, |digit| self.out.put_u8(digit));
        self.out.put_u8(type_byte);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const LIMITS: Limits = Limits {
        string_bytes_max: 16,
        message_bytes_max: 64,
        elements_max: 8,
        depth_max: 3,
        calls_max: 0,
        requests_max: 0,
        objects_max: 0,
        references_max: 0,
        output_bytes_max: 0,
    };

    #[track_caller]
    fn check(element: Element, dialect: Dialect, expected: &[u8]) {
        let mut out = BytesMut::new();
        assert_eq!(encode(&element, dialect, &LIMITS, &mut out), Ok(()));
        assert_eq!(&out[..], expected);
    }

    #[track_caller]
    fn check_refused(element: Element, expected: EncodeError) {
        let mut out = BytesMut::from(&b"before"[..]);
        assert_eq!(encode(&element, Dialect::Pb, &LIMITS, &mut out), Err(expected));
        assert_eq!(&out[..], b"before");
    }

    #[test]
    fn integers_have_one_of_four_type_bytes() {
        check(Element::Int(0), Dialect::Pb, &[0, INT]);
        check(Element::Int(0x7fff_ffff), Dialect::Pb, &[0x7f, 0x7f, 0x7f, 0x7f, 7, INT]);
        check(Element::Int(0x8000_0000), Dialect::Pb, &[0, 0, 0, 0, 8, LONG_INT]);
        check(Element::Int(-0x8000_0000), Dialect::Pb, &[0, 0, 0, 0, 8, NEG]);
        check(Element::Int(-0x8000_0001), Dialect::Pb, &[1, 0, 0, 0, 8, LONG_NEG]);
        let beyond = i128::from(u64::MAX);
        check(
            beyond.into(),
            Dialect::Pb,
            &[0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 1, LONG_INT],
        );
    }

    #[test]
    fn words_are_numbers_in_one_dialect_only() {
        check(Element::word("tuple"), Dialect::Pb, &[11, WORD]);
        check(Element::word("tuple"), Dialect::None, b"\x05\x82tuple");
        check(Element::word("twin"), Dialect::Pb, b"\x04\x82twin");
    }

    #[test]
    fn what_a_peer_would_refuse_is_not_written() {
        let string = |len| Element::Bytes(Bytes::from(vec![0; len]));
        check_refused(string(17), EncodeError::StringTooLong { len: 17, max: 16 });
        check_refused(Element::List(vec![string(16); 4]), EncodeError::MessageTooLong { max: 64 });
        check_refused(Element::List(vec![Element::Int(0); 8]), EncodeError::TooManyElements { max: 8 });
        let nested = (0..4).fold(Element::Int(0), |inner, _| Element::List(vec![inner]));
        check_refused(nested, EncodeError::TooDeep { max: 3 });
    }
}
