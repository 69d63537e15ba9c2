//! The types of arguments, as Twisted writes them: `amp.Integer`, `amp.Boolean`, `amp.Unicode`, `amp.ListOf`,
//! `amp.AmpList`. A value of `amp.String` is its bytes.

use bytes::{BufMut, Bytes, BytesMut};

use crate::amp_box::{AmpBox, EncodeError};
use crate::decode::Decoder;
use crate::limits::Limits;

/// A value that is not of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not {expected}")]
pub struct ValueError {
    /// What it has to be.
    pub expected: &'static str,
}

/// Writes an `amp.Integer`.
pub fn integer(value: impl Into<i128>) -> Bytes {
    value.into().to_string().into()
}

/// Writes an `amp.Boolean`.
pub fn boolean(value: bool) -> Bytes {
    Bytes::from_static(if value { b"True" } else { b"False" })
}

/// Writes an `amp.AmpList`.
///
/// # Errors
///
/// When one of the boxes cannot be written. The whole list has to fit into a value, which is seen when that is written.
pub fn amp_list<'a>(boxes: impl IntoIterator<Item = &'a AmpBox>) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    boxes.into_iter().try_for_each(|one| one.encode(&mut out))?;
    Ok(out.freeze())
}

/// Writes an `amp.ListOf`.
///
/// # Errors
///
/// When an element is longer than a value may be.
pub fn list_of<'a>(elements: impl IntoIterator<Item = &'a [u8]>) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    for element in elements {
        let len = u16::try_from(element.len());
        let too_long = |_| EncodeError::ValueTooLong { key: "element".to_owned(), len: element.len() };
        out.put_u16(len.map_err(too_long)?);
        out.extend_from_slice(element);
    }
    Ok(out.freeze())
}

/// Reads an `amp.Integer` that is not negative.
///
/// # Errors
///
/// When it is not one that fits into 64 bits.
pub fn read_number(value: &[u8]) -> Result<u64, ValueError> {
    let text = str::from_utf8(value).ok().map(str::trim);
    text.and_then(|text| text.parse().ok()).ok_or(ValueError { expected: "a number from 0 to 2^64 - 1" })
}

/// Reads an `amp.Boolean`.
///
/// # Errors
///
/// When it is neither `True` nor `False`.
pub fn read_boolean(value: &[u8]) -> Result<bool, ValueError> {
    match value {
        b"True" => Ok(true),
        b"False" => Ok(false),
        _ => Err(ValueError { expected: "True or False" }),
    }
}

/// Reads an `amp.Unicode`.
///
/// # Errors
///
/// When it is not UTF-8.
pub fn read_text(value: &[u8]) -> Result<String, ValueError> {
    str::from_utf8(value).map(str::to_owned).map_err(|_| ValueError { expected: "text in UTF-8" })
}

/// Reads an `amp.ListOf`.
///
/// # Errors
///
/// When an element is not whole.
pub fn read_list(mut value: &[u8]) -> Result<Vec<&[u8]>, ValueError> {
    let mut elements = Vec::new();
    while let Some((&len, rest)) = value.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes(len));
        let (element, rest) = rest.split_at_checked(len).ok_or(CUT_LIST)?;
        elements.push(element);
        value = rest;
    }
    if value.is_empty() { Ok(elements) } else { Err(CUT_LIST) }
}

/// Reads an `amp.AmpList`.
///
/// # Errors
///
/// When it is not made of whole boxes within `limits`.
pub fn read_boxes(value: &[u8], limits: &Limits) -> Result<Vec<AmpBox>, ValueError> {
    const EXPECTED: ValueError = ValueError { expected: "a list of boxes" };
    let mut decoder = Decoder::new(limits.clone());
    decoder.push(value);
    let mut boxes = Vec::new();
    while let Some(one) = decoder.next_box().map_err(|_| EXPECTED)? {
        boxes.push(one);
    }
    if decoder.is_between_boxes() { Ok(boxes) } else { Err(EXPECTED) }
}

const CUT_LIST: ValueError = ValueError { expected: "a list whose elements are whole" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_they_were_written() {
        assert_eq!(read_number(&integer(u64::MAX)), Ok(u64::MAX));
        assert_eq!(integer(-5), "-5");
        assert_eq!((read_boolean(&boolean(true)), read_boolean(&boolean(false))), (Ok(true), Ok(false)));
        let list = list_of([&b"a"[..], b"", b"\xff"]).unwrap();
        assert_eq!(read_list(&list), Ok(vec![&b"a"[..], b"", b"\xff"]));
        let boxes = [AmpBox::new().with("name", "A"), AmpBox::new().with("name", "B").with("value", "")];
        assert_eq!(read_boxes(&amp_list(&boxes).unwrap(), &Limits::default()), Ok(boxes.to_vec()));
    }

    #[test]
    fn what_is_of_another_type_is_named() {
        assert!(read_number(b"-1").is_err() && read_number(b"1.0").is_err() && read_number(b"").is_err());
        assert!(read_boolean(b"true").is_err());
        assert!(read_text(b"\xff").is_err());
        assert!(read_list(b"\0\x02a").is_err() && read_list(b"\0").is_err());
        let limits = Limits::default();
        assert!(read_boxes(b"\0\x01a\0\x01b", &limits).is_err() && read_boxes(b"\0", &limits).is_err());
        assert_eq!((read_list(b""), read_boxes(b"", &limits)), (Ok(vec![]), Ok(vec![])));
    }
}
