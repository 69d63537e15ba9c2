//! What happened to one host: when it lost its memory, slept, or had a double. Pure.

use std::time::Duration;

use super::restored::Backup;

/// What happened to one host.
#[derive(Clone, Debug, Default)]
pub(super) struct HostLife {
    pub(super) boot: u32,
    /// Whether its process is there.
    pub(super) is_up: bool,
    losses: Vec<Duration>,
    stops: Vec<Duration>,
    sleeps: Vec<(Duration, Duration)>,
    steps: Vec<(Duration, Duration)>,
    disk_losses: Vec<Duration>,
    /// Which of its disks it has.
    pub(super) disk: u32,
    /// What was kept of a disk of it.
    pub(super) backup: Option<Backup>,
    /// When a double appeared, and when it was gone.
    doubles: Vec<(Duration, Option<Duration>)>,
    /// How often its NAT forgot its ports.
    pub(super) rebinds: u64,
}

impl HostLife {
    pub(super) fn handle_start(&mut self) {
        self.boot += 1;
        self.is_up = true;
    }

    /// Its process is gone, and its memory with it.
    pub(super) fn handle_lost(&mut self, now: Duration) {
        self.is_up = false;
        self.losses.push(now);
    }

    pub(super) fn handle_stop(&mut self, now: Duration) {
        self.stops.push(now);
    }

    pub(super) fn handle_sleep(&mut self, now: Duration, slept: Duration) {
        self.sleeps.push((now, slept));
    }

    pub(super) fn handle_step(&mut self, now: Duration, step: Duration) {
        self.steps.push((now, step));
    }

    pub(super) fn handle_disk_lost(&mut self, now: Duration) {
        self.disk += 1;
        self.disk_losses.push(now);
    }

    pub(super) fn handle_double(&mut self, now: Duration, is_there: bool) {
        match self.doubles.last_mut() {
            Some((_, end @ None)) if !is_there => *end = Some(now),
            _ if is_there => self.doubles.push((now, None)),
            _ => {}
        }
    }

    /// Returns whether peers may have found a memory gone since then: one process followed another, or two took turns.
    pub(super) fn has_forgotten(&self, since: Duration) -> bool {
        self.losses.iter().any(|at| *at >= since) || self.had_double(since)
    }

    /// Returns whether what was stored on it is gone since then.
    pub(super) fn has_lost_disk(&self, since: Duration) -> bool {
        self.disk_losses.iter().any(|at| *at >= since)
    }

    /// Returns how far its wall clock has stepped forward since then.
    pub(super) fn stepped(&self, since: Duration) -> Duration {
        self.steps.iter().filter(|(at, _)| *at >= since).map(|(_, step)| *step).sum()
    }

    /// Returns whether it was told to stop since then.
    pub(super) fn was_stopped(&self, since: Duration) -> bool {
        self.stops.iter().any(|at| *at >= since)
    }

    /// Returns whether there was a double since then, or so shortly before that links still know it.
    pub(super) fn had_double(&self, since: Duration) -> bool {
        self.doubles.iter().any(|(_, end)| end.is_none_or(|end| end + DOUBLE_FADES >= since))
    }

    /// Returns how long it slept since then.
    pub(super) fn slept(&self, since: Duration) -> Duration {
        self.sleeps.iter().filter(|(at, _)| *at >= since).map(|(_, slept)| *slept).sum()
    }
}

/// Peers find out that a double is gone when the original comes back.
const DOUBLE_FADES: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_loss_counts_for_what_was_before_it() {
        let mut host = HostLife::default();
        host.handle_lost(secs(10));
        assert!(host.has_forgotten(secs(10)) && host.has_forgotten(secs(3)));
        assert!(!host.has_forgotten(secs(11)));
    }

    #[test]
    fn a_double_counts_until_it_has_faded() {
        let mut host = HostLife::default();
        host.handle_double(secs(10), true);
        assert!(host.had_double(secs(1000)));
        host.handle_double(secs(20), false);
        assert!(host.had_double(secs(140)) && !host.had_double(secs(141)));
    }

    #[test]
    fn sleeps_add_up() {
        let mut host = HostLife::default();
        host.handle_sleep(secs(1), secs(100));
        host.handle_sleep(secs(5), secs(30));
        assert_eq!([0, 2, 6].map(|since| host.slept(secs(since)).as_secs()), [130, 30, 0]);
    }
}
