//! Rows as bytes: golden, exact and safe to read.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use runnel_codec::{
    Class, CommandKey, Epoch, FailureKind, Lineage, NodeId, Outcome, Reach, RejectionKind, Seq, Settled,
    StoreProcess, UnknownReason, UpdatePolicy,
};
use runnel_queue::{
    AcceptedRow, ClockReading, CommandRow, Idempotency, OutcomeRow, ProgressRow, ReceiverRow, Row, RunRow,
    SenderRow, StoreRow, StoredDeadline, read_row, write_row,
};

use crate::rows;

/// One row of each kind with everything in it, and those whose optional parts are missing.
fn samples() -> Vec<(&'static str, Row)> {
    let peer: NodeId = "w1".parse().expect("a name");
    let key = CommandKey { epoch: Epoch::from_random(0xabcd), seq: Seq::from_wire(258).expect("not 0") };
    let row = |name, row: fn(NodeId, CommandKey) -> Row| (name, row(peer.clone(), key));
    vec![
        ("Store", Row::Store(StoreRow { epoch: Epoch::from_random(0xabcd), lineage: lineage() })),
        row("Receiver.full", |peer, _| Row::Receiver(peer, receiver())),
        row("Receiver.plain", |peer, key| {
            let settled = Settled { epoch: key.epoch, low: None, ranges: Vec::new() };
            Row::Receiver(
                peer,
                ReceiverRow { sent: Vec::new(), settled, receiver: None, journaled: Reach::default() },
            )
        }),
        row("Command.full", |peer, key| Row::Command(peer, key, Box::new(command()))),
        row("Command.plain", |peer, key| Row::Command(peer, key, Box::new(plain_command()))),
        row("Progress.full", |peer, key| Row::Progress(peer, key, progress())),
        row("Progress.plain", |peer, key| Row::Progress(peer, key, ProgressRow::default())),
        row("Update", |peer, key| Row::Update(peer, key, 3, Bytes::from_static(b"out"))),
        row("Outcome.Done", |peer, key| outcome(peer, key, Outcome::Done { result: b"ok"[..].into() })),
        row("Outcome.Failed", |peer, key| {
            outcome(peer, key, Outcome::failed(FailureKind::BodyChanged, "it changed"))
        }),
        row("Outcome.Rejected", |peer, key| {
            outcome(peer, key, Outcome::rejected(RejectionKind::BadArguments, "what?"))
        }),
        row("Outcome.Expired", |peer, key| outcome(peer, key, Outcome::Expired)),
        row("Outcome.Cancelled", |peer, key| outcome(peer, key, Outcome::Cancelled)),
        row("Outcome.Unknown", |peer, key| outcome(peer, key, Outcome::Unknown(UnknownReason::Poisoned))),
        row("Sender", |peer, _| Row::Sender(peer, sender())),
        row("Run.full", |peer, key| Row::Run(peer, key, Box::new(run()))),
        row("Run.tombstone", |peer, key| {
            let run = RunRow { accepted: None, outcome: Some(Outcome::Cancelled), runs: 0, updates: (0, 0) };
            Row::Run(peer, key, Box::new(run))
        }),
        row("Token", |peer, key| Row::Token(peer, key, Bytes::from_static(b"pid 7"))),
        row("Output", |peer, key| Row::Output(peer, key, 4, Bytes::from_static(b"more"))),
        row("ResultPiece", |peer, key| Row::ResultPiece(peer, key, 65_536, Bytes::from_static(b"piece"))),
    ]
}

fn seq(number: u64) -> Seq {
    Seq::from_wire(number).expect("not 0")
}

fn clock() -> ClockReading {
    ClockReading { machine: 7, uptime: Duration::new(60, 1), wall: Duration::new(1_800_000_000, 0) }
}

fn settled() -> Settled {
    Settled { epoch: Epoch::from_random(0xabcd), low: Some(seq(3)), ranges: vec![(seq(5), seq(6))] }
}

fn lineage() -> Lineage {
    Lineage::from_parts(9, vec![Epoch::from_random(0x0a), Epoch::from_random(0x0b)]).expect("a lineage")
}

fn reach(process: u64, position: u64) -> Reach {
    Reach { process, position }
}

fn receiver() -> ReceiverRow {
    ReceiverRow {
        sent: vec![reach(2, 7), reach(9, 9)],
        settled: settled(),
        receiver: Some(Epoch::from_random(5)),
        journaled: reach(3, 11),
    }
}

fn command() -> CommandRow {
    CommandRow {
        class: Class::Low,
        name: "exec/1".parse().expect("a name"),
        idempotent: true,
        args: Bytes::from_static(b"args"),
        payload: Bytes::from_static(b"payload"),
        body: Some(Bytes::from_static(b"file")),
        body_held_bytes: 1 << 20,
        wants_result_body: true,
        updates: UpdatePolicy::Store,
        deadline: Some(StoredDeadline { remaining: Duration::from_millis(1500), read_at: clock() }),
        idempotency: Some(idempotency()),
        label: Bytes::from_static(b"label"),
    }
}

