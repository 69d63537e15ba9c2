//! Two nodes with stores, a link that breaks and processes that crash at any moment, against the promises: what was stored
//! is not lost, nothing that is not idempotent is handed over twice, and every outcome is true and never changes.

#![allow(clippy::disallowed_methods)] // The first instant of a test is the system's; after that its clock is its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use runnel_codec::{
    Class, ClassMap, CommandId, CommandKey, Epoch, Head, LinkNumber, NodeId, Outcome, Reach, StreamFrame,
    UpdatePolicy,
};
use runnel_queue::{
    Attachment, Batch, Change, ClockReading, Durability, LinkUp, NewCommand, ReceiveQueue,
    ReceiveQueueConfig, Room, Row, RowKey, SendEvent, SendQueue, SendQueueConfig, SettledSet, StoreRow,
    Transmit,
};

const CLOCK: ClockReading =
    ClockReading { machine: 1, uptime: Duration::from_secs(9), wall: Duration::from_secs(99) };

#[derive(Clone, Debug)]
enum Step {
    Submit {
        idempotent: bool,
        has_token: bool,
        class: Class,
    },
    Cancel(usize),
    LinkUp,
    Cut,
    /// The oldest message under way on a stream or the control stream arrives, in either direction.
    Deliver(usize),
    Finish(usize),
    Update(usize),
    StoreSent,
    StoreReceived,
    /// The process ends; of the batches under way so many had become durable.
    CrashSender(usize),
    CrashReceiver(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(vec![Class::Urgent, Class::Normal, Class::Bulk]);
    let submit = (any::<bool>(), any::<bool>(), class)
        .prop_map(|(idempotent, has_token, class)| Step::Submit { idempotent, has_token, class });
    prop_oneof![
        4 => submit,
        1 => (0..64_usize).prop_map(Step::Cancel),
        3 => Just(Step::LinkUp),
        1 => Just(Step::Cut),
        20 => (0..64_usize).prop_map(Step::Deliver),
        4 => (0..64_usize).prop_map(Step::Finish),
        3 => (0..64_usize).prop_map(Step::Update),
        8 => Just(Step::StoreSent),
        8 => Just(Step::StoreReceived),
        1 => (0_usize..3).prop_map(Step::CrashSender),
        1 => (0_usize..3).prop_map(Step::CrashReceiver),
    ]
}

/// A store, and the batches on their way into it.
#[derive(Default)]
struct Disk {
    rows: BTreeMap<RowKey, Row>,
    under_way: VecDeque<Batch>,
}

impl Disk {
    /// Makes the oldest batches durable. Returns the number of the last one.
    fn store(&mut self, batches: usize) -> Option<runnel_queue::BatchId> {
        let batches = self.under_way.drain(..batches.min(self.under_way.len())).collect::<Vec<_>>();
        for change in batches.iter().flat_map(|batch| &batch.changes) {
            match change {
                Change::Put(row) => drop(self.rows.insert(row.key(), row.clone())),
                Change::Delete(key) => drop(self.rows.remove(key)),
            }
        }
        batches.last().map(|batch| batch.id)
    }

