//! Nobody fills the house: one test for each rule about who has how much of the send queue.

use super::*;
use crate::error::Bound;

/// 500 peers without a link push until they are refused by `bound`; then one that lives has room as if they were not.
#[track_caller]
fn check_the_dead_leave_room(config: SendQueueConfig, new: &dyn Fn(&NodeId) -> NewCommand, bound: Bound) {
    let now = Instant::now();
    let (mut queue, live) = (queue(config), node("live"));
    queue.handle_link_up(&live, link_up(1));
    queue.handle_room(&live, room(100));
    let mut refusals = Vec::new();
    for number in 0..500 {
        let dead = node(&format!("dead-{number}"));
        while refusals.len() == number {
            refusals.extend(queue.submit(now, new(&dead)).err());
        }
    }
    assert!(refusals.contains(&full(bound)), "the refused are told why: {:?}", refusals[499]);
    let id = queue.submit(now, new(&live)).expect("a live peer has its share");
    let (_, transmits) = settle(&mut queue, now);
    assert_eq!(opened(&transmits), [(live.clone(), id.key)], "and it goes at once");
    let taken = (0..1000).filter(|_| queue.submit(now, new(&live)).is_ok()).count();
    assert_eq!(taken, 1000, "far beyond the minimum share: the dead hold no more than their half");
}

#[test]
fn the_dead_leave_half_of_all_commands() {
    let config = SendQueueConfig { commands_max: 40_000, ..SendQueueConfig::default() };
    check_the_dead_leave_room(config, &|to| command(to, Class::Normal), Bound::UnreachableCommands);
}

#[test]
fn the_dead_leave_half_of_all_bytes() {
    let config = SendQueueConfig { bytes_max: 128 << 20, ..SendQueueConfig::default() };
    check_the_dead_leave_room(config, &|to| long(to, Class::Normal), Bound::UnreachableBytes);
}

#[test]
fn the_dead_leave_half_of_the_commands_of_each_class() {
    for class in [Class::Bulk, Class::Urgent] {
        let config = SendQueueConfig { class_commands_max: 40_000, ..SendQueueConfig::default() };
        check_the_dead_leave_room(config, &|to| command(to, class), Bound::UnreachableClassCommands(class));
    }
}

#[test]
fn the_dead_leave_half_of_the_bytes_of_each_class() {
    let config = SendQueueConfig { class_bytes_max: 128 << 20, ..SendQueueConfig::default() };
    let class = Class::Low;
    check_the_dead_leave_room(config, &|to| long(to, class), Bound::UnreachableClassBytes(class));
}

#[test]
fn the_dead_of_one_class_leave_the_other_classes_their_half_too() {
    let now = Instant::now();
    let config =
        SendQueueConfig { class_commands_max: 100, peer_commands_min: 0, ..SendQueueConfig::default() };
    let (mut queue, dead) = (queue(config), node("dead"));
    assert_eq!(
        fill(&mut queue, now, &dead, Class::Bulk),
        (50, full(Bound::UnreachableClassCommands(Class::Bulk)))
    );
    assert_eq!(fill(&mut queue, now, &dead, Class::Urgent).0, 50);
}

#[test]
fn a_peer_counts_as_dead_only_while_it_has_no_link() {
    let now = Instant::now();
    let config = SendQueueConfig { commands_max: 100, peer_commands_min: 0, ..SendQueueConfig::default() };
    let (mut queue, peer) = (queue(config), node("w1"));
    assert_eq!(fill(&mut queue, now, &peer, Class::Low), (50, full(Bound::UnreachableCommands)));
    queue.handle_link_up(&peer, link_up(1));
    assert_eq!(fill(&mut queue, now, &peer, Class::Low), (50, full(Bound::Commands)));
    queue.handle_link_down(now, &peer);
    let other = node("w2");
    assert_eq!(fill(&mut queue, now, &other, Class::Low).0, 0);
    queue.handle_link_up(&other, link_up(1));
    assert_eq!(fill(&mut queue, now, &other, Class::Low), (0, full(Bound::Commands)), "memory has an end");
}

