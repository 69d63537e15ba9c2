//! The store at work: what the engine wants remembered becomes durable where waiting for a disk holds nobody up.
//!
//! One batch is under way at a time, and what gathers meanwhile is the next: so many records share one sync. A full disk is
//! tried again until there is room; after a failed sync the store is loaded again and the batch repeated, for nobody knows
//! what of it is there. Loading again needs room too, and waits for it in the same way.

use std::time::Duration;

use runnel_queue::{Change, Store, StoreError, StoreSpace};
use tokio::sync::mpsc;
use tracing::{error, warn};

/// A store, with the batches that are to become durable and the way back to the engine.
///
/// [`Env::start_store`](crate::Env::start_store) gets it, and has it work: [`run`](Self::run) on a thread of its own, or
/// [`batch`](Self::batch) and [`apply`](Self::apply) in a task on a virtual clock.
#[derive(Debug)]
#[must_use = "nothing becomes durable unless it runs"]
pub struct StoreDriver {
    store: Box<dyn Store>,
    batches: mpsc::Receiver<StoreBatch>,
    reports: mpsc::Sender<StoreReport>,
    /// Times in a row that the store could not be loaded again.
    failures: u32,
}

/// Changes that become durable together. Without any, it is looked whether there is room again.
#[derive(Debug)]
pub struct StoreBatch(pub(crate) Vec<Change>);

/// What the driver tells the engine.
#[derive(Debug)]
pub(crate) enum StoreReport {
    /// The batch is durable, and this is how much room there is.
    Stored(StoreSpace),
    /// There is no room on the disk; the batch is tried again.
    Full,
    /// Nothing becomes durable any more.
    Failed(StoreError),
}

/// The engine's end.
#[derive(Debug)]
pub(crate) struct StoreLine {
    pub(crate) batches: mpsc::Sender<StoreBatch>,
    pub(crate) reports: mpsc::Receiver<StoreReport>,
}

/// Makes both ends.
pub(crate) fn store_line(store: Box<dyn Store>) -> (StoreLine, StoreDriver) {
    let (batches, batches_come) = mpsc::channel(1);
    let (reports, reports_come) = mpsc::channel(REPORTS_KEPT);
    let driver = StoreDriver { store, batches: batches_come, reports, failures: 0 };
    (StoreLine { batches, reports: reports_come }, driver)
}

impl StoreDriver {
    /// Works until the node has stopped or nothing becomes durable any more. Blocks the thread.
    ///
    /// # Panics
    ///
    /// On a thread of a Tokio runtime.
    pub fn run(mut self) {
        while let Some(batch) = self.batches.blocking_recv() {
            while let Err(pause) = self.apply(&batch) {
                if self.reports.is_closed() {
                    // Nobody waits for it any more: nothing was said that depends on it.
                    return;
                }
                std::thread::sleep(pause);
            }
        }
    }

    /// Waits for the next batch; `None` once the node has stopped.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn batch(&mut self) -> Option<StoreBatch> {
        self.batches.recv().await
    }

    /// Makes a batch durable and tells the engine, or gives it up for good and tells that.
    ///
    /// # Errors
    ///
    /// When to try the same batch again.
    pub fn apply(&mut self, batch: &StoreBatch) -> Result<(), Duration> {
        if batch.0.is_empty() {
            self.store.look_for_space();
        }
        let report = match self.store.apply(&batch.0) {
            Ok(()) => StoreReport::Stored(self.store.space()),
            Err(StoreError::Full) => return Err(self.wait_for_room()),
            Err(error) if error.is_poisonous() => match self.reload(&error) {
                Ok(()) => return Err(Duration::ZERO),
                Err(StoreError::Full) => return Err(self.wait_for_room()),
                Err(error) if self.failures < FAILURES_MAX => {
                    warn!(%error, "the store cannot be loaded again yet");
                    return Err(RELOAD_PAUSE);
                }
                Err(error) => StoreReport::Failed(error),
            },
            Err(error) => StoreReport::Failed(error),
        };
        self.failures = 0;
        self.report(report);
        Ok(())
    }

    fn reload(&mut self, error: &StoreError) -> Result<(), StoreError> {
        error!(%error, "the store is loaded again");
        let loaded = self.store.load().map(drop);
        // A disk without room says nothing of its health.
        if !matches!(loaded, Err(StoreError::Full)) {
            self.failures += 1;
        }
        loaded
    }

    /// Tells that there is no room. Returns the pause before the next try.
    fn wait_for_room(&self) -> Duration {
        warn!("no space is left for the store: what is to be durable waits until there is some");
        self.report(StoreReport::Full);
        FULL_PAUSE
    }

    /// Tells the engine. If it is gone, or does not listen, there is nobody to tell.
    fn report(&self, report: StoreReport) {
        self.reports.try_send(report).ok();
    }
}

