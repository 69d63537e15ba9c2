//! The global send queue: everything that this node has promised to bring to others.
//!
//! Pure: calls and `handle_*` go in, `poll_*` comes out, and whoever drives it drains every `poll_*` after each call.
//! A command is stored, waits in the line of its class and peer, is bound to the receiver's epoch before its first byte
//! leaves, is sent over as many links as it takes, and ends in exactly one outcome. The loss of a link is never one.

mod abandon;
mod bodies;
mod counts;
mod credits;
mod deadline;
mod entry;
mod explain;
mod peer;
mod poison;
mod resend;
mod updates;
mod usage;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runnel_codec::{
    BusyScope, Class, CommandId, CommandKey, Epoch, NodeId, Outcome, Seq, Settled, StreamFrame,
};

pub use self::counts::PeerCounts;
use self::entry::Entry;
pub use self::entry::{NewCommand, Stage};
pub use self::explain::{SendCounts, Waiting, WaitsFor};
pub use self::peer::LinkUp;
use self::peer::{Next, Peer};
use self::usage::TotalUsage;
pub use self::words::{SendEvent, SendRecord, Transmit};
use crate::config::SendQueueConfig;
use crate::error::{NotFound, ProtocolError, SubmitError};
use crate::room::Room;
use crate::scheduler::Scheduler;
use crate::store::{Batch, BatchId, Journal};

/// The global send queue.
#[derive(Debug)]
#[must_use]
pub struct SendQueue {
    config: SendQueueConfig,
    node: NodeId,
    epoch: Epoch,
    random: StdRng,
    peers: BTreeMap<NodeId, Peer>,
    total: TotalUsage,
    scheduler: Scheduler,
    journal: Journal<SendRecord>,
    events: VecDeque<SendEvent>,
    control: VecDeque<Transmit>,
    /// When a deadline passes, a pause ends or a command may be sent again.
    alarms: BTreeSet<(Instant, Alarm)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Deadline(NodeId, CommandKey),
    Resend(NodeId, CommandKey),
    Pause(NodeId),
}

