//! The credits of one peer together: bounded, and enough for every command to get on.

use super::*;

const BOUND: u64 = 1000;
const LEAST: u64 = 4;

fn config() -> SendQueueConfig {
    SendQueueConfig {
        updates_window_bytes: 300,
        updates_window_bytes_untaken: 60,
        updates_kept_bytes_max: 500,
        updates_window_bytes_first: 40.try_into().unwrap(),
        updates_window_bytes_min: LEAST.try_into().unwrap(),
        result_body_window_bytes: 200,
        result_body_window_bytes_min: LEAST.try_into().unwrap(),
        credits_bytes_max: BOUND,
        links_died_max: u32::MAX.try_into().unwrap(),
        ..SendQueueConfig::default()
    }
}

/// A command as its receiver and its caller see it.
#[derive(Debug, Default)]
struct Seen {
    /// What the receiver was told last.
    credit: u64,
    result_body_credit: u64,
    written: u64,
    updates: u64,
    taken: u64,
}

impl Seen {
    /// What the receiver may still write. What it wrote beyond its credit is the last update's own length.
    fn open_credit(&self) -> u64 {
        self.credit.saturating_sub(self.written) + self.result_body_credit
    }

    /// What was granted and is not taken.
    fn granted(&self) -> u64 {
        self.credit.saturating_sub(self.taken) + self.result_body_credit
    }
}

struct Rig {
    queue: SendQueue,
    now: Instant,
    peer: NodeId,
    seen: BTreeMap<CommandKey, Seen>,
}

impl Rig {
    fn new() -> Self {
        let mut rig =
            Self { queue: queue(config()), now: Instant::now(), peer: node("w1"), seen: BTreeMap::new() };
        rig.link_up();
        rig
    }

    fn link_up(&mut self) {
        self.queue.handle_link_up(&self.peer, link_up(1));
        self.queue.handle_room(&self.peer, room(10_000));
        self.exchange();
    }

    fn submit(&mut self, updates: UpdatePolicy, wants_result_body: bool) -> CommandKey {
        let command = NewCommand { updates, wants_result_body, ..command(&self.peer, Class::Normal) };
        let key = self.queue.submit(self.now, command).unwrap().key;
        self.exchange();
        key
    }

    /// The receiver writes an update if it has a stream, and credit for one to begin. Returns whether it did.
    fn write(&mut self, key: CommandKey, bytes: usize) -> bool {
        let is_on_stream = self.queue.stage(&self.id(key)) == Some(Stage::Sent);
        let Some(seen) = self.seen.get_mut(&key).filter(|seen| is_on_stream && seen.written < seen.credit)
        else {
            return false;
        };
        seen.written += bytes as u64;
        seen.updates += 1;
        let frame = StreamFrame::Update { number: seen.updates, content: vec![7; bytes].into() };
        self.queue.handle_reply(self.now, &self.peer, key, frame).expect("it is within the credit");
        self.exchange();
        true
    }

    fn take(&mut self, key: CommandKey, bytes: u64) {
        let Some(seen) = self.seen.get_mut(&key) else { return };
        let bytes = bytes.min(seen.written - seen.taken);
        seen.taken += bytes;
        self.queue.handle_updates_taken(&self.id(key), bytes);
        self.exchange();
    }

    /// The receiver is full, and knows nothing of the command.
    fn refuse(&mut self, key: CommandKey) {
        let is_unanswered = self.queue.stage(&self.id(key)) == Some(Stage::Sent);
        let Some(seen) = self.seen.get_mut(&key).filter(|seen| is_unanswered && seen.written == 0) else {
            return;
        };
        seen.credit = 0;
        let busy = StreamFrame::Busy { scope: BusyScope::Class, retry_after: Duration::ZERO };
        self.queue.handle_reply(self.now, &self.peer, key, busy).expect("an allowed word");
        let until = self.queue.poll_timeout().expect("the pause ends");
        self.now = until;
        self.queue.handle_timeout(until);
        self.exchange();
    }

    fn end(&mut self, key: CommandKey) {
        if self.seen.remove(&key).is_some() {
            self.queue.handle_reply(self.now, &self.peer, key, reply(0)).expect("an allowed word");
            self.exchange();
        }
    }

