//! What a worker says of a program beside its output, for people.

use std::fmt::Write;
use std::time::Duration;

use crate::worker::{Argument, FailureReason, Program, Shell};

/// Says what is run, where, and with what.
pub(super) fn beginning(shell: &Shell, folder: &str) -> String {
    let mut text = format!("{}\n in dir {folder}", shown(&shell.program));
    if let Some(timeout) = shell.silence_timeout {
        let _ = write!(text, " (timeout {} secs)", timeout.as_secs_f64());
    }
    if let Some(time_max) = shell.time_max {
        let _ = write!(text, " (maxTime {} secs)", time_max.as_secs_f64());
    }
    text.push('\n');
    if !shell.log_files.is_empty() {
        let files = shell.log_files.iter().map(|file| format!("{}: {}", file.name, file.path));
        let _ = writeln!(text, " watching logfiles {}", files.collect::<Vec<_>>().join(", "));
    }
    let _ = writeln!(text, " argv: {}", words(&shell.program));
    text
}

/// Says what environment the program gets.
pub(super) fn environment<'a>(variables: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let mut text = " environment:\n".to_owned();
    for (name, value) in variables {
        let _ = writeln!(text, "  {name}={value}");
    }
    text
}

/// Says what it reads, and whether on a terminal.
pub(super) fn input(shell: &Shell) -> String {
    let mut text = String::new();
    if let Some(stdin) = &shell.stdin {
        let _ = writeln!(text, " writing {} bytes to stdin", stdin.len());
    }
    let _ = writeln!(text, " using PTY: {}", if shell.uses_terminal { "True" } else { "False" });
    text
}

/// Says which limit ended it.
pub(super) fn limit(reason: FailureReason, shell: &Shell) -> String {
    let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
    let program = shown(&shell.program);
    match reason {
        FailureReason::TimeMax => {
            format!(
                "\ncommand timed out: {} seconds elapsed running {program}, attempting to kill\n",
                seconds(shell.time_max)
            )
        }
        FailureReason::Silence => format!(
            "\ncommand timed out: {} seconds without output running {program}, attempting to kill\n",
            seconds(shell.silence_timeout)
        ),
        FailureReason::LinesMax => format!(
            "\ncommand exceeds max lines: {} allowed running {program}, attempting to kill\n",
            shell.lines_max.unwrap_or_default()
        ),
    }
}

/// Returns a program as a shell would take it. Secrets are not shown.
pub(super) fn shown(program: &Program) -> String {
    match program {
        Program::Line(line) => line.clone(),
        Program::Words(words) => words.iter().map(|word| quoted(word.shown())).collect::<Vec<_>>().join(" "),
    }
}

fn words(program: &Program) -> String {
    match program {
        Program::Line(line) => format!("{:?}", ["/bin/sh", "-c", line]),
        Program::Words(words) => format!("{:?}", words.iter().map(Argument::shown).collect::<Vec<_>>()),
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it_and_secrets_are_not_shown() {
        let word = |text: &str| Argument { text: text.to_owned(), shown: None };
        let secret = Argument { text: "hunter2".to_owned(), shown: Some("XXXX".to_owned()) };
        let program = Program::Words(vec![word("make"), word("a b"), word(""), word("it's"), secret]);
        assert_eq!(shown(&program), r"make 'a b' '' 'it'\''s' XXXX");
        assert_eq!(words(&program), r#"["make", "a b", "", "it's", "XXXX"]"#);
        let line = Program::Line("echo $HOME".to_owned());
        assert_eq!(
            (shown(&line), words(&line)),
            ("echo $HOME".to_owned(), r#"["/bin/sh", "-c", "echo $HOME"]"#.to_owned())
        );
    }
}
