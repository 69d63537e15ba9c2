//! The global send queue: everything that this node has promised to bring to others.
//!
//! Pure: calls and `handle_*` go in, `poll_*` comes out, and whoever drives it drains every `poll_*` after each call.
//! A command is stored, waits in the line of its class and peer, is bound to the receiver's epoch before its first byte
//! leaves, is sent over as many links as it takes, and ends in exactly one outcome. The loss of a link is never one.

mod abandon;
mod batches;
mod bodies;
mod counts;
mod credits;
mod deadline;
mod early;
mod entry;
mod explain;
mod notes;
mod outcomes;
mod peer;
mod poison;
mod recovery;
mod resend;
mod storing;
mod transmit;
mod updates;
mod usage;
mod words;

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use runnel_codec::{Class, CommandId, CommandKey, Epoch, NodeId, Outcome, Reach, Seq, Settled, StreamFrame};

pub use self::counts::PeerCounts;
pub use self::early::Presumed;
use self::entry::Entry;
pub use self::entry::{Durability, NewCommand, Prepared, Stage};
pub use self::explain::{SendCounts, Waiting, WaitsFor};
use self::notes::Note;
pub use self::peer::LinkUp;
use self::peer::Peer;
use self::usage::TotalUsage;
pub use self::words::{SendEvent, Transmit};
use crate::config::SendQueueConfig;
use crate::error::{NotFound, ProtocolError, SubmitError};
use crate::journal::Journal;
use crate::peers::{LocalId, PeerIndex, Peers};
use crate::room::Room;
use crate::scheduler::Scheduler;
use crate::store::StoreSpace;

/// The global send queue.
#[derive(Debug)]
#[must_use]
pub struct SendQueue {
    config: SendQueueConfig,
    node: NodeId,
    /// Epoch of this process.
    boot: Epoch,
    /// Epoch of the store, if there is one.
    store: Option<Epoch>,
    /// Number of this process among those that have had the store.
    process: u64,
    space: StoreSpace,
    random: StdRng,
    peers: Peers<Peer>,
    total: TotalUsage,
    scheduler: Scheduler,
    /// What is to be stored of durable commands.
    durable: Journal<Note>,
    /// Peers whose row in the store is behind.
    stale_rows: BTreeSet<PeerIndex>,
    /// Durable commands that have started: nobody waits for that to be stored, so it goes with the next batch.
    started: BTreeSet<LocalId>,
    /// Peers that may not know of all that is settled, each once.
    news: VecDeque<PeerIndex>,
    events: VecDeque<SendEvent>,
    control: VecDeque<Transmit>,
    /// Peers and classes for which messages have gathered.
    gathering: VecDeque<(PeerIndex, Class)>,
    /// When a deadline passes, a pause ends or a command may be sent again.
    alarms: BTreeSet<(Instant, Alarm)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Deadline(LocalId),
    Resend(LocalId),
    Pause(PeerIndex),
    Forget(LocalId),
}

