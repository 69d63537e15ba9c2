//! What is said about a command that waits.

use super::*;

/// A queue with a link that has room for `places` streams, and a command that was submitted.
struct Rig {
    queue: SendQueue,
    now: Instant,
    peer: NodeId,
    id: CommandId,
}

impl Rig {
    fn new(config: SendQueueConfig, places: usize, new: NewCommand) -> Self {
        let (mut queue, peer, now) = (queue(config), new.to.clone(), Instant::now());
        queue.handle_link_up(&peer, link_up(1));
        queue.handle_room(&peer, room(places));
        let id = queue.submit(now, new).unwrap();
        settle(&mut queue, now);
        Self { queue, now, peer, id }
    }

    fn sent() -> Self {
        Self::new(SendQueueConfig::default(), 100, command(&node("w1"), Class::Normal))
    }

    fn reply(&mut self, frame: StreamFrame) {
        self.queue.handle_reply(self.now, &self.peer, self.id.key, frame).expect("an allowed word");
    }

    fn explain(&self) -> Waiting {
        self.queue.explain(&self.id).expect("it is in the queue")
    }

    #[track_caller]
    fn assert_waits_for(&self, expected: WaitsFor) {
        assert_eq!(self.explain().waits_for, expected);
    }
}

#[test]
fn each_stage_waits_for_the_next() {
    let (mut fresh, peer) = (queue(SendQueueConfig::default()), node("w1"));
    let id = fresh.submit(Instant::now(), command(&peer, Class::Low)).unwrap();
    assert_eq!(fresh.explain(&id).map(|waiting| waiting.waits_for), Some(WaitsFor::Store));

    let mut rig = Rig::sent();
    rig.assert_waits_for(WaitsFor::Answer);
    rig.reply(reply(1));
    rig.assert_waits_for(WaitsFor::Start);
    rig.reply(reply(2));
    rig.assert_waits_for(WaitsFor::Handler);
    rig.reply(reply(0));
    rig.assert_waits_for(WaitsFor::Store);
    settle(&mut rig.queue, rig.now);
    assert_eq!(rig.queue.explain(&rig.id), None);
}

#[test]
fn a_peer_without_a_link_is_named_with_the_time_since_when() {
    let mut rig = Rig::sent();
    assert_eq!(rig.queue.unreachable_since(&rig.peer), None);
    rig.queue.handle_link_down(rig.now, &rig.peer);
    rig.assert_waits_for(WaitsFor::Link);
    assert_eq!(rig.explain().unreachable_since, Some(rig.now));
    let (later, never_met) = (rig.now + Duration::from_secs(1), node("w9"));
    let id = rig.queue.submit(later, command(&never_met, Class::Low)).unwrap();
    rig.queue.submit(later + Duration::from_secs(1), command(&never_met, Class::Low)).unwrap();
    assert_eq!(rig.queue.explain(&id).and_then(|waiting| waiting.unreachable_since), Some(later));
    rig.queue.handle_link_up(&never_met, link_up(1));
    assert_eq!(rig.queue.unreachable_since(&never_met), None);
    assert_eq!(rig.queue.unreachable_since(&node("w8")), None, "nobody ever wanted it");
}

#[test]
fn busy_says_until_when_and_whom_it_means() {
    for scope in [BusyScope::Peer, BusyScope::Class] {
        let mut rig = Rig::sent();
        rig.reply(StreamFrame::Busy { scope, retry_after: Duration::from_secs(1) });
        let waiting = rig.explain();
        let until = waiting.busy_until.expect("a pause");
        assert!(until >= rig.now + Duration::from_secs(1));
        assert_eq!(waiting.waits_for, WaitsFor::Pause { until, scope });
        rig.queue.handle_timeout(until);
        assert_eq!((rig.explain().busy_until, rig.explain().waits_for), (None, WaitsFor::Turn));
    }
}

#[test]
fn a_lost_stream_says_when_its_command_is_sent_again() {
    let mut rig = Rig::sent();
    rig.queue.handle_stream_lost(rig.now, &rig.peer, rig.id.key);
    rig.assert_waits_for(WaitsFor::Resend { at: rig.now + Duration::from_millis(100) });
    assert_eq!(rig.explain().streams_lost, 1);
}

#[test]
fn places_and_budget_are_told_apart() {
    let normal = command(&node("w1"), Class::Normal);
    let default = SendQueueConfig::default;
    Rig::new(default(), 32, normal.clone()).assert_waits_for(WaitsFor::Place { reserved: 32 });
    let urgent = command(&node("w1"), Class::Urgent);
    Rig::new(default(), 0, urgent).assert_waits_for(WaitsFor::Place { reserved: 0 });

    let mut rig = Rig::new(default(), 0, NewCommand { payload: "payload".into(), ..normal });
    rig.queue.handle_room(&rig.peer, Room { budget: ClassMap::new([u64::MAX, 9, 0, 0, 0]), ..room(100) });
    rig.assert_waits_for(WaitsFor::Budget);
}

#[test]
fn updates_that_nobody_takes_are_named_as_what_holds_it_up() {
    let mut rig = Rig::new(
        SendQueueConfig { updates_window_bytes: 3, ..SendQueueConfig::default() },
        100,
        command(&node("w1"), Class::Normal),
    );
    rig.reply(reply(2));
    rig.reply(StreamFrame::Update { number: 1, content: "abc".into() });
    rig.assert_waits_for(WaitsFor::Caller);
    assert_eq!(rig.explain().updates_held_bytes, 3);
    rig.queue.handle_updates_taken(&rig.id, 3);
    rig.assert_waits_for(WaitsFor::Handler);
}

#[test]
fn the_bound_that_is_full_is_named() {
    let config = SendQueueConfig { peer_commands_max: 1, ..SendQueueConfig::default() };
    let rig = Rig::new(config, 0, command(&node("w1"), Class::Normal));
    assert_eq!(rig.explain().full, Some(crate::error::Bound::PeerCommands));
    assert_eq!(Rig::sent().explain().full, None);
}

#[test]
fn those_that_go_first_are_counted_over_all_classes_and_peers() {
    let now = Instant::now();
    let mut queue = queue(SendQueueConfig::default());
    let peers = ["w1", "w2", "gone"].map(node);
    for peer in &peers[..2] {
        queue.handle_link_up(peer, link_up(1));
    }
    let submit = |queue: &mut SendQueue, peer: &NodeId, class, count| {
        let ids = (0..count).map(|_| queue.submit(now, command(peer, class)).unwrap());
        ids.last().expect("at least one")
    };
    let urgent = submit(&mut queue, &peers[1], Class::Urgent, 5);
    submit(&mut queue, &peers[2], Class::Urgent, 100);
    submit(&mut queue, &peers[1], Class::Low, 40);
    let normal = submit(&mut queue, &peers[0], Class::Normal, 10);
    submit(&mut queue, &peers[1], Class::Normal, 3);
    settle(&mut queue, now);
    let facts =
        |id| queue.explain(id).map(|waiting| (waiting.position, waiting.ahead)).expect("in the queue");
    assert_eq!(facts(&urgent), (Some(4), Some(4)), "nothing below goes before it");
    // 9 of its line, 3 of the other peer, 5 urgent ones, and a Low one for each two Normal ones.
    assert_eq!(facts(&normal), (Some(9), Some(9 + 3 + 5 + 6)), "peers without a link do not count");
}
