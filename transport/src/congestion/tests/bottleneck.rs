//! A bottleneck in numbers: no sockets, no packets' contents, no clock but its own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::competition::{CompetingRound, Competition};
use super::super::delay_target::DelayTarget;

/// What all senders share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Bytes a second.
    pub(super) rate: f64,
    pub(super) rtt: Duration,
    /// From when on the round-trip time is another one.
    pub(super) later_rtt: Option<(Duration, Duration)>,
    /// How long the longest queue takes to send.
    pub(super) buffer: Duration,
    /// Part of the packets that are lost behind the queue.
    pub(super) loss: f64,
    /// How long it is good and bad by turns, on average; half of the packets are lost while it is bad.
    pub(super) bursts: Option<(Duration, Duration)>,
}

/// How a sender finds its rate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Delay,
    /// With so many packets a second to send.
    DelayLimited(u32),
    Cubic,
    /// Until so many seconds.
    CubicUntil(u64),
}

/// What a run has shown.
#[derive(Debug)]
pub(super) struct Report {
    /// Of each sender, its part of the path's rate.
    pub(super) shares: Vec<f64>,
    /// Part of the packets that found the queue full.
    pub(super) dropped: f64,
    /// The windows of the first sender.
    pub(super) windows: BTreeSet<u64>,
    queueing: Vec<Duration>,
}

/// Runs senders, each from its second on, for so many seconds; what is before `from_s` is not in the report.
pub(super) fn run(path: Path, senders: &[(Kind, u64)], seconds: u64, from_s: u64, seed: u64) -> Report {
    let mut world = World::new(path, senders, seed);
    world.run(Duration::from_secs(seconds), Duration::from_secs(from_s))
}

impl Report {
    /// Returns which part of the path's rate was used.
    pub(super) fn used(&self) -> f64 {
        self.shares.iter().sum()
    }

    /// Returns Jain's index: 1 when all have the same.
    pub(super) fn fairness(&self) -> f64 {
        let squares: f64 = self.shares.iter().map(|share| share * share).sum();
        self.used().powi(2) / (self.shares.len() as f64 * squares)
    }

    /// Returns the queueing that half of the looks at it did not exceed.
    pub(super) fn queueing(&self) -> Duration {
        let mut sorted = self.queueing.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }
}

struct World {
    path: Path,
    began_at: Instant,
    senders: Vec<Sender>,
    due: BinaryHeap<Reverse<(Duration, u64, Due)>>,
    number: u64,
    /// When the queue is empty.
    busy_until: Duration,
    is_bad: bool,
    turns_at: Duration,
    /// Packets that came to the queue, and those of them that found it full.
    came: u64,
    dropped: u64,
    random: StdRng,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Send(usize),
    Ack(usize, u64),
}

struct Sender {
    control: Control,
    kind: Kind,
    next: u64,
    in_flight: BTreeMap<u64, Duration>,
    rtt: Duration,
    /// What the pacer lets through at once, in bytes.
    tokens: f64,
    refilled_at: Duration,
    wakes_at: Option<Duration>,
    acked: u64,
}

enum Control {
    Delay(Box<DelayTarget>),
    Cubic { window: u64, competition: Option<Competition>, round_until: u64, has_loss: bool },
}

impl World {
    fn new(path: Path, senders: &[(Kind, u64)], seed: u64) -> Self {
        let began_at = Instant::now();
        let mut world = Self {
            path,
            began_at,
            senders: Vec::new(),
            due: BinaryHeap::new(),
            number: 0,
            busy_until: Duration::ZERO,
            is_bad: true,
            turns_at: Duration::ZERO,
            came: 0,
            dropped: 0,
            random: StdRng::seed_from_u64(seed),
        };
        for (index, (kind, from_s)) in senders.iter().enumerate() {
            let from = Duration::from_secs(*from_s);
            world.senders.push(Sender::new(*kind, began_at + from, from, path.rtt));
            world.push(from, Due::Send(index));
        }
        world
    }

    fn run(&mut self, until: Duration, from: Duration) -> Report {
        let mut report =
            Report { shares: Vec::new(), dropped: 0.0, windows: BTreeSet::new(), queueing: Vec::new() };
        let mut acked_before = vec![0; self.senders.len()];
        let mut look_at = from;
        while let Some(Reverse((now, _, due))) = self.due.pop() {
            if now > until {
                break;
            }
            if now < from {
                acked_before = self.senders.iter().map(|sender| sender.acked).collect();
                (self.came, self.dropped) = (0, 0);
            } else if now >= look_at {
                report.queueing.push(self.busy_until.saturating_sub(now));
                report.windows.insert(self.senders[0].control.window());
                look_at = now + Duration::from_millis(5);
            }
            let index = match due {
                Due::Send(index) => {
                    self.senders[index].wakes_at.take_if(|at| *at <= now);
                    index
                }
                Due::Ack(index, packet) => {
                    self.senders[index].handle_ack(self.began_at, now, packet);
                    index
                }
            };
            self.send(now, index);
        }
        let bytes = self.path.rate * (until - from).as_secs_f64();
        let acked = self.senders.iter().zip(&acked_before).map(|(sender, before)| sender.acked - before);
        report.shares = acked.map(|acked| acked as f64 / bytes).collect();
        report.dropped = self.dropped as f64 / self.came as f64;
        report
    }

    fn send(&mut self, now: Duration, index: usize) {
        loop {
            let sender = &mut self.senders[index];
            match sender.poll_send(now) {
                Some(Ok(packet)) => self.carry(now, index, packet),
                Some(Err(later)) => {
                    if sender.wakes_at.is_none_or(|at| later < at) {
                        sender.wakes_at = Some(later);
                        self.push(later, Due::Send(index));
                    }
                    return;
                }
                None => return,
            }
        }
    }