impl SendQueue {
    /// Makes an empty queue that numbers its commands under `epoch`.
    pub fn new(config: SendQueueConfig, node: NodeId, epoch: Epoch, seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(config.scheduler.clone()),
            config,
            node,
            epoch,
            random: StdRng::seed_from_u64(seed),
            peers: BTreeMap::new(),
            total: TotalUsage::default(),
            journal: Journal::new(),
            events: VecDeque::new(),
            control: VecDeque::new(),
            alarms: BTreeSet::new(),
        }
    }

    /// Takes a command. It is stored when [`SendEvent::Stored`] says so.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`].
    pub fn submit(&mut self, now: Instant, command: NewCommand) -> Result<CommandId, SubmitError> {
        check_size("arguments", command.args.len(), ARGS_BYTES_MAX)?;
        check_size("an inline payload", command.payload.len(), PAYLOAD_BYTES_MAX)?;
        let peer = self.peers.entry(command.to.clone()).or_default();
        let bytes = (command.args.len() + command.payload.len()) as u64 + command.body_held_bytes;
        let is_reachable = peer.link.is_some();
        if !is_reachable {
            peer.unreachable_since.get_or_insert(now);
        }
        let share = usage::check(&self.config, &self.total, &peer.usage, is_reachable, command.class, bytes)
            .map_err(|bound| SubmitError::Full { bound, retry_after: self.config.retry_after })?;
        let seq = match peer.last {
            None => Seq::FIRST,
            Some(last) => last.next().ok_or(SubmitError::NumbersUsedUp)?,
        };
        peer.last = Some(seq);
        let key = CommandKey { epoch: self.epoch, seq };
        // A deadline beyond what the clock can count to never passes.
        let deadline_at = command.deadline.and_then(|deadline| now.checked_add(deadline));
        let to = command.to.clone();
        let id = self.id(&to, key);
        self.journal.push(command.class, SendRecord::Stored(id.clone()));
        if let Some(at) = deadline_at {
            self.set_alarm(at, Alarm::Deadline(to.clone(), key));
        }
        let mut entry = Entry::new(command, key, share, deadline_at);
        if let Some(peer) = self.peers.get_mut(&to) {
            if let Some(link) = &peer.link {
                // Stored and bound in one go, so that it can leave as soon as it is stored.
                entry.is_binding = true;
                self.journal.push(entry.command.class, SendRecord::Bound(id.clone(), link.receiver));
            }
            self.total.add(&mut peer.usage, is_reachable, share, entry.command.class, bytes);
            peer.entries.insert(key, Box::new(entry));
        }
        Ok(id)
    }

    /// Asks for a command to be cancelled. If it has never left, it ends at once; else the receiver is told.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when it is not in the queue or has ended.
    pub fn cancel(&mut self, id: &CommandId) -> Result<(), NotFound> {
        let entry = self
            .entry_mut(&id.receiver, id.key)
            .filter(|entry| entry.stage != Stage::Ending)
            .ok_or(NotFound)?;
        entry.is_cancelled = true;
        if entry.is_here_alone() {
            self.end(&id.receiver, id.key, Outcome::Cancelled);
        } else if entry.was_sent {
            self.control.push_back(Transmit::Cancel { peer: id.receiver.clone(), key: id.key });
        }
        // Otherwise its head, which has not left yet, carries the wish.
        Ok(())
    }

    /// A link to a peer is up. What was sent and is not settled is sent again. Of what is bound to a receiver epoch that
    /// is gone, all that it may have known is `Unknown`; the rest is bound anew.
    pub fn handle_link_up(&mut self, peer: &NodeId, up: LinkUp) {
        let receiver = up.receiver;
        let state = self.peers.entry(peer.clone()).or_default();
        if state.link.replace(up).is_none() {
            self.total.remove_unreachable(&state.usage);
        } else {
            self.lose_heads(peer);
        }
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.unreachable_since = None;
        state.clear_bodies();
        state.room = Room::default();
        state.paused_until = None;
        state.class_paused_until = Default::default();
        // The hello was written before the link was up: what has been settled since is said again.
        state.is_settled_news = state.settled.low().is_some() || state.settled.ranges().next().is_some();
        let (mut lost, mut again, mut resent) = (Vec::new(), Vec::new(), Vec::new());
        for (key, entry) in &mut state.entries {
            match entry.bound {
                _ if entry.stage == Stage::Ending => {}
                Some(bound) if bound != receiver => {
                    let is_resent = entry.may_be_known;
                    match entry.lose_receiver(&self.config) {
                        Ok(()) if is_resent => again.push(*key),
                        Ok(()) => {}
                        Err(reason) => lost.push((*key, reason)),
                    }
                }
                Some(_) if entry.was_sent => {
                    entry.stage = Stage::Waiting;
                    entry.resend_at = None;
                    resent.push(*key);
                }
                _ => {}
            }
        }
        for key in again.iter().chain(&resent) {
            state.queue(*key, true);
        }
        for class in Class::ALL {
            if !state.lines[class].is_empty() {
                self.scheduler.activate(class, peer);
            }
        }
        for key in again {
            let id = self.id(peer, key);
            self.events.push_back(SendEvent::Again(id));
        }
        for (key, reason) in lost {
            self.end(peer, key, Outcome::Unknown(reason));
        }
    }

    /// The link to a peer is down. Nothing ends by that.
    pub fn handle_link_down(&mut self, now: Instant, peer: &NodeId) {
        if let Some(state) = self.peers.get_mut(peer)
            && state.link.take().is_some()
        {
            self.total.add_unreachable(&state.usage);
            state.unreachable_since = Some(now);
            state.clear_bodies();
            state.room = Room::default();
            self.lose_heads(peer);
        }
    }

    /// Says what the link to a peer can take now.
    pub fn handle_room(&mut self, peer: &NodeId, room: Room) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.room = room;
        for class in Class::ALL {
            if state.has_work(class) {
                self.scheduler.activate(class, peer);
            }
        }
    }

    /// A receiver has said something on the stream of a command. Words about commands that have ended are ignored.
    ///
    /// # Errors
    ///
    /// See [`ProtocolError`].
    pub fn handle_reply(
        &mut self,
        now: Instant,
        peer: &NodeId,
        key: CommandKey,
        frame: StreamFrame,
    ) -> Result<(), ProtocolError> {
        let id = self.id(peer, key);
        let Some(entry) = self.entry_mut(peer, key).filter(|entry| entry.stage != Stage::Ending) else {
            self.handle_late(id, frame);
            return Ok(());
        };
        // Nobody can know what has not left, and a stream that was lost or overtaken has no say but the last word.
        let is_last_word = entry.was_sent && matches!(frame, StreamFrame::Outcome(_));
        let is_on_stream = matches!(entry.stage, Stage::Sent | Stage::Accepted | Stage::Started);
        if !(is_on_stream || is_last_word) {
            return Ok(());
        }
        entry.answered();
        match frame {
            StreamFrame::Accepted { body_received, body_credit } => {
                entry.stage = entry.stage.max(Stage::Accepted);
                self.events.push_back(SendEvent::Accepted(id));
                return self.attach_body(peer, key, body_received, body_credit);
            }
            StreamFrame::Started => {
                entry.stage = Stage::Started;
                self.events.push_back(SendEvent::Started(id));
            }
            StreamFrame::Update { number, content } => return self.handle_update(peer, id, number, content),
            StreamFrame::Outcome(outcome) => self.end(peer, key, outcome),
            StreamFrame::Busy { scope, retry_after } => self.handle_busy(now, peer, key, scope, retry_after),
            // Both answer a head that another stream has overtaken; the word that counts comes there.
            StreamFrame::Stale | StreamFrame::Duplicate => {}
            StreamFrame::ResultBody(content) => return self.handle_result_body(peer, key, content),
            StreamFrame::ResultBodyEnd(end) => return self.handle_result_body_end(peer, key, end),
            StreamFrame::Payload(_) | StreamFrame::Body(_) | StreamFrame::BodyEnd(_) => {
                return Err(ProtocolError::NotAReply);
            }
        }
        Ok(())
    }

    /// A batch of records is stored: what depends on it may be said.
    pub fn handle_stored(&mut self, batch: BatchId) {
        for record in self.journal.stored(batch) {
            self.handle_record(record);
        }
    }

    /// Counts everything as stored that is in the queue: what a node without a store does instead of
    /// [`poll_store`](Self::poll_store). Returns whether there was anything.
    ///
    /// # Panics
    ///
    /// When a batch is under way.
    pub fn store_in_memory(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(record) = self.journal.pop() {
            is_busy = true;
            self.handle_record(record);
        }
        is_busy
    }

    /// Looks at the time: deadlines, pauses, commands to be sent again.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, alarm)) = self.alarms.first().filter(|(at, _)| *at <= now).cloned() {
            self.alarms.pop_first();
            match alarm {
                Alarm::Deadline(peer, key) => self.handle_deadline(&peer, key),
                Alarm::Resend(peer, key) => self.handle_resend(now, &peer, key),
                Alarm::Pause(peer) => self.handle_pause_over(now, &peer),
            }
        }
    }

    /// Returns the next batch of records to store.
    pub fn poll_store(&mut self) -> Option<Batch<SendRecord>> {
        self.journal.poll()
    }

    /// Returns what is to be written next.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(transmit) = self.control.pop_front() {
            return Some(transmit);
        }
        let (epoch, urgent_places) = (self.epoch, self.config.urgent_places);
        loop {
            let peers = &self.peers;
            let next = |class, peer: &NodeId| peers.get(peer)?.next(class, urgent_places);
            let cost = |class, peer: &NodeId| next(class, peer).map(|(_, bytes)| bytes);
            let Some((class, node)) = self.scheduler.next(cost) else { break };
            if let Some(transmit) = self.send_next(now, class, &node) {
                return Some(transmit);
            }
        }
        let (node, peer) =
            self.peers.iter_mut().find(|(_, peer)| peer.is_settled_news && peer.link.is_some())?;
        peer.is_settled_news = false;
        Some(Transmit::Settled { peer: node.clone(), settled: peer.settled.to_wire(epoch) })
    }

    /// Returns what happened next.
    pub fn poll_event(&mut self) -> Option<SendEvent> {
        self.events.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Returns what is settled towards a peer, for the hello.
    pub fn settled(&self, peer: &NodeId) -> Vec<Settled> {
        self.peers.get(peer).map(|peer| peer.settled.to_wire(self.epoch)).into_iter().collect()
    }

    /// Returns whether a peer owes an answer.
    pub fn owes(&self, peer: &NodeId) -> bool {
        self.peers.get(peer).is_some_and(|peer| !peer.entries.is_empty())
    }

    /// Returns how far a command has come; `None` when it has ended or was never here.
    pub fn stage(&self, id: &CommandId) -> Option<Stage> {
        self.peers.get(&id.receiver)?.entries.get(&id.key).map(|entry| entry.stage)
    }

    /// Returns the peers that something is or was for, or that had a link.
    pub fn peers(&self) -> impl Iterator<Item = &NodeId> {
        self.peers.keys()
    }

    /// Returns the number of commands in the queue.
    pub fn len(&self) -> usize {
        self.total.everyone.all.commands
    }

    /// Returns whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends what goes next of a class to a peer.
    fn send_next(&mut self, now: Instant, class: Class, node: &NodeId) -> Option<Transmit> {
        let peer = self.peers.get_mut(node)?;
        let (next, _) = peer.next(class, self.config.urgent_places)?;
        peer.sent(class, next);
        match next {
            Next::Open => self.open(now, class, node),
            Next::Body => self.write_body(class, node),
        }
    }

    /// Takes the first command of a line and makes what is to be written, or has it bound first.
    fn open(&mut self, now: Instant, class: Class, node: &NodeId) -> Option<Transmit> {
        let peer = self.peers.get_mut(node)?;
        let key = peer.lines[class].pop_front()?;
        let (link, entry) = (peer.link.as_ref()?, peer.entries.get_mut(&key)?);
        entry.is_in_line = false;
        if entry.stage != Stage::Waiting || entry.resend_at.is_some() {
            return None;
        }
        if let Err(outcome) = link.check_understood(&entry.command) {
            if !entry.was_sent {
                self.end(node, key, outcome);
            }
            return None;
        }
        let receiver = link.receiver;
        if entry.bound.is_none() {
            entry.is_binding = true;
            entry.is_begun = true;
            let id = CommandId { sender: self.node.clone(), receiver: node.clone(), key };
            self.journal.push(class, SendRecord::Bound(id, receiver));
            return None;
        }
        let config = &self.config;
        let head = peer.credits.change(config, entry, |entry, left| entry.head(now, config, left));
        let payload = entry.command.payload.clone();
        let bytes = (head.args.len() + payload.len()) as u64;
        entry.stage = Stage::Sent;
        entry.was_sent = true;
        entry.may_be_known = true;
        peer.use_room(class, bytes);
        self.events.push_back(SendEvent::Sent(self.id(node, key)));
        Some(Transmit::Open { peer: node.clone(), key, head, payload })
    }

    fn handle_busy(
        &mut self,
        now: Instant,
        peer: &NodeId,
        key: CommandKey,
        scope: BusyScope,
        retry_after: Duration,
    ) {
        // Jitter, so that the senders of a busy receiver do not come back together.
        let pause =
            retry_after.clamp(BUSY_PAUSE_MIN, BUSY_PAUSE_MAX).mul_f64(self.random.random_range(1.0..1.5));
        let until = now + pause;
        let Some(state) = self.peers.get_mut(peer) else { return };
        let Some(entry) = state.entries.get_mut(&key) else { return };
        entry.stage = Stage::Waiting;
        // A receiver never says it of what it knows, so should it lose its memory, nothing of this is lost.
        entry.may_be_known = false;
        state.credits.change(&self.config, entry, |entry, _| entry.forget_credit());
        let class = entry.command.class;
        match scope {
            BusyScope::Peer => state.paused_until = Some(until),
            BusyScope::Class => state.class_paused_until[class] = Some(until),
        }
        state.queue(key, true);
        self.set_alarm(until, Alarm::Pause(peer.clone()));
    }

    fn handle_pause_over(&mut self, now: Instant, peer: &NodeId) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.paused_until = state.paused_until.filter(|until| *until > now);
        for class in Class::ALL {
            state.class_paused_until[class] = state.class_paused_until[class].filter(|until| *until > now);
            if !state.lines[class].is_empty() {
                self.scheduler.activate(class, peer);
            }
        }
    }

    fn handle_record(&mut self, record: SendRecord) {
        match record {
            SendRecord::Stored(id) => self.stored(id),
            SendRecord::Bound(id, epoch) => self.bound(&id, epoch),
            SendRecord::Ended(id) => self.ended(id),
        }
    }

    fn stored(&mut self, id: CommandId) {
        let Some(entry) = self.entry_mut(&id.receiver, id.key) else { return };
        if entry.stage == Stage::Storing {
            entry.stage = Stage::Waiting;
        }
        if !entry.is_binding {
            self.put_in_line(&id.receiver, id.key, false);
        }
        self.events.push_back(SendEvent::Stored(id));
    }

    fn bound(&mut self, id: &CommandId, epoch: Epoch) {
        let Some(entry) = self.entry_mut(&id.receiver, id.key) else { return };
        let is_begun = entry.is_begun;
        entry.is_binding = false;
        // If the receiver was replaced while this was being stored, nothing has left for it: it is bound anew.
        let met = self.peers.get(&id.receiver).and_then(|peer| peer.link.as_ref()).map(|link| link.receiver);
        if met.is_none_or(|met| met == epoch)
            && let Some(entry) = self.entry_mut(&id.receiver, id.key)
        {
            entry.bound = Some(epoch);
        }
        self.put_in_line(&id.receiver, id.key, is_begun);
    }

    /// Takes an outcome; it is said when it is stored.
    fn end(&mut self, peer: &NodeId, key: CommandKey, outcome: Outcome) {
        let id = self.id(peer, key);
        let Some(state) = self.peers.get_mut(peer) else { return };
        let Some(entry) = state.entries.get_mut(&key).filter(|entry| entry.stage != Stage::Ending) else {
            return;
        };
        entry.stage = Stage::Ending;
        entry.outcome = Some(entry.final_outcome(outcome));
        let class = entry.command.class;
        if std::mem::take(&mut entry.is_in_line) {
            state.lines[class].remove(&key);
        }
        state.remove_body(key);
        self.journal.push(class, SendRecord::Ended(id));
    }

    /// The outcome is stored: the command is settled.
    fn ended(&mut self, id: CommandId) {
        let Some(peer) = self.peers.get_mut(&id.receiver) else { return };
        let Some(mut entry) = peer.entries.remove(&id.key) else { return };
        peer.credits.remove(&entry);
        let (is_reachable, class) = (peer.link.is_some(), entry.command.class);
        self.total.remove(&mut peer.usage, is_reachable, entry.share, class, entry.bytes());
        if let Some(at) = entry.deadline_at {
            self.alarms.remove(&(at, Alarm::Deadline(id.receiver.clone(), id.key)));
        }
        peer.settled.insert(id.key.seq);
        peer.is_settled_news = true;
        self.events.extend(entry.release_updates(&id));
        if let Some(outcome) = entry.outcome {
            self.events.push_back(SendEvent::Outcome { id, outcome });
        }
    }

    fn put_in_line(&mut self, peer: &NodeId, key: CommandKey, is_begun: bool) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        let Some(entry) = state.entries.get(&key).filter(|entry| entry.stage != Stage::Ending) else {
            return;
        };
        let class = entry.command.class;
        state.queue(key, is_begun);
        self.scheduler.activate(class, peer);
    }

    fn set_alarm(&mut self, at: Instant, alarm: Alarm) {
        self.alarms.insert((at, alarm));
    }

    fn entry_mut(&mut self, peer: &NodeId, key: CommandKey) -> Option<&mut Entry> {
        self.peers.get_mut(peer)?.entries.get_mut(&key).map(Box::as_mut)
    }

    fn id(&self, peer: &NodeId, key: CommandKey) -> CommandId {
        CommandId { sender: self.node.clone(), receiver: peer.clone(), key }
    }
}

fn check_size(what: &'static str, bytes: usize, max: usize) -> Result<(), SubmitError> {
    if bytes > max { Err(SubmitError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

const ARGS_BYTES_MAX: usize = 64 << 10;
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Each retry costs a stream, so even an impatient receiver is not asked more often.
const BUSY_PAUSE_MIN: Duration = Duration::from_millis(10);

/// A receiver that asks for more is asked again all the same: a wrong number must not silence a peer for good.
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