    /// What a new process finds.
    fn crash(&mut self, durable: usize) -> Vec<Row> {
        self.store(durable);
        self.under_way.clear();
        self.rows.values().cloned().collect()
    }
}

/// Something on its way over the link.
enum Message {
    Open(u64, Head, Bytes),
    Control(Transmit),
    Reply(u64, StreamFrame),
}

/// What is known of a command from outside.
#[derive(Default)]
struct Truth {
    idempotent: bool,
    has_token: bool,
    is_stored: bool,
    runs: usize,
    /// Its handler was lost with its process.
    is_lost: bool,
    outcome: Option<Outcome>,
    /// Updates that its last run has said, once that has ended by itself.
    updates_said: Option<u64>,
    updates_seen: u64,
}

struct World {
    now: Instant,
    boots: u64,
    send: SendQueue,
    sent: Disk,
    receive: ReceiveQueue,
    received: Disk,
    receiver_boot: Epoch,
    sender_boot: Epoch,
    receiver_store: StoreRow,
    sender_store: StoreRow,
    link: Option<u64>,
    last_link: u64,
    streams: BTreeMap<u64, CommandKey>,
    to_receiver: Vec<Message>,
    to_sender: Vec<Message>,
    /// Handlers at work, and how many updates each has sent.
    running: BTreeMap<CommandKey, u64>,
    truths: BTreeMap<CommandKey, Truth>,
}

fn ctl() -> NodeId {
    "ctl".parse().expect("a name")
}

fn worker() -> NodeId {
    "w1".parse().expect("a name")
}

fn command_name() -> runnel_codec::CommandName {
    "test.note/1".parse().expect("a name")
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            boots: 100,
            send: SendQueue::new(SendQueueConfig::default(), ctl(), Epoch::from_random(1), 1),
            sent: Disk::default(),
            receive: ReceiveQueue::new(ReceiveQueueConfig::default(), 1),
            received: Disk::default(),
            sender_boot: Epoch::from_random(1),
            receiver_boot: Epoch::from_random(2),
            sender_store: StoreRow::new(Epoch::from_random(7)),
            receiver_store: StoreRow::new(Epoch::from_random(8)),
            link: None,
            last_link: 0,
            streams: BTreeMap::new(),
            to_receiver: Vec::new(),
            to_sender: Vec::new(),
            running: BTreeMap::new(),
            truths: BTreeMap::new(),
        };
        world.start_sender(&[]);
        world.start_receiver(&[]);
        world
    }

    fn start_sender(&mut self, rows: &[Row]) {
        self.boots += 1;
        self.sender_boot = Epoch::from_random(self.boots);
        self.send = SendQueue::new(SendQueueConfig::default(), ctl(), self.sender_boot, self.boots);
        self.sender_store.lineage.push(self.sender_boot);
        self.send.recover(self.now, &CLOCK, &self.sender_store, rows);
        // Outcomes that nobody has taken are still there, and they are what they were.
        let untaken: Vec<_> =
            self.send.untaken_outcomes().map(|(id, row)| (id, row.outcome.clone())).collect();
        let kept: BTreeSet<_> = self.send.unfinished().map(|(id, _)| id.key).collect();
        let ids: Vec<_> = self.send.unfinished().map(|(id, _)| id).collect();
        for id in ids.iter().chain(untaken.iter().map(|(id, _)| id)) {
            self.send.follow(id).expect("what nobody has taken of its updates is kept");
        }
        while let Some(event) = self.send.poll_event() {
            self.handle_event(event);
        }
        for (id, outcome) in untaken {
            self.take_outcome(&id, outcome);
        }
        for (key, truth) in &mut self.truths {
            let is_here = truth.outcome.is_some() || kept.contains(key);
            assert!(is_here || !truth.is_stored, "{key} was stored and is lost");
        }
        self.truths.retain(|key, truth| truth.outcome.is_some() || kept.contains(key));
    }

    fn start_receiver(&mut self, rows: &[Row]) {
        self.boots += 1;
        self.receiver_boot = Epoch::from_random(self.boots);
        self.receive = ReceiveQueue::new(ReceiveQueueConfig::default(), self.boots);
        self.receiver_store.lineage.push(self.receiver_boot);
        self.receive.recover(self.now, &CLOCK, &self.receiver_store, rows);
        self.running.clear();
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Submit { idempotent, has_token, class } => {
                let command = NewCommand {
                    to: worker(),
                    class: *class,
                    name: command_name(),
                    idempotent: *idempotent,
                    is_message: false,
                    args: Bytes::from_static(b"args"),
                    payload: Bytes::new(),
                    has_body: false,
                    body_repeats: false,
                    body_held_bytes: 0,
                    wants_result_body: false,
                    updates: UpdatePolicy::Store,
                    steps: true,
                    deadline: None,
                    durable: Some(Box::new(Durability::default())),
                };
                let id = self.send.submit(self.now, command).expect("there is room");
                self.send.follow(&id).expect("its updates are kept");
                let truth = Truth { idempotent: *idempotent, has_token: *has_token, ..Truth::default() };
                assert!(self.truths.insert(id.key, truth).is_none(), "{} is given out twice", id.key);
            }
            Step::Cancel(at) => {
                if let Some(key) = pick(self.truths.keys(), *at) {
                    let id = CommandId { sender: ctl(), receiver: worker(), key };
                    self.send.cancel(&id).ok();
                }
            }
            Step::LinkUp => self.link_up(),
            Step::Cut => self.cut(),
            Step::Deliver(at) => self.deliver(*at),
            Step::Finish(at) => {
                if let Some(key) = pick(self.running.keys(), *at) {
                    let said = self.running.remove(&key);
                    self.truths.get_mut(&key).into_iter().for_each(|truth| truth.updates_said = said);
                    let result = Bytes::from(key.seq.to_wire().to_string());
                    self.receive.handle_finished(&ctl(), key, Outcome::Done { result });
                }
            }
            Step::Update(at) => {
                if let Some(key) = pick(self.running.keys(), *at) {
                    let sent = self.running.entry(key).or_default();
                    *sent += 1;
                    self.receive.handle_update(&ctl(), key, Bytes::from(sent.to_string()));
                }
            }
            Step::StoreSent => {
                if let Some(batch) = self.sent.store(1) {
                    self.send.handle_stored(self.now, batch);
                }
            }
            Step::StoreReceived => {
                if let Some(batch) = self.received.store(1) {
                    self.receive.handle_stored(batch);
                }
            }
            Step::CrashSender(durable) => {
                self.cut();
                let rows = self.sent.crash(*durable);
                self.start_sender(&rows);
            }
            Step::CrashReceiver(durable) => {
                self.cut();
                let rows = self.received.crash(*durable);
                for row in &rows {
                    // Whether its handler was called nobody can say, once it was stored that it would be.
                    if let Row::Run(_, key, row) = row
                        && row.outcome.is_none()
                        && let Some(truth) = self.truths.get_mut(key)
                    {
                        truth.is_lost = true;
                    }
                }
                self.start_receiver(&rows);
            }
        }
        self.drain();
    }

    fn link_up(&mut self) {
        self.cut();
        self.last_link += 1;
        self.link = Some(self.last_link);
        let number = LinkNumber::from_wire(self.last_link).expect("not 0");
        let receiver = self.receive.receiver_epoch(&ctl(), Some(Epoch::from_random(7)));
        let journaled = self.receive.journaled_positions(&ctl());
        self.send
            .check_journaled(&worker(), receiver, &journaled)
            .expect("the receiver has kept its journal");
        let sent = self.send.sent_positions(&worker());
        self.receive
            .check_store(&ctl(), Some(Epoch::from_random(7)), &self.sender_store.lineage, &sent)
            .expect("numbers are not forgotten");
        let settled = self.send.settled(&worker());
        let store = Some(Epoch::from_random(7));
        self.receive.handle_link_up(&ctl(), number, self.sender_boot, store, &settled);
        self.receive.handle_process_met(&ctl(), self.sender_store.lineage.newest());
        let up = LinkUp {
            link: number,
            boot: self.receiver_boot,
            receiver,
            journaled: Reach {
                process: self.receiver_store.lineage.processes(),
                position: journaled.last().map_or(0, |reach| reach.position),
            },
            takes_batches: false,
            commands: [command_name()].into(),
            args_bytes_max: 1 << 16,
            payload_bytes_max: 1 << 20,
        };
        self.send.handle_link_up(&worker(), up);
        let room = Room { places: 100, budget: ClassMap::new([u64::MAX; 5]), piece_bytes: 1 << 16 };
        self.send.handle_room(&worker(), room);
        self.receive.handle_room(&ctl(), room);
    }

    fn cut(&mut self) {
        if let Some(link) = self.link.take() {
            let number = LinkNumber::from_wire(link).expect("not 0");
            self.send.handle_link_down(self.now, &worker());
            self.receive.handle_link_down(&ctl(), number);
        }
        self.streams.clear();
        self.to_receiver.clear();
        self.to_sender.clear();
    }

    /// Delivers one of the messages that are the first on their streams.
    fn deliver(&mut self, at: usize) {
        let Some(link) = self.link.and_then(LinkNumber::from_wire) else { return };
        let count = self.to_receiver.len() + self.to_sender.len();
        if count == 0 {
            return;
        }
        let index = at % count;
        if index < self.to_receiver.len() {
            // Control frames keep their order; heads are each on a stream of their own.
            let wanted = matches!(self.to_receiver[index], Message::Control(_));
            let first = self.to_receiver.iter().position(|message| matches!(message, Message::Control(_)));
            let index = if wanted { first.unwrap_or(index) } else { index };
            match self.to_receiver.remove(index) {
                Message::Open(stream, head, payload) => {
                    self.receive.handle_head(
                        self.now,
                        &ctl(),
                        Attachment { link, stream, is_batch: false },
                        head,
                        payload,
                    );
                }
                Message::Control(transmit) => self.handle_control(transmit),
                Message::Reply(..) => {}
            }
        } else {
            let index = index - self.to_receiver.len();
            let Message::Reply(stream, _) = self.to_sender[index] else { return };
            let of_stream = |message: &Message| matches!(message, Message::Reply(of, _) if *of == stream);
            let first = self.to_sender.iter().position(of_stream).unwrap_or(index);
            if let Message::Reply(stream, frame) = self.to_sender.remove(first) {
                let Some(key) = self.streams.get(&stream).copied() else { return };
                self.send.handle_reply(self.now, &worker(), key, frame).expect("the protocol is kept");
            }
        }
    }

    fn handle_control(&mut self, transmit: Transmit) {
        match transmit {
            Transmit::Cancel { key, .. } => self.receive.handle_cancel(self.now, &ctl(), key),
            Transmit::Settled { settled, .. } => self.receive.handle_settled(&ctl(), &settled),
            Transmit::Received { key, updates, result_body, .. } => {
                self.receive.handle_received(&ctl(), key, updates, result_body);
            }
            Transmit::Credit { key, part, offset, .. } => {
                self.receive.handle_credit(&ctl(), key, part, offset);
            }
            Transmit::Open { .. }
            | Transmit::Batch { .. }
            | Transmit::Body { .. }
            | Transmit::BodyAborted { .. } => {}
        }
    }

    fn drain(&mut self) {
        self.sent.under_way.extend(std::iter::from_fn(|| self.send.poll_store(self.now, &CLOCK)));
        self.received.under_way.extend(std::iter::from_fn(|| self.receive.poll_store(self.now, &CLOCK)));
        while let Some(event) = self.send.poll_event() {
            self.handle_event(event);
        }
        while let Some(transmit) = self.send.poll_transmit(self.now) {
            let message = match transmit {
                Transmit::Open { key, head, payload, .. } => {
                    let stream = self.streams.last_key_value().map_or(1, |(last, _)| last + 1);
                    self.streams.insert(stream, key);
                    Message::Open(stream, head, payload)
                }
                other => Message::Control(other),
            };
            self.to_receiver.push(message);
        }
        while let Some(start) = self.receive.poll_start() {
            self.handle_start(start.key, start.recover.is_some());
        }
        while let Some(stop) = self.receive.poll_stop() {
            // A handler that is told to stop does so.
            self.running.remove(&stop.key);
            self.receive.handle_finished(&ctl(), stop.key, Outcome::Done { result: "stopped".into() });
        }
        while let Some(reply) = self.receive.poll_reply() {
            self.to_sender.push(Message::Reply(reply.at.stream, reply.frame));
        }
        while self.receive.poll_freed().is_some() || self.receive.poll_token_stored().is_some() {}
    }

    fn handle_start(&mut self, key: CommandKey, is_recovered: bool) {
        let Some(truth) = self.truths.get_mut(&key) else { return };
        if is_recovered {
            assert!(truth.has_token && truth.runs > 0, "{key} is recovered that never ran");
            truth.is_lost = false;
            // It says its updates again from the first.
            self.running.insert(key, 0);
            return;
        }
        truth.runs += 1;
        assert!(truth.runs == 1 || truth.idempotent, "{key} is handed over twice");
        assert!(truth.outcome.is_none(), "{key} is run after its end");
        self.running.insert(key, 0);
        if truth.has_token {
            self.receive.handle_token(&ctl(), key, Bytes::from_static(b"token"));
        }
    }

    fn handle_event(&mut self, event: SendEvent) {
        match event {
            SendEvent::Stored(id) => {
                self.truths.get_mut(&id.key).into_iter().for_each(|truth| truth.is_stored = true);
            }
            SendEvent::Update { id, number, content } => {
                assert_eq!(content, number.to_string(), "update {number} of {} is not what was said", id.key);
                if let Some(truth) = self.truths.get_mut(&id.key) {
                    truth.updates_seen = truth.updates_seen.max(number);
                }
                self.send.handle_updates_taken(&id, content.len() as u64);
            }
            SendEvent::Outcome { id, outcome } => self.take_outcome(&id, outcome),
            SendEvent::Held(id) => self.send.release(&id).expect("it is held"),
            _ => {}
        }
    }

    fn take_outcome(&mut self, id: &CommandId, outcome: Outcome) {
        self.send.handle_outcome_taken(self.now, id).expect("it is kept");
        let Some(truth) = self.truths.get_mut(&id.key) else { return };
        if let Some(before) = &truth.outcome {
            assert_eq!(*before, outcome, "{} has changed its outcome", id.key);
        }
        match &outcome {
            Outcome::Done { result } => {
                assert!(truth.runs > 0, "{} is done and never ran", id.key);
                let is_whole = truth.updates_said.is_none_or(|said| said <= truth.updates_seen);
                assert!(is_whole || result == "stopped", "updates of {} are missing", id.key);
            }
            Outcome::Unknown(_) => assert!(truth.is_lost, "{}: {outcome:?}", id.key),
            outcome => assert!(outcome.is_never() && truth.runs == 0, "{}: {outcome:?}", id.key),
        }
        truth.outcome = Some(outcome);
    }

    /// Nothing breaks any more: every stored command gets its outcome, and then nothing is left of it at the receiver.
    fn heal(&mut self) {
        self.step(&Step::LinkUp);
        for _ in 0..200 {
            for _ in 0..20 {
                self.step(&Step::Deliver(0));
            }
            self.step(&Step::Finish(0));
            self.step(&Step::StoreSent);
            self.step(&Step::StoreReceived);
            self.now += Duration::from_secs(1);
            self.send.handle_timeout(self.now);
            self.receive.handle_timeout(self.now);
            self.drain();
        }
        for (key, truth) in &self.truths {
            assert!(truth.outcome.is_some(), "{key} has no outcome");
        }
        assert_eq!(self.send.len(), 0);
        assert_eq!(self.receive.counts().remembered, 0, "everything is settled");
        let left: Vec<_> =
            self.received.rows.keys().filter(|key| !matches!(key, RowKey::Sender(_))).collect();
        assert!(left.is_empty(), "the receiver's store keeps {left:?}");
        let left: Vec<_> = self.sent.rows.keys().filter(|key| !matches!(key, RowKey::Receiver(_))).collect();
        assert!(left.is_empty(), "the sender's store keeps {left:?}");
        let Some(Row::Receiver(_, row)) = self.sent.rows.get(&RowKey::Receiver(worker())) else { return };
        let settled = SettledSet::from_wire(&row.settled);
        let last = row.sent.last().map_or(0, |reach| reach.position);
        assert_eq!(settled.low().map_or(0, runnel_codec::Seq::to_wire), last, "all numbers are settled");
    }
}

fn pick<'a>(keys: impl Iterator<Item = &'a CommandKey>, at: usize) -> Option<CommandKey> {
    let keys: Vec<_> = keys.collect();
    (!keys.is_empty()).then(|| *keys[at % keys.len()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_crash_loses_or_doubles_a_command(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.heal();
    }
}
