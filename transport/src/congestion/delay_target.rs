//! Finds the rate of a path by the queue that it causes. Pure: no clock, no I/O.

use std::time::{Duration, Instant};

use super::base_rtt::BaseRtt;
use super::competition::{CompetingRound, Competition};
use super::round::{Loss, Round, Seen};
use super::whole;

/// The window of one path: how many bytes may be in flight.
#[derive(Clone, Debug)]
pub(super) struct DelayTarget {
    /// Queueing to aim at.
    target: Duration,
    mtu: u64,
    window: u64,
    phase: Phase,
    base: BaseRtt,
    /// Whether the base was where it was taken to be when it was last looked for.
    is_base_sure: bool,
    round: Round,
    loss: Loss,
    /// How much the window grew last, in bytes.
    step: u64,
    /// While the queue stays although the window shrinks.
    pressed: Option<Pressed>,
    drained_at: Instant,
    /// The competition that it last left.
    left: Option<Left>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The window doubles each round trip, until a queue shows.
    Startup,
    /// The window follows the queue.
    Steady,
    /// The window is smaller for a few round trips, to see the path without the queue that it causes itself.
    Draining(Drain),
    /// Others fill the buffer: the window takes its share.
    Competing(Competition),
}

#[derive(Clone, Copy, Debug)]
struct Drain {
    why: Why,
    /// The window before.
    window: u64,
    /// The base round-trip time before.
    base: Duration,
    /// What the path holds without a queue, in bytes.
    pipe: u64,
    stage: Stage,
}

/// How far a drain has come: a round each.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The window is a little below what the path holds, which hardly idles.
    Glance,
    /// The window is half of that.
    Halved,
    /// It still is, and what is seen was sent without the queue.
    Settled,
}

#[derive(Clone, Copy, Debug)]
enum Why {
    /// The base round-trip time was not seen for long.
    BaseIsOld,
    /// The queue stays although the window shrinks.
    QueueStays(Pressed),
    /// To see whether there is still anybody to compete with.
    Competes(Competition),
}

/// While the queue is above the target although the window shrinks.
#[derive(Clone, Copy, Debug)]
struct Pressed {
    /// How long it was a long one, without a break.
    rounds: u32,
    /// The window when it began.
    window: u64,
}

/// A competition that seems to be over.
#[derive(Clone, Copy, Debug)]
struct Left {
    at: Instant,
    /// The window that it had.
    window: u64,
}

impl DelayTarget {
    pub(super) fn new(now: Instant, target: Duration, mtu: u64) -> Self {
        Self {
            target,
            mtu,
            window: INITIAL_PACKETS * mtu,
            phase: Phase::Startup,
            base: BaseRtt::new(now),
            is_base_sure: false,
            round: Round::new(now),
            loss: Loss::default(),
            step: mtu,
            pressed: None,
            drained_at: now,
            left: None,
        }
    }

    /// A packet is acknowledged.
    pub(super) fn handle_ack(&mut self, now: Instant, sent_at: Instant, bytes: u64, is_app_limited: bool) {
        let sample = now.saturating_duration_since(sent_at);
        self.base.handle_sample(now, sample);
        self.round.handle_ack(now, sent_at, bytes, is_app_limited);
        let is_free = self.base.queueing(sample) < self.startup_queueing(sample);
        if matches!(self.phase, Phase::Startup) && is_free && !is_app_limited {
            self.window += bytes;
        }
    }

    /// All packets of one acknowledgement were handled.
    pub(super) fn handle_acks_end(&mut self, now: Instant) {
        let Some(seen) = self.round.poll_end(now) else { return };
        self.loss.handle_round(&seen);
        match self.phase {
            Phase::Startup => self.handle_startup_round(now, &seen),
            Phase::Steady => self.handle_steady_round(now, &seen),
            Phase::Draining(drain) => self.handle_draining_round(now, &seen, drain),
            Phase::Competing(competition) => self.handle_competing_round(now, &seen, competition),
        }
        self.window = self.window.max(self.window_min());
    }

    /// Packets were lost. All for long, if the loss `is_persistent` (RFC 9002, section 7.6).
    pub(super) fn handle_loss(&mut self, now: Instant, bytes: u64, is_persistent: bool) {
        self.round.handle_loss(bytes);
        if is_persistent {
            self.window = self.window_min();
            self.phase = Phase::Startup;
            self.pressed = None;
            self.round = Round::new(now);
        }
    }

    pub(super) fn handle_mtu(&mut self, mtu: u64) {
        self.mtu = mtu;
        self.window = self.window.max(self.window_min());
    }

