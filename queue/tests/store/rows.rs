//! Rows and batches drawn from a seed.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use runnel_codec::{
    Class, CommandKey, CommandName, Epoch, FailureKind, Lineage, NodeId, Outcome, Reach, RejectionKind, Seq,
    Settled, StoreProcess, UnknownReason, UpdatePolicy,
};
use runnel_queue::{
    AcceptedRow, Change, ClockReading, CommandRow, Idempotency, OutcomeRow, ProgressRow, ReceiverRow, Row,
    RowKey, RunRow, SenderRow, StoreRow, StoredDeadline,
};

/// Draws a batch of up to `changes_max` changes of few keys, so that many of them meet.
pub(crate) fn batch(random: &mut StdRng, changes_max: usize) -> Vec<Change> {
    let changes = random.random_range(1..=changes_max);
    (0..changes).map(|_| change(random)).collect()
}

fn change(random: &mut StdRng) -> Change {
    let key = key(random);
    if random.random_bool(0.4) { Change::Delete(key) } else { Change::Put(row(key, random)) }
}

/// Draws one of a few hundred keys, of any kind.
pub(crate) fn key(random: &mut StdRng) -> RowKey {
    let peer: NodeId = ["w1", "w10", "w1-b"][random.random_range(0..3)].parse().expect("a name");
    let key = CommandKey { epoch: Epoch::from_random(random.random_range(1..3)), seq: seq(random) };
    let number = random.random_range(0..3);
    match random.random_range(0..11) {
        0 => RowKey::Store,
        1 => RowKey::Receiver(peer),
        2 => RowKey::Command(peer, key),
        3 => RowKey::Progress(peer, key),
        4 => RowKey::Update(peer, key, number),
        5 => RowKey::Outcome(peer, key),
        6 => RowKey::Sender(peer),
        7 => RowKey::Run(peer, key),
        8 => RowKey::Token(peer, key),
        9 => RowKey::Output(peer, key, number),
        _ => RowKey::ResultPiece(peer, key, number),
    }
}

/// Draws what is under a key.
pub(crate) fn row(key: RowKey, random: &mut StdRng) -> Row {
    match key {
        RowKey::Store => Row::Store(StoreRow { epoch: epoch(random), lineage: lineage(random) }),
        RowKey::Receiver(peer) => Row::Receiver(peer, receiver(random)),
        RowKey::Command(peer, key) => Row::Command(peer, key, Box::new(command(random))),
        RowKey::Progress(peer, key) => Row::Progress(peer, key, progress(random)),
        RowKey::Update(peer, key, number) => Row::Update(peer, key, number, bytes(random)),
        RowKey::Outcome(peer, key) => Row::Outcome(peer, key, outcome_row(random)),
        RowKey::Sender(peer) => Row::Sender(peer, sender(random)),
        RowKey::Run(peer, key) => Row::Run(peer, key, Box::new(run(random))),
        RowKey::Token(peer, key) => Row::Token(peer, key, bytes(random)),
        RowKey::Output(peer, key, number) => Row::Output(peer, key, number, bytes(random)),
        RowKey::ResultPiece(peer, key, offset) => Row::ResultPiece(peer, key, offset, bytes(random)),
    }
}

fn lineage(random: &mut StdRng) -> Lineage {
    let mut lineage = Lineage::default();
    (0..random.random_range(0..3)).for_each(|_| lineage.push(epoch(random)));
    lineage
}

fn reach(random: &mut StdRng) -> Reach {
    Reach { process: random.random(), position: random.random() }
}

fn reaches(random: &mut StdRng) -> Vec<Reach> {
    (0..random.random_range(0..3)).map(|_| reach(random)).collect()
}

fn receiver(random: &mut StdRng) -> ReceiverRow {
    ReceiverRow {
        sent: reaches(random),
        settled: settled(random),
        receiver: maybe(random, epoch),
        journaled: reach(random),
    }
}

fn command(random: &mut StdRng) -> CommandRow {
    CommandRow {
        class: Class::ALL[random.random_range(0..5)],
        name: name(random),
        idempotent: random.random(),
        args: bytes(random),
        payload: bytes(random),
        body: maybe(random, bytes),
        body_held_bytes: random.random(),
        wants_result_body: random.random(),
        updates: policy(random),
        deadline: maybe(random, deadline),
        idempotency: maybe(random, idempotency),
        label: bytes(random),
    }
}

