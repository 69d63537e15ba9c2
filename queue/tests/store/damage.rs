//! What is not what was written is told, never repaired by leaving it out.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::{StorageBackend, TableDefinition};
use runnel_codec::{CommandKey, Epoch, Seq};
use runnel_queue::{Blobs, Change, FaultyDisk, Row, Store, StoreError};

use crate::subject::{FILE, store_on};

fn token(seq: u64, content: Vec<u8>) -> Row {
    let key = CommandKey { epoch: Epoch::from_random(1), seq: Seq::from_wire(seq).expect("not 0") };
    Row::Token("w1".parse().expect("a name"), key, Bytes::from(content))
}

/// A disk with a row of each of these contents, after a clean end.
fn disk_with(contents: &[&[u8]]) -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    let rows = (1..).zip(contents).map(|(seq, content)| Change::Put(token(seq, content.to_vec())));
    let mut store = store_on(&disk);
    store.apply(&rows.collect::<Vec<_>>()).expect("applied");
    drop(store);
    disk.kill();
    disk
}

fn content_of(disk: &FaultyDisk) -> Vec<u8> {
    let mut content = vec![0; disk.file_bytes(FILE)];
    disk.file(FILE).read(0, &mut content).expect("read");
    content
}

fn find(content: &[u8], what: &[u8]) -> usize {
    content.windows(what.len()).position(|window| window == what).expect("it is there")
}

#[test]
fn a_flipped_bit_of_a_row_is_told() {
    let disk = disk_with(&[b"what a handler gave", b"another"]);
    disk.damage(FILE, find(&content_of(&disk), b"handler"), 0x10);
    let mut store = store_on(&disk);
    for _ in 0..2 {
        let error = store.load().expect_err("damaged");
        assert!(matches!(&error, StoreError::Corrupt { what } if what.contains("checksum")), "{error}");
        assert!(error.to_string().contains("w1"), "it says where: {error}");
        assert!(matches!(store.apply(&[]), Err(StoreError::Poisoned)), "nothing is written over it");
    }
    disk.damage(FILE, find(&content_of(&disk), b"xandler"), 0x10);
    assert_eq!(store.load().expect("repaired from outside").len(), 2);
}

/// The database trusts its own pages: rows may vanish or come back as they were long ago. The digest tells.
#[test]
fn no_flipped_bit_ends_in_other_rows() {
    let disk = disk_with(&[b"one", b"two", &[3; 300]]);
    let whole = store_on(&disk).load().expect("loaded");
    disk.kill();
    let content = content_of(&disk);
    let mut random = StdRng::seed_from_u64(1);
    let used: Vec<_> = (0..content.len()).filter(|offset| content[*offset] != 0).collect();
    be_silent_about_panics();
    let mut wrong = Vec::new();
    for _ in 0..1000 {
        let near = used[random.random_range(0..used.len())] + random.random_range(0..4);
        let bit = random.random_range(0..8);
        let copy = FaultyDisk::new(1);
        copy.file(FILE).write(0, &content).expect("copied");
        copy.damage(FILE, near, 1 << bit);
        let mut store = store_on(&copy);
        if let Ok(rows) = store.load() {
            wrong.extend((rows != whole).then_some((near, bit)));
            // What is not looked at by reading may be damaged too: a batch may fail, and never panics.
            let _ = store.apply(&[Change::Put(token(9, vec![1; 5000]))]);
        }
    }
    assert_eq!(wrong, [], "flips that changed rows and were not told");
}

