//! A disk without room: batches are refused whole, and taken again once there is room.

use bytes::Bytes;
use runnel_codec::{CommandKey, Epoch, Seq};
use runnel_queue::{Blobs, Change, FaultyDisk, Row, RowKey, Store, StoreError};

use crate::subject::{FILE, Subject, store_on};

fn key(seq: u64) -> CommandKey {
    CommandKey { epoch: Epoch::from_random(1), seq: Seq::from_wire(seq).expect("not 0") }
}

fn put(seq: u64, len: usize) -> Change {
    Change::Put(Row::Token("w1".parse().expect("a name"), key(seq), Bytes::from(vec![7; len])))
}

fn delete(seq: u64) -> Change {
    Change::Delete(RowKey::Token("w1".parse().expect("a name"), key(seq)))
}

/// Puts rows from this number on until there is no room for the next, tried five times. Returns that row's number.
fn fill(disk: &FaultyDisk, store: &mut dyn Store, first: u64, len: usize) -> u64 {
    let (mut next, mut refused) = (first, 0);
    while refused < 5 {
        match store.apply(&[put(next, len)]) {
            Ok(()) => (next, refused) = (next + 1, 0),
            // Opened anew, the database may find room that it had set aside.
            Err(StoreError::Full) => refused += 1,
            Err(error) => panic!("row {next}, {} bytes used: {error:?}", disk.used_bytes()),
        }
    }
    next
}

#[track_caller]
fn check(row_bytes: usize) {
    let disk = FaultyDisk::new(1);
    let mut store = store_on(&disk);
    store.load().expect("there is room for an empty store");
    disk.set_capacity(Some(1 << 20));
    let next = fill(&disk, &mut store, 1, row_bytes);
    assert!(next > 10, "{next} rows");
    assert_eq!(store.load().expect("it can be read").len() as u64, next - 1);

    // Room is made by the store itself ...
    let ended: Vec<_> = (1..next / 2).map(delete).collect();
    store.apply(&ended).expect("what is deleted takes no room");
    store.apply(&[put(next, row_bytes)]).expect("there is room again");
    // ... or by somebody else, without anybody starting anything again.
    let next = fill(&disk, &mut store, next + 1, row_bytes);
    disk.set_capacity(None);
    store.apply(&[put(next, row_bytes)]).expect("there is room again");
    let rows = store.load().expect("loaded");
    disk.cut_power();
    assert!(store_on(&disk).load().expect("loaded") == rows, "what was said is durable");
}

#[test]
fn a_database_without_room_refuses_whole_batches_until_there_is_room() {
    check(2_000);
}

#[test]
fn side_files_without_room_refuse_whole_batches_until_there_is_room() {
    check(40_000);
}

#[test]
fn room_that_ends_at_any_page_is_no_damage() {
    for pages in 0..120 {
        let mut subject = Subject::new(pages as u64);
        subject.disk.set_capacity(Some(pages * 4096));
        let mut store = store_on(&subject.disk);
        let mut has_room = !matches!(store.load(), Err(StoreError::Full));
        while has_room && subject.disk.file_bytes(FILE) < 120 * 4096 {
            has_room =
                subject.apply_some(&mut store).unwrap_or_else(|wrong| panic!("{pages} pages: {wrong}"));
        }
        subject.disk.cut_power();
        subject.disk.set_capacity(None);
        let mut store = store_on(&subject.disk);
        assert_eq!(subject.load(&mut store), Ok(true), "{pages} pages");
        assert_eq!(subject.apply_some(&mut store), Ok(true), "{pages} pages");
    }
}

#[test]
fn side_files_of_refused_batches_are_swept() {
    let disk = FaultyDisk::new(1);
    let mut store = store_on(&disk);
    store.load().expect("loaded");
    disk.set_capacity(Some(1 << 20));
    store.apply(&[put(1, 2 << 20)]).expect_err("no room");
    assert_eq!(disk.blobs("blobs").names().expect("names").len(), 1, "a part of it is there");
    assert_eq!(store.load().expect("loaded"), []);
    assert_eq!(disk.blobs("blobs").names().expect("names"), []);
}
