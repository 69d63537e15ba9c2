//! How many bytes are held here until whoever reads them has taken them: of each body and of each command's updates so
//! many, and of all of a kind together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use runnel_codec::CREDIT_STEP_BYTES_MAX;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use crate::body::PIECE_BYTES_MAX;

/// What all of a kind may hold.
///
/// Each has a little for itself, and they share the rest: none takes more than half of what the others leave. So one alone
/// fills a long path, many get on, and those whose readers take nothing keep no others out.
#[derive(Clone, Debug)]
pub(crate) struct Rooms(Arc<Bounds>);

/// Bounds on what is held, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomBounds {
    /// What each may hold, however many there are.
    pub(crate) min: usize,
    /// What each may hold from the beginning, if there is so much.
    pub(crate) first: usize,
    /// What each may hold at most.
    pub(crate) max: usize,
    /// What they may hold beyond `min`, together.
    pub(crate) shared: usize,
}

#[derive(Debug)]
struct Bounds {
    each: RoomBounds,
    /// How much of what is shared is given to those that there are.
    given: AtomicUsize,
}

/// What one may hold: a permit for each byte, which comes back when its reader has taken the byte. It grows as its reader
/// takes.
#[derive(Debug)]
pub(crate) struct Room {
    permits: Semaphore,
    /// What it may hold beyond `min`.
    extra: AtomicUsize,
    /// What was taken since it has grown.
    taken: AtomicUsize,
    bounds: Arc<Bounds>,
}

impl Rooms {
    pub(crate) fn new(each: RoomBounds) -> Self {
        Self(Arc::new(Bounds { each, given: AtomicUsize::new(0) }))
    }

    /// Makes room for one more. What it may hold is free for others when everybody has let go of it.
    pub(crate) fn open(&self) -> Arc<Room> {
        let (bounds, each) = (self.0.clone(), &self.0.each);
        let extra = bounds.give(each.first.saturating_sub(each.min));
        let permits = Semaphore::new(each.min + extra);
        Arc::new(Room { permits, extra: AtomicUsize::new(extra), taken: AtomicUsize::new(0), bounds })
    }
}

impl Bounds {
    /// Gives as much of what is shared as there is for one. The engine alone asks for it, and others only give back.
    fn give(&self, wanted: usize) -> usize {
        if wanted == 0 {
            return 0;
        }
        let left = self.each.shared.saturating_sub(self.given.load(Ordering::Relaxed));
        let given = wanted.min(left / 2);
        self.given.fetch_add(given, Ordering::Relaxed);
        given
    }
}

impl Room {
    /// Waits until so many bytes more may be held. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Nobody takes any more.
    pub(crate) async fn acquire(&self, bytes: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.permits.acquire_many(bytes).await
    }

    /// Returns whether so many bytes more may be held now.
    pub(crate) fn has(&self, bytes: usize) -> bool {
        self.permits.available_permits() >= bytes
    }

    /// Bytes were taken, and are not held any more. Who has taken as much as there is room for gets more, up to twice of it.
    pub(crate) fn free(&self, bytes: usize) {
        let each = &self.bounds.each;
        let extra = self.extra.load(Ordering::Relaxed);
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let mut more = 0;
        if taken >= each.min + extra {
            more = self.bounds.give((each.min + extra).min(each.max.saturating_sub(each.min + extra)));
            self.extra.store(extra + more, Ordering::Relaxed);
            self.taken.store(0, Ordering::Relaxed);
        }
        self.permits.add_permits(bytes + more);
    }

    /// Nobody takes any more.
    pub(crate) fn close(&self) {
        self.permits.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let extra = *self.extra.get_mut();
        if extra > 0 {
            self.bounds.given.fetch_sub(extra, Ordering::Relaxed);
        }
    }
}

/// The least that a body or a command's updates may hold: what is taken of them is said in steps (`codec/WIRE.md`, sections
/// 3.2 and 3.3), and the next piece or record, however long, must fit beside one.
pub(crate) const HELD_BYTES_MIN: usize = 256 << 10;

const _: () = assert!(CREDIT_STEP_BYTES_MAX + PIECE_BYTES_MAX as u64 <= HELD_BYTES_MIN as u64);

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: RoomBounds = RoomBounds { min: 100, first: 100, max: 1000, shared: 2000 };

    fn held(room: &Room) -> usize {
        room.permits.available_permits()
    }

    async fn take(room: &Room, bytes: usize) {
        room.acquire(u32::try_from(bytes).unwrap()).await.unwrap().forget();
        room.free(bytes);
    }

    #[test]
    fn one_has_much_and_many_share() {
        let rooms = Rooms::new(RoomBounds { first: 1000, ..BOUNDS });
        let open: Vec<_> = (0..4).map(|_| rooms.open()).collect();
        assert_eq!(open.iter().map(|room| held(room)).collect::<Vec<_>>(), [1000, 650, 375, 237]);
        drop(open);
        assert_eq!(held(&rooms.open()), 1000, "what was given is free again");
    }

    #[tokio::test]
    async fn it_grows_as_its_reader_takes_and_not_beyond_what_there_is() {
        let rooms = Rooms::new(RoomBounds { shared: 1400, ..BOUNDS });
        let (one, other) = (rooms.open(), rooms.open());
        for expected in [100, 200, 400, 800, 1000, 1000] {
            assert_eq!(held(&one), expected);
            take(&one, expected).await;
        }
        for expected in [100, 200, 400, 500, 550, 575] {
            assert_eq!(held(&other), expected);
            take(&other, expected).await;
        }
    }
}
