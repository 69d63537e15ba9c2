//! Values of the bytes of MessagePack, within limits.

use bytes::Bytes;
use rmp::Marker;

use crate::jelly::Value;
use crate::limits::Limits;

/// Why bytes are not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There are more bytes than allowed.
    #[error("a message of {len} bytes exceeds the limit of {max}")]
    TooLong {
        /// How many came.
        len: usize,
        /// Allowed.
        max: usize,
    },
    /// There are more values than allowed.
    #[error("more than {max} values in one message")]
    TooManyElements {
        /// Allowed.
        max: usize,
    },
    /// Lists and maps are nested deeper than allowed.
    #[error("values are nested deeper than {max}")]
    TooDeep {
        /// Allowed.
        max: usize,
    },
    /// The bytes end within a value.
    #[error("the message ends within a value")]
    Truncated,
    /// Something follows the value.
    #[error("{len} bytes follow the value")]
    Trailing {
        /// How many.
        len: usize,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotText,
    /// No master says a value of this type.
    #[error("a value of type {marker:#04x}, which is not read")]
    UnknownType {
        /// The byte that says the type.
        marker: u8,
    },
}

/// Reads the one value of a message.
///
/// A map's keys may be any values, and of equal ones the last counts. Times and other extensions are not read.
///
/// # Errors
///
/// See [`ReadError`].
pub fn read(message: &[u8], limits: &Limits) -> Result<Value, ReadError> {
    let (len, max) = (message.len(), limits.message_bytes_max);
    if len > max {
        return Err(ReadError::TooLong { len, max });
    }
    let mut reader = Reader { rest: message, elements_left: limits.elements_max, limits };
    let value = reader.value(limits.depth())?;
    match reader.rest.len() {
        0 => Ok(value),
        len => Err(ReadError::Trailing { len }),
    }
}

#[derive(Debug)]
struct Reader<'a> {
    rest: &'a [u8],
    elements_left: usize,
    limits: &'a Limits,
}

