//! When the path goes dark and when ports change, as planned beforehand. Pure.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::config::RelayConfig;

/// The plan of one run of a relay, and how far it has come.
#[derive(Debug)]
pub(super) struct Schedule {
    blackouts: Vec<Range<Instant>>,
    rebind: Option<Rebind>,
    /// Time up to which everything has happened.
    done_at: Instant,
}

/// What the plan wants at one instant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) is_dark: bool,
    /// Whether all ports are to change now.
    pub(super) rebind: bool,
}

#[derive(Debug)]
struct Rebind {
    next_at: Instant,
    every: Duration,
}

impl Schedule {
    /// Lays the plan out from `start`. Events beyond the range of an `Instant` never happen.
    pub(super) fn new(config: &RelayConfig, start: Instant) -> Self {
        let blackouts = config.blackouts.iter().filter_map(|blackout| {
            let begins_at = start.checked_add(blackout.after)?;
            Some(begins_at..begins_at.checked_add(blackout.length)?)
        });
        let rebind =
            config.rebind_every.and_then(|every| Some(Rebind { next_at: start.checked_add(every)?, every }));
        Self { blackouts: blackouts.collect(), rebind, done_at: start }
    }

    /// Moves on to `now`. Port changes missed by a late caller count as one.
    pub(super) fn advance(&mut self, now: Instant) -> Planned {
        self.done_at = now;
        let is_dark = self.blackouts.iter().any(|span| span.contains(&now));
        Planned { is_dark, rebind: self.rebind.as_mut().is_some_and(|rebind| rebind.is_due(now)) }
    }

    /// When [`advance`](Self::advance) next has something to tell.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let edges = self.blackouts.iter().flat_map(|span| [span.start, span.end]);
        let rebind = self.rebind.iter().map(|rebind| rebind.next_at);
        edges.filter(|at| *at > self.done_at).chain(rebind).min()
    }
}

impl Rebind {
    fn is_due(&mut self, now: Instant) -> bool {
        if now < self.next_at {
            return false;
        }
        let following_at = self.next_at + self.every;
        self.next_at = if following_at > now { following_at } else { now + self.every };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Blackout;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_empty_plan_has_no_events() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&RelayConfig::default(), start);
        assert_eq!(schedule.next_at(), None);
        assert_eq!(schedule.advance(start + SECOND), Planned { is_dark: false, rebind: false });
    }

    #[test]
    fn overlapping_blackouts_are_dark_from_the_first_edge_to_the_last() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&plan(None, &[(2, 4), (5, 3)]), start);
        let mut is_dark_after = |seconds: u32| schedule.advance(start + SECOND * seconds).is_dark;
        let dark = (0..10).filter(|seconds| is_dark_after(*seconds)).collect::<Vec<_>>();
        assert_eq!(dark, [2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn each_edge_of_a_blackout_is_an_event() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&plan(None, &[(2, 4)]), start);
        assert_eq!(schedule.next_at(), Some(start + SECOND * 2));
        assert!(schedule.advance(start + SECOND * 2).is_dark);
        assert_eq!(schedule.next_at(), Some(start + SECOND * 6));
        assert!(!schedule.advance(start + SECOND * 6).is_dark);
        assert_eq!(schedule.next_at(), None);
    }

    #[test]
    fn ports_change_once_a_period_also_for_a_late_caller() {
        let start = Instant::now();
        let mut schedule = Schedule::new(&plan(Some(5), &[]), start);
        let mut rebinds_after = |seconds: u32| schedule.advance(start + SECOND * seconds).rebind;
        let rebinds = [4, 5, 9, 10, 21, 21, 25, 26].map(&mut rebinds_after);
        assert_eq!(rebinds, [false, true, false, true, true, false, false, true]);
        assert_eq!(schedule.next_at(), Some(start + SECOND * 31));
    }

    fn plan(rebind_every: Option<u32>, blackouts: &[(u32, u32)]) -> RelayConfig {
        let blackout = |&(after, length)| Blackout { after: SECOND * after, length: SECOND * length };
        RelayConfig {
            rebind_every: rebind_every.map(|seconds| SECOND * seconds),
            blackouts: blackouts.iter().map(blackout).collect(),
            ..RelayConfig::default()
        }
    }
}