    /// Returns how many bytes may be in flight.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    fn handle_startup_round(&mut self, now: Instant, seen: &Seen) {
        if seen.is_app_limited {
            return;
        }
        let has_queue = self.base.queueing(seen.rtt_min) >= self.startup_queueing(seen.rtt_min);
        if (has_queue && seen.samples >= SAMPLES_MIN) || self.loss.is_high(self.mtu) {
            let pipe = seen.rate() * (self.base.get() + self.target / 2).as_secs_f64();
            self.window = self.window.min(whole(pipe));
            self.loss.handle_cut();
            self.settle(now);
        }
    }

    fn handle_steady_round(&mut self, now: Instant, seen: &Seen) {
        if seen.is_app_limited {
            // Its queue is not of this sender's making, and shows the path as it is.
            if self.base.age(now) >= BASE_KEPT {
                self.replace_base(now, seen.rtt_min);
            }
            self.step = self.mtu;
            return;
        }
        let queueing = self.base.queueing(seen.rtt_min);
        let target = self.target(seen.rtt_min);
        if self.loss.is_congestion(self.mtu) {
            self.window = self.window * 8 / 10;
            self.loss.handle_cut();
            self.step = self.mtu;
        } else if queueing > target {
            self.shrink(now, seen.rtt_min, queueing, target);
        } else {
            self.pressed = None;
            self.grow(seen.rtt_min, queueing, target);
        }
        if matches!(self.phase, Phase::Steady) && self.base.age(now) >= BASE_KEPT {
            self.drain(seen.rtt_min, Why::BaseIsOld);
        }
    }

    /// Twice as much as in the last round, but at most half of the queue that there is room for; less than a packet just
    /// below the target, so that many senders on one path do not overshoot together.
    fn grow(&mut self, rtt: Duration, queueing: Duration, target: Duration) {
        let free = 1.0 - queueing.as_secs_f64() / target.as_secs_f64();
        let rate = self.window as f64 / rtt.as_secs_f64();
        let room = rate * (target - queueing).as_secs_f64();
        let wanted = if free > 0.5 { self.step * 2 } else { self.mtu };
        self.step = wanted.min(whole(room / 2.0)).max(whole(self.mtu as f64 * free));
        self.window += self.step;
    }

    /// To what would have caused the target's queue, were there nobody else.
    fn shrink(&mut self, now: Instant, rtt: Duration, queueing: Duration, target: Duration) {
        let base = self.base.get();
        let kept = (base + target).as_secs_f64() / (base + queueing).as_secs_f64();
        let before = self.window;
        self.window = whole(self.window as f64 * kept.max(0.5));
        self.step = self.mtu;
        let is_long = self.is_long(rtt, queueing);
        let pressed = self.pressed.get_or_insert(Pressed { rounds: 0, window: before });
        pressed.rounds = if is_long { pressed.rounds + 1 } else { 0 };
        let pressed = *pressed;
        let left = self.left.filter(|left| now.saturating_duration_since(left.at) < COMPETITION_REMEMBERED);
        if let Some(left) = left
            && pressed.rounds >= 2
        {
            self.compete(now, pressed.window.max(left.window), queueing);
        } else if pressed.rounds >= PRESSED_ROUNDS && now.saturating_duration_since(self.drained_at) > rtt * 8
        {
            self.drain(rtt, Why::QueueStays(pressed));
        }
    }

    fn drain(&mut self, rtt: Duration, why: Why) {
        let base = self.base.get();
        let pipe = whole(self.window as f64 * base.as_secs_f64() / rtt.as_secs_f64());
        let is_glance = self.is_base_sure && matches!(why, Why::BaseIsOld);
        let stage = if is_glance { Stage::Glance } else { Stage::Halved };
        self.enter(Drain { why, window: self.window, base, pipe, stage });
    }

    fn enter(&mut self, drain: Drain) {
        self.window = match drain.stage {
            Stage::Glance => drain.pipe / 8 * 7,
            Stage::Halved | Stage::Settled => drain.pipe / 2,
        };
        self.phase = Phase::Draining(drain);
    }

    fn handle_draining_round(&mut self, now: Instant, seen: &Seen, drain: Drain) {
        let is_base_back = self.base.age(now) < seen.took && self.base.is_near(drain.base);
        if is_base_back && matches!(drain.why, Why::BaseIsOld) {
            self.is_base_sure = true;
            self.window = drain.window;
            return self.settle(now);
        }
        match drain.stage {
            Stage::Glance => self.enter(Drain { stage: Stage::Halved, ..drain }),
            Stage::Halved => self.enter(Drain { stage: Stage::Settled, ..drain }),
            Stage::Settled => self.leave(now, seen, drain),
        }
    }

    /// After a drain that was not over at once.
    fn leave(&mut self, now: Instant, seen: &Seen, drain: Drain) {
        self.is_base_sure = false;
        let kept = if matches!(drain.why, Why::BaseIsOld) { BASE_KEPT } else { BASE_KEPT * 3 };
        if self.base.age(now) >= kept {
            self.replace_base(now, seen.rtt_min);
        }
        let queueing = self.base.queueing(seen.rtt_min);
        let is_alone = queueing <= self.target.mul_f64(LONG_QUEUE);
        self.window = drain.window;
        self.settle(now);
        match drain.why {
            Why::BaseIsOld => {}
            _ if is_alone => {
                self.window = whole(drain.window as f64 * KEPT_WHEN_ALONE);
                if matches!(drain.why, Why::Competes(_)) {
                    self.left = Some(Left { at: now, window: drain.window });
                }
            }
            Why::QueueStays(pressed) => self.compete(now, pressed.window, queueing),
            Why::Competes(mut competition) => {
                competition.looked_at = now;
                self.phase = Phase::Competing(competition);
            }
        }
    }

    fn handle_competing_round(&mut self, now: Instant, seen: &Seen, mut competition: Competition) {
        if self.base.queueing(seen.rtt_min) < self.target / 2 {
            competition.free_rounds += 1;
            if competition.free_rounds >= FREE_ROUNDS {
                self.left = Some(Left { at: now, window: self.window });
                return self.settle(now);
            }
        } else {
            competition.free_rounds = 0;
        }
        let has_loss = seen.lost_bytes > 0;
        let round =
            CompetingRound { rtt: seen.rtt_min, queueing_max: self.base.queueing(seen.rtt_max), has_loss };
        self.window = competition.handle_round(now, self.window, self.mtu, &round);
        self.phase = Phase::Competing(competition);
        // Best right after a loss: others of this kind see it as well, and look at the same time.
        let since = now.saturating_duration_since(competition.looked_at);
        if (since >= LOOK_INTERVAL && has_loss) || since >= LOOK_INTERVAL * 2 {
            self.drain(seen.rtt_min, Why::Competes(competition));
        }
    }

    fn compete(&mut self, now: Instant, window: u64, queueing: Duration) {
        self.pressed = None;
        self.window = window;
        self.phase = Phase::Competing(Competition::new(now, window, self.mtu, queueing));
    }

    fn settle(&mut self, now: Instant) {
        self.phase = Phase::Steady;
        self.step = self.mtu;
        self.pressed = None;
        self.drained_at = now;
    }

    fn replace_base(&mut self, now: Instant, rtt: Duration) {
        self.base.replace(now, rtt);
        self.is_base_sure = false;
    }

    /// The queue to aim at: longer with a smaller window, so that who has less takes more, and at least two packets.
    fn target(&self, rtt: Duration) -> Duration {
        let packets = self.window as f64 / self.mtu as f64;
        let burst = rtt.mul_f64(2.0 / packets);
        self.target.max(burst).mul_f64((0.5 + FAIRNESS / packets.sqrt()).clamp(0.5, 2.0))
    }

    /// The queue that ends the startup.
    fn startup_queueing(&self, rtt: Duration) -> Duration {
        self.target(rtt).min(self.base.get() / 4 + Duration::from_millis(2))
    }

    /// Whether a queue is longer than senders of this kind cause together.
    fn is_long(&self, rtt: Duration, queueing: Duration) -> bool {
        let two_packets = rtt.mul_f64(2.0 * self.mtu as f64 / self.window as f64);
        queueing > self.target.mul_f64(LONG_QUEUE) + two_packets.min(self.target)
    }

    fn window_min(&self) -> u64 {
        WINDOW_PACKETS_MIN * self.mtu
    }
}

