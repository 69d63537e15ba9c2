//! The file stays small however much goes through it.

use std::sync::Arc;

use bytes::Bytes;
use runnel_codec::{CommandKey, Epoch, Seq};
use runnel_queue::{Change, FaultyDisk, RedbStore, Row, RowKey, Store, StoreConfig};

use crate::subject::FILE;

fn key(seq: u64) -> CommandKey {
    CommandKey { epoch: Epoch::from_random(1), seq: Seq::from_wire(seq).expect("not 0") }
}

fn put(seq: u64) -> Change {
    Change::Put(Row::Token("w1".parse().expect("a name"), key(seq), Bytes::from(vec![7; ROW_BYTES])))
}

fn delete(seq: u64) -> Change {
    Change::Delete(RowKey::Token("w1".parse().expect("a name"), key(seq)))
}

/// Puts rows at one end and deletes them at the other, `window` rows apart, in batches.
#[track_caller]
fn check(cycles: u64, window: u64) {
    let disk = FaultyDisk::new(1);
    let mut store =
        RedbStore::new(Arc::new(disk.file(FILE)), Arc::new(disk.blobs("blobs")), StoreConfig::default());
    let mut largest = 0;
    for first in (1..=cycles).step_by(BATCH) {
        let rows = first..first + BATCH as u64;
        let ended = rows.clone().filter(|seq| *seq > window).map(|seq| delete(seq - window));
        store.apply(&rows.map(put).chain(ended).collect::<Vec<_>>()).expect("applied");
        largest = largest.max(disk.file_bytes(FILE));
    }
    let live = usize::try_from(window).expect("small") * ROW_BYTES;
    assert!(largest < 3 * live, "{largest} bytes for at most {live} in use");
    assert_eq!(store.load().expect("loaded").len() as u64, window);
}

const ROW_BYTES: usize = 1024;
const BATCH: usize = 256;

#[test]
fn fifty_thousand_commands_one_after_the_other_leave_a_small_file() {
    check(50 * 1024, 4096);
}

/// `cargo test --release -p runnel-queue --test store -- --ignored a_million`
#[test]
#[ignore = "takes a minute: run it with --release"]
fn a_million_commands_one_after_the_other_leave_a_small_file() {
    check(1 << 20, 10 * 1024);
}
