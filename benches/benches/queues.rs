//! What a command costs in the queues of both ends, in nanoseconds: from its submission to its outcome, as the engine drives
//! them, without streams, callers and handlers. Pure, one thread.

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use runnel_benches::{echo_command, link_up, wide_room};
use runnel_codec::{Class, CommandKey, Epoch, LinkNumber, NodeId, Outcome, Seq, StreamFrame};
use runnel_queue::{
    Attachment, ReceiveQueue, ReceiveQueueConfig, SendEvent, SendQueue, SendQueueConfig, Transmit,
};

fn queues(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queues/commands at once");
    for in_flight in [1_u64, 64, 1024] {
        let mut pair = Pair::new();
        group.throughput(Throughput::Elements(in_flight));
        group.bench_function(BenchmarkId::from_parameter(in_flight), |bencher| {
            bencher.iter(|| pair.carry(in_flight));
        });
    }
    group.finish();
}

/// A send queue and a receive queue with a link between them.
struct Pair {
    now: Instant,
    send: SendQueue,
    receive: ReceiveQueue,
    controller: NodeId,
    worker: NodeId,
    streams: u64,
    answers: Vec<(CommandKey, StreamFrame)>,
}

impl Pair {
    fn new() -> Self {
        let controller: NodeId = "controller".parse().expect("a valid name");
        let worker: NodeId = "worker".parse().expect("a valid name");
        let boot = Epoch::from_random(1);
        let mut send = SendQueue::new(SendQueueConfig::default(), controller.clone(), boot, 1);
        let mut receive = ReceiveQueue::new(ReceiveQueueConfig::default(), 2);
        send.handle_link_up(&worker, link_up());
        receive.handle_link_up(&controller, LinkNumber::FIRST, boot, None, &[]);
        Self { now: Instant::now(), send, receive, controller, worker, streams: 0, answers: Vec::new() }
    }

    /// Carries so many commands to their outcomes, all at once.
    fn carry(&mut self, count: u64) {
        for _ in 0..count {
            self.send.submit(self.now, echo_command(&self.worker, Class::Normal)).expect("there is room");
        }
        let mut outcomes = 0;
        while outcomes < count {
            outcomes += self.drain_send();
            self.drain_receive();
            for (key, frame) in self.answers.drain(..) {
                self.send.handle_reply(self.now, &self.worker, key, frame).expect("it keeps the rules");
            }
        }
    }

    /// Returns how many commands have ended.
    fn drain_send(&mut self) -> u64 {
        let mut outcomes = 0;
        self.send.handle_room(&self.worker, wide_room());
        while let Some(event) = self.send.poll_event() {
            if let SendEvent::Outcome { id, .. } = event {
                self.send.handle_outcome_taken(self.now, &id).ok();
                outcomes += 1;
            }
        }
        while let Some(transmit) = self.send.poll_transmit(self.now) {
            match transmit {
                Transmit::Open { head, payload, .. } => {
                    self.streams += 4;
                    let at = Attachment { link: LinkNumber::FIRST, stream: self.streams, is_batch: false };
                    self.receive.handle_head(self.now, &self.controller, at, head, payload);
                }
                Transmit::Settled { settled, .. } => self.receive.handle_settled(&self.controller, &settled),
                _ => {}
            }
        }
        outcomes
    }

    fn drain_receive(&mut self) {
        while let Some(start) = self.receive.poll_start() {
            let outcome = Outcome::Done { result: start.args };
            self.receive.handle_finished(&start.from, start.key, outcome);
        }
        while let Some(reply) = self.receive.poll_reply() {
            self.answers.push((self.key(reply.at), reply.frame));
        }
    }

    /// Returns the command of a stream: each has had one, in order.
    fn key(&self, at: Attachment) -> CommandKey {
        let seq = Seq::from_wire(at.stream / 4).expect("streams are numbered from 4");
        CommandKey { epoch: Epoch::from_random(1), seq }
    }
}

criterion_group! {
    name = benches;
    config = runnel_benches::criterion_settings!();
    targets = queues
}
criterion_main!(benches);