/// A disk may say that it has written a page and have lost it: what is there then is an older state of that page. If it
/// belongs to the newest batch, that batch may be gone as if it had been cut off, and nothing else.
#[test]
fn pages_from_an_earlier_time_are_told_or_cost_the_newest_batch() {
    let disk = FaultyDisk::new(1);
    let mut store = store_on(&disk);
    let (mut random, mut images) = (StdRng::seed_from_u64(1), Vec::new());
    for first in (1..300).step_by(3) {
        let batch: Vec<_> = (first..first + 9).map(|seq| Change::Put(token(seq, vec![1; 400]))).collect();
        store.apply(&batch).expect("applied");
        images.push((content_of(&disk), store.load().expect("loaded")));
    }
    be_silent_about_panics();
    let mut wrong = Vec::new();
    for _ in 0..500 {
        let late = random.random_range(1..images.len());
        let early = random.random_range(0..late);
        let (whole, expected) = &images[late];
        let page = random.random_range(1..images[early].0.len() / 4096) * 4096;
        let copy = FaultyDisk::new(1);
        copy.file(FILE).write(0, whole).expect("copied");
        copy.file(FILE).write(page as u64, &images[early].0[page..page + 4096]).expect("copied");
        if let Ok(rows) = store_on(&copy).load() {
            let is_known = rows == *expected || rows == images[late - 1].1;
            wrong.extend((!is_known).then_some((early, late, page)));
        }
    }
    assert_eq!(wrong, [], "pages that changed rows and were not told");
}

#[test]
fn a_side_file_that_is_damaged_cut_or_gone_is_told() {
    let damages: [fn(&FaultyDisk, &str); 3] = [
        |disk, path| disk.damage(path, 12_345, 1),
        |disk, path| disk.file(path).set_len(20_000).expect("cut"),
        |disk, _| {
            let blobs = disk.blobs("blobs");
            blobs.remove(blobs.names().expect("names")[0]).expect("removed");
        },
    ];
    for damage in damages {
        let disk = disk_with(&[&[7; 30_000], b"short"]);
        let name = disk.blobs("blobs").names().expect("names")[0];
        damage(&disk, &format!("blobs/{name}"));
        let error = store_on(&disk).load().expect_err("damaged");
        assert!(matches!(&error, StoreError::Corrupt { what } if what.contains("side file")), "{error}");
    }
}

#[test]
fn a_file_that_is_no_database_is_told_and_left_alone() {
    let disk = FaultyDisk::new(1);
    disk.file(FILE).write(0, b"notes of somebody").expect("written");
    let error = store_on(&disk).load().expect_err("no database");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(content_of(&disk).starts_with(b"notes of somebody"));
}

#[test]
fn a_database_whose_header_is_gone_is_told_and_left_alone() {
    let disk = disk_with(&[b"a row"]);
    disk.file(FILE).write(0, &[0; 4096]).expect("written");
    let error = store_on(&disk).load().expect_err("without header");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    find(&content_of(&disk), b"a row");
}

/// Gives the store on a disk the number of another format.
fn set_format(disk: &FaultyDisk, format: u32) {
    let database = redb::Builder::new().create_with_backend(disk.file(FILE)).expect("a database");
    let transaction = database.begin_write().expect("begun");
    let meta = TableDefinition::<&str, u32>::new("meta");
    transaction.open_table(meta).expect("a table").insert("format", format).expect("written");
    transaction.commit().expect("committed");
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let disk = disk_with(&[b"a row"]);
    set_format(&disk, 3);
    let mut store = store_on(&disk);
    for _ in 0..2 {
        let error = store.load().expect_err("newer");
        assert!(matches!(error, StoreError::TooNew { found: 3, known: 2 }), "{error}");
        assert!(matches!(store.apply(&[]), Err(StoreError::TooNew { .. })));
    }
}

#[test]
fn a_store_of_a_version_that_was_never_released_is_told_apart_from_a_damaged_one() {
    let disk = disk_with(&[b"a row"]);
    set_format(&disk, 1);
    let error = store_on(&disk).load().expect_err("older");
    assert!(matches!(error, StoreError::TooOld { found: 1, known: 2 }), "{error}");
}

/// What redb says when it panics on this thread is of no interest.
fn be_silent_about_panics() {
    let (others, this) = (std::panic::take_hook(), std::thread::current().id());
    std::panic::set_hook(Box::new(move |panic| {
        let is_from_redb = panic.location().is_some_and(|location| location.file().contains("/redb-"));
        if std::thread::current().id() != this || !is_from_redb {
            others(panic);
        }
    }));
}
