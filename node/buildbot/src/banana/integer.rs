//! Integers of any size that the wire has room for.

use std::fmt;

use super::DIGITS_MAX;

/// An integer outside the range of `i64`, of at most 448 bits: 64 digits in base 128, least significant first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LongInt {
    negative: bool,
    digits: Box<[u8]>,
}

/// What the digits before a type byte say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Integer {
    Short(i64),
    Long(LongInt),
}

impl LongInt {
    /// Makes one of a number that is known not to fit into an `i64`.
    pub(crate) fn from_wide(value: i128) -> Self {
        let mut digits = Vec::with_capacity(19);
        write_digits(value.unsigned_abs(), |digit| digits.push(digit));
        Self { negative: value < 0, digits: digits.into() }
    }

    /// Returns the number if it has at most 127 bits: device and file numbers have 64.
    pub fn to_i128(&self) -> Option<i128> {
        let magnitude = magnitude(&self.digits)?;
        if self.negative { 0_i128.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() }
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    pub(super) fn digits(&self) -> &[u8] {
        &self.digits
    }
}

impl fmt::Debug for LongInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_i128() {
            Some(value) => write!(f, "{value}"),
            None => write!(f, "an integer of {} digits in base 128", self.digits.len()),
        }
    }
}

/// Makes an integer of digits, at most [`DIGITS_MAX`] of them, as they came.
pub(super) fn integer_of(digits: &[u8], negative: bool) -> Integer {
    debug_assert!(digits.len() <= DIGITS_MAX, "the decoder refuses longer numbers");
    let len = digits.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
    let digits = &digits[..len];
    let short = magnitude(digits).and_then(|magnitude| {
        let magnitude = i128::try_from(magnitude).ok()?;
        i64::try_from(if negative { -magnitude } else { magnitude }).ok()
    });
    match short {
        Some(value) => Integer::Short(value),
        None => Integer::Long(LongInt { negative, digits: digits.into() }),
    }
}

/// Returns a length: whatever does not fit is larger than every limit.
pub(super) fn length_of(digits: &[u8]) -> u64 {
    magnitude(digits).and_then(|magnitude| u64::try_from(magnitude).ok()).unwrap_or(u64::MAX)
}

/// Writes a number in base 128, least significant digit first; zero has one digit.
pub(super) fn write_digits(mut value: u128, mut write: impl FnMut(u8)) {
    loop {
        write(u8::try_from(value & 0x7f).expect("seven bits"));
        value >>= 7;
        if value == 0 {
            return;
        }
    }
}

fn magnitude(digits: &[u8]) -> Option<u128> {
    digits
        .iter()
        .rev()
        .try_fold(0_u128, |value, &digit| value.checked_mul(128).map(|value| value | u128::from(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits_of(value: u128) -> Vec<u8> {
        let mut digits = Vec::new();
        write_digits(value, |digit| digits.push(digit));
        digits
    }

    #[test]
    fn numbers_that_fit_are_short() {
        for value in [0, 1, -1, i64::MAX, i64::MIN, 1 << 31, -(1 << 31)] {
            let digits = digits_of(u128::from(value.unsigned_abs()));
            assert_eq!(integer_of(&digits, value < 0), Integer::Short(value));
        }
    }

    #[test]
    fn the_next_ones_are_long() {
        for value in [i128::from(i64::MAX) + 1, i128::from(i64::MIN) - 1, i128::from(u64::MAX), i128::MIN] {
            let digits = digits_of(value.unsigned_abs());
            let long = LongInt::from_wide(value);
            assert_eq!(long.to_i128(), Some(value));
            assert_eq!(integer_of(&digits, value < 0), Integer::Long(long));
        }
    }

    #[test]
    fn the_largest_number_of_the_wire_is_kept_and_not_computed() {
        let Integer::Long(long) = integer_of(&[0x7f; DIGITS_MAX], true) else {
            panic!("it does not fit");
        };
        assert_eq!(long.to_i128(), None);
        assert_eq!(long.digits(), [0x7f; DIGITS_MAX]);
        assert_eq!(format!("{long:?}"), "an integer of 64 digits in base 128");
    }

    #[test]
    fn digits_that_say_nothing_are_left_out() {
        assert_eq!(integer_of(&[5, 0, 0], false), Integer::Short(5));
        assert_eq!(integer_of(&[], true), Integer::Short(0));
        assert_eq!(length_of(&[0; DIGITS_MAX]), 0);
        assert_eq!(length_of(&[0x7f; DIGITS_MAX]), u64::MAX);
    }
}
