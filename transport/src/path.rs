//! When to move the dialling sockets: a changed route to a peer, or a machine that slept. Pure: no clock, no I/O.
//!
//! [`PathWatch`] is told what was seen of the machine and says when to look and when to move. Whether a link survived
//! the move is for [`Liveness`](crate::Liveness) to find out.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// When the dialling sockets move, and how long a link has to show that it came along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathConfig {
    /// Rest after a reported change of addresses or routes before they are looked at. Default: 300 ms.
    ///
    /// Too low, a half-configured interface is looked at and the sockets move twice; too high, links are silent for as
    /// long after a change.
    #[serde(with = "humantime_serde")]
    pub settle_delay: Duration,
    /// Longest wait for such a rest while changes go on. Default: 2 s.
    ///
    /// Too low, see `settle_delay`; too high, an interface that flaps keeps the sockets where they are.
    #[serde(with = "humantime_serde")]
    pub settle_delay_max: Duration,
    /// Pause between looks at the time slept. Default: 1 s.
    ///
    /// Too low, it costs wake-ups; too high, links are silent for as long after sleep.
    #[serde(with = "humantime_serde")]
    pub sleep_interval: Duration,
    /// Pause between looks at routes though no change was reported. Default: 10 s.
    ///
    /// Too low, each dialled peer costs three system calls more; too high, where the system reports no changes (anywhere
    /// but on Linux), links are silent for as long after one.
    #[serde(with = "humantime_serde")]
    pub route_interval: Duration,
    /// Shortest suspension of the machine that counts as sleep. Default: 1 s.
    ///
    /// Too low, clock corrections may count; too high, NATs have forgotten links that are believed to live.
    #[serde(with = "humantime_serde")]
    pub sleep_min: Duration,
    /// Time in which a frame must come over a link after a move; else a new link is dialled beside it. At least four
    /// round trips are always granted. Default: 2 s.
    ///
    /// Too low, a lost packet costs a needless dial; too high, a link that did not survive the move holds commands up.
    #[serde(with = "humantime_serde")]
    pub proof_timeout: Duration,
}

/// What was seen of the machine's addresses, routes and sleep.
///
/// Call [`poll_look`](Self::poll_look) when [`poll_timeout`](Self::poll_timeout) says so, until there is nothing to look
/// at, and answer with [`handle_suspended`](Self::handle_suspended) or [`handle_routes`](Self::handle_routes); then drain
/// [`poll_event`](Self::poll_event).
#[derive(Debug)]
#[must_use]
pub struct PathWatch {
    config: PathConfig,
    /// When to look at the time slept.
    sleep_at: Instant,
    /// When to look at routes.
    routes_at: Instant,
    /// When the first of the changes was reported that have not been looked at.
    unsettled_at: Option<Instant>,
    /// The last known source address of packets to each peer's address.
    sources: BTreeMap<IpAddr, IpAddr>,
    suspended: Duration,
    events: VecDeque<PathEvent>,
}

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The time for which the machine has been suspended.
    Suspended,
    /// The routes to the peers that were dialled.
    Routes,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathEvent {
    /// The machine slept so long: deadlines have come nearer, and NATs may have forgotten it. A move follows.
    Slept(Duration),
    /// Move the dialling sockets.
    Move(MoveCause),
}

/// Why the dialling sockets move.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MoveCause {
    /// Somebody who knows said that the network changed.
    Asked,
    /// The machine slept.
    Slept,
    /// Packets to a peer leave from another address.
    Route {
        /// The peer's address.
        to: IpAddr,
        /// The source address before.
        before: IpAddr,
        /// The source address now.
        now: IpAddr,
    },
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            settle_delay: Duration::from_millis(300),
            settle_delay_max: Duration::from_secs(2),
            sleep_interval: Duration::from_secs(1),
            route_interval: Duration::from_secs(10),
            sleep_min: Duration::from_secs(1),
            proof_timeout: Duration::from_secs(2),
        }
    }
}

impl PathWatch {
    /// Begins on a machine that has been suspended for `suspended` in all.
    pub fn new(config: PathConfig, now: Instant, suspended: Duration) -> Self {
        Self {
            config,
            sleep_at: now,
            routes_at: now,
            unsettled_at: None,
            sources: BTreeMap::new(),
            suspended,
            events: VecDeque::new(),
        }
    }

