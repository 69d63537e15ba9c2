//! What is to be remembered: on its way into the store, and what follows once it is there.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use runnel_codec::{Epoch, Lineage};
use runnel_queue::{BatchId, Change, ReceiveQueue, Row, SendQueue, Store, StoreError, StoreRow, StoreSpace};
use tracing::{error, info, warn};

use super::Engine;
use crate::env::Env;
use crate::status::StoreStatus;
use crate::store::{StoreBatch, StoreLine, StoreReport, store_line};

/// The store of a node, if it has one.
#[derive(Debug)]
pub(super) struct Storing {
    line: StoreLine,
    /// The batches of the send queue and of the receive queue that are becoming durable.
    under_way: Option<(Option<BatchId>, Option<BatchId>)>,
    /// There was no room on the disk: when to look again.
    look_at: Option<Instant>,
}

/// What a process is called, and its store if that is new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epochs {
    pub(super) boot: Epoch,
    pub(super) new_store: Epoch,
}

impl Storing {
    /// Loads a store, notes in it that this process has it, has the queues go on from it, and has it work. An empty one
    /// becomes that of this node. Returns it with the processes that have had it.
    pub(super) fn start(
        mut store: Box<dyn Store>,
        env: &dyn Env,
        epochs: Epochs,
        now: Instant,
        (send, receive): (&mut SendQueue, &mut ReceiveQueue),
    ) -> Result<(Self, Lineage), StoreError> {
        let rows = store.load()?;
        let row = take_over(&mut *store, &rows, epochs)?;
        let clock = env.clock();
        send.recover(now, &clock, &row, &rows);
        receive.recover(now, &clock, &row, &rows);
        let StoreRow { epoch, lineage } = row;
        info!(%epoch, processes = lineage.processes(), rows = rows.len(), "the store is loaded");
        send.handle_store_space(store.space());
        receive.handle_store_space(store.space());
        let look_at = (store.space() == StoreSpace::Low).then_some(now);
        let (line, driver) = store_line(store);
        env.start_store(driver);
        Ok((Self { line, under_way: None, look_at }, lineage))
    }

    /// Returns whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Returns when it is to be looked for room again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_at.filter(|_| self.is_idle())
    }

    /// Waits until the store is closed: from then on another process may have it.
    pub(super) async fn close(self) {
        let StoreLine { batches, mut reports } = self.line;
        drop(batches);
        while reports.recv().await.is_some() {}
    }
}

/// Notes in a store that this process has it. Returns its row.
fn take_over(store: &mut dyn Store, rows: &[Row], epochs: Epochs) -> Result<StoreRow, StoreError> {
    let older = rows.iter().find_map(|row| match row {
        Row::Store(row) => Some(row.clone()),
        _ => None,
    });
    let mut row = older.clone().unwrap_or_else(|| StoreRow::new(epochs.new_store));
    row.lineage.push(epochs.boot);
    match (store.apply(&[Change::Put(Row::Store(row.clone()))]), older) {
        (Ok(()), _) => Ok(row),
        // What is there can still be said and ended. A copy of it would not be told from this process.
        (Err(StoreError::Full), Some(older)) => {
            warn!("the disk of the store is full: this process is not noted in it");
            Ok(older)
        }
        (Err(error), _) => Err(error),
    }
}

impl Engine {
    /// Hears from the store.
    pub(super) fn poll_stored(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut is_busy = false;
        while let Some(storing) = &mut self.storing
            && let Poll::Ready(report) = storing.line.reports.poll_recv(cx)
        {
            is_busy = true;
            match report {
                Some(StoreReport::Stored(space)) => {
                    let (sent, received) = storing.under_way.take().unwrap_or_default();
                    sent.into_iter().for_each(|batch| self.send.handle_stored(now, batch));
                    received.into_iter().for_each(|batch| self.receive.handle_stored(batch));
                    self.handle_store_space(now, space);
                }
                Some(StoreReport::Full) => self.handle_store_space(now, StoreSpace::Low),
                Some(StoreReport::Failed(error)) => self.handle_store_failed(now, error),
                None => self.handle_store_failed(now, StoreError::Poisoned),
            }
        }
        is_busy
    }

    /// There is no room for more in the store, or there is again.
    fn handle_store_space(&mut self, now: Instant, space: StoreSpace) {
        let Some(storing) = &mut self.storing else { return };
        match (storing.look_at, space) {
            (None, StoreSpace::Low) => {
                warn!("the disk of the store is full: no durable command is taken until there is room");
                storing.look_at = Some(now + LOOK_PAUSE);
            }
            (Some(_), StoreSpace::Enough) => {
                info!("there is room for the store again");
                storing.look_at = None;
            }
            _ => return,
        }
        self.send.handle_store_space(space);
        self.receive.handle_store_space(space);
        self.publish_status(now);
    }

    /// Nothing can be made durable any more: the node cannot keep its promises and stops.
    fn handle_store_failed(&mut self, now: Instant, failure: StoreError) {
        error!(error = %failure, "the store has failed: the node stops");
        self.store_failure = Some(failure);
        self.storing = None;
        // The engine ends, and nothing is told later.
        self.make_status(now);
    }

    /// Returns how the store is.
    pub(super) fn store_status(&self) -> StoreStatus {
        match (&self.storing, &self.store_failure) {
            (_, Some(failure)) => StoreStatus::Failed(failure.to_string()),
            (Some(storing), None) if storing.look_at.is_some() => StoreStatus::Full,
            (Some(_), None) => StoreStatus::Works,
            (None, None) => StoreStatus::None,
        }
    }

    /// Sends what is to be stored on its way, if nothing else is. Returns whether something was sent.
    pub(super) fn drain_stores(&mut self, now: Instant) -> bool {
        let Some(storing) = self.storing.as_mut() else {
            self.release_tokens();
            return false;
        };
        if !storing.is_idle() {
            return false;
        }
        let Ok(place) = storing.line.batches.try_reserve() else { return false };
        if storing.look_at.is_some_and(|at| at <= now) {
            storing.look_at = Some(now + LOOK_PAUSE);
            storing.under_way = Some((None, None));
            place.send(StoreBatch(Vec::new()));
            return true;
        }
        let clock = self.env.clock();
        let sent = self.send.poll_store(now, &clock);
        let received = self.receive.poll_store(now, &clock);
        let has_all = received.is_none();
        let has_some = sent.is_some() || received.is_some();
        if has_some {
            storing.under_way =
                Some((sent.as_ref().map(|batch| batch.id), received.as_ref().map(|batch| batch.id)));
            let changes = sent.into_iter().chain(received).flat_map(|batch| batch.changes);
            place.send(StoreBatch(changes.collect()));
        } else {
            drop(place);
        }
        if has_all {
            // Every end of a handler that was heard of is durable.
            self.release_tokens();
        }
        has_some
    }
}

/// Pause before it is looked whether a disk that was full has room again.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
