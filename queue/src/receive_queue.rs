//! The receive queue and its journal: everything that others have brought to this node.
//!
//! Pure: calls and `handle_*` go in, `poll_*` comes out, and whoever drives it drains every `poll_*` after each call.
//! Each command is handed to its handler at most once: it is remembered until its sender has settled it, however often
//! and over how many links its head comes. No word is said before its record is stored.

mod command;
mod config;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runnel_codec::{
    BusyScope, Class, CommandKey, CommandName, Epoch, FailureKind, Head, LinkNumber, NodeId, Outcome, Part,
    Rejection, Settled, StreamFrame, UpdatePolicy,
};

use self::command::{Known, State};
pub use self::config::ReceiveQueueConfig;
use self::waiting::Waiting;
use crate::settled::SettledSet;
use crate::store::{Batch, BatchId, Journal};

/// The receive queue of a node.
#[derive(Debug)]
#[must_use]
pub struct ReceiveQueue {
    config: ReceiveQueueConfig,
    random: StdRng,
    senders: BTreeMap<NodeId, Sender>,
    waiting: Waiting,
    waiting_bytes: u64,
    unfinished: usize,
    running: usize,
    running_by_name: BTreeMap<CommandName, usize>,
    journal: Journal<ReceiveRecord>,
    starts: VecDeque<Start>,
    replies: VecDeque<Reply>,
    stops: VecDeque<Stop>,
    rooms: VecDeque<(NodeId, CommandKey, usize)>,
    /// Deadlines, and ends of the time that a handler has to stop.
    alarms: BTreeSet<(Instant, NodeId, CommandKey)>,
}

/// Which stream of which link; a newer one is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The link.
    pub link: LinkNumber,
    /// The QUIC stream id.
    pub stream: u64,
}

/// What the receive queue stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiveRecord {
    /// The handler of a command is about to be called.
    Started(NodeId, CommandKey),
    /// A command has ended, or never will start.
    Ended(NodeId, CommandKey),
    /// Its sender has settled these commands.
    Settled(NodeId, Settled),
}

/// A command whose handler is to be called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Who sent it.
    pub from: NodeId,
    /// Which of its commands.
    pub key: CommandKey,
    /// Its type.
    pub name: CommandName,
    /// Its priority.
    pub class: Class,
    /// Encoded arguments.
    pub args: Bytes,
    /// Inline payload.
    pub payload: Bytes,
    /// When its deadline passes.
    pub deadline_at: Option<Instant>,
    /// Its type declares that running it again does no harm.
    pub idempotent: bool,
    /// What becomes of its updates.
    pub updates: UpdatePolicy,
}

/// A running command that is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Who sent it.
    pub from: NodeId,
    /// Which of its commands.
    pub key: CommandKey,
    /// Why.
    pub reason: StopReason,
}

/// Why a running command is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Its caller cancelled it.
    Cancelled,
    /// Its deadline has passed.
    DeadlineExceeded,
}

/// What is to be written to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// To whom.
    pub peer: NodeId,
    /// On which stream.
    pub at: Attachment,
    /// The frame.
    pub frame: StreamFrame,
    /// Nothing follows it.
    pub is_last: bool,
}

/// What is known of one sender.
#[derive(Debug, Default)]
struct Sender {
    /// The link that is up; anything of another is refused at the door.
    link: Option<LinkNumber>,
    known: BTreeMap<CommandKey, Known>,
    settled: BTreeMap<Epoch, SettledSet>,
    unfinished: usize,
}

impl ReceiveQueue {
    /// Makes an empty queue.
    pub fn new(config: ReceiveQueueConfig, seed: u64) -> Self {
        Self {
            config,
            random: StdRng::seed_from_u64(seed),
            senders: BTreeMap::new(),
            waiting: Waiting::default(),
            waiting_bytes: 0,
            unfinished: 0,
            running: 0,
            running_by_name: BTreeMap::new(),
            journal: Journal::new(),
            starts: VecDeque::new(),
            replies: VecDeque::new(),
            stops: VecDeque::new(),
            rooms: VecDeque::new(),
            alarms: BTreeSet::new(),
        }
    }

