//! A disk without room: batches are refused whole, and taken again once there is room.

use bytes::Bytes;
use runnel_codec::{CommandKey, Epoch, Seq};
use runnel_queue::{Blobs, Change, FaultyDisk, Row, RowKey, Store, StoreError, StoreSpace};

use crate::subject::{FILE, Subject, store_on, store_with_reserve};

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

    // Somebody makes a little room, for deleting: that makes more, without anybody starting anything again.
    disk.set_capacity(Some((1 << 20) + (128 << 10)));
    let ended: Vec<_> = (1..next / 2).map(delete).collect();
    store.apply(&ended).expect("what is deleted takes little room");
    store.apply(&[put(next, row_bytes)]).expect("there is room again");
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

/// Puts rows until the reserve is gone and does not come back. Returns how many there are: each was acknowledged.
fn fill_to_the_reserve(store: &mut dyn Store, len: usize) -> u64 {
    let mut rows = 0;
    while store.space() == StoreSpace::Enough {
        rows += 1;
        store.apply(&[put(rows, len)]).expect("the reserve makes room for the row that finds none");
        if store.space() == StoreSpace::Low {
            // The database may hold more of the disk than it uses.
            store.look_for_space();
        }
    }
    rows
}

#[track_caller]
fn check_reserve(row_bytes: usize) {
    let disk = FaultyDisk::new(1);
    let mut store = store_with_reserve(&disk, RESERVE_BYTES);
    store.load().expect("there is room for an empty store");
    disk.set_capacity(Some(2 << 20));
    let rows = fill_to_the_reserve(&mut store, row_bytes);
    assert!(rows > 10, "{rows} rows");
    // Everything ends, one after the other: something short is written and what was there is deleted.
    for row in 1..=rows {
        let end = [delete(row), put(rows + row, 50)];
        store.apply(&end).unwrap_or_else(|error| panic!("row {row} of {rows}: {error}"));
        store.apply(&[delete(rows + row)]).unwrap_or_else(|error| panic!("row {row} of {rows}: {error}"));
    }
    store.look_for_space();
    assert_eq!(store.space(), StoreSpace::Enough, "{} bytes used", disk.used_bytes());
    assert!(fill_to_the_reserve(&mut store, row_bytes) > rows / 2, "there is room for new ones");
    disk.cut_power();
    disk.set_capacity(None);
    store_with_reserve(&disk, RESERVE_BYTES).load().expect("nothing is damaged");
}

#[test]
fn a_full_database_has_room_for_the_end_of_all_that_is_in_it() {
    check_reserve(2_000);
}

#[test]
fn full_side_files_leave_room_for_the_end_of_all_that_is_in_them() {
    check_reserve(40_000);
}

#[test]
fn the_reserve_is_there_again_once_there_is_room() {
    let disk = FaultyDisk::new(1);
    let mut store = store_with_reserve(&disk, RESERVE_BYTES);
    store.load().expect("there is room for an empty store");
    let reserved = disk.used_bytes();
    disk.set_capacity(Some(reserved));
    // Somebody else has filled the disk: the first batch that grows a file finds that out.
    fill_to_the_reserve(&mut store, 40_000);
    assert!(disk.used_bytes() < reserved, "the reserve was given back");
    store.look_for_space();
    assert_eq!(store.space(), StoreSpace::Low);
    disk.set_capacity(None);
    store.look_for_space();
    assert_eq!(store.space(), StoreSpace::Enough);
    disk.set_capacity(Some(disk.used_bytes()));
    store.apply(&[put(1000, 40_000)]).expect("the reserve serves again");
    assert_eq!(store.space(), StoreSpace::Low);

    // The next process finds what this one left: no reserve, and no room for one.
    disk.kill();
    let mut next = store_with_reserve(&disk, RESERVE_BYTES);
    next.load().expect("what is there is read");
    assert_eq!(next.space(), StoreSpace::Low);
    disk.set_capacity(None);
    next.look_for_space();
    disk.cut_power();
    let mut last = store_with_reserve(&disk, RESERVE_BYTES);
    disk.set_capacity(Some(0));
    last.load().expect("what is there is read");
    assert_eq!(last.space(), StoreSpace::Enough, "the reserve is durable, and no load deletes it");
}

/// Looks for room after most rows were deleted, and cuts the power at a call. Returns whether it came to that.
fn look_and_cut(call: u64) -> bool {
    let disk = FaultyDisk::new(call);
    let mut store = store_with_reserve(&disk, RESERVE_BYTES);
    store.load().expect("there is room for an empty store");
    disk.set_capacity(Some(1 << 20));
    let rows = fill_to_the_reserve(&mut store, 9_000);
    let ended: Vec<_> = (1..rows - 2).map(delete).collect();
    store.apply(&ended).expect("the reserve serves");
    disk.cut_power_at(call);
    store.look_for_space();
    let was_cut = store.apply(&[]).is_err();
    disk.cut_power();
    let mut next = store_with_reserve(&disk, RESERVE_BYTES);
    let left = next.load().unwrap_or_else(|error| panic!("cut at call {call}: {error}"));
    assert_eq!(left.len(), 3, "cut at call {call}");
    was_cut
}

#[test]
fn a_power_cut_while_room_is_made_costs_no_row() {
    let cuts = (1..).step_by(3).take_while(|call| look_and_cut(*call)).count();
    assert!(cuts > 10, "{cuts} cuts");
}

const RESERVE_BYTES: u64 = 256 << 10;