/// Reports that may wait for the engine. Between two batches there is one that counts and some of a full disk; one of these
/// that finds no place is said again.
const REPORTS_KEPT: usize = 16;

/// Pause before a batch is tried again for which there was no room.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// Pause before a store is loaded again that could not be.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// How often in a row a store is loaded again before it is given up.
const FAILURES_MAX: u32 = 5;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use runnel_queue::{DiskCall, Row};

    use super::*;

    /// A store whose calls go as told, and then well.
    #[derive(Debug, Default)]
    struct Scripted {
        applies: VecDeque<StoreError>,
        loads: VecDeque<StoreError>,
        applied: usize,
    }

    impl Store for Scripted {
        fn load(&mut self) -> Result<Vec<Row>, StoreError> {
            self.loads.pop_front().map_or(Ok(Vec::new()), Err)
        }

        fn apply(&mut self, _: &[Change]) -> Result<(), StoreError> {
            self.applied += 1;
            self.applies.pop_front().map_or(Ok(()), Err)
        }
    }

    fn broken() -> StoreError {
        StoreError::Disk { call: DiskCall::Sync, source: std::io::Error::other("broken") }
    }

    fn driven(applies: Vec<StoreError>, loads: Vec<StoreError>) -> (StoreLine, StoreDriver) {
        store_line(Box::new(Scripted { applies: applies.into(), loads: loads.into(), applied: 0 }))
    }

    #[test]
    fn a_full_disk_is_tried_again_and_the_engine_knows() {
        let (mut line, mut driver) = driven(vec![StoreError::Full], vec![]);
        let batch = StoreBatch(vec![]);
        assert_eq!(driver.apply(&batch), Err(FULL_PAUSE));
        assert!(matches!(line.reports.try_recv(), Ok(StoreReport::Full)));
        assert_eq!(driver.apply(&batch), Ok(()));
        assert!(matches!(line.reports.try_recv(), Ok(StoreReport::Stored(_))));
    }

    #[test]
    fn after_a_failed_sync_the_store_is_loaded_again_and_the_batch_repeated() {
        let (mut line, mut driver) = driven(vec![broken()], vec![broken()]);
        let batch = StoreBatch(vec![]);
        assert_eq!(driver.apply(&batch), Err(RELOAD_PAUSE));
        assert!(line.reports.try_recv().is_err(), "nothing is said of it");
        assert_eq!(driver.apply(&batch), Ok(()));
        assert!(matches!(line.reports.try_recv(), Ok(StoreReport::Stored(_))));
    }

    #[test]
    fn a_store_that_cannot_be_loaded_again_for_want_of_room_waits_for_it() {
        let full = (0..FAILURES_MAX * 2).map(|_| StoreError::Full).collect();
        let failed = (0..FAILURES_MAX * 2).map(|_| broken()).collect();
        let (mut line, mut driver) = driven(failed, full);
        let batch = StoreBatch(vec![]);
        for _ in 0..FAILURES_MAX * 2 {
            assert_eq!(driver.apply(&batch), Err(FULL_PAUSE));
            assert!(matches!(line.reports.try_recv(), Ok(StoreReport::Full)));
        }
        assert_eq!(driver.apply(&batch), Ok(()));
        assert!(matches!(line.reports.try_recv(), Ok(StoreReport::Stored(_))));
    }

    #[test]
    fn a_node_that_is_gone_does_not_leave_its_store_waiting_for_room() {
        let (line, driver) = driven((0..1000).map(|_| StoreError::Full).collect(), vec![]);
        line.batches.try_send(StoreBatch(vec![])).expect("there is a place");
        drop(line);
        driver.run();
    }

    #[test]
    fn a_store_that_cannot_be_loaded_any_more_is_given_up() {
        let broken_for_good = || (0..20).map(|_| broken()).collect();
        let (mut line, mut driver) = driven(broken_for_good(), broken_for_good());
        let batch = StoreBatch(vec![]);
        let tries = (0..20).take_while(|_| driver.apply(&batch).is_err()).count();
        assert_eq!(tries, 4);
        assert!(matches!(line.reports.try_recv(), Ok(StoreReport::Failed(StoreError::Disk { .. }))));
    }
}
