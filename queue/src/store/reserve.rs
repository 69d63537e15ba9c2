//! Room that a store keeps for itself: a side file that is given back to the disk when the disk is full.
//!
//! What has ended can only be deleted with room to write. While the reserve is gone nothing new is to be taken, and what is
//! there can be ended and deleted, until there is room for the reserve again.

use std::io;

use super::blobs::{BlobName, Blobs};

/// How much room a store has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreSpace {
    /// No lack of it is known.
    #[default]
    Enough,
    /// The disk was full. What is left is for ending and deleting what is stored: nothing new is to be taken.
    Low,
}

/// The reserve of one store.
#[derive(Debug)]
pub(super) struct Reserve {
    bytes: u64,
    space: StoreSpace,
}

impl Reserve {
    /// Makes one of so many bytes that is not there yet. With 0 there is none, and a full disk shows all the same.
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes, space: StoreSpace::Low }
    }

    /// Has the reserve there if there is room for it.
    pub(super) fn renew(&mut self, blobs: &dyn Blobs) {
        if self.space == StoreSpace::Low && (self.bytes == 0 || self.write(blobs).is_ok()) {
            self.space = StoreSpace::Enough;
        }
    }

    /// Gives the reserve back to the disk, which is full. Returns whether that made room.
    pub(super) fn release(&mut self, blobs: &dyn Blobs) -> bool {
        let was_there = self.bytes > 0 && self.space == StoreSpace::Enough;
        self.space = StoreSpace::Low;
        was_there && blobs.remove(NAME).is_ok()
    }

    /// Looks whether an earlier process has left it.
    pub(super) fn find(&mut self, blobs: &dyn Blobs) {
        let is_there = self.is_there(blobs);
        self.space = if is_there { StoreSpace::Enough } else { StoreSpace::Low };
    }

    pub(super) fn space(&self) -> StoreSpace {
        self.space
    }

    fn is_there(&self, blobs: &dyn Blobs) -> bool {
        self.bytes == 0 || blobs.read(NAME, self.bytes - 1, &mut [0]).is_ok()
    }

    /// Writes all of it, or leaves nothing behind.
    fn write(&self, blobs: &dyn Blobs) -> io::Result<()> {
        let written = self.write_pieces(blobs);
        if written.is_err() {
            // What could not be removed is overwritten or found by the next attempt.
            blobs.remove(NAME).ok();
        }
        written
    }

    /// Writes bytes that no file system makes shorter, so that they take the room that they are there for.
    fn write_pieces(&self, blobs: &dyn Blobs) -> io::Result<()> {
        let mut noise = blake3::Hasher::new().finalize_xof();
        let mut piece = vec![0; PIECE_BYTES];
        let mut offset = 0;
        while offset < self.bytes {
            let len = usize::try_from(self.bytes - offset).map_or(PIECE_BYTES, |rest| rest.min(PIECE_BYTES));
            noise.fill(&mut piece[..len]);
            blobs.write(NAME, offset, &piece[..len])?;
            offset += len as u64;
        }
        blobs.sync(NAME)
    }
}

/// Name of the reserve among the side files. Those of rows are hashes.
pub(super) const NAME: BlobName = BlobName::from_bytes(*b"runnel's reserve");

/// Bytes of the reserve that are written at once.
const PIECE_BYTES: usize = 256 << 10;
