//! What benches of the queues alone bring to them, and a send queue that stays as full as it is.

use std::time::{Duration, Instant};

use bytes::Bytes;
use runnel_codec::{
    Class, ClassMap, Command, Epoch, LinkNumber, NodeId, Outcome, Reach, StreamFrame, UpdatePolicy,
};
use runnel_queue::{LinkUp, NewCommand, Room, SendQueue, SendQueueConfig, Transmit};

use crate::commands::Echo;

/// A send queue with commands of all classes for some peers.
#[derive(Debug)]
pub struct QueuedCommands {
    queue: SendQueue,
    now: Instant,
    peers: Vec<NodeId>,
    /// Choices until the rooms of the links are made anew.
    until_rooms: u64,
}

impl QueuedCommands {
    /// Fills a queue.
    ///
    /// # Panics
    ///
    /// Without peers.
    #[must_use]
    pub fn new(commands: usize, peers: usize) -> Self {
        let config = SendQueueConfig {
            commands_max: 2 * commands,
            peer_commands_max: 2 * commands,
            class_commands_max: 2 * commands,
            ..SendQueueConfig::default()
        };
        let sender = "controller".parse().expect("a valid name");
        let queue = SendQueue::new(config, sender, Epoch::from_random(1), 1);
        let names = (0..peers).map(|number| format!("worker-{number}").parse().expect("a valid name"));
        let mut queued = Self { queue, now: Instant::now(), peers: names.collect(), until_rooms: 0 };
        for peer in &queued.peers {
            queued.queue.handle_link_up(peer, link_up());
        }
        for number in 0..commands {
            let class = Class::ALL[number / peers % Class::ALL.len()];
            let command = echo_command(&queued.peers[number % peers], class);
            queued.queue.submit(queued.now, command).expect("there is room");
            queued.drain();
        }
        queued
    }

    /// Chooses so many commands and returns the time that the choices took. What was chosen ends, and as many commands of
    /// the same classes and peers are submitted, none of which is in that time.
    ///
    /// # Panics
    ///
    /// When the queue offers none.
    pub fn choose(&mut self, choices: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut left = choices;
        while left > 0 {
            self.make_room();
            let round = left.min(ROUND);
            let started_at = Instant::now();
            let chosen: Vec<_> = (0..round).filter_map(|_| self.queue.poll_transmit(self.now)).collect();
            elapsed += started_at.elapsed();
            assert_eq!(chosen.len() as u64, round, "enough wait, and there is room for them");
            chosen.into_iter().for_each(|chosen| self.replace(chosen));
            (left, self.until_rooms) = (left - round, self.until_rooms - round);
        }
        elapsed
    }

    /// Makes the links' rooms anew, before the first choice and whenever one peer alone could have used its own up.
    fn make_room(&mut self) {
        if self.until_rooms < ROUND {
            for peer in &self.peers {
                self.queue.handle_room(peer, wide_room());
            }
            self.until_rooms = wide_room().places as u64;
        }
    }

    /// Ends a command that was chosen and submits another like it.
    fn replace(&mut self, chosen: Transmit) {
        let Transmit::Open { peer, key, head, .. } = chosen else { panic!("nothing else is to be said") };
        let outcome = StreamFrame::Outcome(Outcome::Done { result: Bytes::new() });
        self.queue.handle_reply(self.now, &peer, key, outcome).expect("it was sent");
        self.queue.submit(self.now, echo_command(&peer, head.class)).expect("there is room");
        self.drain();
    }

    fn drain(&mut self) {
        while self.queue.poll_event().is_some() {}
    }
}

/// Returns a first link to a receiver without a store.
#[must_use]
pub fn link_up() -> LinkUp {
    LinkUp {
        link: LinkNumber::FIRST,
        boot: Epoch::from_random(2),
        receiver: None,
        journaled: Reach::default(),
        takes_batches: true,
        commands: [Echo::name()].into(),
        args_bytes_max: 1024,
        payload_bytes_max: 1024,
    }
}

/// Returns the room of a link that takes all that is there.
#[must_use]
pub fn wide_room() -> Room {
    Room { places: 4096, budget: ClassMap::new([u64::MAX; Class::ALL.len()]), ..Room::default() }
}

/// Returns an echo of 64 bytes.
#[must_use]
pub fn echo_command(to: &NodeId, class: Class) -> NewCommand {
    NewCommand {
        to: to.clone(),
        class,
        name: Echo::name(),
        idempotent: false,
        is_message: false,
        args: Bytes::from_static(&[7; 64]),
        payload: Bytes::new(),
        updates: UpdatePolicy::Follow,
        steps: false,
        deadline: None,
        has_body: false,
        body_repeats: false,
        body_held_bytes: 0,
        wants_result_body: false,
        durable: None,
    }
}

/// Choices timed at once: as many as the smallest queue has.
const ROUND: u64 = 10;
