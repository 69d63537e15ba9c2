//! Where it is said how it goes, and what has come of it.

use std::io::Write as _;

/// Says how it goes.
pub(crate) fn progress(text: &str) {
    // Nobody may read it any more.
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

/// Says what has come of it.
pub(crate) fn say(text: &str) {
    writeln!(std::io::stdout().lock(), "{text}").ok();
}
