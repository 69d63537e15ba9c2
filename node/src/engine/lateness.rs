//! Whether the engine's thread is held up: what blocks it keeps heartbeats back, and peers take the link for dead.
//!
//! Pure: it is told when the next turn is due, and when turns come.

use std::time::{Duration, Instant};

/// Compares when turns come with when they were due, and says once that one was far too late.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    due_at: Option<Instant>,
    is_told: bool,
}

impl Lateness {
    /// The timer is armed: another turn comes then, if not before. `None`: nothing waits for a time.
    pub(super) fn handle_armed(&mut self, now: Instant, at: Option<Instant>) {
        // What was due already is no fault of the thread from now on.
        self.due_at = at.map(|at| at.max(now));
    }

    /// A turn begins. Returns how late it is if that is too late for the first time.
    pub(super) fn handle_turn(&mut self, now: Instant) -> Option<Duration> {
        let late = now.saturating_duration_since(self.due_at?);
        if self.is_told || late < TOO_LATE {
            return None;
        }
        self.is_told = true;
        Some(late)
    }
}

/// Heartbeats are due every 1.5 s while anything is owed, and peers are patient for 5 s: a thread that is held up for this
/// long twice in a row is near to losing its links. A busy machine alone holds nothing up for as long.
const TOO_LATE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_turn_that_comes_in_time_is_none_of_its_business() {
        let (mut lateness, now) = (Lateness::default(), Instant::now());
        assert_eq!(lateness.handle_turn(now), None, "nothing is due yet");
        lateness.handle_armed(now, Some(now + SECOND));
        assert_eq!(lateness.handle_turn(now + SECOND / 2), None);
        assert_eq!(lateness.handle_turn(now + SECOND * 3 / 2), None, "a busy machine");
    }

    #[test]
    fn a_thread_that_was_held_up_is_told_of_once() {
        let (mut lateness, now) = (Lateness::default(), Instant::now());
        lateness.handle_armed(now, Some(now + SECOND));
        assert_eq!(lateness.handle_turn(now + SECOND * 4), Some(SECOND * 3));
        lateness.handle_armed(now + SECOND * 4, Some(now + SECOND * 5));
        assert_eq!(lateness.handle_turn(now + SECOND * 60), None);
    }

    #[test]
    fn idleness_and_what_was_due_long_ago_are_not_lateness() {
        let (mut lateness, now) = (Lateness::default(), Instant::now());
        lateness.handle_armed(now, None);
        assert_eq!(lateness.handle_turn(now + SECOND * 60), None);
        lateness.handle_armed(now + SECOND * 60, Some(now));
        assert_eq!(lateness.handle_turn(now + SECOND * 60), None);
    }
}