impl SendQueue {
    /// Makes an empty queue without a store, for the process of epoch `boot`. See [`recover`](Self::recover).
    pub fn new(config: SendQueueConfig, node: NodeId, boot: Epoch, seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(config.scheduler.clone()),
            config,
            node,
            boot,
            store: None,
            process: 0,
            space: StoreSpace::Enough,
            random: StdRng::seed_from_u64(seed),
            peers: Peers::default(),
            total: TotalUsage::default(),
            durable: Journal::new(),
            stale_rows: BTreeSet::new(),
            started: BTreeSet::new(),
            news: VecDeque::new(),
            events: VecDeque::new(),
            control: VecDeque::new(),
            gathering: VecDeque::new(),
            alarms: BTreeSet::new(),
        }
    }

    /// Takes a command. It is stored when [`SendEvent::Stored`] says so.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`].
    pub fn submit(&mut self, now: Instant, command: impl Into<Prepared>) -> Result<CommandId, SubmitError> {
        self.take(now, command.into().0)
    }

    fn take(&mut self, now: Instant, mut entry: Box<Entry>) -> Result<CommandId, SubmitError> {
        let command = &entry.command;
        check_size("arguments", command.args.len(), ARGS_BYTES_MAX)?;
        check_size("an inline payload", command.payload.len(), PAYLOAD_BYTES_MAX)?;
        let epoch = match &command.durable {
            Some(_) => self.store_with_room()?,
            None => self.boot,
        };
        let to = self.peers.meet(&command.to);
        let peer = &mut self.peers[to];
        let bytes = (command.args.len() + command.payload.len()) as u64 + command.body_held_bytes;
        let is_reachable = peer.link.is_some();
        if !is_reachable {
            peer.unreachable_since.get_or_insert(now);
        }
        let share = usage::check(&self.config, &self.total, &peer.usage, is_reachable, command.class, bytes)
            .map_err(|bound| SubmitError::Full { bound, retry_after: self.config.retry_after })?;
        let numbering = if command.durable.is_some() { &mut peer.store } else { &mut peer.boot };
        let seq = numbering.next().ok_or(SubmitError::NumbersUsedUp)?;
        let key = CommandKey { epoch, seq };
        if let Some(idempotency) = command.durable.as_ref().and_then(|durable| durable.idempotency.as_ref()) {
            peer.keys.insert(idempotency.key.clone(), key);
        }
        // A deadline beyond what the clock can count to never passes.
        let deadline_at = command.deadline.and_then(|deadline| now.checked_add(deadline));
        let (class, local) = (command.class, LocalId { peer: to, key });
        entry.is_small_message = batches::is_small_message(&self.config, &entry.command);
        (entry.share, entry.deadline_at) = (share, deadline_at);
        // Stored and bound in one go, so that it can leave as soon as it is stored.
        let link = peer.link.as_ref().filter(|_| early::may_bind(peer.presumed, entry.is_durable()));
        let receiver = link.map(|link| link.epoch(entry.is_durable()));
        entry.binding = receiver;
        self.total.add(&mut peer.usage, is_reachable, share, class, bytes);
        peer.entries.insert(key, entry);
        if let Some(at) = deadline_at {
            self.set_alarm(at, Alarm::Deadline(local));
        }
        self.note(class, Note::Stored { id: local, bytes });
        if let Some(receiver) = receiver {
            self.note(class, Note::Bound { id: local, receiver });
        }
        Ok(self.id(local))
    }

    /// Asks for a command to be cancelled. If it has never left, it ends at once; else the receiver is told.
    ///
    /// # Errors
    ///
    /// [`NotFound`] when it is not in the queue or has ended.
    pub fn cancel(&mut self, id: &CommandId) -> Result<(), NotFound> {
        let local = self.local(id).ok_or(NotFound)?;
        let entry = self.entry_mut(local).filter(|entry| entry.stage != Stage::Ending).ok_or(NotFound)?;
        entry.is_cancelled = true;
        let class = entry.command.class;
        if entry.is_here_alone() {
            self.end(local, Outcome::Cancelled);
        } else {
            if entry.was_sent {
                self.control.push_back(Transmit::Cancel { peer: id.receiver.clone(), key: id.key });
            }
            // Otherwise its head, which has not left yet, carries the wish.
            if self.is_durable(id.key) {
                self.note(class, Note::Cancelled(local));
            }
        }
        Ok(())
    }

    /// A link to a peer is up. What was sent and is not settled is sent again. Of what is bound to a receiver epoch that
    /// is gone, all that it may have known is `Unknown`; the rest is bound anew.
    pub fn handle_link_up(&mut self, peer: &NodeId, up: LinkUp) {
        let (boot, receiver) = (up.epoch(false), up.epoch(true));
        let peer = self.peers.meet(peer);
        let state = &mut self.peers[peer];
        if up.receiver.is_some() && (state.receiver, state.journaled) != (up.receiver, up.journaled) {
            (state.receiver, state.journaled) = (up.receiver, up.journaled);
            self.stale_rows.insert(peer);
        }
        if state.link.replace(up).is_none() {
            self.total.remove_unreachable(&state.usage);
        } else {
            self.lose_heads(peer);
        }
        let state = &mut self.peers[peer];
        state.unreachable_since = None;
        state.clear_bodies();
        state.drop_batches();
        state.room = Room::default();
        state.paused_until = None;
        state.class_paused_until = Default::default();
        // The hello was written before the link was up: what has been settled since is said again.
        state.boot.repeat();
        state.store.repeat();
        self.tell_news(peer);
        let state = &mut self.peers[peer];
        let (mut lost, mut again, mut resent) = (Vec::new(), Vec::new(), Vec::new());
        for (key, entry) in state.entries.iter_mut() {
            match entry.bound {
                _ if entry.stage == Stage::Ending => {}
                Some(bound)
                    if !planted!(NoReceiverFence)
                        && bound != if entry.is_durable() { receiver } else { boot } =>
                {
                    let is_resent = entry.may_be_known;
                    match entry.lose_receiver(&self.config) {
                        Ok(()) if is_resent => again.push(key),
                        Ok(()) => {}
                        Err(reason) => lost.push((key, reason)),
                    }
                }
                Some(_) if entry.was_sent => {
                    entry.stage = Stage::Waiting;
                    entry.resend_at = None;
                    resent.push(key);
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
            self.events.push_back(SendEvent::Again(self.id(LocalId { peer, key })));
        }
        for (key, reason) in lost {
            self.end(LocalId { peer, key }, Outcome::Unknown(reason));
        }
    }

    /// The link to a peer is down. Nothing ends by that.
    pub fn handle_link_down(&mut self, now: Instant, peer: &NodeId) {
        let Some(peer) = self.peers.find(peer) else { return };
        let state = &mut self.peers[peer];
        if state.link.take().is_some() {
            self.total.add_unreachable(&state.usage);
            state.unreachable_since = Some(now);
            state.clear_bodies();
            state.drop_batches();
            state.room = Room::default();
            if !self.end_presumption(peer) {
                self.lose_heads(peer);
            }
        }
    }

    /// Says what the link to a peer can take now.
    pub fn handle_room(&mut self, peer: &NodeId, room: Room) {
        let Some(peer) = self.peers.find(peer) else { return };
        let state = &mut self.peers[peer];
        state.room = room;
        state.room.places = room.places.saturating_sub(state.places_gathered());
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
        let Some(peer) = self.peers.find(peer) else { return Ok(()) };
        self.handle_word(now, LocalId { peer, key }, frame)
    }

    fn handle_word(&mut self, now: Instant, id: LocalId, frame: StreamFrame) -> Result<(), ProtocolError> {
        let Some(entry) = self.entry_mut(id).filter(|entry| entry.stage != Stage::Ending) else {
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
                self.say_received(id);
                self.tell_step(id, SendEvent::Accepted);
                return self.attach_body(id, body_received, body_credit);
            }
            StreamFrame::Started => {
                entry.stage = Stage::Started;
                if !std::mem::replace(&mut entry.has_started, true) && entry.is_durable() {
                    self.started.insert(id);
                }
                self.tell_step(id, SendEvent::Started);
            }
            StreamFrame::Update { number, content } => return self.handle_update(id, number, content),
            StreamFrame::Outcome(outcome) => self.end(id, outcome),
            StreamFrame::Busy { scope, retry_after } => self.handle_busy(now, id, scope, retry_after),
            // Both answer a head that another stream has overtaken; the word that counts comes there.
            StreamFrame::Stale | StreamFrame::Duplicate => {}
            StreamFrame::ResultBody(content) => return self.handle_result_body(id, content),
            StreamFrame::ResultBodyEnd(end) => return self.handle_result_body_end(id, end),
            StreamFrame::Payload(_) | StreamFrame::Body(_) | StreamFrame::BodyEnd(_) => {
                return Err(ProtocolError::NotAReply);
            }
        }
        Ok(())
    }

    /// Tells a step of a command, if its steps are told.
    fn tell_step(&mut self, id: LocalId, step: impl FnOnce(CommandId) -> SendEvent) {
        if self.entry(id).is_some_and(|entry| entry.command.steps) {
            self.events.push_back(step(self.id(id)));
        }
    }

    /// Looks at the time: deadlines, pauses, commands to be sent again.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.durable.handle_timeout(now);
        while let Some((_, alarm)) = self.alarms.first().filter(|(at, _)| *at <= now).copied() {
            self.alarms.pop_first();
            match alarm {
                Alarm::Deadline(id) => self.handle_deadline(id),
                Alarm::Resend(id) => self.handle_resend(now, id),
                Alarm::Pause(peer) => self.handle_pause_over(now, peer),
                Alarm::Forget(id) => self.handle_outcome_age(now, id),
            }
        }
    }

    /// Returns what happened next.
    pub fn poll_event(&mut self) -> Option<SendEvent> {
        self.events.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let alarm_at = self.alarms.first().map(|(at, _)| *at);
        alarm_at.into_iter().chain(self.durable.poll_timeout()).min()
    }

    /// The node is about to stop: what can wait to be stored waits no more.
    pub fn handle_draining(&mut self) {
        self.durable.close();
    }

    /// Returns what is settled towards a peer, for the hello.
    pub fn settled(&self, peer: &NodeId) -> Vec<Settled> {
        let Some(peer) = self.peers.get(peer) else { return Vec::new() };
        let durable = self.store.map(|store| peer.store.settled.to_wire(store));
        std::iter::once(peer.boot.settled.to_wire(self.boot)).chain(durable).collect()
    }

    /// Returns the epoch of the store.
    pub fn store(&self) -> Option<Epoch> {
        self.store
    }

    /// Returns how far the numbers of stored durable commands for a peer reach.
    pub fn sent_positions(&self, peer: &NodeId) -> Vec<Reach> {
        let Some(peer) = self.peers.get(peer) else { return Vec::new() };
        peer.sent.with(self.process, peer.store.last_stored.map_or(0, Seq::to_wire))
    }

    /// Returns the epoch that a peer's journal had when it was last met, and how far it had come.
    pub(crate) fn journal_met(&self, peer: &NodeId) -> (Option<Epoch>, Reach) {
        self.peers.get(peer).map_or((None, Reach::default()), |peer| (peer.receiver, peer.journaled))
    }

    /// Returns whether a peer owes an answer.
    pub fn owes(&self, peer: &NodeId) -> bool {
        self.peers.get(peer).is_some_and(|peer| !peer.entries.is_empty())
    }

    /// Returns how far a command has come; `None` when it has ended or was never here.
    pub fn stage(&self, id: &CommandId) -> Option<Stage> {
        self.entry(self.local(id)?).map(|entry| entry.stage)
    }

    /// Returns the peers that something is or was for, or that had a link.
    pub fn peers(&self) -> impl Iterator<Item = &NodeId> {
        self.peers.names()
    }

    /// Returns the number of commands in the queue.
    pub fn len(&self) -> usize {
        self.total.everyone.all.commands
    }

    /// Returns whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put_in_line(&mut self, id: LocalId, is_begun: bool) {
        let Some(entry) = self.entry(id).filter(|entry| entry.stage != Stage::Ending) else { return };
        let class = entry.command.class;
        self.peers[id.peer].queue(id.key, is_begun);
        self.scheduler.activate(class, id.peer);
    }

    /// Has a peer told what is settled, when its turn comes.
    fn tell_news(&mut self, peer: PeerIndex) {
        if !std::mem::replace(&mut self.peers[peer].has_news, true) {
            self.news.push_back(peer);
        }
    }

    fn set_alarm(&mut self, at: Instant, alarm: Alarm) {
        self.alarms.insert((at, alarm));
    }

    fn entry(&self, id: LocalId) -> Option<&Entry> {
        self.peers[id.peer].entries.get(id.key).map(Box::as_ref)
    }

    fn entry_mut(&mut self, id: LocalId) -> Option<&mut Entry> {
        self.peers[id.peer].entries.get_mut(id.key).map(Box::as_mut)
    }

    /// Returns the name of a command inside this queue; `None` if its receiver was never met.
    fn local(&self, id: &CommandId) -> Option<LocalId> {
        self.peers.find(&id.receiver).map(|peer| LocalId { peer, key: id.key })
    }

    /// Returns the whole name of a command.
    fn id(&self, id: LocalId) -> CommandId {
        CommandId { sender: self.node.clone(), receiver: self.peers.name(id.peer).clone(), key: id.key }
    }
}

fn check_size(what: &'static str, bytes: usize, max: usize) -> Result<(), SubmitError> {
    if bytes > max { Err(SubmitError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

const ARGS_BYTES_MAX: usize = 64 << 10;
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests;
