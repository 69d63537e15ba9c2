//! Calls of the disk that fail, one after the other, and syncs that do.

use std::io;

use rand::Rng;
use runnel_queue::{Store, StoreError};

use crate::subject::{FILE, Subject, store_on};

/// A small life: load, some batches, load again.
fn live(subject: &mut Subject) -> Result<bool, String> {
    let mut store = store_on(&subject.disk);
    let mut works = subject.load(&mut store)?;
    for _ in 0..3 {
        works = works && subject.apply_some(&mut store)?;
    }
    works = works && subject.load(&mut store)?;
    Ok(works)
}

#[test]
fn whichever_call_fails_the_store_says_so_and_goes_on_after_a_load() {
    let calls = {
        let mut subject = Subject::new(0);
        assert_eq!(live(&mut subject), Ok(true));
        subject.disk.calls()
    };
    assert!(calls > 50, "there is something to fail: {calls} calls");
    for number in 1..=calls {
        let mut subject = Subject::new(0);
        subject.disk.fail_at(number, io::ErrorKind::PermissionDenied);
        let mut store = store_on(&subject.disk);
        let mut steps = vec![subject.load(&mut store)];
        steps.extend((0..3).map(|_| subject.apply_some(&mut store)));
        let has_failed = steps.contains(&Ok(false));
        if has_failed {
            let refused = store.apply(&[]);
            assert!(
                matches!(refused, Err(StoreError::Poisoned)),
                "call {number}: {steps:?}, then {refused:?}"
            );
        }
        let loads = [subject.load(&mut store), subject.load(&mut store)];
        let is_healed = loads[0] == Ok(true) || (!has_failed && loads[0] == Ok(false));
        assert!(is_healed && loads[1] == Ok(true), "call {number}: {steps:?}, then {loads:?}");
        assert_eq!(subject.apply_some(&mut store), Ok(true), "call {number}");
        subject.disk.cut_power();
        assert_eq!(live(&mut subject), Ok(true), "call {number}: what it said is durable");
    }
}

/// After a failed sync the same process loads again, or the next one does.
fn live_with_failing_syncs(subject: &mut Subject) -> Result<(), String> {
    let mut store = store_on(&subject.disk);
    let (mut works, mut has_failed) = (subject.load(&mut store)?, false);
    for _ in 0..subject.random.random_range(1..10) {
        if subject.random.random_bool(0.3) {
            subject.disk.fail_syncs(subject.random.random_range(1..3));
        }
        if works {
            works = subject.apply_some(&mut store)?;
        } else {
            has_failed = true;
            works = subject.load(&mut store)?;
            if works && !subject.disk.is_durable(FILE) {
                return Err("what is loaded is not what is on the disk".to_owned());
            }
        }
    }
    subject.healed += u64::from(works && has_failed);
    match subject.random.random_range(0..3) {
        0 => subject.disk.kill(),
        1 => drop(store),
        _ => subject.disk.cut_power(),
    }
    Ok(())
}

#[test]
fn after_failed_syncs_what_is_loaded_is_durable() {
    for seed in 0..20 {
        let mut subject = Subject::new(seed);
        for life in 0..30 {
            live_with_failing_syncs(&mut subject)
                .unwrap_or_else(|wrong| panic!("seed {seed}, life {life}: {wrong}"));
        }
        let Subject { commits, healed, .. } = subject;
        assert!(
            commits > 30 && healed > 3,
            "seed {seed}: {commits} batches got through, {healed} lives healed"
        );
    }
}

#[test]
fn a_failed_sync_poisons_until_the_store_is_loaded() {
    let mut subject = Subject::new(5);
    let mut store = store_on(&subject.disk);
    assert_eq!(subject.load(&mut store), Ok(true));
    subject.disk.fail_syncs(1);
    let batch = crate::rows::batch(&mut subject.random, 5);
    assert!(matches!(store.apply(&batch), Err(StoreError::Disk { call: runnel_queue::DiskCall::Sync, .. })));
    assert!(matches!(store.apply(&batch), Err(StoreError::Poisoned)));
    subject.disk.fail_syncs(1);
    assert!(store.load().is_err(), "what the disk shows could not be made durable");
    assert!(matches!(store.apply(&batch), Err(StoreError::Poisoned)), "so it stays poisoned");
    store.load().expect("the disk works again");
    store.apply(&batch).expect("and so does the store");
}
