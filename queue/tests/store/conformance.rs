//! Every store does what a map does.

use rand::SeedableRng;
use rand::rngs::StdRng;
use runnel_queue::{Change, FaultyDisk, MemoryStore, Row, Store, StoreError};

use crate::rows;
use crate::subject::{rows_of, store_on};

/// A model that shares nothing with the stores: the last change of a key counts.
fn model_of(batches: &[Vec<Change>]) -> Vec<Row> {
    let mut rows = Vec::<Row>::new();
    for change in batches.iter().flatten() {
        let key = match change {
            Change::Put(row) => row.key(),
            Change::Delete(key) => key.clone(),
        };
        rows.retain(|row| row.key() != key);
        if let Change::Put(row) = change {
            rows.push(row.clone());
        }
    }
    rows.sort_by_key(Row::key);
    rows
}

#[track_caller]
fn check(seed: u64, store: &mut dyn Store) {
    let mut random = StdRng::seed_from_u64(seed);
    assert_eq!(store.load().expect("loaded"), [], "a new store is empty");
    let mut batches = Vec::new();
    for _ in 0..20 {
        let batch = rows::batch(&mut random, 40);
        store.apply(&batch).expect("applied");
        store.apply(&batch).expect("applied again, which does no harm");
        batches.push(batch);
    }
    store.apply(&[]).expect("an empty batch is one");
    let rows = store.load().expect("loaded");
    assert!(rows == model_of(&batches), "seed {seed}");
    assert!(store.load().expect("loaded again") == rows, "seed {seed}");
}

#[test]
fn the_store_in_memory_does_what_a_map_does() {
    for seed in 0..10 {
        check(seed, &mut MemoryStore::new());
    }
}

#[test]
fn the_store_on_a_disk_does_what_a_map_does() {
    for seed in 0..10 {
        check(seed, &mut store_on(&FaultyDisk::new(seed)));
    }
}

#[test]
fn what_was_applied_is_there_for_the_next_process() {
    let disk = FaultyDisk::new(7);
    let (mut random, mut model) = (StdRng::seed_from_u64(7), MemoryStore::new());
    for round in 0..20 {
        let mut store = store_on(&disk);
        if round % 2 == 0 {
            assert!(store.load().expect("loaded") == rows_of(&mut model), "round {round}");
        }
        let batch = rows::batch(&mut random, 40);
        store.apply(&batch).expect("applied, loaded or not");
        model.apply(&batch).expect("applied");
        if round % 3 == 0 {
            disk.kill();
        }
    }
}

#[test]
fn long_rows_leave_no_side_file_behind() {
    let disk = FaultyDisk::new(3);
    let mut store = store_on(&disk);
    let key = runnel_queue::RowKey::Token("w1".parse().expect("a name"), command(1));
    let row = |byte: u8, len: usize| {
        Change::Put(Row::Token("w1".parse().expect("a name"), command(1), vec![byte; len].into()))
    };
    let side_files = || runnel_queue::Blobs::names(&disk.blobs("blobs")).expect("names").len();
    store.apply(&[row(1, 16_000)]).expect("applied");
    assert_eq!(side_files(), 0, "short enough for the database");
    store.apply(&[row(1, 20_000), row(2, 20_000)]).expect("applied");
    assert_eq!(side_files(), 1, "only the last counts");
    store.apply(&[row(3, 1 << 20)]).expect("applied");
    assert_eq!(side_files(), 1, "the older one is gone");
    store.apply(&[Change::Delete(key.clone()), row(3, 1 << 20)]).expect("applied");
    assert_eq!(side_files(), 1, "it was there before and is there again");
    store.apply(&[row(4, 10)]).expect("applied");
    assert_eq!(side_files(), 0);
    store.apply(&[row(5, 20_000)]).expect("applied");
    store.apply(&[Change::Delete(key)]).expect("applied");
    assert_eq!((side_files(), store.load().expect("loaded")), (0, vec![]));
}

#[test]
fn a_row_above_the_limit_is_refused_and_changes_nothing() {
    let disk = FaultyDisk::new(3);
    let mut store = store_on(&disk);
    let token =
        |seq, len| Change::Put(Row::Token("w1".parse().expect("a name"), command(seq), vec![0; len].into()));
    let error = store.apply(&[token(1, 10), token(2, 17 << 20)]).expect_err("too large");
    assert!(matches!(error, StoreError::RowTooLarge { max: 0x0100_0000, .. }), "{error:?}");
    assert!(!error.is_poisonous());
    store.apply(&[token(3, 10)]).expect("the next batch is as good as ever");
    assert_eq!(store.load().expect("loaded").len(), 1);
}

fn command(seq: u64) -> runnel_codec::CommandKey {
    runnel_codec::CommandKey {
        epoch: runnel_codec::Epoch::from_random(1),
        seq: runnel_codec::Seq::from_wire(seq).expect("not 0"),
    }
}
