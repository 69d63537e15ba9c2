//! What choosing the next command costs, in nanoseconds, with 10, 10,000 and 1,000,000 queued. Pure, one thread.
//!
//! Only the choice is timed. What was chosen ends, and as many commands of the same classes and peers are submitted, so
//! that the queue stays as full as it is.

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use runnel_benches::{echo_command, link_up, wide_room};
use runnel_codec::{Class, Epoch, NodeId, Outcome, StreamFrame};
use runnel_queue::{SendQueue, SendQueueConfig, Transmit};

fn scheduler(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler/choose the next of");
    group.throughput(Throughput::Elements(1));
    // What is not timed takes ten times as long as what is.
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    for queued in [10, 10_000, 1_000_000] {
        let mut bench = Queued::new(queued);
        group.bench_function(BenchmarkId::from_parameter(queued), |bencher| {
            bencher.iter_custom(|choices| bench.choose(choices));
        });
    }
    group.finish();
}

/// A send queue with commands of all classes for a hundred peers.
struct Queued {
    queue: SendQueue,
    now: Instant,
}

impl Queued {
    fn new(count: usize) -> Self {
        let config = SendQueueConfig {
            commands_max: 2 * count,
            peer_commands_max: 2 * count,
            class_commands_max: 2 * count,
            ..SendQueueConfig::default()
        };
        let sender = "controller".parse().expect("a valid name");
        let queue = SendQueue::new(config, sender, Epoch::from_random(1), 1);
        let mut bench = Self { queue, now: Instant::now() };
        for peer in peers() {
            bench.queue.handle_link_up(&peer, link_up());
        }
        for (number, peer) in (0..count).zip(peers().collect::<Vec<_>>().iter().cycle()) {
            let class = Class::ALL[number / PEERS % Class::ALL.len()];
            bench.queue.submit(bench.now, echo_command(peer, class)).expect("there is room");
            bench.drain();
        }
        bench
    }

    /// Chooses so many commands and returns the time that the choices took.
    fn choose(&mut self, choices: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut left = choices;
        while left > 0 {
            for peer in peers() {
                self.queue.handle_room(&peer, wide_room());
            }
            let round = left.min(ROUND);
            let started_at = Instant::now();
            let chosen: Vec<_> = (0..round).filter_map(|_| self.queue.poll_transmit(self.now)).collect();
            elapsed += started_at.elapsed();
            assert_eq!(chosen.len() as u64, round, "enough wait, and there is room for them");
            chosen.into_iter().for_each(|chosen| self.replace(chosen));
            left -= round;
        }
        elapsed
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
        self.queue.store_in_memory(self.now);
        while self.queue.poll_event().is_some() {}
    }
}

fn peers() -> impl Iterator<Item = NodeId> {
    (0..PEERS).map(|number| format!("worker-{number}").parse().expect("a valid name"))
}

const PEERS: usize = 100;

/// Choices timed at once: as many as the smallest queue has.
const ROUND: u64 = 10;

criterion_group! {
    name = benches;
    config = runnel_benches::criterion_settings!();
    targets = scheduler
}
criterion_main!(benches);
