//! When a link counts as dead: heartbeats and suspicion. Pure: no clock, no I/O.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// When a link counts as dead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LivenessConfig {
    /// Pause between heartbeats while anything is owed. Default: 1.5 s.
    ///
    /// Too low, it costs packets; too high, suspicion lacks evidence.
    #[serde(with = "humantime_serde")]
    pub owed_interval: Duration,
    /// Pause between heartbeats while nothing is owed. Default: 15 s.
    ///
    /// Too low, it costs data and power; too high, NATs forget the link.
    #[serde(with = "humantime_serde")]
    pub idle_interval: Duration,
    /// Pause between heartbeats while anything is owed and nothing has come for `owed_interval`. Default: 250 ms.
    ///
    /// They go although the window is full. Too low, a path that is dark or slow carries needless packets; too high, one that
    /// comes back is noticed late.
    #[serde(with = "humantime_serde")]
    pub probe_interval: Duration,
    /// Silence, while anything is owed, after which a new link is dialled beside. Default: 5 s.
    ///
    /// Too low, loss causes needless dials; too high, commands wait on a dead link.
    #[serde(with = "humantime_serde")]
    pub suspect_after: Duration,
    /// Silence, while nothing is owed, after which a new link is dialled beside. Default: 40 s.
    ///
    /// Too low, a lost heartbeat causes a needless dial; too high, the first command after a change of address waits.
    #[serde(with = "humantime_serde")]
    pub idle_suspect_after: Duration,
}

/// What is known of the peer's signs of life on one link.
///
/// A sign of life is an authenticated frame, not a datagram. Call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so, after telling it how many frames were received and whether anything is
/// owed. While nothing is, it wants to be looked at for its heartbeats and for the answers to them, and not between.
#[derive(Clone, Debug)]
#[must_use]
pub struct Liveness {
    config: LivenessConfig,
    is_owed: bool,
    /// Since when anything is owed, if it is: the shorter patience begins then.
    owed_at: Instant,
    frames: u64,
    heard_at: Instant,
    heartbeat_at: Instant,
    is_heartbeat_due: bool,
    /// When the last heartbeat is answered, if the peer is there.
    answer_at: Option<Instant>,
    is_suspect: bool,
    /// When the path must have shown that it works, if our socket has just moved.
    proof_at: Option<Instant>,
    /// When it was last told of frames.
    looked_at: Instant,
    wake_at: Instant,
}

impl Default for LivenessConfig {
    fn default() -> Self {
        Self {
            owed_interval: Duration::from_millis(1500),
            idle_interval: Duration::from_secs(15),
            probe_interval: Duration::from_millis(250),
            suspect_after: Duration::from_secs(5),
            idle_suspect_after: Duration::from_secs(40),
        }
    }
}

impl Liveness {
    /// Begins with a link on which something has just been heard.
    pub fn new(config: LivenessConfig, now: Instant) -> Self {
        let heartbeat_at = now + config.idle_interval;
        let mut liveness = Self {
            config,
            is_owed: false,
            owed_at: now,
            frames: 0,
            heard_at: now,
            heartbeat_at,
            is_heartbeat_due: false,
            answer_at: None,
            is_suspect: false,
            proof_at: None,
            looked_at: now,
            wake_at: now,
        };
        liveness.arm(now);
        liveness
    }

    /// Takes note whether anything is owed, in either direction. That something begins to be owed is to be said at once.
    pub fn handle_owed(&mut self, now: Instant, is_owed: bool) {
        if is_owed && !self.is_owed {
            let look_at = now + self.config.owed_interval;
            self.owed_at = now;
            self.heartbeat_at = self.heartbeat_at.min(look_at);
            self.wake_at = self.wake_at.min(look_at);
        }
        self.is_owed = is_owed;
    }

    /// Takes note of the frames received so far on this link.
    pub fn handle_frames_received(&mut self, now: Instant, frames: u64) {
        self.looked_at = now;
        if frames > self.frames {
            self.frames = frames;
            self.heard_at = now;
            self.is_suspect = false;
            self.proof_at = None;
        }
    }

    /// Our socket has moved: a heartbeat is due at once, and the link is suspect unless a frame comes within `patience`.
    /// Tell it the frames received before this.
    pub fn handle_moved(&mut self, now: Instant, patience: Duration) {
        self.proof_at = Some(now + patience);
        self.heartbeat_at = now;
        self.wake_at = now;
    }

