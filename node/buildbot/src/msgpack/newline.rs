//! What ends a line, as a Buildbot 4.3 master has it in `newline_re` of its settings.

/// What stands at a place that may be the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newline {
    /// A line ends, and the next begins so many bytes further on.
    Ends(usize),
    /// It is a character like others.
    No,
    /// That depends on what comes.
    Open,
}

/// The characters at which to look.
pub(super) const CANDIDATES: [char; 4] = ['\n', '\r', ESCAPE, BACKSPACE];

/// What ends a line, as masters say it: a regular expression of Python. These rules are followed whatever a master says.
pub const NEWLINE_RE: &str = r"(\r\n|\r(?=.)|\033\[u|\033\[[0-9]+;[0-9]+[Hf]|\033\[2J|\x08+)";

/// Looks at a text that begins with a candidate. What was held back as open and is longer than `open_bytes_max` is not held
/// back again.
pub(super) fn newline(text: &str) -> Newline {
    let bytes = text.as_bytes();
    let found = match bytes {
        [b'\n', ..] | [b'\r', _, ..] => Newline::Ends(if bytes.starts_with(b"\r\n") { 2 } else { 1 }),
        [b'\r'] => Newline::Open,
        [0x08, ..] => match bytes.iter().position(|&byte| byte != 0x08) {
            Some(len) => Newline::Ends(len),
            None if bytes.len() < OPEN_BYTES_MAX => Newline::Open,
            None => Newline::Ends(bytes.len()),
        },
        _ => escape(bytes),
    };
    if found == Newline::Open && bytes.len() >= OPEN_BYTES_MAX { Newline::No } else { found }
}

/// Looks for a sequence that moves the cursor: back to where it was, to a row and column, or to an empty screen.
fn escape(bytes: &[u8]) -> Newline {
    let Some(rest) = bytes.strip_prefix(b"\x1b[") else {
        return if bytes.len() == 1 { Newline::Open } else { Newline::No };
    };
    if rest.starts_with(b"u") {
        return Newline::Ends(3);
    }
    if rest.starts_with(b"2J") {
        return Newline::Ends(4);
    }
    let row = digits(rest);
    let column = match (&rest[row..], row) {
        ([], _) => return Newline::Open,
        ([b';', column @ ..], 1..) => column,
        _ => return Newline::No,
    };
    match (&column[digits(column)..], digits(column)) {
        ([], _) => Newline::Open,
        ([b'H' | b'f', ..], column @ 1..) => Newline::Ends(b"\x1b[".len() + row + 1 + column + 1),
        _ => Newline::No,
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

const ESCAPE: char = '\u{1b}';
const BACKSPACE: char = '\u{8}';

/// How much may be held back until it is known what it is, in bytes.
const OPEN_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Newline) {
        assert_eq!(newline(text), expected, "{text:?}");
    }

    #[test]
    fn each_form_of_a_newline_is_known() {
        check("\na", Newline::Ends(1));
        check("\r\na", Newline::Ends(2));
        check("\ra", Newline::Ends(1));
        check("\x1b[ua", Newline::Ends(3));
        check("\x1b[12;3Ha", Newline::Ends(7));
        check("\x1b[1;2fa", Newline::Ends(6));
        check("\x1b[2Ja", Newline::Ends(4));
        check("\x08\x08\x08a", Newline::Ends(3));
    }

    #[test]
    fn what_is_cut_is_not_judged() {
        for open in ["\r", "\x08\x08", "\x1b", "\x1b[", "\x1b[1", "\x1b[2", "\x1b[1;", "\x1b[1;2"] {
            check(open, Newline::Open);
        }
        for other in ["\x1ba", "\x1b[m", "\x1b[31m", "\x1b[;1H", "\x1b[1;H", "\x1b[1;2m", "\x1b[2K"] {
            check(other, Newline::No);
        }
    }

    #[test]
    fn not_everything_is_held_back() {
        check(&format!("\x1b[{}", "1".repeat(70)), Newline::No);
        check(&"\x08".repeat(70), Newline::Ends(70));
    }
}