    /// The system reports that addresses or routes have changed: they are looked at once they have settled.
    pub fn handle_change(&mut self, now: Instant) {
        let since = *self.unsettled_at.get_or_insert(now);
        self.routes_at = (now + self.config.settle_delay).min(since + self.config.settle_delay_max);
    }

    /// Somebody who knows says that the network changed.
    pub fn handle_asked(&mut self) {
        self.push_move(MoveCause::Asked);
    }

    /// A link has come up: its route is to be known before it can change.
    pub fn handle_link_up(&mut self, now: Instant) {
        if self.unsettled_at.is_none() {
            self.routes_at = now;
        }
    }

    /// Takes the time for which the machine has been suspended in all.
    pub fn handle_suspended(&mut self, suspended: Duration) {
        let slept = suspended.saturating_sub(self.suspended);
        if slept >= self.config.sleep_min {
            self.suspended = suspended;
            self.events.push_back(PathEvent::Slept(slept));
            self.push_move(MoveCause::Slept);
        }
    }

    /// Takes the source address of packets to each peer that was dialled and whose link is up; `None` without a route.
    ///
    /// A route that is gone is no reason to move: there is nowhere to go. One that comes back over another address is.
    pub fn handle_routes(&mut self, routes: impl IntoIterator<Item = (IpAddr, Option<IpAddr>)>) {
        let mut before = std::mem::take(&mut self.sources);
        for (to, source) in routes {
            let known = before.remove(&to).or_else(|| self.sources.get(&to).copied());
            let Some(source) = source.or(known) else { continue };
            if let Some(before) = known
                && before != source
            {
                self.push_move(MoveCause::Route { to, before, now: source });
            }
            self.sources.insert(to, source);
        }
    }

    /// Returns what it is time to look at, which counts as looked at.
    pub fn poll_look(&mut self, now: Instant) -> Option<Look> {
        if now >= self.sleep_at {
            self.sleep_at = now + self.config.sleep_interval;
            return Some(Look::Suspended);
        }
        if now >= self.routes_at {
            self.unsettled_at = None;
            self.routes_at = now + self.config.route_interval;
            return Some(Look::Routes);
        }
        None
    }

    /// Returns what is to be done next.
    pub fn poll_event(&mut self) -> Option<PathEvent> {
        self.events.pop_front()
    }

    /// Returns when to look.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.sleep_at.min(self.routes_at))
    }

    /// Returns how long a link has to show that it came along, given its round-trip time.
    pub fn proof_timeout(&self, rtt: Duration) -> Duration {
        self.config.proof_timeout.max(rtt * 4)
    }

    /// One move is enough for all that has happened.
    fn push_move(&mut self, cause: MoveCause) {
        if !self.events.iter().any(|event| matches!(event, PathEvent::Move(_))) {
            self.events.push_back(PathEvent::Move(cause));
        }
    }
}