    /// Looks at the time.
    pub fn handle_timeout(&mut self, now: Instant) {
        // A thread that looks later than it wanted was itself stuck: that is not the peer's silence.
        let late = now.saturating_duration_since(self.wake_at);
        if late > LATE_TOLERATED {
            self.heard_at = (self.heard_at + late).min(now);
            self.owed_at = (self.owed_at + late).min(now);
            self.proof_at = self.proof_at.map(|at| at + late);
        }
        self.answer_at = self.answer_at.filter(|at| *at > now);
        if now >= self.heartbeat_at {
            self.is_heartbeat_due = true;
            self.heartbeat_at = now + self.interval(now);
            self.answer_at = Some(now + self.config.owed_interval);
        }
        if now >= self.suspect_at() {
            self.is_suspect = true;
        }
        self.arm(now);
    }

    /// Returns, once, whether a heartbeat is due.
    pub fn poll_heartbeat(&mut self) -> bool {
        std::mem::take(&mut self.is_heartbeat_due)
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.wake_at)
    }

    /// Returns whether heartbeats are to go out whatever else waits: something is owed, and the peer is silent.
    pub fn is_probing(&self, now: Instant) -> bool {
        let since = self.heard_at.max(self.owed_at);
        self.is_owed && now.saturating_duration_since(since) >= self.config.owed_interval
    }

    /// Returns whether the peer has been silent for too long.
    pub fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    /// Returns how long the peer has been silent at most, if so many frames were received on this link so far.
    pub fn silent_for(&self, now: Instant, frames: u64) -> Duration {
        let heard_at = if frames > self.frames { self.looked_at.max(self.heard_at) } else { self.heard_at };
        now.saturating_duration_since(heard_at)
    }

    fn arm(&mut self, now: Instant) {
        let look_at = now + self.config.owed_interval;
        let look_at = if self.is_owed || self.is_suspect { Some(look_at) } else { self.answer_at };
        let suspect_at = (!self.is_suspect).then(|| self.suspect_at());
        let wake_at = [look_at, suspect_at].into_iter().flatten().fold(self.heartbeat_at, Instant::min);
        self.wake_at = wake_at.max(now + SHORTEST_WAIT);
    }

    fn interval(&self, now: Instant) -> Duration {
        match self.is_owed {
            true if self.is_probing(now) => self.config.probe_interval,
            true => self.config.owed_interval,
            false => self.config.idle_interval,
        }
    }

    fn suspect_at(&self) -> Instant {
        let idle = self.heard_at + self.config.idle_suspect_after;
        let idle = self.proof_at.map_or(idle, |proof_at| idle.min(proof_at));
        if self.is_owed {
            idle.min(self.heard_at.max(self.owed_at) + self.config.suspect_after)
        } else {
            idle
        }
    }
}

/// A look that comes later than this was held up by our own thread.
const LATE_TOLERATED: Duration = Duration::from_millis(250);

