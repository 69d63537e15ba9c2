//! Boxes: what one side says at once.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 65_535;

/// Pairs of a key and a value, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AmpBox(BTreeMap<Bytes, Bytes>);

/// Why a box was not written. Always the caller's fault; nothing of it is in the buffer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// AMP has no way to write a longer value: send it in pieces.
    #[error("the value of `{key}` has {len} bytes, and AMP takes {VALUE_BYTES_MAX}")]
    ValueTooLong {
        /// Whose.
        key: String,
        /// Its length, in bytes.
        len: usize,
    },
    /// AMP has no way to write a key that is longer than 255 bytes, or empty.
    #[error("a key has {len} bytes, and AMP takes 1 to {KEY_BYTES_MAX}")]
    BadKey {
        /// Its length, in bytes.
        len: usize,
    },
    /// A box without pairs means nothing, and Twisted ends the connection over one.
    #[error("the box is empty")]
    Empty,
}

impl AmpBox {
    /// Makes a box without pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair, in place of one with the same key.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Bytes>) -> Self {
        self.insert(Bytes::from_static(key.as_bytes()), value.into());
        self
    }

    /// Adds a pair if there is a value.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Bytes>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds a pair and returns the value that the key had.
    pub fn insert(&mut self, key: Bytes, value: Bytes) -> Option<Bytes> {
        self.0.insert(key, value)
    }

    /// Takes a pair out and returns its value.
    pub fn take(&mut self, key: &str) -> Option<Bytes> {
        self.0.remove(key.as_bytes())
    }

    /// Returns the value of a key.
    pub fn value(&self, key: &str) -> Option<&Bytes> {
        self.0.get(key.as_bytes())
    }

    /// Returns the pairs, sorted by their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter()
    }

    /// Returns how many pairs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many bytes it takes when it is written.
    pub fn encoded_len(&self) -> usize {
        self.0.iter().map(|(key, value)| 4 + key.len() + value.len()).sum::<usize>() + 2
    }

    /// Writes the box behind what `out` has, its pairs sorted by their keys as Twisted does.
    ///
    /// # Errors
    ///
    /// When AMP cannot say it. `out` is then as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.is_empty() {
            return Err(EncodeError::Empty);
        }
        let start = out.len();
        out.reserve(self.encoded_len());
        for (key, value) in &self.0 {
            if let Err(error) = encode_pair(key, value, out) {
                out.truncate(start);
                return Err(error);
            }
        }
        out.put_u16(0);
        Ok(())
    }
}

fn encode_pair(key: &Bytes, value: &Bytes, out: &mut BytesMut) -> Result<(), EncodeError> {
    let key_len =
        u16::try_from(key.len()).ok().filter(|len| (1..=KEY_BYTES_MAX).contains(&usize::from(*len)));
    out.put_u16(key_len.ok_or(EncodeError::BadKey { len: key.len() })?);
    out.extend_from_slice(key);
    let value_len = u16::try_from(value.len()).map_err(|_| EncodeError::ValueTooLong {
        key: String::from_utf8_lossy(key).into_owned(),
        len: value.len(),
    })?;
    out.put_u16(value_len);
    out.extend_from_slice(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_said_leaves_nothing_behind() {
        let mut out = BytesMut::from(&b"before"[..]);
        let long = AmpBox::new().with("a", "1").with("b", vec![0; 65_536]);
        let refused = EncodeError::ValueTooLong { key: "b".to_owned(), len: 65_536 };
        assert_eq!(long.encode(&mut out), Err(refused));
        let mut keys = AmpBox::new();
        keys.insert(vec![7; 256].into(), Bytes::new());
        assert_eq!(keys.encode(&mut out), Err(EncodeError::BadKey { len: 256 }));
        assert_eq!(AmpBox::new().with("", "1").encode(&mut out), Err(EncodeError::BadKey { len: 0 }));
        assert_eq!(AmpBox::new().encode(&mut out), Err(EncodeError::Empty));
        assert_eq!(&out[..], b"before");
    }

    #[test]
    fn the_longest_key_and_value_can_be_said() {
        let mut longest = AmpBox::new();
        longest.insert(vec![7; KEY_BYTES_MAX].into(), vec![8; VALUE_BYTES_MAX].into());
        let mut out = BytesMut::new();
        assert_eq!(longest.encode(&mut out), Ok(()));
        assert_eq!(out.len(), longest.encoded_len());
    }
}