impl fmt::Display for MoveCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("asked to"),
            Self::Slept => f.write_str("the machine slept"),
            Self::Route { to, before, now } => {
                write!(f, "packets to {to} leave from {now}, no longer from {before}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    /// A watch that has made its first look and found these routes.
    fn begin(routes: &[(u8, Option<u8>)]) -> (PathWatch, Instant) {
        let now = Instant::now();
        let mut watch = PathWatch::new(PathConfig::default(), now, Duration::ZERO);
        assert_eq!(looks(&mut watch, now), [Look::Suspended, Look::Routes]);
        look(&mut watch, routes);
        assert_eq!(watch.poll_event(), None);
        (watch, now)
    }

    fn looks(watch: &mut PathWatch, now: Instant) -> Vec<Look> {
        std::iter::from_fn(|| watch.poll_look(now)).collect()
    }

    fn look(watch: &mut PathWatch, routes: &[(u8, Option<u8>)]) {
        watch.handle_routes(routes.iter().map(|(to, source)| (ip(*to), source.map(ip))));
    }

    #[track_caller]
    fn check_moves(watch: &mut PathWatch, causes: &[MoveCause]) {
        let events: Vec<_> = std::iter::from_fn(|| watch.poll_event()).collect();
        let expected: Vec<_> = causes.iter().cloned().map(PathEvent::Move).collect();
        assert_eq!(events, expected);
    }

    #[test]
    fn a_route_from_another_address_is_a_reason_to_move() {
        let (mut watch, _) = begin(&[(1, Some(100)), (2, Some(100))]);
        look(&mut watch, &[(1, Some(100)), (2, Some(101))]);
        check_moves(&mut watch, &[MoveCause::Route { to: ip(2), before: ip(100), now: ip(101) }]);
        look(&mut watch, &[(1, Some(100)), (2, Some(101))]);
        check_moves(&mut watch, &[]);
    }

    #[test]
    fn a_new_address_that_no_peer_is_reached_from_is_no_reason() {
        let (mut watch, now) = begin(&[(1, Some(100))]);
        watch.handle_change(now);
        look(&mut watch, &[(1, Some(100))]);
        look(&mut watch, &[(1, Some(100)), (2, Some(101))]);
        check_moves(&mut watch, &[]);
    }

    #[test]
    fn a_lost_route_is_waited_for() {
        let (mut watch, _) = begin(&[(1, Some(100))]);
        look(&mut watch, &[(1, None)]);
        look(&mut watch, &[(1, Some(100))]);
        check_moves(&mut watch, &[]);
        look(&mut watch, &[(1, None)]);
        look(&mut watch, &[(1, Some(101))]);
        check_moves(&mut watch, &[MoveCause::Route { to: ip(1), before: ip(100), now: ip(101) }]);
    }

    #[test]
    fn two_links_to_one_address_are_one_route() {
        let (mut watch, _) = begin(&[(1, Some(100)), (1, Some(100))]);
        look(&mut watch, &[(1, Some(101)), (1, Some(101))]);
        check_moves(&mut watch, &[MoveCause::Route { to: ip(1), before: ip(100), now: ip(101) }]);
        assert_eq!(watch.sources.len(), 1);
    }

    #[test]
    fn routes_of_links_that_are_gone_are_forgotten() {
        let (mut watch, _) = begin(&[(1, Some(100))]);
        look(&mut watch, &[]);
        look(&mut watch, &[(1, Some(101))]);
        check_moves(&mut watch, &[]);
    }

    #[test]
    fn changes_are_looked_at_once_they_have_settled() {
        let (mut watch, now) = begin(&[]);
        watch.handle_change(now);
        watch.handle_change(now + 200 * MS);
        watch.handle_link_up(now + 200 * MS);
        assert_eq!(watch.poll_timeout(), Some(now + 500 * MS));
        assert_eq!(looks(&mut watch, now + 499 * MS), []);
        assert_eq!(looks(&mut watch, now + 500 * MS), [Look::Routes]);
        assert_eq!(watch.poll_timeout(), Some(now + 1000 * MS));
        assert_eq!(looks(&mut watch, now + 10_499 * MS), [Look::Suspended]);
        assert_eq!(looks(&mut watch, now + 10_500 * MS), [Look::Routes]);
    }

    #[test]
    fn changes_that_never_settle_are_looked_at_all_the_same() {
        let (mut watch, now) = begin(&[]);
        let change_at = (0..1000).map(|number| now + 100 * number * MS);
        let mut looked = Vec::new();
        for at in change_at {
            watch.handle_change(at);
            if looks(&mut watch, at).contains(&Look::Routes) {
                looked.push(at - now);
            }
        }
        assert_eq!(looked.first(), Some(&(2000 * MS)));
        assert!(looked.len() >= 40, "{looked:?}");
    }

    #[test]
    fn sleep_is_reported_once_and_moves_the_sockets() {
        let (mut watch, _) = begin(&[(1, Some(100))]);
        watch.handle_suspended(MS);
        watch.handle_suspended(Duration::from_secs(3600));
        watch.handle_suspended(Duration::from_secs(3600));
        look(&mut watch, &[(1, Some(101))]);
        assert_eq!(watch.poll_event(), Some(PathEvent::Slept(Duration::from_secs(3600))));
        check_moves(&mut watch, &[MoveCause::Slept]);
    }

    #[test]
    fn short_suspensions_add_up() {
        let (mut watch, _) = begin(&[]);
        watch.handle_suspended(600 * MS);
        assert_eq!(watch.poll_event(), None);
        watch.handle_suspended(1200 * MS);
        assert_eq!(watch.poll_event(), Some(PathEvent::Slept(1200 * MS)));
    }

    #[test]
    fn a_slow_link_has_more_time_to_prove_itself() {
        let (watch, _) = begin(&[]);
        assert_eq!(watch.proof_timeout(50 * MS), 2000 * MS);
        assert_eq!(watch.proof_timeout(700 * MS), 2800 * MS);
    }
}
