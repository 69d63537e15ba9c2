//! When to dial whom. Pure: no clock, no I/O, randomness from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runnel_codec::NodeId;
use serde::{Deserialize, Serialize};

/// When and how often a lost peer is dialled again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconnectConfig {
    /// Limit for one attempt, from the first packet to the answered hello. Default: 4 s.
    ///
    /// Below three round trips no attempt can succeed; above, a lost handshake packet costs that long.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout: Duration,
    /// The same after three failures in a row, for slow paths. Default: 15 s.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout_max: Duration,
    /// Shortest pause between attempts. Default: 200 ms.
    ///
    /// Too low, a dead network is flooded with dials; too high, every blackout costs that much more.
    #[serde(with = "humantime_serde")]
    pub pause_min: Duration,
    /// Longest pause between attempts that meet silence. Default: 1 s.
    ///
    /// Too low, see `pause_min`; too high, a peer that comes back is noticed late.
    #[serde(with = "humantime_serde")]
    pub silent_pause_max: Duration,
    /// Longest pause between attempts that the peer answers and refuses. Default: 5 s.
    ///
    /// Too low, a restarted controller is stormed; too high, workers come back late.
    #[serde(with = "humantime_serde")]
    pub refused_pause_max: Duration,
    /// Longest pause that a peer may ask for. Default: 60 s.
    ///
    /// Too low, a peer that drains is dialled in vain; too high, one mistaken word keeps a peer away for as long.
    #[serde(with = "humantime_serde")]
    pub asked_pause_max: Duration,
}

/// Which peers are to be dialled, and when.
#[derive(Debug)]
#[must_use]
pub struct Reconnect {
    config: ReconnectConfig,
    random: StdRng,
    peers: BTreeMap<NodeId, Wanted>,
    /// Those of them that wait for their time, in its order.
    waiting: BTreeSet<(Instant, NodeId)>,
}

/// An attempt to be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Whom to dial.
    pub peer: NodeId,
    /// How long the attempt may take, until the answered hello.
    pub timeout: Duration,
}

#[derive(Debug)]
struct Wanted {
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A link is up.
    Up,
    /// An attempt is under way; a suspect link may still be up beside it.
    Dialling { is_up: bool },
    /// An attempt is to be made at this time; a suspect link may still be up.
    Waiting { until: Instant, is_up: bool },
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(4),
            attempt_timeout_max: Duration::from_secs(15),
            pause_min: Duration::from_millis(200),
            silent_pause_max: Duration::from_secs(1),
            refused_pause_max: Duration::from_secs(5),
            asked_pause_max: Duration::from_secs(60),
        }
    }
}

impl Reconnect {
    /// Begins without peers.
    pub fn new(config: ReconnectConfig, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { config, random, peers: BTreeMap::new(), waiting: BTreeSet::new() }
    }

    /// Has a peer dialled at once, and again whenever its link is lost.
    pub fn handle_wanted(&mut self, now: Instant, peer: &NodeId) {
        if !self.peers.contains_key(peer) {
            self.peers.insert(peer.clone(), Wanted { state: State::Up, failures: 0 });
            self.change(peer, State::Waiting { until: now, is_up: false });
        }
    }

    /// Has a peer dialled no more.
    pub fn handle_unwanted(&mut self, peer: &NodeId) {
        self.change(peer, State::Up);
        self.peers.remove(peer);
    }

    /// The peer asks not to be dialled for a while: it drains, restarts or is paused.
    ///
    /// The pause is cut to [`ReconnectConfig::asked_pause_max`]; after it comes the usual jitter, so that not all of a
    /// restarted controller's peers come at once. Call this after what made the pause necessary: the link's end or the
    /// attempt's failure.
    pub fn handle_retry_after(&mut self, now: Instant, peer: &NodeId, retry_after: Duration) {
        if let Some(State::Waiting { until, is_up }) = self.state(peer) {
            let jitter = draw(&mut self.random, self.config.pause_min, self.config.silent_pause_max);
            let asked = now + retry_after.min(self.config.asked_pause_max) + jitter;
            self.change(peer, State::Waiting { until: until.max(asked), is_up });
        }
    }

    /// A link to the peer is up, whoever dialled it.
    pub fn handle_up(&mut self, peer: &NodeId) {
        self.change(peer, State::Up);
        if let Some(wanted) = self.peers.get_mut(peer) {
            wanted.failures = 0;
        }
    }

