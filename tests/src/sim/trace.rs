//! What happens in a simulation, as one hash over all of it: two runs of one seed are the same if their hashes are.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// Takes note of packets and events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trace {
    started_at: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    hasher: blake3::Hasher,
    events: u64,
    detail: Detail,
}

/// What is written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// What hosts, callers and handlers do.
    Events,
    /// Packets too.
    Packets,
}

impl Trace {
    /// A trace that begins now.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new(detail: Detail) -> Self {
        let state = State { hasher: blake3::Hasher::new(), events: 0, detail };
        Self { started_at: Instant::now(), state: Arc::new(Mutex::new(state)) }
    }

    /// Returns how long it has been going on, in virtual time.
    pub fn elapsed(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Notes what happened to hosts, callers or handlers.
    pub fn event(&self, text: &str) {
        self.note(Detail::Events, text, &[]);
    }

    /// Notes a packet and what became of it.
    pub(super) fn packet(&self, text: &str, content: &[u8]) {
        self.note(Detail::Packets, text, content);
    }

    /// Returns the hash of all that was noted, and how much that was.
    pub fn digest(&self) -> (blake3::Hash, u64) {
        let state = self.lock();
        (state.hasher.finalize(), state.events)
    }

    fn note(&self, detail: Detail, text: &str, content: &[u8]) {
        let at = self.started_at.elapsed();
        let mut state = self.lock();
        state.events += 1;
        state.hasher.update(&at.as_nanos().to_le_bytes());
        state.hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        state.hasher.update(&(content.len() as u64).to_le_bytes()).update(content);
        if detail <= state.detail {
            let size = if content.is_empty() { String::new() } else { format!(", {} bytes", content.len()) };
            // Nobody may be there to read it.
            writeln!(std::io::stderr().lock(), "{:12.3} {text}{size}", at.as_secs_f64()).ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_text_and_content_all_count() {
        let digests = [("a", &b"1"[..], 0), ("b", b"1", 0), ("a", b"2", 0), ("a", b"1", 1)].map(|case| {
            let trace = Trace::new(Detail::None);
            (trace, case)
        });
        let mut seen = Vec::new();
        for (trace, (text, content, wait)) in digests {
            tokio::time::advance(Duration::from_millis(wait)).await;
            trace.packet(text, content);
            seen.push(trace.digest().0);
        }
        seen.sort_by_key(|hash| *hash.as_bytes());
        seen.dedup();
        assert_eq!(seen.len(), 4);
    }
}
