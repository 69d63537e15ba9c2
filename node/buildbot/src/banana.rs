//! Banana: how lists of strings and numbers are written as bytes.
//!
//! Twisted's documents specify it ("Banana Protocol Specifications"); `PB.md` has the subset that is spoken here. An
//! [`Element`] is what one side says at once. The [`Decoder`] is fed with whatever bytes have come; [`encode`] writes.
//! Nothing here calls itself: nesting costs memory within [`Limits`](crate::Limits), not stack.

mod decode;
mod dialect;
mod encode;
mod integer;
mod word;

use bytes::Bytes;

pub use self::decode::{DecodeError, Decoder};
pub use self::dialect::{Dialect, DialectError};
pub use self::encode::{EncodeError, encode};
pub use self::integer::LongInt;

/// A string, a number, or a list of these.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// An integer that fits.
    Int(i64),
    /// An integer that does not fit into [`Element::Int`].
    Long(LongInt),
    /// A floating point number.
    Float(f64),
    /// A byte string, or a word of the dialect's vocabulary: the two mean the same.
    Bytes(Bytes),
    /// A list.
    List(Vec<Element>),
}

impl Element {
    /// Makes a string of bytes that live as long as the program.
    pub const fn word(word: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(word.as_bytes()))
    }
}

impl From<i128> for Element {
    fn from(value: i128) -> Self {
        match i64::try_from(value) {
            Ok(value) => Self::Int(value),
            Err(_) => Self::Long(LongInt::from_wide(value)),
        }
    }
}

/// Ends the number of an element: a list of so many elements follows.
const LIST: u8 = 0x80;
/// An integer that is not negative and below 2^31.
const INT: u8 = 0x81;
/// A string of so many bytes follows.
const STRING: u8 = 0x82;
/// A negative integer of at least -2^31, without its sign.
const NEG: u8 = 0x83;
/// Eight bytes follow: a double, big-endian. There is no number.
const FLOAT: u8 = 0x84;
/// A larger integer.
const LONG_INT: u8 = 0x85;
/// A larger negative integer, without its sign.
const LONG_NEG: u8 = 0x86;
/// The word of that number in the vocabulary of the dialect "pb".
const WORD: u8 = 0x87;

/// Most digits of the number before a type byte, by Twisted's rule.
const DIGITS_MAX: usize = 64;
