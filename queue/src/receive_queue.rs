//! The receive queue and its journal: everything that others have brought to this node.
//!
//! Pure: calls and `handle_*` go in, `poll_*` comes out, and whoever drives it drains every `poll_*` after each call.
//! Each command is handed to its handler at most once: it is remembered until its sender has settled it, however often
//! and over how many links its head comes. No word is said before its record is stored.

mod answers;
mod batch_answers;
mod bodies;
mod command;
mod config;
mod deadline;
mod drain;
mod forget;
mod notes;
mod progress;
mod recovery;
mod restart;
mod sender;
mod starting;
mod storing;
mod usage;
mod waiting;
mod words;
mod writing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runnel_codec::{
    BusyScope, Class, CommandKey, CommandName, Epoch, Head, LinkNumber, NodeId, Outcome, Part, Reach,
    Rejection, Settled, StoreProcess, StreamFrame, UnknownReason,
};

use self::answers::Answer;
use self::command::{Accepted, Known, State};
pub use self::config::ReceiveQueueConfig;
use self::notes::Note;
use self::sender::Sender;
use self::usage::Usage;
use self::waiting::Waiting;
pub use self::words::{
    Attachment, Delivery, DeliveryPart, Freed, ReceiveCounts, Reply, Start, Stop, StopReason,
};
use crate::boxes::Boxes;
use crate::journal::Journal;
use crate::peers::{LocalId, PeerIndex, Peers};
use crate::scheduler::Scheduler;
use crate::store::{RowKey, StoreSpace};
use crate::stream_log::StreamLog;

/// The receive queue of a node.
#[derive(Debug)]
#[must_use]
pub struct ReceiveQueue {
    config: ReceiveQueueConfig,
    random: StdRng,
    senders: Peers<Sender>,
    waiting: Waiting,
    total: Usage,
    running: usize,
    running_by_name: BTreeMap<CommandName, usize>,
    /// Handlers that returned after their command had ended without them.
    late: u64,
    /// The node is about to stop.
    is_draining: bool,
    /// Epoch of the store, if there is one.
    store: Option<Epoch>,
    /// Number of this process among those that have had the store.
    process: u64,
    space: StoreSpace,
    /// What is to be stored of durable commands.
    durable: Journal<Note>,
    /// Senders whose row in the store is behind.
    stale_rows: BTreeSet<PeerIndex>,
    /// Rows of commands whose sender's store is gone.
    purged: Vec<RowKey>,
    /// Memory for the next commands.
    boxes: Boxes<Known>,
    tokens_stored: VecDeque<(NodeId, CommandKey)>,
    starts: VecDeque<Start>,
    answers: VecDeque<Answer>,
    /// Senders to whom something is to be said of messages, each once.
    answering: VecDeque<PeerIndex>,
    stops: VecDeque<Stop>,
    freed: VecDeque<Freed>,
    deliveries: VecDeque<Delivery>,
    /// How far bodies may be written: to whom, which, and the offset.
    credits: VecDeque<(NodeId, CommandKey, u64)>,
    scheduler: Scheduler,
    /// Deadlines, and ends of the time that a handler has to stop.
    alarms: BTreeSet<(Instant, LocalId)>,
}

