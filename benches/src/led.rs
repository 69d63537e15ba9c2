//! Being an end that another process leads: it says what to do on the standard input, a line each, and reads the answers.

use std::fmt::Display;
use std::io::{self, BufRead, Write};

use tokio::sync::mpsc;

/// Reads the standard input on a thread beside the runtime; it ends with it.
#[must_use]
pub fn lines() -> mpsc::Receiver<String> {
    let (line, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for text in io::stdin().lock().lines().map_while(Result::ok) {
            if line.blocking_send(text).is_err() {
                break;
            }
        }
    });
    lines
}

/// Says a line. Whoever leads the process may be gone; then the standard input ends too.
pub fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}