impl Reader<'_> {
    /// Reads a value that may have `depth` levels.
    fn value(&mut self, depth: usize) -> Result<Value, ReadError> {
        self.count(1)?;
        let [byte] = self.array()?;
        Ok(match Marker::from_u8(byte) {
            Marker::Null => Value::None,
            Marker::False => Value::Bool(false),
            Marker::True => Value::Bool(true),
            Marker::FixPos(number) => Value::Int(number.into()),
            Marker::FixNeg(number) => Value::Int(number.into()),
            Marker::U8 => Value::Int(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Value::Int(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Value::Int(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Value::from(i128::from(u64::from_be_bytes(self.array()?))),
            Marker::I8 => Value::Int(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Value::Int(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Value::Int(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Value::Int(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Value::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Value::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(len) => self.text(len.into())?,
            Marker::Str8 => self.len8().and_then(|len| self.text(len))?,
            Marker::Str16 => self.len16().and_then(|len| self.text(len))?,
            Marker::Str32 => self.len32().and_then(|len| self.text(len))?,
            Marker::Bin8 => self.len8().and_then(|len| self.octets(len))?,
            Marker::Bin16 => self.len16().and_then(|len| self.octets(len))?,
            Marker::Bin32 => self.len32().and_then(|len| self.octets(len))?,
            Marker::FixArray(len) => self.list(len.into(), depth)?,
            Marker::Array16 => self.len16().and_then(|len| self.list(len, depth))?,
            Marker::Array32 => self.len32().and_then(|len| self.list(len, depth))?,
            Marker::FixMap(len) => self.map(len.into(), depth)?,
            Marker::Map16 => self.len16().and_then(|len| self.map(len, depth))?,
            Marker::Map32 => self.len32().and_then(|len| self.map(len, depth))?,
            _ => return Err(ReadError::UnknownType { marker: byte }),
        })
    }

    fn text(&mut self, len: usize) -> Result<Value, ReadError> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| ReadError::NotText)?;
        Ok(Value::Text(text.to_owned()))
    }

    fn octets(&mut self, len: usize) -> Result<Value, ReadError> {
        Ok(Value::Bytes(Bytes::copy_from_slice(self.take(len)?)))
    }

    fn list(&mut self, len: usize, depth: usize) -> Result<Value, ReadError> {
        let depth = self.deeper(len, depth)?;
        let mut values = Vec::with_capacity(len);
        for _ in 0..len {
            values.push(self.value(depth)?);
        }
        Ok(Value::List(values))
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value, ReadError> {
        let depth = self.deeper(len.saturating_mul(2), depth)?;
        let mut pairs = Vec::with_capacity(len);
        for _ in 0..len {
            pairs.push((self.value(depth)?, self.value(depth)?));
        }
        Ok(Value::Dict(pairs))
    }

    /// Checks that so many values can follow on the next level, before room is made for them: each takes a byte.
    fn deeper(&self, values: usize, depth: usize) -> Result<usize, ReadError> {
        let max = self.limits.elements_max;
        if values > self.elements_left {
            return Err(ReadError::TooManyElements { max });
        }
        if values > self.rest.len() {
            return Err(ReadError::Truncated);
        }
        depth.checked_sub(1).ok_or(ReadError::TooDeep { max: self.limits.depth() })
    }

    fn count(&mut self, values: usize) -> Result<(), ReadError> {
        let max = self.limits.elements_max;
        self.elements_left =
            self.elements_left.checked_sub(values).ok_or(ReadError::TooManyElements { max })?;
        Ok(())
    }

    fn len8(&mut self) -> Result<usize, ReadError> {
        Ok(u8::from_be_bytes(self.array()?).into())
    }

    fn len16(&mut self) -> Result<usize, ReadError> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn len32(&mut self) -> Result<usize, ReadError> {
        Ok(usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    fn take(&mut self, len: usize) -> Result<&[u8], ReadError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ReadError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { message_bytes_max: 1000, elements_max: 8, depth_max: 3, ..Limits::default() }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: ReadError) {
        assert_eq!(read(bytes, &limits()), Err(expected));
    }

    #[test]
    fn what_is_announced_and_does_not_come_takes_no_room() {
        for announced in
            [b"\xdd\xff\xff\xff\xff".as_slice(), b"\xdf\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xde\x00\x09"]
        {
            check(announced, ReadError::TooManyElements { max: 8 });
        }
        check(b"\x97\x01", ReadError::Truncated);
        check(b"\xdb\xff\xff\xff\xff", ReadError::Truncated);
        check(b"\xc6\xff\xff\xff\xff", ReadError::Truncated);
        check(b"\xcd\x01", ReadError::Truncated);
        check(b"", ReadError::Truncated);
    }

    #[test]
    fn nesting_length_and_number_are_bounded() {
        assert!(read(b"\x91\x91\x91\x01", &limits()).is_ok());
        check(b"\x91\x91\x91\x91\x01", ReadError::TooDeep { max: 3 });
        check(b"\x82\x01\x81\x01\x02\x03\x81\x01\x02", ReadError::TooManyElements { max: 8 });
        check(&[0; 1001], ReadError::TooLong { len: 1001, max: 1000 });
        let deep = [0x91; 1 << 16];
        let limits = Limits { depth_max: usize::MAX, elements_max: 1 << 20, ..Limits::default() };
        assert_eq!(read(&deep, &limits), Err(ReadError::TooDeep { max: limits.depth() }));
    }

    #[test]
    fn what_no_master_says_is_refused() {
        check(b"\xc1", ReadError::UnknownType { marker: 0xc1 });
        check(b"\xd6\xff\x00\x00\x00\x00", ReadError::UnknownType { marker: 0xd6 });
        check(b"\xa1\xff", ReadError::NotText);
        check(b"\x01\x02\x03", ReadError::Trailing { len: 2 });
    }

    #[test]
    fn numbers_are_read_in_every_size() {
        let int = |bytes: &[u8]| read(bytes, &limits()).unwrap();
        assert_eq!(int(b"\xcc\xff"), Value::Int(255));
        assert_eq!(int(b"\xd0\x80"), Value::Int(-128));
        assert_eq!(int(b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), Value::Int(-1));
        assert_eq!(int(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), Value::from(i128::from(u64::MAX)));
        assert_eq!(int(b"\xca\x3f\xc0\x00\x00"), Value::Float(1.5));
    }
}