/// Timers have ticks of one millisecond.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs a link for a time, with a frame whenever `is_heard`, and returns the heartbeats it asked for.
    fn run(liveness: &mut Liveness, from: Instant, length: Duration, is_heard: bool) -> usize {
        let (mut heartbeats, mut frames) = (0, liveness.frames);
        while let Some(at) = liveness.poll_timeout().filter(|at| *at <= from + length) {
            if is_heard {
                frames += 1;
            }
            liveness.handle_frames_received(at, frames);
            liveness.handle_timeout(at);
            heartbeats += usize::from(liveness.poll_heartbeat());
        }
        heartbeats
    }

    #[test]
    fn an_owed_link_beats_every_one_and_a_half_seconds() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        liveness.handle_owed(now, true);
        assert_eq!(run(&mut liveness, now, 6010 * MS, true), 4);
        assert!(!liveness.is_suspect());
    }

    #[test]
    fn a_silent_peer_is_probed_four_times_a_second_while_anything_is_owed() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        liveness.handle_owed(now, true);
        assert_eq!(run(&mut liveness, now, 1510 * MS, false), 1);
        assert!(liveness.is_probing(now + 1510 * MS));
        assert_eq!(run(&mut liveness, now + 1510 * MS, 10_000 * MS, false), 40);
        liveness.handle_frames_received(now + 11_600 * MS, 1);
        assert!(!liveness.is_probing(now + 11_600 * MS));
        // One may be on its way to be said.
        assert!(run(&mut liveness, now + 11_600 * MS, 1000 * MS, true) <= 1);
    }

    #[test]
    fn an_idle_link_beats_every_fifteen_seconds() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        assert_eq!(run(&mut liveness, now, 31_000 * MS, true), 2);
    }

    #[test]
    fn an_idle_link_is_looked_at_for_heartbeats_and_their_answers_alone() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        let mut looks = Vec::new();
        for frames in 1..=5 {
            let at = liveness.poll_timeout().expect("there is always a next one");
            looks.push(at.duration_since(now));
            liveness.handle_frames_received(at, frames);
            liveness.handle_timeout(at);
        }
        assert_eq!(looks, [15_000, 16_500, 30_000, 31_500, 45_000].map(|ms| ms * MS));
    }

    #[test]
    fn what_begins_to_be_owed_has_an_idle_link_looked_at_soon() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        assert_eq!(liveness.poll_timeout(), Some(now + 15_000 * MS));
        liveness.handle_owed(now + 7000 * MS, true);
        assert_eq!(liveness.poll_timeout(), Some(now + 8500 * MS));
    }

    #[test]
    fn the_silence_is_no_longer_than_since_the_look_after_which_a_frame_came() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        liveness.handle_frames_received(now + 4000 * MS, 1);
        liveness.handle_frames_received(now + 9000 * MS, 1);
        assert_eq!(liveness.silent_for(now + 10_000 * MS, 1), 6000 * MS);
        assert_eq!(liveness.silent_for(now + 10_000 * MS, 2), 1000 * MS);
    }

    #[test]
    fn five_silent_seconds_make_an_owed_link_suspect_until_a_frame_comes() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        liveness.handle_owed(now, true);
        run(&mut liveness, now, 4900 * MS, false);
        assert!(!liveness.is_suspect());
        run(&mut liveness, now, 5100 * MS, false);
        assert!(liveness.is_suspect());
        liveness.handle_frames_received(now + 6000 * MS, 1);
        assert!(!liveness.is_suspect());
    }

    #[test]
    fn the_silence_of_an_idle_link_is_not_held_against_it_once_something_is_owed() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        run(&mut liveness, now, 14_000 * MS, false);
        liveness.handle_owed(now + 14_000 * MS, true);
        run(&mut liveness, now + 14_000 * MS, 4_900 * MS, false);
        assert!(!liveness.is_suspect());
        run(&mut liveness, now + 14_000 * MS, 5_100 * MS, false);
        assert!(liveness.is_suspect());
    }

    #[test]
    fn an_idle_link_is_suspect_after_forty_silent_seconds() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        run(&mut liveness, now, 39_900 * MS, false);
        assert!(!liveness.is_suspect());
        run(&mut liveness, now, 40_100 * MS, false);
        assert!(liveness.is_suspect());
    }

    #[test]
    fn a_moved_link_is_suspect_unless_it_proves_itself() {
        for is_proven in [false, true] {
            let now = Instant::now();
            let mut liveness = Liveness::new(LivenessConfig::default(), now);
            liveness.handle_frames_received(now, 7);
            liveness.handle_moved(now, 2000 * MS);
            assert_eq!(liveness.poll_timeout(), Some(now));
            liveness.handle_timeout(now);
            assert!(liveness.poll_heartbeat());
            run(&mut liveness, now, 1900 * MS, false);
            assert!(!liveness.is_suspect());
            liveness.handle_frames_received(now + 1900 * MS, if is_proven { 8 } else { 7 });
            run(&mut liveness, now + 1900 * MS, 200 * MS, false);
            assert_eq!(liveness.is_suspect(), !is_proven);
        }
    }

    #[test]
    fn our_own_lateness_is_not_the_peers_silence() {
        let now = Instant::now();
        let mut liveness = Liveness::new(LivenessConfig::default(), now);
        liveness.handle_owed(now, true);
        let late = now + 30_000 * MS;
        liveness.handle_timeout(late);
        assert!(!liveness.is_suspect());
        assert!(liveness.silent_for(late, 0) < 5000 * MS);
    }
}
