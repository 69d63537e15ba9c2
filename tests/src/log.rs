//! What the nodes of this process log, for tests of what an operator gets to read.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::patience::patient;

/// Returns the first line that holds every one of these texts, from the beginning of the process on.
///
/// Lines of all tests of the process are there: one of the texts should be a name or an address that only one has.
///
/// # Panics
///
/// When no such line comes, or when [`watch_log`] was not called before.
///
/// # Cancel safety
///
/// Nothing is lost if the future is dropped.
pub async fn logged(texts: &[&str]) -> String {
    let matches = |line: &&Arc<str>| texts.iter().all(|text| line.contains(text));
    let mut lines = LINES.get().expect("the log is watched").subscribe();
    let seen = lines.wait_for(|lines| lines.iter().any(|line| matches(&line)));
    let seen = patient(&format!("a line with {texts:?}"), seen).await.expect("the sender lives in a static");
    seen.iter().find(matches).expect("it was waited for").to_string()
}

/// Returns whether a line with all of these texts has been logged so far.
///
/// # Panics
///
/// When [`watch_log`] was not called before.
pub fn has_logged(texts: &[&str]) -> bool {
    let lines = LINES.get().expect("the log is watched").borrow();
    lines.iter().any(|line| texts.iter().all(|text| line.contains(text)))
}

/// Begins to keep what is logged from INFO on. Call it before the nodes start; again, it does nothing.
pub fn watch_log() {
    LINES.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_env_filter(EnvFilter::new("info"))
            .with_writer(|| Line)
            .finish();
        // Another one that is there already would make every wait for a line fail, loudly.
        tracing::subscriber::set_global_default(subscriber).ok();
        watch::Sender::default()
    });
}

/// Takes one event: the subscriber writes each in one piece.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(lines) = LINES.get() {
            lines.send_modify(|lines| lines.push(String::from_utf8_lossy(bytes).trim_end().into()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static LINES: OnceLock<watch::Sender<Vec<Arc<str>>>> = OnceLock::new();