#[test]
fn one_peer_cannot_take_the_share_of_another() {
    let now = Instant::now();
    let config = SendQueueConfig { commands_max: 50, ..SendQueueConfig::default() };
    let (mut queue, greedy, other) = (queue(config), node("w1"), node("w2"));
    queue.handle_link_up(&greedy, link_up(1));
    queue.handle_link_up(&other, link_up(1));
    assert_eq!(
        fill(&mut queue, now, &greedy, Class::Normal),
        (82, full(Bound::Commands)),
        "its own 32 and all"
    );
    assert_eq!(fill(&mut queue, now, &other, Class::Normal), (32, full(Bound::Commands)));
    assert_eq!(fill(&mut queue, now, &other, Class::Urgent), (32, full(Bound::Commands)));
}

#[test]
fn one_class_cannot_take_the_share_of_another() {
    let now = Instant::now();
    let config =
        SendQueueConfig { class_commands_max: 100, peer_commands_min: 0, ..SendQueueConfig::default() };
    let (mut queue, peer) = (queue(config), node("w1"));
    queue.handle_link_up(&peer, link_up(1));
    assert_eq!(fill(&mut queue, now, &peer, Class::Bulk), (100, full(Bound::ClassCommands(Class::Bulk))));
    assert_eq!(fill(&mut queue, now, &peer, Class::High), (100, full(Bound::ClassCommands(Class::High))));
}

#[test]
fn the_bound_of_a_peer_is_its_own() {
    let now = Instant::now();
    let config = SendQueueConfig { peer_commands_max: 100, ..SendQueueConfig::default() };
    let mut queue = queue(config);
    for name in ["w1", "w2"] {
        assert_eq!(fill(&mut queue, now, &node(name), Class::Low), (100, full(Bound::PeerCommands)));
    }
}

#[test]
fn half_of_a_minimum_share_is_for_urgent_and_the_whole_is_never_exceeded() {
    let now = Instant::now();
    for (first, second, expected) in
        [(Class::Bulk, Class::Urgent, (4, 4)), (Class::Urgent, Class::Bulk, (8, 0))]
    {
        let config = SendQueueConfig { commands_max: 0, peer_commands_min: 8, ..SendQueueConfig::default() };
        let (mut queue, peer) = (queue(config), node("w1"));
        let taken = [first, second].map(|class| fill(&mut queue, now, &peer, class).0);
        assert_eq!((taken[0], taken[1]), expected);
    }
}

#[test]
fn a_minimum_share_has_bytes_too() {
    let now = Instant::now();
    let config = SendQueueConfig { bytes_max: 0, peer_bytes_min: 64, ..SendQueueConfig::default() };
    let (mut queue, peer) = (queue(config), node("w1"));
    assert_eq!(fill(&mut queue, now, &peer, Class::Bulk), (8, full(Bound::Bytes)), "4 bytes each, in 32");
    assert_eq!(fill(&mut queue, now, &peer, Class::Urgent), (8, full(Bound::Bytes)));
}

/// Submits until refused. Returns how many were taken, and the refusal.
fn fill(queue: &mut SendQueue, now: Instant, to: &NodeId, class: Class) -> (usize, SubmitError) {
    let mut taken = 0;
    loop {
        match queue.submit(now, command(to, class)) {
            Ok(_) => taken += 1,
            Err(error) => return (taken, error),
        }
    }
}

/// A command with 32 KiB of arguments.
fn long(to: &NodeId, class: Class) -> NewCommand {
    static ARGS: [u8; 32 << 10] = [0; 32 << 10];
    NewCommand { args: Bytes::from_static(&ARGS), ..command(to, class) }
}

fn full(bound: Bound) -> SubmitError {
    SubmitError::Full { bound, retry_after: SendQueueConfig::default().retry_after }
}
