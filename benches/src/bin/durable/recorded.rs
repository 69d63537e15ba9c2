//! A store that keeps what it is told, and the same written again without anything around it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runnel::{OpenStoreError, open_store};
use runnel_queue::{Change, Row, Store, StoreConfig, StoreError, StoreSpace};

/// A store that keeps what it is told while somebody has asked for it.
#[derive(Debug)]
pub(crate) struct RecordedStore {
    store: SlowerStore,
    tape: Tape,
}

/// A store whose disk takes so much longer for a sync, of which each batch takes one.
#[derive(Debug)]
pub(crate) struct SlowerStore {
    store: Box<dyn Store>,
    by: Duration,
}

/// What a store is told, as far as somebody has asked for it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// The changes so far, if they are kept.
    changes: Option<Vec<Change>>,
    /// How long each batch took, if that is kept.
    times: Option<Vec<Duration>>,
}

/// How long stores without anything around them took.
#[derive(Debug)]
pub(crate) struct Straight {
    /// All records, in batches as long as a batch may be, into two stores at once.
    pub(crate) all: Duration,
    /// Single records, one after the other.
    pub(crate) each: Vec<Duration>,
}

/// The changes of both nodes since they were asked for.
#[derive(Debug)]
pub(crate) struct Recorded {
    tapes: [Tape; 2],
    slower_by: Duration,
}

impl RecordedStore {
    pub(crate) fn new(store: SlowerStore, tape: Tape) -> Self {
        Self { store, tape }
    }
}

impl SlowerStore {
    /// Opens the store in a folder.
    ///
    /// # Errors
    ///
    /// Those of [`open_store`].
    pub(crate) fn open(folder: &Path, by: Duration) -> Result<Self, OpenStoreError> {
        Ok(Self { store: open_store(folder, &StoreConfig::default())?, by })
    }
}

impl Store for SlowerStore {
    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        self.store.load()
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if !self.by.is_zero() {
            std::thread::sleep(self.by);
        }
        self.store.apply(changes)
    }

    fn space(&self) -> StoreSpace {
        self.store.space()
    }

    fn look_for_space(&mut self) {
        self.store.look_for_space();
    }
}

impl Store for RecordedStore {
    fn load(&mut self) -> Result<Vec<Row>, StoreError> {
        self.store.load()
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let began_at = Instant::now();
        self.store.apply(changes)?;
        let took = began_at.elapsed();
        let mut kept = self.tape.kept();
        if let Some(kept) = &mut kept.changes {
            kept.extend_from_slice(changes);
        }
        if let Some(times) = &mut kept.times {
            times.push(took);
        }
        Ok(())
    }

    fn space(&self) -> StoreSpace {
        self.store.space()
    }

    fn look_for_space(&mut self) {
        self.store.look_for_space();
    }
}

impl Tape {
    fn begin(&self) {
        self.kept().changes = Some(Vec::new());
    }

    fn take(&self) -> Vec<Change> {
        self.kept().changes.take().unwrap_or_default()
    }

    /// Keeps how long batches take from now on.
    pub(crate) fn begin_timing(&self) {
        self.kept().times = Some(Vec::new());
    }

    /// Returns how long batches took since then.
    pub(crate) fn take_times(&self) -> Vec<Duration> {
        self.kept().times.take().unwrap_or_default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    pub(crate) fn begin(tapes: [Tape; 2], slower_by: Duration) -> Self {
        tapes.iter().for_each(Tape::begin);
        Self { tapes, slower_by }
    }

    /// Writes them to two stores at once, in batches as long as a batch may be, then some of them one by one. Both have been
    /// written to before, as the nodes' have: a database that is new grows first.
    ///
    /// # Errors
    ///
    /// Those of the stores.
    pub(crate) fn write_straight(self, folder: &Path) -> io::Result<Straight> {
        let mut stores = Vec::new();
        for tape in &self.tapes {
            let folder = tempfile::tempdir_in(folder)?;
            let mut store = SlowerStore::open(folder.path(), self.slower_by).map_err(io::Error::other)?;
            store.load().map_err(io::Error::other)?;
            let changes = tape.take();
            // To apply a batch again does no harm.
            changes
                .chunks(BATCH_RECORDS_MAX)
                .try_for_each(|batch| store.apply(batch))
                .map_err(io::Error::other)?;
            stores.push((changes, store, folder));
        }
        let began_at = Instant::now();
        std::thread::scope(|scope| {
            let write = |(changes, store, _): &mut (Vec<Change>, SlowerStore, _)| {
                changes.chunks(BATCH_RECORDS_MAX).try_for_each(|batch| store.apply(batch))
            };
            let writers: Vec<_> = stores.iter_mut().map(|store| scope.spawn(move || write(store))).collect();
            writers.into_iter().try_for_each(|writer| writer.join().expect("it does not panic"))
        })
        .map_err(io::Error::other)?;
        let all = began_at.elapsed();
        let mut each = Vec::new();
        if let Some((changes, store, _)) = stores.first_mut() {
            for change in changes.chunks(1).take(SINGLE_RECORDS) {
                let began_at = Instant::now();
                store.apply(change).map_err(io::Error::other)?;
                each.push(began_at.elapsed());
            }
        }
        Ok(Straight { all, each })
    }
}

/// As the queues' batches.
const BATCH_RECORDS_MAX: usize = 256;

const SINGLE_RECORDS: usize = 100;
