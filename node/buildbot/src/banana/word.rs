//! The vocabulary of the dialect "pb": words that are sent as a number.

use bytes::Bytes;

/// The words in the order of their numbers, from 1.
const WORDS: [&str; 31] = [
    "None",
    "class",
    "dereference",
    "reference",
    "dictionary",
    "function",
    "instance",
    "list",
    "module",
    "persistent",
    "tuple",
    "unpersistable",
    "copy",
    "cache",
    "cached",
    "remote",
    "local",
    "lcache",
    "version",
    "login",
    "password",
    "challenge",
    "logged_in",
    "not_logged_in",
    "cachemessage",
    "message",
    "answer",
    "error",
    "decref",
    "decache",
    "uncache",
];

/// The longest word, in bytes: longer strings need not be looked up.
const WORD_BYTES_MAX: usize = 13;

/// Returns the word of a number.
pub(super) fn word_of(number: u64) -> Option<Bytes> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    WORDS.get(index).map(|word| Bytes::from_static(word.as_bytes()))
}

/// Returns the number of a word.
pub(super) fn number_of(word: &[u8]) -> Option<u8> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    (1..).zip(WORDS).find(|(_, known)| known.as_bytes() == word).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_the_number_that_it_is_found_by() {
        for number in 1..=31 {
            let word = word_of(number).expect("a word of the list");
            assert!(word.len() <= WORD_BYTES_MAX);
            assert_eq!(number_of(&word).map(u64::from), Some(number));
        }
    }

    #[test]
    fn other_numbers_and_strings_are_no_words() {
        assert_eq!(word_of(0), None);
        assert_eq!(word_of(32), None);
        assert_eq!(word_of(u64::MAX), None);
        assert_eq!(number_of(b""), None);
        assert_eq!(number_of(b"print"), None);
        assert_eq!(number_of(b"a string longer than any word"), None);
    }
}
