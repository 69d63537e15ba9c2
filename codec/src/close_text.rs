//! What a close says beside its code: a text for people, and for how long its receiver is not to come again.
//!
//! It is the reason phrase of QUIC's CONNECTION_CLOSE, so the pause is written into the text itself.

use std::time::Duration;

use crate::outcome::MESSAGE_BYTES_MAX;

/// What a close says beside its code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseText {
    /// For people: why, and what to do. Longer ones are cut when they are written.
    pub text: String,
    /// How long its receiver is not to dial, in whole milliseconds; at most [`CLOSE_PAUSE_MAX`].
    pub retry_after: Option<Duration>,
}

impl CloseText {
    /// Reads what came with a close: any bytes, of any peer. What is no pause by the letter is part of the text.
    pub fn decode(bytes: &[u8]) -> Self {
        let whole = String::from_utf8_lossy(bytes);
        match split_pause(&whole) {
            Some((text, pause)) => {
                Self { text: text.to_owned(), retry_after: Some(pause.min(CLOSE_PAUSE_MAX)) }
            }
            None => Self { text: whole.into_owned(), retry_after: None },
        }
    }

    /// Returns the reason phrase. A pause that is not longer than nothing is not written.
    pub fn encode(&self) -> String {
        let pause = self.retry_after.map(whole_millis).filter(|millis| *millis > 0);
        let ending = pause.map(|millis| format!("{BEFORE}{millis}{AFTER}")).unwrap_or_default();
        let end = self.text.floor_char_boundary(MESSAGE_BYTES_MAX - ending.len());
        format!("{}{ending}", &self.text[..end])
    }
}

impl From<String> for CloseText {
    fn from(text: String) -> Self {
        Self { text, retry_after: None }
    }
}

impl From<&str> for CloseText {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

fn split_pause(whole: &str) -> Option<(&str, Duration)> {
    let (text, millis) = whole.strip_suffix(AFTER)?.rsplit_once(BEFORE)?;
    let is_shortest = millis.bytes().all(|digit| digit.is_ascii_digit()) && !millis.starts_with('0');
    let millis = is_shortest.then(|| millis.parse().ok())??;
    Some((text, Duration::from_millis(millis)))
}

/// Rounds up, as all times of the wire.
fn whole_millis(pause: Duration) -> u128 {
    pause.min(CLOSE_PAUSE_MAX).as_nanos().div_ceil(1_000_000)
}

/// Longest pause that a close asks for, and the longest that is read from one.
pub const CLOSE_PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

const BEFORE: &str = "; retry after ";
const AFTER: &str = " ms";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_is_text_alone(whole: &str) {
        assert_eq!(CloseText::decode(whole.as_bytes()), CloseText::from(whole));
    }

    #[test]
    fn a_pause_ends_the_text() {
        let close = CloseText { text: "full".into(), retry_after: Some(Duration::from_micros(1_499_001)) };
        assert_eq!(close.encode(), "full; retry after 1500 ms");
        assert_eq!(
            CloseText::decode(b"full; retry after 1500 ms").retry_after,
            Some(Duration::from_millis(1500))
        );
        assert_eq!(CloseText::from("full").encode(), "full");
    }

    #[test]
    fn what_is_no_pause_by_the_letter_is_text() {
        for whole in [
            "",
            "full",
            "retry after 5 ms",
            "full; retry after 5 s",
            "full; retry after 5 ms.",
            "full; retry after  5 ms",
            "full; retry after +5 ms",
            "full; retry after -5 ms",
            "full; retry after 05 ms",
            "full; retry after 0 ms",
            "full; retry after  ms",
            "full; retry after 18446744073709551616 ms",
            "full; retry after ٥ ms",
        ] {
            check_is_text_alone(whole);
        }
    }

    #[test]
    fn a_pause_is_cut_and_none_is_not_written() {
        let read = CloseText::decode(b"; retry after 18446744073709551615 ms");
        assert_eq!(read, CloseText { text: String::new(), retry_after: Some(CLOSE_PAUSE_MAX) });
        let forever = CloseText { text: "x".into(), retry_after: Some(Duration::MAX) };
        assert_eq!(forever.encode(), "x; retry after 86400000 ms");
        let none = CloseText { text: "x".into(), retry_after: Some(Duration::ZERO) };
        assert_eq!(none.encode(), "x");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_keeps_its_pause() {
        let long = CloseText { text: "ß".repeat(600), retry_after: Some(Duration::from_millis(7)) };
        let written = long.encode();
        assert!(written.len() <= MESSAGE_BYTES_MAX && written.ends_with("ß; retry after 7 ms"), "{written}");
    }
}
