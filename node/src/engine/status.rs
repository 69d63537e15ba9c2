//! The status of a node, made anew for those who watch it: at once where that is cheap, in proportion where it is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Engine;
use crate::status::Status;

/// When the status is made.
#[derive(Debug)]
pub(super) struct StatusTimes {
    /// Not before.
    earliest: Instant,
    /// Then, if somebody watches it or something has changed since it was made.
    due: Instant,
    /// From then on, if the engine is awake anyway.
    old: Instant,
    /// Something has changed since it was made.
    is_wanted: bool,
}

impl StatusTimes {
    /// Has it made at the first change.
    pub(super) fn new(now: Instant) -> Self {
        Self { earliest: now, due: now, old: now, is_wanted: false }
    }

    /// It has just been made, of so many peers.
    fn handle_made(&mut self, now: Instant, peers: usize, interval: Duration) {
        let peers = if peers < PEERS_CHEAP { 0 } else { u32::try_from(peers).unwrap_or(u32::MAX) };
        let pause = PAUSE * peers;
        let due = now + interval.max(pause);
        *self = Self { earliest: now + pause, due, old: now + UNWATCHED_INTERVAL, is_wanted: false };
    }

    /// Something has changed. Returns whether the status is to be made now.
    fn handle_changed(&mut self, now: Instant) -> bool {
        let is_early = now < self.earliest;
        if is_early {
            (self.due, self.is_wanted) = (self.due.min(self.earliest), true);
        }
        !is_early
    }
}

impl Engine {
    /// Says what has changed, as soon as the status may cost its time again.
    pub(super) fn publish_status(&mut self, now: Instant) {
        if self.status_times.handle_changed(now) {
            self.make_status(now);
        }
    }

    /// Makes the status anew if it is due or old.
    pub(super) fn refresh_status(&mut self, now: Instant) {
        if self.status_timeout().is_some_and(|at| at <= now) || self.status_times.old <= now {
            self.make_status(now);
        }
    }

    /// Returns when [`refresh_status`](Self::refresh_status) is to be called although nothing happens.
    pub(super) fn status_timeout(&self) -> Option<Instant> {
        // One receiver is the handle's own.
        let is_watched = self.status.receiver_count() > 1;
        (is_watched || self.status_times.is_wanted).then_some(self.status_times.due)
    }

    /// Makes the status anew.
    pub(super) fn make_status(&mut self, now: Instant) {
        self.status_times.handle_made(now, self.peers.len(), self.config.node.status_interval);
        let links = self.links.iter().filter_map(|(_, entry)| entry.status(now));
        let ends = self.peers.values().filter_map(|peer| peer.end.clone()).collect();
        let status = Status {
            links: links.collect(),
            links_total: self.links_total,
            body_bytes_written: self.body_bytes_written,
            messages_batched: self.messages_batched,
            moves: self.paths.moves(),
            slept: self.paths.slept(),
            ends,
            sockets: self.endpoint.sockets(),
            store: self.store_status(),
        };
        self.status.send_replace(Arc::new(status));
    }
}

/// Pause between two statuses for each peer, if they are many: some twenty times what a peer's part takes to make, so that
/// the status takes a twentieth of the engine's thread at most.
const PAUSE: Duration = Duration::from_micros(10);

/// With fewer peers every change is told at once.
const PEERS_CHEAP: usize = 64;

/// How old the status may become that nobody watches: who looks once sees it.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn changes_among_few_peers_are_told_at_once() {
        let now = Instant::now();
        let mut times = StatusTimes::new(now);
        for _ in 0..3 {
            assert!(times.handle_changed(now));
            times.handle_made(now, 2, 250 * MS);
        }
        assert!(!times.is_wanted);
    }

    #[test]
    fn changes_among_many_peers_are_told_together() {
        let now = Instant::now();
        let mut times = StatusTimes::new(now);
        assert!(times.handle_changed(now));
        times.handle_made(now, 10_000, 250 * MS);
        assert!(!times.handle_changed(now + MS));
        assert!(times.is_wanted);
        assert_eq!(times.due, now + 100 * MS);
        assert!(times.handle_changed(now + 100 * MS));
    }
}