    /// A link from a sender is up and replaces any older one, with all its streams.
    pub fn handle_link_up(&mut self, peer: &NodeId, link: LinkNumber, settled: &[Settled]) {
        let sender = self.senders.entry(peer.clone()).or_default();
        sender.link = Some(link);
        sender.detach_all();
        for settled in settled {
            self.handle_settled(peer, settled);
        }
    }

    /// A link is down. Handlers go on; their words wait for the next link.
    pub fn handle_link_down(&mut self, peer: &NodeId, link: LinkNumber) {
        if let Some(sender) = self.senders.get_mut(peer)
            && sender.link == Some(link)
        {
            sender.link = None;
            sender.detach_all();
        }
    }

    /// A stream has ended before its command did: what is still to be said waits for another.
    pub fn handle_stream_lost(&mut self, peer: &NodeId, key: CommandKey, at: Attachment) {
        if let Some(known) = self.known_mut(peer, key)
            && known.at == Some(at)
        {
            known.at = None;
        }
    }

    /// The head of a command has come, with its inline payload.
    pub fn handle_head(&mut self, now: Instant, peer: &NodeId, at: Attachment, head: Head, payload: Bytes) {
        let key = head.key;
        let Some(sender) = self.senders.get_mut(peer).filter(|sender| sender.link == Some(at.link)) else {
            return;
        };
        if sender.has_settled(key) {
            return self.reply(peer, at, StreamFrame::Stale, true);
        }
        match sender.known.get_mut(&key) {
            Some(known) if known.at.is_some() => self.reply(peer, at, StreamFrame::Duplicate, true),
            Some(known) => {
                known.at = Some(at);
                let freed = known.log.attach(head.updates_received, head.updates_credit);
                self.give_room(peer, key, freed);
                self.greet(peer, key, at);
                if head.cancelled {
                    self.handle_cancel(now, peer, key);
                }
                self.pump(peer, key);
            }
            None if head.cancelled => self.bury(peer, key, Some(at), Outcome::Cancelled),
            None if head.deadline_remaining.is_some_and(|remaining| remaining.is_zero()) => {
                self.bury(peer, key, Some(at), Outcome::Expired);
            }
            None => self.admit(now, peer, at, head, payload),
        }
    }

    /// The node does not take this command: it has not started and never will.
    pub fn reject(&mut self, peer: &NodeId, key: CommandKey, rejection: Rejection) {
        let is_queued = self.known_mut(peer, key).is_some_and(|known| known.state == State::Queued);
        if is_queued {
            self.unqueue(peer, key, Outcome::rejected(rejection.kind, rejection.message));
        }
    }

    /// The caller wants a command cancelled, perhaps one whose head has not come yet.
    pub fn handle_cancel(&mut self, now: Instant, peer: &NodeId, key: CommandKey) {
        let Some(sender) = self.senders.get_mut(peer) else { return };
        if sender.has_settled(key) {
            return;
        }
        match sender.known.get(&key).map(|known| &known.state) {
            None if sender.known.len() < self.config.journal_max => {
                self.bury(peer, key, None, Outcome::Cancelled)
            }
            Some(State::Queued) => self.unqueue(peer, key, Outcome::Cancelled),
            Some(State::Starting | State::Running) => self.stop(now, peer, key, StopReason::Cancelled),
            // Without a place in the journal nothing is promised: the head, when it comes, carries the wish again.
            None | Some(State::Ending(_) | State::Ended(_)) => {}
        }
    }

    /// The sender has settled commands. They are forgotten once that is stored.
    pub fn handle_settled(&mut self, peer: &NodeId, settled: &Settled) {
        self.journal.push(ReceiveRecord::Settled(peer.clone(), settled.clone()));
    }

    /// The sender lets a part of a command be written further.
    pub fn handle_credit(&mut self, peer: &NodeId, key: CommandKey, part: Part, offset: u64) {
        if part == Part::Updates
            && let Some(known) = self.known_mut(peer, key)
        {
            known.log.grant(offset);
            self.pump(peer, key);
        }
    }