impl ReceiveQueue {
    /// Makes an empty queue without a store. See [`recover`](Self::recover).
    pub fn new(config: ReceiveQueueConfig, seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(config.scheduler.clone()),
            config,
            random: StdRng::seed_from_u64(seed),
            senders: Peers::default(),
            waiting: Waiting::default(),
            total: Usage::default(),
            running: 0,
            running_by_name: BTreeMap::new(),
            late: 0,
            is_draining: false,
            store: None,
            process: 0,
            space: StoreSpace::Enough,
            durable: Journal::new(),
            stale_rows: BTreeSet::new(),
            purged: Vec::new(),
            boxes: Boxes::default(),
            tokens_stored: VecDeque::new(),
            starts: VecDeque::new(),
            answers: VecDeque::new(),
            answering: VecDeque::new(),
            stops: VecDeque::new(),
            freed: VecDeque::new(),
            deliveries: VecDeque::new(),
            credits: VecDeque::new(),
            alarms: BTreeSet::new(),
        }
    }

    /// A link from a sender is up and replaces any older one, with all its streams. `boot` is the epoch of the sender's
    /// process: what another process of it sent is settled, except what is numbered under `store`, its store's epoch.
    pub fn handle_link_up(
        &mut self,
        peer: &NodeId,
        link: LinkNumber,
        boot: Epoch,
        store: Option<Epoch>,
        settled: &[Settled],
    ) {
        let from = self.senders.meet(peer);
        let sender = &mut self.senders[from];
        sender.link = Some(link);
        sender.detach_all();
        self.handle_epochs(peer, boot, store);
        for settled in settled {
            self.settle(from, settled);
        }
    }

    /// The sender whose link is up has a store, of which this is the newest process. It is stored no later than what that
    /// process sends.
    pub fn handle_process_met(&mut self, peer: &NodeId, process: Option<StoreProcess>) {
        if let Some(sender) = self.senders.get_mut(peer)
            && process.is_some()
        {
            sender.process = process;
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
        if let Some(known) = self.known_of(peer, key).filter(|known| known.at == Some(at)) {
            known.at = None;
        }
    }

    /// The head of a command has come, with its inline payload. Nothing of a link that was replaced is heard.
    pub fn handle_head(&mut self, now: Instant, peer: &NodeId, at: Attachment, head: Head, payload: Bytes) {
        let Some(peer) = self.senders.find(peer) else { return };
        let sender = &self.senders[peer];
        if sender.link != Some(at.link) {
            return;
        }
        if sender.has_settled(head.key) {
            return self.reply_last(LocalId { peer, key: head.key }, at, StreamFrame::Stale);
        }
        let id = LocalId { peer, key: head.key };
        match sender.known.get(head.key).filter(|_| !planted!(NoDeduplication)) {
            Some(known) if !known.may_attach(at) => self.reply_last(id, at, StreamFrame::Duplicate),
            Some(_) => self.attach(now, peer, at, &head),
            None => self.admit(now, peer, at, head, payload),
        }
    }

    /// The node does not take this command: it has not started and never will. Too late once its handler is called.
    pub fn reject(&mut self, peer: &NodeId, key: CommandKey, rejection: Rejection) {
        if let Some(id) = self.local(peer, key) {
            self.call_off(id, Outcome::rejected(rejection.kind, rejection.message));
        }
    }

    /// The caller wants a command cancelled, perhaps one whose head has not come yet.
    pub fn handle_cancel(&mut self, now: Instant, peer: &NodeId, key: CommandKey) {
        if let Some(id) = self.local(peer, key) {
            self.cancel(now, id);
        }
    }

    fn cancel(&mut self, now: Instant, id: LocalId) {
        let (sender, key) = (&self.senders[id.peer], id.key);
        if sender.has_settled(key) {
            return;
        }
        match sender.known.get(key).map(|known| &known.state) {
            None if planted!(CancelWithoutTombstone) => {}
            None if self.journal_has_room(sender) => self.bury(id, None, Outcome::Cancelled),
            Some(State::Queued(_) | State::Starting(_)) => self.call_off(id, Outcome::Cancelled),
            Some(State::Running) => self.stop(now, id, StopReason::Cancelled),
            // Without a place in the journal nothing is promised: the head, when it comes, carries the wish again.
            None | Some(State::Ending(_) | State::Ended(_)) => {}
        }
    }

    /// The sender has settled commands. Nothing of them starts any more; they are forgotten once that is stored.
    pub fn handle_settled(&mut self, peer: &NodeId, settled: &Settled) {
        let peer = self.senders.meet(peer);
        self.settle(peer, settled);
    }

    fn settle(&mut self, peer: PeerIndex, settled: &Settled) {
        let sender = &mut self.senders[peer];
        if !sender.announce(settled) {
            return;
        }
        // Only an abandoned command is settled before it has ended. What an ended one still holds goes with it.
        let given_up: Vec<_> =
            sender.known_in(settled).filter(|(_, known)| !known.is_over()).map(|(key, _)| key).collect();
        for key in given_up {
            self.give_up(LocalId { peer, key });
        }
        self.note(Class::Normal, settled.epoch, Note::Settled(peer, settled.clone()));
    }

    /// Returns the next command whose handler is to be called.
    pub fn poll_start(&mut self) -> Option<Start> {
        if self.starts.is_empty() {
            self.start_waiting();
        }
        self.starts.pop_front()
    }

    /// Returns the next frame to write.
    pub fn poll_reply(&mut self) -> Option<Reply> {
        self.next_answer().or_else(|| self.write_next())
    }

    /// Returns how far the body of which sender's command may be written, in bytes since its beginning.
    pub fn poll_credit(&mut self) -> Option<(NodeId, CommandKey, u64)> {
        self.credits.pop_front()
    }

    /// Returns what came next of a body for its handler.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    /// Returns the next command that is to stop.
    pub fn poll_stop(&mut self) -> Option<Stop> {
        self.stops.pop_front()
    }

    /// Returns which handler may have more of its words held.
    pub fn poll_freed(&mut self) -> Option<Freed> {
        self.freed.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let alarm_at = self.alarms.first().map(|(at, _)| *at);
        alarm_at.into_iter().chain(self.durable.poll_timeout()).min()
    }

    /// Returns how many commands of a sender are accepted and have not ended: each keeps a stream open.
    pub fn places(&self, peer: &NodeId) -> usize {
        self.senders.get(peer).map_or(0, |sender| sender.usage.all.commands)
    }

    /// Returns whether this node owes a sender an answer.
    pub fn owes(&self, peer: &NodeId) -> bool {
        self.senders.get(peer).is_some_and(Sender::is_owed)
    }

    /// Returns the epoch of the store.
    pub(crate) fn store(&self) -> Option<Epoch> {
        self.store
    }

    /// Returns how often the commands of a sender's store were forgotten.
    pub(crate) fn generation(&self, peer: &NodeId, store: Option<Epoch>) -> (u64, usize) {
        self.senders.get(peer).map_or((0, 0), |sender| sender.generation(store))
    }

    /// Returns how far the journal of a sender's commands that is stored has come.
    pub fn journaled_positions(&self, peer: &NodeId) -> Vec<Reach> {
        self.senders.get(peer).map_or_else(Vec::new, |sender| sender.positions(self.process))
    }

    /// Returns the newest process of a sender's store that was met.
    pub(crate) fn process_met(&self, peer: &NodeId) -> Option<StoreProcess> {
        self.senders.get(peer).and_then(|sender| sender.process)
    }

    /// Returns the store that a sender had when it was last met.
    pub fn store_of(&self, peer: &NodeId) -> Option<Epoch> {
        self.senders.get(peer).and_then(Sender::store)
    }

    /// Returns the epoch of a sender's store and the highest number of it that is known.
    pub(crate) fn highest_known(&self, peer: &NodeId) -> (Option<Epoch>, u64) {
        self.senders.get(peer).map_or((None, 0), |sender| (sender.store(), sender.highest_known()))
    }

    /// Returns how full the queue is.
    pub fn counts(&self) -> ReceiveCounts {
        ReceiveCounts {
            waiting: self.waiting.len(),
            waiting_bytes: self.total.bytes,
            running: self.running,
            unfinished: self.total.commands,
            remembered: self.senders.values().map(|sender| sender.known.len()).sum(),
            kept_bytes: self.senders.values().map(|sender| sender.kept_bytes).sum(),
            late: self.late,
        }
    }

    /// Takes a command that is not known: into the queue, into the journal as one that never starts, or not now.
    fn admit(&mut self, now: Instant, peer: PeerIndex, at: Attachment, head: Head, payload: Bytes) {
        let (sender, id) = (&self.senders[peer], LocalId { peer, key: head.key });
        if self.is_draining || !self.journal_has_room(sender) {
            return self.reply_busy(id, at, BusyScope::Peer);
        }
        // A head that is re-sent is new here if the first was lost or answered Busy, so the flag decides nothing. But
        // what has come to its sender of a run that is not known here must not be run again.
        let is_interrupted = sender.interrupted.contains_key(&head.key);
        let has_come = head.updates_received > 0 || head.result_body_received > 0;
        if has_come || (head.started && !is_interrupted) {
            let reason =
                if is_interrupted { UnknownReason::HandlerLost } else { UnknownReason::ReceiverStateLost };
            return self.bury(id, Some(at), Outcome::Unknown(reason));
        }
        if head.cancelled {
            return self.bury(id, Some(at), Outcome::Cancelled);
        }
        if head.deadline_remaining.is_some_and(|remaining| remaining.is_zero()) {
            return self.bury(id, Some(at), Outcome::Expired);
        }
        if self.space == StoreSpace::Low && self.is_durable(peer, head.key.epoch) {
            return self.reply_busy(id, at, BusyScope::Class);
        }
        let bytes = (head.args.len() + payload.len()) as u64;
        match usage::check(&self.config, self.total, sender.usage, head.class, bytes) {
            Ok(()) => self.enqueue(now, peer, at, head, payload),
            Err(scope) => self.reply_busy(id, at, scope),
        }
    }

    /// Takes a new command into the queue.
    fn enqueue(&mut self, now: Instant, peer: PeerIndex, at: Attachment, head: Head, payload: Bytes) {
        let (sender, key) = (&mut self.senders[peer], head.key);
        let mut log = StreamLog::default();
        log.attach(head.updates_received, head.updates_credit);
        let result_credit = head.result_body_credit;
        let accepted = Accepted::new(now, head, payload);
        let bytes = accepted.waiting_bytes();
        self.total.commands += 1;
        self.total.bytes += bytes;
        sender.usage.add_command(accepted.class, bytes);
        if let Some(deadline_at) = accepted.deadline_at {
            self.alarms.insert((deadline_at, LocalId { peer, key }));
        }
        let arrival = self.waiting.push(accepted.class, &accepted.name, LocalId { peer, key });
        let mut known = self.boxes.fill(Known::queued(at, arrival, log, accepted));
        known.runs = sender.interrupted.remove(&key).unwrap_or(0);
        known.may_have_run = known.runs > 0;
        if let Some(body) = &mut known.result_body {
            body.grant(result_credit);
        }
        sender.known.insert(key, known);
        self.greet(LocalId { peer, key });
    }

    /// Answers a known command on a new stream, from where its sender stands.
    fn attach(&mut self, now: Instant, peer: PeerIndex, at: Attachment, head: &Head) {
        let id = LocalId { peer, key: head.key };
        let Some(known) = self.known_mut(id) else { return };
        known.at = Some(at);
        known.newest = Some(at);
        known.log.attach(head.updates_received, head.updates_credit);
        let body = known.result_body.as_mut();
        // A sender that claims what cannot be gets the rest from where this side knows it to be.
        let freed_of_body = body
            .map_or(0, |body| body.attach(head.result_body_received, head.result_body_credit).unwrap_or(0));
        self.give_room(id, Part::ResultBody, freed_of_body);
        self.leave_ring(id);
        self.greet(id);
        if head.cancelled {
            self.cancel(now, id);
        }
        self.pump(id);
    }

    /// Ends a command, once that is stored.
    fn end(&mut self, id: LocalId, outcome: Outcome) {
        let Some(known) = self.known_mut(id) else { return };
        if let Some(accepted) = &mut known.accepted {
            accepted.drop_content();
        }
        let outcome = known.final_outcome(outcome);
        known.state = State::Ending(outcome.clone());
        self.note_end(id, &outcome);
        if planted!(OutcomeBeforeJournal) {
            self.handle_note(Note::Ended { id, bytes: 0 });
        }
    }

    /// Says "never" about a command that is not in the queue, once that is stored.
    fn bury(&mut self, id: LocalId, at: Option<Attachment>, outcome: Outcome) {
        let (sender, key) = (&mut self.senders[id.peer], id.key);
        let runs = sender.interrupted.remove(&key).unwrap_or(0);
        let known = Known { runs, may_have_run: runs > 0, ..Known::tombstone(at, outcome.clone()) };
        let outcome = known.final_outcome(outcome);
        let known = Known { state: State::Ending(outcome.clone()), ..known };
        sender.known.insert(key, self.boxes.fill(known));
        self.note_end(id, &outcome);
    }

    /// Says "never" about a command whose handler has not been called, once that is stored.
    fn call_off(&mut self, id: LocalId, outcome: Outcome) {
        let sender = &mut self.senders[id.peer];
        let Some(known) = sender.known.get_mut(id.key) else { return };
        match (&mut known.state, &known.accepted) {
            (State::Queued(arrival), Some(accepted)) => {
                let bytes = accepted.waiting_bytes();
                self.waiting.remove(accepted.class, id.peer, &accepted.name, *arrival);
                self.total.bytes -= bytes;
                sender.usage.remove_bytes(accepted.class, bytes);
                self.end(id, outcome);
            }
            // Its start is on the way into the store; what comes back from there finds this word. The first one counts.
            (State::Starting(never), _) => {
                never.get_or_insert(outcome);
            }
            _ => {}
        }
    }

    fn reply_busy(&mut self, id: LocalId, at: Attachment, scope: BusyScope) {
        let retry_after = self.config.busy_retry_after.mul_f64(self.random.random_range(1.0..1.5));
        self.reply_last(id, at, StreamFrame::Busy { scope, retry_after });
    }

    fn known_mut(&mut self, id: LocalId) -> Option<&mut Known> {
        self.senders[id.peer].known.get_mut(id.key).map(Box::as_mut)
    }

    /// Like [`known_mut`](Self::known_mut), at the door.
    fn known_of(&mut self, from: &NodeId, key: CommandKey) -> Option<&mut Known> {
        self.local(from, key).and_then(|id| self.known_mut(id))
    }

    /// Returns the name of a command inside this queue; `None` if its sender was never met.
    fn local(&self, from: &NodeId, key: CommandKey) -> Option<LocalId> {
        self.senders.find(from).map(|peer| LocalId { peer, key })
    }

    fn journal_has_room(&self, sender: &Sender) -> bool {
        sender.known.len() < self.config.journal_max && sender.kept_bytes < self.config.journal_bytes_max
    }
}

#[cfg(test)]
mod tests;