    /// The link that was up is gone: a first attempt is made at once, unless the peer closed it.
    pub fn handle_down(&mut self, now: Instant, peer: &NodeId, was_answered: bool) {
        let state = match self.state(peer) {
            None => return,
            Some(State::Up) if was_answered => {
                let pause = draw(&mut self.random, self.config.pause_min, self.config.silent_pause_max);
                State::Waiting { until: now + pause, is_up: false }
            }
            Some(State::Up) => State::Waiting { until: now, is_up: false },
            Some(State::Dialling { .. }) => State::Dialling { is_up: false },
            Some(State::Waiting { until, .. }) => State::Waiting { until, is_up: false },
        };
        self.change(peer, state);
    }

    /// The link that is up has become suspect: an attempt is made beside it.
    pub fn handle_suspect(&mut self, now: Instant, peer: &NodeId) {
        if self.state(peer) == Some(State::Up) {
            self.change(peer, State::Waiting { until: now, is_up: true });
        }
    }

    /// A suspect link has shown a sign of life: no attempt is needed any more.
    pub fn handle_trusted(&mut self, peer: &NodeId) {
        if let Some(State::Waiting { is_up: true, .. }) = self.state(peer) {
            self.change(peer, State::Up);
        }
    }

    /// An attempt has failed: the next one follows after a pause with full jitter, which grows only when the peer
    /// was heard and refused.
    pub fn handle_failed(&mut self, now: Instant, peer: &NodeId, was_answered: bool) {
        let Some(wanted) = self.peers.get_mut(peer) else { return };
        let State::Dialling { is_up } = wanted.state else { return };
        wanted.failures = wanted.failures.saturating_add(1);
        let longest = if was_answered {
            let grown = self.config.silent_pause_max.saturating_mul(1 << wanted.failures.min(8));
            grown.min(self.config.refused_pause_max)
        } else {
            self.config.silent_pause_max
        };
        let pause = draw(&mut self.random, self.config.pause_min, longest);
        self.change(peer, State::Waiting { until: now + pause, is_up });
    }

    /// Returns the next attempt to be made now, of whoever has waited longest. It counts as begun.
    pub fn poll_dial(&mut self, now: Instant) -> Option<Dial> {
        let (_, peer) = self.waiting.first().filter(|(until, _)| *until <= now).cloned()?;
        let wanted = self.peers.get(&peer)?;
        let State::Waiting { is_up, .. } = wanted.state else { return None };
        let is_slow = wanted.failures >= FAILURES_OF_A_SLOW_PATH;
        let timeout = if is_slow { self.config.attempt_timeout_max } else { self.config.attempt_timeout };
        self.change(&peer, State::Dialling { is_up });
        Some(Dial { peer, timeout })
    }

    /// Returns whether an attempt that is under way is still of use: no other link to the peer has come up since.
    pub fn is_dialling(&self, peer: &NodeId) -> bool {
        self.peers.get(peer).is_some_and(|wanted| matches!(wanted.state, State::Dialling { .. }))
    }

    /// Returns when the next attempt is to be made. The cost does not depend on how many peers there are.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.first().map(|(until, _)| *until)
    }

    fn state(&self, peer: &NodeId) -> Option<State> {
        self.peers.get(peer).map(|wanted| wanted.state)
    }

    /// Changes the state of a peer that is wanted, and its place among those that wait.
    fn change(&mut self, peer: &NodeId, state: State) {
        let Some(wanted) = self.peers.get_mut(peer) else { return };
        if let State::Waiting { until, .. } = std::mem::replace(&mut wanted.state, state) {
            self.waiting.remove(&(until, peer.clone()));
        }
        if let State::Waiting { until, .. } = state {
            self.waiting.insert((until, peer.clone()));
        }
    }
}

/// Draws a pause with full jitter.
fn draw(random: &mut StdRng, shortest: Duration, longest: Duration) -> Duration {
    if longest <= shortest { shortest } else { random.random_range(shortest..=longest) }
}