    /// Puts a packet into the queue, if it has room, and says when it is acknowledged.
    fn carry(&mut self, now: Duration, index: usize, packet: u64) {
        let queueing = self.busy_until.saturating_sub(now);
        self.came += 1;
        if queueing >= self.path.buffer {
            self.dropped += 1;
            return;
        }
        self.busy_until = self.busy_until.max(now) + Duration::from_secs_f64(MTU as f64 / self.path.rate);
        let loss = if self.is_bad(now) { 0.5 } else { self.path.loss };
        if self.random.random::<f64>() < loss {
            return;
        }
        let rtt = self.path.later_rtt.filter(|(from, _)| now >= *from).map_or(self.path.rtt, |(_, rtt)| rtt);
        self.push(self.busy_until + rtt, Due::Ack(index, packet));
    }

    fn is_bad(&mut self, now: Duration) -> bool {
        let Some((good_for, bad_for)) = self.path.bursts else { return false };
        while self.turns_at <= now {
            self.is_bad = !self.is_bad;
            let mean = if self.is_bad { bad_for } else { good_for };
            self.turns_at += mean.mul_f64(-(1.0 - self.random.random::<f64>()).ln());
        }
        self.is_bad
    }

    fn push(&mut self, at: Duration, due: Due) {
        self.number += 1;
        self.due.push(Reverse((at, self.number, due)));
    }
}

impl Sender {
    fn new(kind: Kind, now: Instant, from: Duration, rtt: Duration) -> Self {
        let control = match kind {
            Kind::Delay | Kind::DelayLimited(_) => {
                Control::Delay(Box::new(DelayTarget::new(now, Duration::from_millis(10), MTU)))
            }
            Kind::Cubic | Kind::CubicUntil(_) => {
                Control::Cubic { window: 10 * MTU, competition: None, round_until: 0, has_loss: false }
            }
        };
        Self {
            control,
            kind,
            next: 0,
            in_flight: BTreeMap::new(),
            rtt,
            tokens: BURST,
            refilled_at: from,
            wakes_at: None,
            acked: 0,
        }
    }

    /// Returns the packet that may go now, or when to look again. `None` while an acknowledgement must come first.
    fn poll_send(&mut self, now: Duration) -> Option<Result<u64, Duration>> {
        if let Kind::CubicUntil(seconds) = self.kind
            && now >= Duration::from_secs(seconds)
        {
            return None;
        }
        let window = self.control.window();
        if self.in_flight.len() as u64 * MTU + MTU > window {
            // All of them may be lost.
            let last = self.in_flight.values().last().copied().unwrap_or(now);
            let timeout = last + self.rtt * 3;
            if now >= timeout {
                self.in_flight.clear();
                return Some(Err(now));
            }
            return Some(Err(timeout));
        }
        let rate = match self.kind {
            Kind::DelayLimited(packets) => f64::from(packets) * MTU as f64,
            // As quinn paces.
            _ => 1.25 * window as f64 / self.rtt.as_secs_f64(),
        };
        self.tokens = (self.tokens + rate * (now - self.refilled_at).as_secs_f64()).min(BURST);
        self.refilled_at = now;
        if self.tokens < MTU as f64 {
            let missing = if self.is_limited() { MTU as f64 } else { BURST } - self.tokens;
            return Some(Err(now + Duration::from_secs_f64(missing / rate) + Duration::from_micros(1)));
        }
        self.tokens -= MTU as f64;
        self.in_flight.insert(self.next, now);
        self.next += 1;
        Some(Ok(self.next - 1))
    }

    fn handle_ack(&mut self, began_at: Instant, now: Duration, packet: u64) {
        let Some(sent_at) = self.in_flight.remove(&packet) else { return };
        let rtt = now - sent_at;
        self.rtt = (self.rtt * 7 + rtt) / 8;
        self.acked += MTU;
        let lost = self.in_flight.extract_if(..packet.saturating_sub(2), |_, _| true).count() as u64;
        let (is_limited, next, in_flight) = (self.is_limited(), self.next, self.in_flight.len());
        match &mut self.control {
            Control::Delay(target) => {
                target.handle_ack(began_at + now, began_at + sent_at, MTU, is_limited);
                target.handle_acks_end(began_at + now);
                if lost > 0 {
                    target.handle_loss(began_at + now, lost * MTU, false);
                }
            }
            Control::Cubic { window, competition, round_until, has_loss } => {
                *has_loss |= lost > 0;
                match competition {
                    None if *has_loss => {
                        *competition = Some(Competition::cubic(began_at + now, *window, MTU))
                    }
                    None => *window += MTU,
                    Some(competition) if packet >= *round_until => {
                        // The queue is always the longest.
                        let queueing_max = Duration::from_secs(1);
                        let round = CompetingRound { rtt, queueing_max, has_loss: std::mem::take(has_loss) };
                        *window = competition.handle_round(began_at + now, *window, MTU, &round).max(2 * MTU);
                        *round_until = next.max(packet + in_flight as u64);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn is_limited(&self) -> bool {
        matches!(self.kind, Kind::DelayLimited(_))
    }
}

impl Control {
    fn window(&self) -> u64 {
        match self {
            Self::Delay(target) => target.window(),
            Self::Cubic { window, .. } => *window,
        }
    }
}

const MTU: u64 = 1452;

/// What quinn's pacer lets through at once: ten packets.
const BURST: f64 = 10.0 * MTU as f64;
