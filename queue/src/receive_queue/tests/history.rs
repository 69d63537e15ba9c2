//! Random histories of the receive queue against a plain model.
//!
//! Two senders bring heads in any order, twice, over old links and new ones; they cancel, settle, abandon, lose streams
//! and links, and come back as other processes; the store confirms late. The model remembers only what was said and handed over, and knows the promises:
//! each command is handed over at most once, no word comes before its record, a known command is never answered
//! `Busy`, an outcome never changes, and nothing that is settled is run. In the end everything has an outcome, and
//! once that is settled nothing is left.

mod check;

use proptest::prelude::*;

use super::*;
use crate::journal::BatchId;

#[derive(Clone, Debug)]
enum Step {
    Head { sender: usize, number: u64 },
    HeadOfOldLink { sender: usize, number: u64 },
    Cancel { sender: usize, number: u64 },
    Settle { sender: usize, number: u64 },
    Abandon { sender: usize, first: u64, last: u64 },
    Reject { sender: usize, number: u64 },
    LinkUp { sender: usize },
    Restart { sender: usize },
    HeadOfOlderBoot { sender: usize, number: u64 },
    LinkDown { sender: usize },
    StreamLost { sender: usize, number: u64 },
    Credit { sender: usize, number: u64, more: u64 },
    Received { sender: usize, number: u64 },
    Update { sender: usize, number: u64, bytes: usize },
    Finish { sender: usize, number: u64 },
    Stored { batches: usize },
    Pass { seconds: u64 },
}

/// What is known of a command from outside.
#[derive(Debug, Default)]
struct Model {
    was_brought: bool,
    is_cancelled: bool,
    is_settled: bool,
    /// The receiver has said or stored something about it.
    is_known: bool,
    was_accepted: bool,
    started: Written,
    handed_over: bool,
    /// Its handler has been called and has not returned.
    runs: bool,
    was_told_to_stop: bool,
    returned: Option<Outcome>,
    ended: Written,
    outcome: Option<Outcome>,
    said: Option<Outcome>,
    updates: Vec<Bytes>,
    /// How many of them have come to the sender.
    received: u64,
    credit: u64,
    stream: Option<u64>,
    room_owed: usize,
}

/// How far a record has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    #[default]
    No,
    OnItsWay,
    Stored,
}

/// What was said on a stream of the current link.
#[derive(Debug, Default)]
struct Stream {
    number: u64,
    is_accepted: bool,
    is_started: bool,
    is_closed: bool,
    update: u64,
}

#[derive(Debug)]
struct Peer {
    node: NodeId,
    link: Option<u64>,
    last_link: u64,
    last_stream: u64,
    /// How often it was restarted.
    boot: u64,
    /// Of all its processes: see [`nth`].
    commands: BTreeMap<u64, Model>,
    streams: BTreeMap<u64, Stream>,
}

struct World {
    queue: ReceiveQueue,
    config: ReceiveQueueConfig,
    now: Instant,
    peers: Vec<Peer>,
    unconfirmed: VecDeque<(BatchId, Vec<Note>)>,
    late: u64,
}

const NUMBERS: u64 = 8;

/// More than the numbers of one process.
const BOOT: u64 = 100;

