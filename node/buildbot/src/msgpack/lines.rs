//! Whole lines of text that comes in pieces: this protocol carries nothing else.

use super::newline::{CANDIDATES, Newline, newline};
use crate::jelly::Value;

/// A stream of text, of which whole lines are taken and an unfinished one is kept.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unfinished: String,
    /// When the unfinished line began, in seconds since 1970.
    began_at: Option<f64>,
    /// What may be the beginning of a newline.
    open: String,
}

/// Whole lines, each with its end and with the time of its beginning.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    text: String,
    chars: usize,
    ends: Vec<usize>,
    times: Vec<f64>,
}

impl Lines {
    /// Takes a piece that came `now`, and returns the lines that are whole.
    pub(super) fn push(&mut self, piece: &str, now: f64) -> Said {
        let mut said = Said::default();
        let mut text = std::mem::take(&mut self.open);
        text.push_str(piece);
        let mut rest = text.as_str();
        while let Some(at) = rest.find(CANDIDATES) {
            self.add(&rest[..at], now, &mut said);
            rest = &rest[at..];
            match newline(rest) {
                Newline::Ends(len) => {
                    self.end_line(now, &mut said);
                    rest = &rest[len..];
                }
                Newline::No => {
                    let (candidate, after) = rest.split_at(1);
                    self.add(candidate, now, &mut said);
                    rest = after;
                }
                Newline::Open => {
                    self.began_at.get_or_insert(now);
                    self.open = rest.to_owned();
                    return said;
                }
            }
        }
        self.add(rest, now, &mut said);
        said
    }

    /// Returns what is left as a line.
    pub(super) fn finish(&mut self, now: f64) -> Said {
        let mut said = Said::default();
        let open = std::mem::take(&mut self.open);
        if open.starts_with('\u{1b}') {
            self.add(&open, now, &mut said);
        } else if !open.is_empty() {
            self.end_line(now, &mut said);
        }
        if !self.unfinished.is_empty() {
            self.end_line(now, &mut said);
        }
        said
    }

    /// Appends to the unfinished line. One that is too long is cut: its rest is another line.
    fn add(&mut self, text: &str, now: f64, said: &mut Said) {
        let mut text = text;
        while !text.is_empty() {
            let began_at = *self.began_at.get_or_insert(now);
            let room = LINE_BYTES_MAX - self.unfinished.len();
            let (fits, rest) = text.split_at(text.floor_char_boundary(room));
            self.unfinished.push_str(fits);
            text = rest;
            if !text.is_empty() {
                said.push(&std::mem::take(&mut self.unfinished), began_at);
                self.began_at = None;
            }
        }
    }

    fn end_line(&mut self, now: f64, said: &mut Said) {
        let began_at = self.began_at.take().unwrap_or(now);
        said.push(&std::mem::take(&mut self.unfinished), began_at);
    }
}

impl Said {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns what the master takes: the text, where in it lines end, in characters, and when each began.
    pub(super) fn into_value(self) -> Value {
        let ends = self.ends.into_iter().map(|end| Value::Int(i64::try_from(end).unwrap_or(i64::MAX)));
        let times = self.times.into_iter().map(Value::Float);
        Value::List(vec![self.text.into(), Value::List(ends.collect()), Value::List(times.collect())])
    }

    fn push(&mut self, line: &str, began_at: f64) {
        self.text.push_str(line);
        self.text.push('\n');
        self.chars += line.chars().count();
        self.ends.push(self.chars);
        self.chars += 1;
        self.times.push(began_at);
    }
}

/// Longest line, in bytes, without its end. A master keeps logs in chunks of 64 KiB, with one character more for each line,
/// and cuts off what does not fit into one.
pub(super) const LINE_BYTES_MAX: usize = 60 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(pieces: &[&str]) -> String {
        let mut lines = Lines::default();
        let mut text: String = pieces.iter().map(|piece| lines.push(piece, 0.0).text).collect();
        text += &lines.finish(0.0).text;
        text
    }

    #[test]
    fn a_line_is_said_once_it_is_whole_with_the_time_of_its_beginning() {
        let mut lines = Lines::default();
        assert!(lines.push("hä", 1.0).is_empty());
        let said = lines.push("ß\nb\nc", 2.0);
        let (ints, floats) = (vec![Value::Int(3), Value::Int(5)], vec![Value::Float(1.0), Value::Float(2.0)]);
        let expected = vec!["häß\nb\n".into(), Value::List(ints), Value::List(floats)];
        assert_eq!(said.into_value(), Value::List(expected));
        assert_eq!(lines.finish(3.0), Said { text: "c\n".into(), chars: 2, ends: vec![1], times: vec![2.0] });
        assert!(lines.finish(4.0).is_empty());
    }

    #[test]
    fn lines_are_the_same_however_the_text_is_cut() {
        let text = "a\r\nb\rc\x1b[12;3Hd\x1b[31me\x08\x08\x08f\n\n\x1b[ug\x1b[2J\x1b[2Kh\r";
        let whole = text_of(&[text]);
        assert_eq!(whole, "a\nb\nc\nd\x1b[31me\nf\n\n\ng\n\x1b[2Kh\n");
        for at in 1..text.len() {
            assert_eq!(text_of(&[&text[..at], &text[at..]]), whole, "cut at {at}");
        }
        let chars: Vec<_> = text.split("").collect();
        assert_eq!(text_of(&chars), whole);
    }

    #[test]
    fn long_lines_are_cut_at_characters_and_nothing_is_lost() {
        let line = "ä€".repeat(LINE_BYTES_MAX / 2);
        let text = text_of(&[&line[..LINE_BYTES_MAX], &line[LINE_BYTES_MAX..]]);
        assert!(text.lines().all(|part| part.len() <= LINE_BYTES_MAX));
        assert_eq!(text.lines().collect::<String>(), line);
        let fits = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(text_of(&[&fits, "\n"]), format!("{fits}\n"), "no empty line follows");
    }
}