fn plain_command() -> CommandRow {
    CommandRow {
        class: Class::Urgent,
        idempotent: false,
        args: Bytes::new(),
        payload: Bytes::new(),
        body: None,
        body_held_bytes: 0,
        wants_result_body: false,
        updates: UpdatePolicy::Follow,
        deadline: None,
        idempotency: None,
        label: Bytes::new(),
        ..command()
    }
}

fn idempotency() -> Idempotency {
    Idempotency { key: "build 7".to_owned(), fingerprint: [9; 32] }
}

fn progress() -> ProgressRow {
    ProgressRow {
        bound: Some(Epoch::from_random(5)),
        is_cancelled: true,
        has_started: true,
        runs: 2,
        updates: 3,
        update_bytes: 400,
    }
}

fn outcome(peer: NodeId, key: CommandKey, outcome: Outcome) -> Row {
    let row = OutcomeRow {
        class: Class::Bulk,
        name: "exec/1".parse().expect("a name"),
        outcome,
        ended_at: clock(),
        is_taken: true,
        idempotency: Some(idempotency()),
        label: Bytes::from_static(b"label"),
    };
    Row::Outcome(peer, key, row)
}

fn sender() -> SenderRow {
    SenderRow {
        store: Some(Epoch::from_random(5)),
        process: Some(StoreProcess { number: 3, boot: Epoch::from_random(6) }),
        settled: vec![settled()],
        fenced: vec![Epoch::from_random(4)],
        generation: 1,
        journaled: vec![reach(8, 12)],
        met_at: clock(),
    }
}

fn run() -> RunRow {
    let accepted = AcceptedRow {
        class: Class::High,
        name: "fs.get/1".parse().expect("a name"),
        idempotent: true,
        updates: UpdatePolicy::Discard,
        has_body: true,
        wants_result_body: true,
        result_end: Some((65_540, [8; 32])),
        deadline: Some(StoredDeadline { remaining: Duration::from_millis(1500), read_at: clock() }),
    };
    let outcome = Outcome::Done { result: Bytes::from_static(b"ok") };
    RunRow { accepted: Some(accepted), outcome: Some(outcome), runs: 1, updates: (3, 400) }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rows of every release are written alike and read alike for ever. A new format adds a folder. `UPDATE_VECTORS=1`
/// rewrites the one of the version in work, which a review must then explain.
#[test]
fn rows_have_their_golden_bytes() {
    let mut written = String::new();
    for (name, row) in samples() {
        let (key, content) = write_row(&row);
        assert_eq!(read_row(&key, &content), Some(row), "{name}");
        writeln!(written, "{name} {} {}", to_hex(&key), to_hex(&content)).expect("a String takes everything");
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/v2/rows.txt");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &written).expect("the vectors can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the vectors are committed");
    for (committed, written) in committed.lines().zip(written.lines()) {
        assert_eq!(committed, written);
    }
    assert_eq!(committed.lines().count(), samples().len(), "one line for each row");
}

proptest! {
    #[test]
    fn rows_are_read_as_they_were_written(seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let key = rows::key(&mut random);
        let row = rows::row(key.clone(), &mut random);
        let (key_bytes, content) = write_row(&row);
        prop_assert_eq!(row.key(), key);
        prop_assert_eq!(read_row(&key_bytes, &content), Some(row));
    }

    #[test]
    fn keys_sort_as_bytes_like_they_sort_as_keys(seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let keys = [rows::key(&mut random), rows::key(&mut random)];
        let bytes = keys.clone().map(|key| write_row(&rows::row(key, &mut random)).0);
        prop_assert_eq!(keys[0].cmp(&keys[1]), bytes[0].cmp(&bytes[1]), "{:?}", keys);
    }

    /// Rows that are nearly right find more than noise does.
    #[test]
    fn changed_bytes_are_another_row_or_none(seed: u64, place: usize, byte: u8, cut: usize) {
        let mut random = StdRng::seed_from_u64(seed);
        let key = rows::key(&mut random);
        let (key, content) = write_row(&rows::row(key, &mut random));
        let mut changed = content.to_vec();
        changed.truncate(changed.len() - cut % 4);
        if !changed.is_empty() {
            let place = place % changed.len();
            changed[place] = byte;
        }
        check_read(&key, &changed)?;
    }

    #[test]
    fn any_bytes_are_a_row_or_none(key: Vec<u8>, content: Vec<u8>) {
        check_read(&key, &content)?;
    }
}

/// What is read is written again as the same bytes: no row has two forms.
fn check_read(key: &[u8], content: &[u8]) -> Result<(), TestCaseError> {
    if let Some(row) = read_row(key, content) {
        let (key_again, again) = write_row(&row);
        prop_assert_eq!((&key_again[..], &again[..]), (key, content));
    }
    Ok(())
}
