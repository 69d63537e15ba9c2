//! How much is held of bodies that are produced here: of each so much, and of all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use runnel_codec::CREDIT_STEP_BYTES_MAX;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::PIECE_BYTES_MAX;
use crate::config::NodeConfig;

/// What the bodies of a node may hold.
///
/// Each gets at most half of what the others leave, so that one alone fills a long path and many share; and never less
/// than it needs to get on.
#[derive(Clone, Debug)]
pub(crate) struct BodyRooms(Arc<Bounds>);

#[derive(Debug)]
struct Bounds {
    each_max: usize,
    together_max: usize,
    /// What those that there are may hold.
    given: AtomicUsize,
}

/// What one body may hold. Each piece takes as many permits as it has bytes; they come back when its reader has taken it.
#[derive(Debug)]
pub(crate) struct BodyRoom {
    permits: Semaphore,
    /// What it may hold.
    bytes: usize,
    bounds: Arc<Bounds>,
}

impl BodyRooms {
    pub(crate) fn new(config: &NodeConfig) -> Self {
        let (each_max, together_max) = (config.body_held_bytes_max.get(), config.bodies_held_bytes_max.get());
        Self(Arc::new(Bounds { each_max, together_max, given: AtomicUsize::new(0) }))
    }

    /// Makes room for one more. What it may hold is free for others when everybody has let go of the room.
    pub(crate) fn open(&self) -> Arc<BodyRoom> {
        let bounds = self.0.clone();
        // Rooms are made by the engine alone.
        let left = bounds.together_max.saturating_sub(bounds.given.load(Ordering::Relaxed));
        let bytes = bounds.each_max.min(left / 2).max(HELD_BYTES_MIN);
        bounds.given.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(BodyRoom { permits: Semaphore::new(bytes), bytes, bounds })
    }
}

impl BodyRoom {
    /// Waits until so many bytes more may be held.
    ///
    /// # Errors
    ///
    /// The body goes nowhere any more.
    pub(super) async fn acquire(&self, bytes: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.permits.acquire_many(bytes).await
    }

    /// So many bytes are not held any more.
    pub(crate) fn free(&self, bytes: usize) {
        self.permits.add_permits(bytes);
    }

    /// The body goes nowhere any more.
    pub(crate) fn close(&self) {
        self.permits.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        self.bounds.given.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The least that a body may hold: its reader says what it has taken in steps (`codec/WIRE.md`, section 3.2), and the next
/// piece, however long, must fit beside one.
const HELD_BYTES_MIN: usize = 256 << 10;

const _: () = assert!(CREDIT_STEP_BYTES_MAX + PIECE_BYTES_MAX as u64 <= HELD_BYTES_MIN as u64);

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn one_has_much_and_many_share() {
        let config = NodeConfig {
            body_held_bytes_max: NonZeroUsize::new(2 << 20).unwrap(),
            bodies_held_bytes_max: NonZeroUsize::new(6 << 20).unwrap(),
            ..NodeConfig::default()
        };
        let rooms = BodyRooms::new(&config);
        let open: Vec<_> = (0..6).map(|_| rooms.open()).collect();
        let kib: Vec<_> = open.iter().map(|room| room.bytes >> 10).collect();
        assert_eq!(kib, [2048, 2048, 1024, 512, 256, 256]);
        drop(open);
        assert_eq!(rooms.open().bytes, 2 << 20, "what was held is free again");
    }
}