/// The window before anything is known, in packets (RFC 9002, section 7.2).
const INITIAL_PACKETS: u64 = 10;

/// The smallest window, in packets. Two would do for a round trip; with four, a loss is noticed by those behind it.
const WINDOW_PACKETS_MIN: u64 = 4;

/// Samples without which a round says nothing of a queue.
const SAMPLES_MIN: u32 = 4;

/// How long the base round-trip time counts without being seen again, as in BBR.
const BASE_KEPT: Duration = Duration::from_secs(10);

/// How much longer the queue may be for a small window: 0.5 + this / √packets, as Swift scales its target by flow. At 36
/// packets it is the target itself.
const FAIRNESS: f64 = 3.0;

/// From how many targets on a queue is not of this kind of senders.
const LONG_QUEUE: f64 = 1.5;

/// Rounds in which a long queue stays before it is found out whose it is.
const PRESSED_ROUNDS: u32 = 4;

/// How much of the window is kept when a long queue turns out to have been its own.
const KEPT_WHEN_ALONE: f64 = 0.85;

/// How often a competing sender looks whether it is alone.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long after a competition a long queue means that it is back.
const COMPETITION_REMEMBERED: Duration = Duration::from_secs(30);

/// Rounds without a queue that end a competition: right after an overflow there is none for a few, as all have cut.
const FREE_ROUNDS: u32 = 8;