    /// The sender holds updates: they are let go of.
    pub fn handle_received(&mut self, peer: &NodeId, key: CommandKey, updates: u64) {
        if let Some(known) = self.known_mut(peer, key) {
            let freed = known.log.acknowledge(updates);
            self.give_room(peer, key, freed);
        }
    }

    /// A handler has sent an update. Empty ones are dropped: they would cost no credit.
    pub fn handle_update(&mut self, peer: &NodeId, key: CommandKey, content: Bytes) {
        let Some(known) = self.known_mut(peer, key).filter(|known| known.state == State::Running) else {
            return;
        };
        let len = content.len();
        if known.updates == UpdatePolicy::Discard {
            return self.give_room(peer, key, len);
        }
        if !content.is_empty() {
            known.log.push(content);
            self.pump(peer, key);
        }
    }

    /// A handler has ended. An outcome that has been said already is not changed.
    pub fn handle_finished(&mut self, peer: &NodeId, key: CommandKey, outcome: Outcome) {
        let Some(known) = self.known_mut(peer, key).filter(|known| known.state == State::Running) else {
            return;
        };
        known.state = State::Ending(outcome);
        self.journal.push(ReceiveRecord::Ended(peer.clone(), key));
    }

    /// A batch of records is stored: what depends on it may be said.
    pub fn handle_stored(&mut self, batch: BatchId) {
        for record in self.journal.stored(batch) {
            match record {
                ReceiveRecord::Started(peer, key) => self.started(peer, key),
                ReceiveRecord::Ended(peer, key) => self.ended(&peer, key),
                ReceiveRecord::Settled(peer, settled) => self.settled(&peer, &settled),
            }
        }
        self.start_waiting();
    }

