//! Power cuts at random moments: what was acknowledged is there, what was not is there whole or not at all.

use std::ops::Range;

use rand::Rng;
use runnel_queue::StorageBackend;

use crate::subject::{FILE, Subject, store_on};

/// Lets one process live until the power is cut.
fn live(subject: &mut Subject) -> Result<(), String> {
    let mut store = store_on(&subject.disk);
    // A third of the cuts come while the store recovers from the one before.
    let calls = if subject.random.random_bool(0.3) { 1..40 } else { 40..400 };
    subject.disk.cut_power_at(subject.random.random_range(calls));
    let mut has_power = subject.load(&mut store)?;
    while has_power {
        has_power = subject.apply_some(&mut store)?;
    }
    // The database is closed without power: nothing of that gets to the disk.
    drop(store);
    subject.disk.cut_power();
    Ok(())
}

/// Cuts the power `cuts_each` times for each seed, on two threads.
fn check(seeds: Range<u64>, cuts_each: u64) {
    let half = |skipped| {
        let seeds = seeds.clone().skip(skipped).step_by(2);
        move || seeds.map(|seed| commits_of(seed, cuts_each)).sum::<u64>()
    };
    let commits: u64 = std::thread::scope(|scope| {
        let halves = [scope.spawn(half(0)), scope.spawn(half(1))];
        halves.map(|half| half.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).iter().sum()
    });
    let cuts = (seeds.end - seeds.start) * cuts_each;
    assert!(commits > cuts, "processes live long enough to write: {commits} batches, {cuts} cuts");
}

fn commits_of(seed: u64, cuts: u64) -> u64 {
    let mut subject = Subject::new(seed);
    for cut in 0..cuts {
        live(&mut subject).unwrap_or_else(|wrong| panic!("seed {seed}, cut {cut}: {wrong}"));
    }
    subject.commits
}

#[test]
fn after_two_thousand_power_cuts_nothing_acknowledged_is_missing() {
    check(0..20, 100);
}

/// `cargo test --release -p runnel-queue --test store -- --ignored a_hundred_thousand`, before each change of redb's
/// version. It takes some minutes.
#[test]
#[ignore = "takes minutes: run it with --release before redb's version changes"]
fn after_a_hundred_thousand_power_cuts_nothing_acknowledged_is_missing() {
    check(1000..2000, 100);
}

#[test]
fn a_power_cut_at_any_call_of_a_stores_first_start_leaves_a_store() {
    for number in 1..40 {
        for seed in 0..20 {
            let mut subject = Subject::new(seed);
            subject.disk.cut_power_at(number);
            let mut store = store_on(&subject.disk);
            let mut has_power = subject.load(&mut store).expect("nothing is wrong");
            while has_power {
                has_power = subject.apply_some(&mut store).expect("nothing is wrong");
            }
            subject.disk.cut_power();
            let loaded = subject.load(&mut store_on(&subject.disk));
            assert_eq!(loaded, Ok(true), "cut at call {number}, seed {seed}");
        }
    }
}

/// Simulations of whole nodes rely on this: the same seed, the same run.
#[test]
fn equal_seeds_end_in_equal_disks() {
    let end_of = |seed| {
        let mut subject = Subject::new(seed);
        for _ in 0..20 {
            live(&mut subject).expect("nothing is wrong");
        }
        let mut content = vec![0; subject.disk.file_bytes(FILE)];
        subject.disk.file(FILE).read(0, &mut content).expect("read");
        (subject.disk.calls(), content)
    };
    for seed in 0..5 {
        assert!(end_of(seed) == end_of(seed), "seed {seed}");
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    let noticed = (0..10).filter(|seed| {
        let mut subject = Subject::new(*seed);
        subject.disk.lie_at_syncs(4);
        (0..30).any(|_| live(&mut subject).is_err())
    });
    assert!(noticed.count() > 0, "or these tests would not notice lost writes at all");
}
