//! How many lines a process has written: LF, CR, and CR LF as one, end a line.

use super::event::OutputStream;

/// Counts the lines of both outputs together, up to a limit.
#[derive(Debug)]
pub(super) struct Lines {
    max: Option<u64>,
    count: u64,
    /// Whether the last byte was a CR, of the one and of the other: an LF behind it ends no other line.
    after_cr: [bool; 2],
}

impl Lines {
    pub(super) fn new(max: Option<u64>) -> Self {
        Self { max, count: 0, after_cr: [false; 2] }
    }

    /// Counts a piece. Returns how many lines there are once they are more than allowed.
    pub(super) fn handle_output(&mut self, stream: OutputStream, bytes: &[u8]) -> Option<u64> {
        let max = self.max?;
        let after_cr = match stream {
            OutputStream::Stdout => &mut self.after_cr[0],
            OutputStream::Stderr => &mut self.after_cr[1],
        };
        for byte in bytes {
            let ends = *byte == b'\r' || (*byte == b'\n' && !*after_cr);
            self.count += u64::from(ends);
            *after_cr = *byte == b'\r';
        }
        (self.count > max).then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[(OutputStream, &str)], expected: u64) {
        let mut lines = Lines::new(Some(0));
        let count = pieces.iter().map(|(stream, text)| lines.handle_output(*stream, text.as_bytes())).last();
        assert_eq!(count.flatten().unwrap_or(0), expected, "{pieces:?}");
    }

    #[test]
    fn each_way_to_end_a_line_counts_once_however_it_is_cut() {
        use OutputStream::{Stderr, Stdout};
        check(&[(Stdout, "no end")], 0);
        check(&[(Stdout, "a\nb\rc\r\nd\n\re")], 5);
        check(&[(Stdout, "a\r"), (Stdout, "\nb\n")], 2);
        check(&[(Stdout, "a\r"), (Stderr, "\n"), (Stdout, "\n")], 2);
        check(&[(Stdout, "a\n"), (Stderr, "b\n")], 2);
    }

    #[test]
    fn the_limit_itself_is_allowed_and_none_is_none() {
        let mut lines = Lines::new(Some(2));
        assert_eq!(lines.handle_output(OutputStream::Stdout, b"1\n2\n3"), None);
        assert_eq!(lines.handle_output(OutputStream::Stdout, b"\n4\n"), Some(4));
        assert_eq!(Lines::new(None).handle_output(OutputStream::Stdout, b"\n"), None);
    }
}