    /// Looks at the time: deadlines, and handlers that do not stop.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, peer, key)) = self.alarms.first().filter(|(at, ..)| *at <= now).cloned() {
            self.alarms.pop_first();
            let Some(known) = self.known_mut(&peer, key) else { continue };
            match known.state {
                State::Queued => self.unqueue(&peer, key, Outcome::Expired),
                State::Running if known.stop_until.is_some_and(|until| until <= now) => {
                    let kind = match known.stop {
                        Some(StopReason::DeadlineExceeded) => FailureKind::DeadlineExceeded,
                        _ => FailureKind::Cancelled,
                    };
                    let outcome = Outcome::failed(kind, "the handler did not stop in time");
                    self.handle_finished(&peer, key, outcome);
                }
                State::Starting | State::Running => self.stop(now, &peer, key, StopReason::DeadlineExceeded),
                State::Ending(_) | State::Ended(_) => {}
            }
        }
    }

    /// Returns the next batch of records to store.
    pub fn poll_store(&mut self) -> Option<Batch<ReceiveRecord>> {
        self.start_waiting();
        self.journal.poll()
    }

    /// Returns the next command whose handler is to be called.
    pub fn poll_start(&mut self) -> Option<Start> {
        self.starts.pop_front()
    }

    /// Returns the next frame to write.
    pub fn poll_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    /// Returns the next command that is to stop.
    pub fn poll_stop(&mut self) -> Option<Stop> {
        self.stops.pop_front()
    }

    /// Returns whose updates have become fewer, by how many bytes.
    pub fn poll_room(&mut self) -> Option<(NodeId, CommandKey, usize)> {
        self.rooms.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, ..)| *at)
    }

    /// Returns how many commands of a sender are accepted and have not ended: each keeps a stream open.
    pub fn places(&self, peer: &NodeId) -> usize {
        self.senders.get(peer).map_or(0, |sender| sender.unfinished)
    }

    /// Returns whether this node owes a sender an answer.
    pub fn owes(&self, peer: &NodeId) -> bool {
        self.senders.get(peer).is_some_and(|sender| !sender.known.is_empty())
    }

    /// Takes a new command into the queue, or answers `Busy`.
    fn admit(&mut self, now: Instant, peer: &NodeId, at: Attachment, head: Head, payload: Bytes) {
        if let Some(scope) = self.busy(peer, &head, payload.len()) {
            let retry_after = self.config.busy_retry_after.mul_f64(self.random.random_range(1.0..1.5));
            return self.reply(peer, at, StreamFrame::Busy { scope, retry_after }, true);
        }
        let (key, class) = (head.key, head.class);
        let known = Known::queued(now, at, head, payload);
        if let Some(deadline_at) = known.deadline_at {
            self.alarms.insert((deadline_at, peer.clone(), key));
        }
        self.waiting_bytes += known.waiting_bytes();
        self.waiting.push(class, peer, key);
        self.unfinished += 1;
        if let Some(sender) = self.senders.get_mut(peer) {
            sender.unfinished += 1;
            sender.known.insert(key, known);
        }
        self.greet(peer, key, at);
    }

    /// Returns what is full for a new command.
    fn busy(&self, peer: &NodeId, head: &Head, payload_bytes: usize) -> Option<BusyScope> {
        let sender = self.senders.get(peer)?;
        if sender.unfinished >= self.config.sender_commands_max
            || sender.known.len() >= self.config.journal_max
        {
            return Some(BusyScope::Peer);
        }
        let reserve = if head.class == Class::Urgent { 0 } else { self.config.urgent_reserve };
        let bytes = self.waiting_bytes + (head.args.len() + payload_bytes) as u64;
        let is_full = self.unfinished + reserve >= self.config.commands_max || bytes > self.config.bytes_max;
        is_full.then_some(BusyScope::Class)
    }

    /// Has commands started, as far as the limits on running ones allow.
    fn start_waiting(&mut self) {
        while self.waiting.len() > 0 && self.running < self.config.running_max {
            let (senders, running, limits) =
                (&self.senders, &self.running_by_name, &self.config.running_max_by_name);
            let may_start = |peer: &NodeId, key: CommandKey| {
                let known = senders.get(peer).and_then(|sender| sender.known.get(&key));
                let Some(name) = known.and_then(|known| known.name.as_ref()) else { return true };
                let limit = limits.get(name.as_str()).copied().unwrap_or(usize::MAX);
                running.get(name).copied().unwrap_or(0) < limit
            };
            let Some((peer, key)) = self.waiting.pop(may_start) else { return };
            let Some(known) = self.senders.get_mut(&peer).and_then(|sender| sender.known.get_mut(&key))
            else {
                continue;
            };
            known.state = State::Starting;
            known.has_started = true;
            self.waiting_bytes -= known.waiting_bytes();
            self.running += 1;
            if let Some(name) = known.name.clone() {
                *self.running_by_name.entry(name).or_default() += 1;
            }
            self.journal.push(ReceiveRecord::Started(peer, key));
        }
    }

    fn started(&mut self, peer: NodeId, key: CommandKey) {
        let Some(known) = self.known_mut(&peer, key) else { return };
        known.state = State::Running;
        let (start, at, stop) = (known.take_start(peer.clone(), key), known.at, known.stop);
        self.starts.extend(start);
        if let Some(at) = at {
            self.reply(&peer, at, StreamFrame::Started, false);
        }
        // It was told to stop before its handler was there to hear it.
        self.stops.extend(stop.map(|reason| Stop { from: peer, key, reason }));
    }

    fn ended(&mut self, peer: &NodeId, key: CommandKey) {
        let Some(sender) = self.senders.get_mut(peer) else { return };
        let Some(known) = sender.known.get_mut(&key) else { return };
        let State::Ending(outcome) = &known.state else { return };
        known.state = State::Ended(outcome.clone());
        for at in [known.deadline_at, known.stop_until].into_iter().flatten() {
            self.alarms.remove(&(at, peer.clone(), key));
        }
        if known.has_started {
            self.running -= 1;
            if let Some(name) = &known.name
                && let Some(running) = self.running_by_name.get_mut(name)
            {
                *running -= 1;
            }
        }
        // Tombstones of commands that were never accepted have no name and were not counted.
        if known.name.is_some() {
            sender.unfinished -= 1;
            self.unfinished -= 1;
        }
        self.pump(peer, key);
    }

    fn settled(&mut self, peer: &NodeId, settled: &Settled) {
        let Some(sender) = self.senders.get_mut(peer) else { return };
        sender.settled.entry(settled.epoch).or_default().merge(&SettledSet::from_wire(settled));
        let set = &sender.settled[&settled.epoch];
        let is_over = |key: CommandKey, known: &Known| {
            key.epoch == settled.epoch && set.contains(key.seq) && matches!(known.state, State::Ended(_))
        };
        sender.known.retain(|key, known| !is_over(*key, known));
    }

    /// Says "never" about a command that is not in the queue, once that is stored.
    fn bury(&mut self, peer: &NodeId, key: CommandKey, at: Option<Attachment>, outcome: Outcome) {
        let Some(sender) = self.senders.get_mut(peer) else { return };
        sender.known.insert(key, Known::tombstone(at, outcome));
        self.journal.push(ReceiveRecord::Ended(peer.clone(), key));
    }

    /// Says "never" about a command that waits, once that is stored.
    fn unqueue(&mut self, peer: &NodeId, key: CommandKey, outcome: Outcome) {
        let Some(known) = self.senders.get_mut(peer).and_then(|sender| sender.known.get_mut(&key)) else {
            return;
        };
        self.waiting_bytes -= known.waiting_bytes();
        self.waiting.remove(known.class, peer, key);
        known.args = Bytes::new();
        known.payload = Bytes::new();
        known.state = State::Ending(outcome);
        self.journal.push(ReceiveRecord::Ended(peer.clone(), key));
    }

    /// Tells a running command to stop; it has a time to do so.
    fn stop(&mut self, now: Instant, peer: &NodeId, key: CommandKey, reason: StopReason) {
        let until = now + self.config.stop_grace;
        let Some(known) = self.known_mut(peer, key).filter(|known| known.stop.is_none()) else { return };
        known.stop = Some(reason);
        known.stop_until = Some(until);
        let is_running = known.state == State::Running;
        self.alarms.insert((until, peer.clone(), key));
        if is_running {
            self.stops.push_back(Stop { from: peer.clone(), key, reason });
        }
    }

    /// Begins the answers on a stream.
    fn greet(&mut self, peer: &NodeId, key: CommandKey, at: Attachment) {
        let Some(known) = self.known_mut(peer, key) else { return };
        let is_started = known.has_started && known.state != State::Starting;
        if known.name.is_some() {
            self.reply(peer, at, StreamFrame::Accepted { body_received: 0, body_credit: 0 }, false);
        }
        if is_started {
            self.reply(peer, at, StreamFrame::Started, false);
        }
    }

    /// Writes updates as far as credit goes, and the outcome behind the last of them.
    fn pump(&mut self, peer: &NodeId, key: CommandKey) {
        let Some(known) = self.senders.get_mut(peer).and_then(|sender| sender.known.get_mut(&key)) else {
            return;
        };
        let Some(at) = known.at else { return };
        let reply = |frame, is_last| Reply { peer: peer.clone(), at, frame, is_last };
        while let Some((number, content)) = known.log.poll() {
            self.replies.push_back(reply(StreamFrame::Update { number, content }, false));
        }
        if let State::Ended(outcome) = &known.state
            && known.log.is_written()
        {
            self.replies.push_back(reply(StreamFrame::Outcome(outcome.clone()), true));
            // The stream is done; a further head gets the same answer on its own stream.
            known.at = None;
        }
    }

    fn give_room(&mut self, peer: &NodeId, key: CommandKey, bytes: usize) {
        if bytes > 0 {
            self.rooms.push_back((peer.clone(), key, bytes));
        }
    }

    fn reply(&mut self, peer: &NodeId, at: Attachment, frame: StreamFrame, is_last: bool) {
        self.replies.push_back(Reply { peer: peer.clone(), at, frame, is_last });
    }

    fn known_mut(&mut self, peer: &NodeId, key: CommandKey) -> Option<&mut Known> {
        self.senders.get_mut(peer)?.known.get_mut(&key)
    }
}

impl Sender {
    fn has_settled(&self, key: CommandKey) -> bool {
        self.settled.get(&key.epoch).is_some_and(|settled| settled.contains(key.seq))
    }

    fn detach_all(&mut self) {
        for known in self.known.values_mut() {
            known.at = None;
        }
    }
}