/// After so many failures in a row the path may be slow instead of dead.
const FAILURES_OF_A_SLOW_PATH: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> (Reconnect, NodeId, Instant) {
        let (peer, now) = ("w1".parse().expect("a valid name"), Instant::now());
        let mut reconnect = Reconnect::new(ReconnectConfig::default(), 1);
        reconnect.handle_wanted(now, &peer);
        (reconnect, peer, now)
    }

    #[test]
    fn a_wanted_peer_is_dialled_at_once_and_only_once() {
        let (mut reconnect, peer, now) = begin();
        let dial = Dial { peer: peer.clone(), timeout: Duration::from_secs(4) };
        assert_eq!(reconnect.poll_dial(now), Some(dial));
        assert_eq!(reconnect.poll_dial(now), None);
        reconnect.handle_up(&peer);
        assert_eq!(reconnect.poll_timeout(), None);
    }

    #[test]
    fn an_attempt_is_of_no_use_once_another_link_is_up() {
        let (mut reconnect, peer, now) = begin();
        assert!(!reconnect.is_dialling(&peer));
        reconnect.poll_dial(now);
        assert!(reconnect.is_dialling(&peer));
        reconnect.handle_up(&peer);
        assert!(!reconnect.is_dialling(&peer));
        reconnect.handle_suspect(now, &peer);
        reconnect.poll_dial(now);
        assert!(reconnect.is_dialling(&peer), "a suspect link is no reason to give up another attempt");
    }

    #[test]
    fn silence_is_met_with_short_pauses_for_ever() {
        let (mut reconnect, peer, mut now) = begin();
        for attempt in 0..50 {
            let dial = reconnect.poll_dial(now).expect("the pause is over");
            assert_eq!(dial.timeout, Duration::from_secs(if attempt < 3 { 4 } else { 15 }));
            reconnect.handle_failed(now, &peer, false);
            let until = reconnect.poll_timeout().expect("another attempt is planned");
            assert!((Duration::from_millis(200)..=Duration::from_secs(1)).contains(&(until - now)));
            now = until;
        }
    }

    #[test]
    fn refusals_are_met_with_growing_pauses_up_to_five_seconds() {
        let (mut reconnect, peer, mut now) = begin();
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            reconnect.poll_dial(now).expect("the pause is over");
            reconnect.handle_failed(now, &peer, true);
            let until = reconnect.poll_timeout().expect("another attempt is planned");
            longest = longest.max(until - now);
            now = until;
        }
        assert!((Duration::from_secs(4)..=Duration::from_secs(5)).contains(&longest), "{longest:?}");
    }

    #[test]
    fn a_peer_that_asks_for_a_pause_gets_it_within_bounds() {
        for (asked, granted) in [(10, 10), (3600, 60)] {
            let (mut reconnect, peer, now) = begin();
            reconnect.poll_dial(now);
            reconnect.handle_failed(now, &peer, true);
            reconnect.handle_retry_after(now, &peer, Duration::from_secs(asked));
            let pause = reconnect.poll_timeout().expect("another attempt is planned") - now;
            assert!((granted..=granted + 1).contains(&pause.as_secs()), "{pause:?}");
        }
    }

    #[test]
    fn who_has_waited_longest_is_dialled_first() {
        let (mut reconnect, first, now) = begin();
        let second: NodeId = "a-later-one".parse().expect("a valid name");
        let later = now + Duration::from_secs(1);
        reconnect.handle_wanted(later, &second);
        assert_eq!(reconnect.poll_timeout(), Some(now));
        let order: Vec<_> = std::iter::from_fn(|| reconnect.poll_dial(later)).map(|dial| dial.peer).collect();
        assert_eq!(order, [first, second]);
        assert_eq!(reconnect.poll_timeout(), None);
    }

    #[test]
    fn an_unwanted_peer_is_forgotten() {
        let (mut reconnect, peer, now) = begin();
        reconnect.handle_unwanted(&peer);
        assert_eq!((reconnect.poll_dial(now), reconnect.poll_timeout()), (None, None));
    }

    #[test]
    fn a_suspect_link_is_dialled_beside_and_kept_if_it_answers() {
        let (mut reconnect, peer, now) = begin();
        reconnect.poll_dial(now);
        reconnect.handle_up(&peer);
        reconnect.handle_suspect(now, &peer);
        assert!(reconnect.poll_dial(now).is_some());
        reconnect.handle_failed(now, &peer, false);
        reconnect.handle_trusted(&peer);
        assert_eq!(reconnect.poll_timeout(), None);
        reconnect.handle_down(now, &peer, false);
        assert_eq!(reconnect.poll_timeout(), Some(now));
    }
}