fn progress(random: &mut StdRng) -> ProgressRow {
    ProgressRow {
        bound: maybe(random, epoch),
        is_cancelled: random.random(),
        has_started: random.random(),
        runs: random.random(),
        updates: random.random(),
        update_bytes: random.random(),
    }
}

fn outcome_row(random: &mut StdRng) -> OutcomeRow {
    OutcomeRow {
        class: Class::ALL[random.random_range(0..5)],
        name: name(random),
        outcome: outcome(random),
        ended_at: clock(random),
        is_taken: random.random(),
        idempotency: maybe(random, idempotency),
        label: bytes(random),
    }
}

fn sender(random: &mut StdRng) -> SenderRow {
    SenderRow {
        store: maybe(random, epoch),
        process: maybe(random, |random| StoreProcess { number: random.random(), boot: epoch(random) }),
        settled: (0..random.random_range(0..3)).map(|_| settled(random)).collect(),
        fenced: (0..random.random_range(0..3)).map(|_| epoch(random)).collect(),
        generation: random.random(),
        journaled: reaches(random),
        met_at: clock(random),
    }
}

fn run(random: &mut StdRng) -> RunRow {
    RunRow {
        accepted: maybe(random, accepted),
        outcome: maybe(random, outcome),
        runs: random.random(),
        updates: (random.random(), random.random()),
    }
}

fn accepted(random: &mut StdRng) -> AcceptedRow {
    AcceptedRow {
        class: Class::ALL[random.random_range(0..5)],
        name: name(random),
        idempotent: random.random(),
        updates: policy(random),
        has_body: random.random(),
        wants_result_body: random.random(),
        result_end: maybe(random, |random| (random.random(), random.random())),
        deadline: maybe(random, deadline),
    }
}

fn settled(random: &mut StdRng) -> Settled {
    let ranges = (0..random.random_range(0..4)).map(|_| (seq(random), seq(random))).collect();
    Settled { epoch: epoch(random), low: maybe(random, seq), ranges }
}

fn outcome(random: &mut StdRng) -> Outcome {
    match random.random_range(0..6) {
        0 => Outcome::Done { result: bytes(random) },
        1 => Outcome::failed(FailureKind::Handler, "it says why"),
        2 => Outcome::rejected(RejectionKind::Denied, "not you"),
        3 => Outcome::Expired,
        4 => Outcome::Cancelled,
        _ => Outcome::Unknown(UnknownReason::HandlerLost),
    }
}

fn deadline(random: &mut StdRng) -> StoredDeadline {
    StoredDeadline { remaining: duration(random), read_at: clock(random) }
}

fn clock(random: &mut StdRng) -> ClockReading {
    ClockReading { machine: random.random(), uptime: duration(random), wall: duration(random) }
}

fn duration(random: &mut StdRng) -> Duration {
    Duration::new(random.random(), random.random_range(0..1_000_000_000))
}

fn idempotency(random: &mut StdRng) -> Idempotency {
    Idempotency { key: format!("build-{}", random.random::<u8>()), fingerprint: random.random() }
}

fn policy(random: &mut StdRng) -> UpdatePolicy {
    [UpdatePolicy::Follow, UpdatePolicy::Store, UpdatePolicy::Discard][random.random_range(0..3)]
}

fn name(random: &mut StdRng) -> CommandName {
    ["exec/1", "fs.put/2"][random.random_range(0..2)].parse().expect("a name")
}

fn epoch(random: &mut StdRng) -> Epoch {
    Epoch::from_random(random.random())
}

fn seq(random: &mut StdRng) -> Seq {
    Seq::from_wire(random.random_range(1..30)).expect("not 0")
}

/// Draws a content. One of twenty is too long for the database.
fn bytes(random: &mut StdRng) -> bytes::Bytes {
    let max = if random.random_bool(0.05) { 40_000 } else { 300 };
    let len = random.random_range(0..max);
    vec![random.random(); len].into()
}

fn maybe<T>(random: &mut StdRng, draw: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    random.random_bool(0.5).then(|| draw(random))
}