    /// Carries what the queue says to the receiver, and checks the bound.
    fn exchange(&mut self) {
        for transmit in settle(&mut self.queue, self.now).1 {
            match transmit {
                Transmit::Open { key, head, .. } => {
                    let seen = self.seen.entry(key).or_default();
                    seen.credit = seen.credit.max(head.updates_credit);
                    seen.result_body_credit = head.result_body_credit;
                }
                Transmit::Credit { key, offset, .. } => {
                    let Some(seen) = self.seen.get_mut(&key) else { continue };
                    assert!(offset > seen.credit, "a credit is said when it is higher");
                    seen.credit = offset;
                }
                _ => {}
            }
        }
        let granted: u64 = self.seen.values().map(Seen::granted).sum();
        let least = 2 * LEAST * self.seen.len() as u64;
        assert!(granted <= BOUND + least, "{granted} bytes are granted: {:?}", self.seen);
        let peer = self.queue.peers.get(&self.peer).expect("it was met");
        let promised: u64 = peer.entries.values().map(|entry| entry.promised()).sum();
        assert_eq!(peer.credits.promised(), promised, "what is counted is what is there");
    }

    fn id(&self, key: CommandKey) -> CommandId {
        CommandId { sender: self.queue.node.clone(), receiver: self.peer.clone(), key }
    }
}

#[test]
fn a_window_grows_with_what_is_written_and_taken() {
    let mut rig = Rig::new();
    let key = rig.submit(UpdatePolicy::Follow, false);
    let mut windows = vec![rig.seen[&key].open_credit()];
    for _ in 0..200 {
        assert!(rig.write(key, 10));
        rig.take(key, 10);
        windows.push(rig.seen[&key].open_credit());
    }
    // A quarter of what is left of the bound.
    assert_eq!((windows[0], windows.iter().max()), (40, Some(&250)));
}

#[test]
fn what_nobody_takes_fills_its_window_and_no_more() {
    for (policy, window) in [(UpdatePolicy::Follow, 60), (UpdatePolicy::Store, 500)] {
        let mut rig = Rig::new();
        let key = rig.submit(policy, false);
        while rig.write(key, 1) {}
        // Half of what is left of the bound is as much as the longest window.
        assert_eq!(rig.seen[&key].written, window);
    }
}

#[test]
fn those_that_say_nothing_do_not_keep_others_from_writing() {
    let mut rig = Rig::new();
    for _ in 0..500 {
        rig.submit(UpdatePolicy::Follow, false);
    }
    let late = rig.submit(UpdatePolicy::Follow, false);
    for _ in 0..20 {
        assert!(rig.write(late, 100), "an update may end beyond its credit");
        rig.take(late, 100);
    }
    let keys: Vec<_> = rig.seen.keys().copied().collect();
    keys.into_iter().for_each(|key| rig.end(key));
    let key = rig.submit(UpdatePolicy::Follow, true);
    assert_eq!(rig.seen[&key].open_credit(), 40 + 200, "all of it came back");
}

proptest! {
    /// Whatever is written, taken late, refused, ended or sent again: the bound holds (`exchange` checks it), and each
    /// command gets on once its own caller has taken what came.
    #[test]
    fn credits_are_bounded_together_and_none_is_starved(
        steps in prop::collection::vec((0..9_u8, any::<prop::sample::Index>(), 1..150_usize), 0..200),
    ) {
        let mut rig = Rig::new();
        for (step, index, number) in steps {
            let keys: Vec<_> = rig.seen.keys().copied().collect();
            let key = || keys[index.index(keys.len())];
            match step {
                0 => drop(rig.submit(UpdatePolicy::Follow, number % 7 == 0)),
                1 => drop(rig.submit(UpdatePolicy::Store, false)),
                _ if keys.is_empty() => {}
                2..=4 => drop(rig.write(key(), number)),
                5 => rig.take(key(), number as u64),
                6 => rig.refuse(key()),
                7 => rig.end(key()),
                _ => rig.link_up(),
            }
        }
        while let Some(at) = rig.queue.poll_timeout() {
            rig.queue.handle_timeout(at);
            rig.now = at;
            rig.exchange();
        }
        for key in rig.seen.keys().copied().collect::<Vec<_>>() {
            rig.take(key, u64::MAX);
            prop_assert!(rig.write(key, 1), "{key} waits for others: {:?}", rig.seen[&key]);
        }
    }
}