impl World {
    fn new() -> Self {
        let config = ReceiveQueueConfig {
            commands_max: 7,
            sender_commands_max: 5,
            sender_commands_min: 2,
            urgent_reserve: 1,
            journal_max: 6,
            running_max: 3,
            running_max_by_name: [("slow/1".to_owned(), 1)].into(),
            ..ReceiveQueueConfig::default()
        };
        let peer = |name| Peer {
            node: node(name),
            link: None,
            last_link: 0,
            last_stream: 0,
            boot: 0,
            commands: new_commands(0).collect(),
            streams: BTreeMap::new(),
        };
        Self {
            queue: new_queue(config.clone()),
            config,
            now: Instant::now(),
            peers: vec![peer("a"), peer("b")],
            unconfirmed: VecDeque::new(),
            late: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        let boots: Vec<_> = self.peers.iter().map(|peer| peer.boot).collect();
        let nth = |sender: usize, number| nth(boots[sender], number);
        match *step {
            Step::Head { sender, number } => self.head(sender, nth(sender, number)),
            Step::HeadOfOldLink { sender, number } => self.head_of_old_link(sender, nth(sender, number)),
            Step::Cancel { sender, number } => self.cancel(sender, nth(sender, number)),
            Step::Settle { sender, number } => {
                let number = nth(sender, number);
                if self.model(sender, number).said.is_some() {
                    self.settle(sender, number, number);
                }
            }
            Step::Abandon { sender, first, last } => {
                self.settle(sender, nth(sender, first), nth(sender, last));
            }
            Step::Reject { sender, number } => {
                let rejection = Rejection { kind: RejectionKind::Denied, message: String::new() };
                self.queue.reject(&self.peers[sender].node, key(nth(sender, number)), rejection);
            }
            Step::LinkUp { sender } => self.link_up(sender),
            Step::Restart { sender } => self.restart(sender),
            Step::HeadOfOlderBoot { sender, number } => self.head_of_older_boot(sender, number),
            Step::LinkDown { sender } => self.link_down(sender),
            Step::StreamLost { sender, number } => self.stream_lost(sender, nth(sender, number)),
            Step::Credit { sender, number, more } => self.credit(sender, nth(sender, number), more),
            Step::Received { sender, number } => {
                let number = nth(sender, number);
                let received = self.receive(sender, number);
                self.queue.handle_received(&self.peers[sender].node, key(number), received, 0);
            }
            // Handlers of older processes go on as well.
            Step::Update { sender, number, bytes } => {
                (0..=boots[sender]).for_each(|boot| self.update(sender, self::nth(boot, number), bytes));
            }
            Step::Finish { sender, number } => {
                (0..=boots[sender]).for_each(|boot| self.finish(sender, self::nth(boot, number)));
            }
            Step::Stored { batches } => self.store(batches),
            Step::Pass { seconds } => {
                self.now += Duration::from_secs(seconds);
                self.queue.handle_timeout(self.now);
            }
        }
        self.drain();
        self.check_counts();
        self.check_room();
    }

    fn head(&mut self, sender: usize, number: u64) {
        let peer = &mut self.peers[sender];
        let Some(link) = peer.link else { return };
        peer.last_stream += 4;
        let stream = peer.last_stream;
        peer.streams.insert(stream, Stream { number, ..Stream::default() });
        let model = peer.commands.get_mut(&number).unwrap();
        model.was_brought = true;
        let head = head_of(number, model);
        let was_free = model.stream.is_none();
        if was_free {
            model.stream = Some(stream);
            peer.streams.get_mut(&stream).unwrap().update = model.received;
        }
        self.queue.handle_head(self.now, &self.peers[sender].node, at(link, stream), head, Bytes::new());
    }

    /// Nothing is to come of this: streams of old links are not in the model, so each word on one is an error.
    fn head_of_old_link(&mut self, sender: usize, number: u64) {
        let peer = &self.peers[sender];
        if peer.last_link > 0 && peer.link != Some(1) {
            let head = head_of(number, &peer.commands[&number]);
            self.queue.handle_head(self.now, &peer.node, at(1, 1000), head, Bytes::new());
        }
    }

    /// A late copy of what an older process sent.
    fn head_of_older_boot(&mut self, sender: usize, number: u64) {
        let peer = &mut self.peers[sender];
        let (Some(link), Some(older)) = (peer.link, peer.boot.checked_sub(1)) else { return };
        peer.last_stream += 4;
        let (stream, number) = (peer.last_stream, nth(older, number));
        peer.streams.insert(stream, Stream { number, ..Stream::default() });
        let head = head_of(number, &peer.commands[&number]);
        self.queue.handle_head(self.now, &self.peers[sender].node, at(link, stream), head, Bytes::new());
        self.drain();
        assert!(self.peers[sender].streams[&stream].is_closed, "it is answered, and by nothing but Stale");
    }

    fn cancel(&mut self, sender: usize, number: u64) {
        if self.peers[sender].link.is_some() {
            self.model(sender, number).is_cancelled = true;
            self.queue.handle_cancel(self.now, &self.peers[sender].node, key(number));
        }
    }

    fn settle(&mut self, sender: usize, first: u64, last: u64) {
        if self.peers[sender].link.is_none() || last < first {
            return;
        }
        for number in first..=last {
            self.model(sender, number).is_settled = true;
        }
        let ranges = vec![(key(first).seq, key(last).seq)];
        let settled = Settled { epoch: key(first).epoch, low: None, ranges };
        self.queue.handle_settled(&self.peers[sender].node, &settled);
    }

    fn link_up(&mut self, sender: usize) {
        let peer = &mut self.peers[sender];
        peer.last_link += 1;
        peer.link = Some(peer.last_link);
        peer.forget_streams();
        let epoch = key(nth(peer.boot, 1)).epoch;
        let settled = peer.commands.iter().filter(|(_, model)| model.is_settled);
        let keys = settled.map(|(number, _)| key(*number)).filter(|key| key.epoch == epoch);
        let settled = Settled { epoch, low: None, ranges: keys.map(|key| (key.seq, key.seq)).collect() };
        self.queue.handle_link_up(&peer.node, link(peer.last_link), epoch, Some(epoch), &[settled]);
        self.queue.handle_room(&peer.node, room());
    }

    /// Another process of the sender takes over: what the older one sent counts as settled.
    fn restart(&mut self, sender: usize) {
        let peer = &mut self.peers[sender];
        peer.boot += 1;
        peer.commands.values_mut().for_each(|model| model.is_settled = true);
        peer.commands.extend(new_commands(peer.boot));
        self.link_up(sender);
    }

    fn link_down(&mut self, sender: usize) {
        let peer = &mut self.peers[sender];
        if let Some(number) = peer.link.take() {
            peer.forget_streams();
            self.queue.handle_link_down(&peer.node, link(number));
        }
    }

    fn stream_lost(&mut self, sender: usize, number: u64) {
        let peer = &mut self.peers[sender];
        if let (Some(link), Some(stream)) = (peer.link, peer.commands.get_mut(&number).unwrap().stream.take())
        {
            peer.streams.remove(&stream);
            self.queue.handle_stream_lost(&peer.node, key(number), at(link, stream));
        }
    }

    fn credit(&mut self, sender: usize, number: u64, more: u64) {
        if self.peers[sender].link.is_some() {
            let model = self.model(sender, number);
            model.credit += more;
            let credit = model.credit;
            self.queue.handle_credit(&self.peers[sender].node, key(number), Part::Updates, credit);
        }
    }

    /// What was written to the current stream has come; until then, it is lost with its stream.
    fn receive(&mut self, sender: usize, number: u64) -> u64 {
        let peer = &mut self.peers[sender];
        let model = peer.commands.get_mut(&number).unwrap();
        if let Some(stream) = model.stream {
            model.received = peer.streams[&stream].update;
        }
        model.received
    }

    fn update(&mut self, sender: usize, number: u64, bytes: usize) {
        let model = self.model(sender, number);
        if !model.runs {
            return;
        }
        let content = Bytes::from(vec![u8::try_from(model.updates.len() % 251).unwrap(); bytes]);
        model.room_owed += bytes;
        // After the grace nobody reads on.
        if model.ended == Written::No && bytes > 0 {
            model.updates.push(content.clone());
        }
        self.queue.handle_update(&self.peers[sender].node, key(number), content);
    }

    fn finish(&mut self, sender: usize, number: u64) {
        let model = self.model(sender, number);
        if !std::mem::take(&mut model.runs) {
            return;
        }
        let outcome = Outcome::Done { result: format!("result {number}").into() };
        if model.ended == Written::No {
            model.returned = Some(outcome.clone());
        } else {
            self.late += 1;
        }
        self.queue.handle_finished(&self.peers[sender].node, key(number), outcome);
    }

    /// Confirms the first batches with one word.
    fn store(&mut self, batches: usize) {
        let batches: Vec<_> = (0..batches).map_while(|_| self.unconfirmed.pop_front()).collect();
        for note in batches.iter().flat_map(|(_, notes)| notes) {
            self.note_stored(note);
        }
        if let Some((last, _)) = batches.last() {
            self.queue.handle_stored(*last);
        }
    }

    /// What a process that is gone has sent leaves no records: it is forgotten when it ends.
    fn look_at_older(&mut self) {
        for peer in &mut self.peers {
            let Some(sender) = self.queue.senders.get(&peer.node) else { continue };
            let older = peer.commands.range_mut(..nth(peer.boot, 0));
            for (_, model) in older.filter(|(number, _)| sender.known.get(key(**number)).is_none()) {
                model.ended = Written::Stored;
            }
        }
    }

    fn note_stored(&mut self, note: &Note) {
        match note {
            Note::Started(id) => self.model_at(*id).started = Written::Stored,
            Note::Ended { id, .. } => self.model_at(*id).ended = Written::Stored,
            _ => {}
        }
    }

    fn drain(&mut self) {
        self.look_at_older();
        while let Some(batch) = self.queue.poll_store(self.now, &CLOCK) {
            let notes = self.queue.durable.last().to_vec();
            for note in &notes {
                self.check_note(note);
            }
            self.unconfirmed.push_back((batch.id, notes));
        }
        while let Some(start) = self.queue.poll_start() {
            self.check_start(&start);
        }
        while let Some(stop) = self.queue.poll_stop() {
            let model = self.model_of(&stop.from, stop.key);
            assert!(model.handed_over && !model.was_told_to_stop, "{stop:?}");
            model.was_told_to_stop = true;
        }
        while let Some(Freed { from, key, bytes, .. }) = self.queue.poll_freed() {
            let model = self.model_of(&from, key);
            assert!(bytes <= model.room_owed, "{key}: room for more than was sent");
            model.room_owed -= bytes;
        }
        while let Some(reply) = self.queue.poll_reply() {
            self.check_reply(&reply);
        }
    }

    /// Lets everything come to its end: each command that was brought and not given up has an outcome.
    fn conclude(&mut self) {
        for sender in 0..self.peers.len() {
            self.step(&Step::LinkUp { sender });
        }
        for _ in 0..4 * NUMBERS {
            for sender in 0..self.peers.len() {
                for number in 1..=NUMBERS {
                    self.conclude_one(sender, number);
                    self.step(&Step::Stored { batches: usize::MAX });
                    self.step(&Step::Finish { sender, number });
                }
            }
        }
        for (peer, (number, model)) in
            self.peers.iter().flat_map(|peer| peer.commands.iter().map(move |command| (peer, command)))
        {
            let is_owed = model.was_brought && !model.is_settled;
            assert!(!is_owed, "{} has no answer about {number}: {model:?}", peer.node);
        }
        // Nothing waits any more for what it could be stored with.
        self.queue.durable.close();
        for sender in 0..self.peers.len() {
            self.step(&Step::Abandon { sender, first: 1, last: NUMBERS });
        }
        while !self.unconfirmed.is_empty() {
            self.step(&Step::Stored { batches: 1 });
        }
        assert_eq!(self.queue.counts(), ReceiveCounts { late: self.late, ..ReceiveCounts::default() });
        assert_eq!(self.queue.poll_timeout(), None);
        assert!(self.peers.iter().all(|peer| !self.queue.owes(&peer.node)));
    }

    /// Does what a sender does for a command without an outcome, and settles it once there is one.
    fn conclude_one(&mut self, sender: usize, number: u64) {
        let nth = nth(self.peers[sender].boot, number);
        let model = self.model(sender, nth);
        let (is_settled, was_brought) = (model.is_settled, model.was_brought);
        let (has_outcome, has_stream) = (model.said.is_some(), model.stream.is_some());
        if is_settled {
            return;
        }
        if has_outcome || !was_brought {
            // One that was never brought may have left a tombstone: the sender ended it at home.
            return self.step(&Step::Abandon { sender, first: number, last: number });
        }
        self.step(&Step::Credit { sender, number, more: 1000 });
        if !has_stream {
            self.step(&Step::Head { sender, number });
        }
    }

    fn model(&mut self, sender: usize, number: u64) -> &mut Model {
        self.peers[sender].commands.get_mut(&number).unwrap()
    }

    fn model_at(&mut self, id: LocalId) -> &mut Model {
        let from = self.queue.senders.name(id.peer).clone();
        self.model_of(&from, id.key)
    }

    fn model_of(&mut self, from: &NodeId, key: CommandKey) -> &mut Model {
        let peer = self.peers.iter_mut().find(|peer| peer.node == *from).unwrap();
        peer.commands.get_mut(&number_of(key)).unwrap()
    }
}

impl Peer {
    fn forget_streams(&mut self) {
        self.streams.clear();
        for model in self.commands.values_mut() {
            model.stream = None;
        }
    }
}

/// The head that a sender writes now. What does not change of a command follows from its number.
fn head_of(number: u64, model: &Model) -> Head {
    let name = if is_slow(number) { "slow/1" } else { "quick/1" };
    Head {
        key: key(number),
        class: class_of(number),
        name: name.parse().unwrap(),
        cancelled: model.is_cancelled,
        deadline_remaining: number.is_multiple_of(3).then_some(Duration::from_secs(20)),
        updates_received: model.received,
        updates_credit: model.credit,
        args: format!("args {number}").into(),
        ..head(1)
    }
}

/// Numbers a process's command among those of all processes of its sender.
fn nth(boot: u64, number: u64) -> u64 {
    boot * BOOT + number
}

fn key(nth: u64) -> CommandKey {
    CommandKey { epoch: Epoch::from_random(7 + nth / BOOT), seq: Seq::from_wire(nth % BOOT).unwrap() }
}

fn number_of(key: CommandKey) -> u64 {
    (key.epoch.to_wire() - 7) * BOOT + key.seq.to_wire()
}

fn new_commands(boot: u64) -> impl Iterator<Item = (u64, Model)> {
    (1..=NUMBERS).map(move |number| (nth(boot, number), Model { credit: 4, ..Model::default() }))
}

fn class_of(number: u64) -> Class {
    Class::ALL[usize::try_from(number).unwrap() % Class::ALL.len()]
}

fn is_slow(number: u64) -> bool {
    number.is_multiple_of(2)
}

fn step() -> impl Strategy<Value = Step> {
    let command = || (0..2usize, 1..=NUMBERS);
    prop_oneof![
        12 => command().prop_map(|(sender, number)| Step::Head { sender, number }),
        2 => command().prop_map(|(sender, number)| Step::HeadOfOldLink { sender, number }),
        3 => command().prop_map(|(sender, number)| Step::Cancel { sender, number }),
        4 => command().prop_map(|(sender, number)| Step::Settle { sender, number }),
        1 => (command(), 0..3u64).prop_map(|((sender, first), more)| {
            Step::Abandon { sender, first, last: NUMBERS.min(first + more) }
        }),
        1 => command().prop_map(|(sender, number)| Step::Reject { sender, number }),
        4 => (0..2usize).prop_map(|sender| Step::LinkUp { sender }),
        1 => (0..2usize).prop_map(|sender| Step::LinkDown { sender }),
        1 => (0..2usize).prop_map(|sender| Step::Restart { sender }),
        1 => command().prop_map(|(sender, number)| Step::HeadOfOlderBoot { sender, number }),
        2 => command().prop_map(|(sender, number)| Step::StreamLost { sender, number }),
        4 => (command(), 0..6u64).prop_map(|((sender, number), more)| Step::Credit { sender, number, more }),
        2 => command().prop_map(|(sender, number)| Step::Received { sender, number }),
        6 => (command(), 0..5usize).prop_map(|((sender, number), bytes)| Step::Update { sender, number, bytes }),
        4 => command().prop_map(|(sender, number)| Step::Finish { sender, number }),
        10 => (1..3usize).prop_map(|batches| Step::Stored { batches }),
        3 => (0..15u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    #[test]
    fn every_history_keeps_the_promises(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        for sender in 0..world.peers.len() {
            world.step(&Step::LinkUp { sender });
        }
        for step in &steps {
            world.step(step);
        }
        world.conclude();
    }
}
