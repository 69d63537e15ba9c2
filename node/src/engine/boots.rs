//! Which process of a peer speaks: two that use one name are told apart from one that restarts. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use runnel_codec::Epoch;

/// The boot epochs in which a peer was met lately.
///
/// A restart brings an epoch that was never seen. A cloned node brings back one that was: each clone replaces the other's
/// link. The third alternation within a minute is refused, and so is that clone from then on, until the alternations are a
/// minute old: whoever stays when the other is stopped gets in again by itself.
#[derive(Debug, Default)]
pub(super) struct BootHistory {
    /// The epoch that was last let in.
    current: Option<Epoch>,
    /// The one before.
    previous: Option<Epoch>,
    /// When the peer changed between these two, oldest first.
    alternations: VecDeque<Instant>,
}

/// Two processes use one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Duplicate {
    /// The one that is turned away is not let in before.
    pub(super) retry_after: Duration,
}

impl BootHistory {
    /// Lets a process of the peer in that says hello.
    ///
    /// # Errors
    ///
    /// [`Duplicate`] for a process that alternates with another.
    pub(super) fn admit(&mut self, now: Instant, boot: Epoch) -> Result<(), Duplicate> {
        if self.current == Some(boot) {
            return Ok(());
        }
        if self.previous != Some(boot) {
            self.alternations.clear();
        }
        while self.alternations.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
            self.alternations.pop_front();
        }
        // The change that is refused is one of them.
        if self.alternations.len() + 1 >= ALTERNATIONS_REFUSED {
            return Err(Duplicate { retry_after: self.time_until_let_in(now) });
        }
        self.alternations.extend(self.current.map(|_| now));
        self.previous = self.current.replace(boot);
        Ok(())
    }

    /// Returns when the oldest alternation no longer counts.
    fn time_until_let_in(&self, now: Instant) -> Duration {
        let oldest_at = self.alternations.front().copied().unwrap_or(now);
        (oldest_at + WINDOW).saturating_duration_since(now)
    }
}

/// So many changes between two processes are no restarts.
const ALTERNATIONS_REFUSED: usize = 3;

/// Time in which they count.
const WINDOW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// Says hello as these processes, at these seconds, and returns which are let in.
    fn hellos<const N: usize>(hellos: [(u64, u64); N]) -> [bool; N] {
        let (mut history, begin) = (BootHistory::default(), Instant::now());
        hellos.map(|(at, boot)| {
            history.admit(begin + Duration::from_secs(at), Epoch::from_random(boot)).is_ok()
        })
    }

    #[test]
    fn the_third_alternation_in_a_minute_is_refused_and_the_other_process_stays() {
        assert_eq!(
            hellos([(0, 1), (1, 2), (2, 1), (3, 2), (4, 1), (5, 2), (6, 1)]),
            [true, true, true, false, true, false, true]
        );
    }

    #[test]
    fn restarts_are_let_in_however_many() {
        assert_eq!(hellos([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]), [true; 6]);
    }

    #[test]
    fn new_links_of_one_process_are_let_in_however_many() {
        assert_eq!(hellos([(0, 1), (0, 1), (1, 2), (1, 2), (2, 2), (3, 2)]), [true; 6]);
    }

    #[test]
    fn alternations_in_more_than_a_minute_prove_nothing() {
        assert_eq!(hellos([(0, 1), (1, 2), (2, 1), (61, 2), (63, 3)]), [true; 5]);
    }

    #[test]
    fn the_process_that_stays_gets_in_once_the_alternations_are_a_minute_old() {
        assert_eq!(
            hellos([(0, 1), (1, 2), (2, 1), (3, 2), (60, 2), (61, 2)]),
            [true, true, true, false, false, true]
        );
    }

    #[test]
    fn a_refused_process_is_told_when_it_may_come_again() {
        let (mut history, begin) = (BootHistory::default(), Instant::now());
        let mut hello = |at, boot| {
            let refused = history.admit(begin + Duration::from_secs(at), Epoch::from_random(boot)).err();
            refused.map(|Duplicate { retry_after }| retry_after.as_secs())
        };
        let refused = [(0, 1), (1, 2), (2, 1), (3, 2), (40, 2)].map(|(at, boot)| hello(at, boot));
        assert_eq!(refused, [None, None, None, Some(58), Some(21)]);
        assert_eq!(hello(40 + 21, 2), None);
    }

    #[test]
    fn a_restart_of_a_refused_process_is_let_in() {
        assert_eq!(hellos([(0, 1), (1, 2), (2, 1), (3, 2), (4, 3)]), [true, true, true, false, true]);
    }
}
