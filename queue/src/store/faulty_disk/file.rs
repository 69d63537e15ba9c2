//! One file: what is read, what is durable, and what is in between.

use std::collections::BTreeSet;
use std::io;

use rand::Rng;
use rand::rngs::StdRng;

/// What a system writes to a disk at once, in bytes.
pub(super) const PAGE_BYTES: usize = 4096;

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default)]
pub(super) struct File {
    /// As it is read.
    live: Vec<u8>,
    /// As it is on the disk.
    durable: Vec<u8>,
    /// What happened to it since the last sync, in order.
    pending: Vec<Pending>,
    /// Pages that take room.
    pages: BTreeSet<usize>,
    /// Its name is on the disk.
    is_named: bool,
    /// Its name is gone, though the disk may not know that yet.
    is_removed: bool,
}

#[derive(Debug)]
enum Pending {
    Write { offset: usize, content: Vec<u8> },
    Len(usize),
}

impl File {
    /// Makes a file that is on the disk.
    pub(super) fn restored(content: Vec<u8>) -> Self {
        let pages = pages(0, content.len()).collect();
        Self { live: content.clone(), durable: content, pages, is_named: true, ..Self::default() }
    }

    /// Returns what is on the disk of it, if it is there.
    pub(super) fn durable(&self) -> Option<&[u8]> {
        (self.is_named && !self.is_removed).then_some(&self.durable)
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn used_pages(&self) -> usize {
        self.pages.len()
    }

    pub(super) fn is_durable(&self) -> bool {
        self.live == self.durable
    }

    pub(super) fn is_removed(&self) -> bool {
        self.is_removed
    }

    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(self.live.get(offset..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Returns how much of a write there is room for, if so many pages are free.
    pub(super) fn fits(&self, offset: usize, len: usize, free_pages: Option<usize>) -> usize {
        let Some(free_pages) = free_pages else {
            return len;
        };
        let mut new = pages(offset, len).filter(|page| !self.pages.contains(page));
        match new.nth(free_pages) {
            Some(page) => (page * PAGE_BYTES).saturating_sub(offset),
            None => len,
        }
    }

    pub(super) fn write(&mut self, offset: usize, content: &[u8]) {
        if content.is_empty() {
            return;
        }
        if self.is_removed {
            // A new file of the same name. The disk may have forgotten the old one by then.
            *self = Self { is_named: self.is_named, ..Self::default() };
        }
        self.pages.extend(pages(offset, content.len()));
        put(&mut self.live, offset, content);
        self.pending.push(Pending::Write { offset, content: content.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.live.resize(len, 0);
        self.pages.split_off(&len.div_ceil(PAGE_BYTES));
        self.pending.push(Pending::Len(len));
    }

    /// Removes it. What it holds stays until the disk has forgotten its name.
    pub(super) fn remove(&mut self) {
        self.is_removed = true;
        self.pages.clear();
    }

    pub(super) fn sync(&mut self) {
        for pending in self.pending.drain(..) {
            pending.apply(&mut self.durable);
        }
        self.is_named = true;
    }

    /// Page by page, the disk has what was written or it has not, and the system shows what was written or what the disk
    /// has. None of it will be written by a later sync.
    pub(super) fn fail_sync(&mut self, random: &mut StdRng) {
        self.durable.resize(self.live.len(), 0);
        let mut touched = BTreeSet::new();
        for pending in self.pending.drain(..) {
            if let Pending::Write { offset, content } = pending {
                touched.extend(pages(offset, content.len()));
            }
        }
        let (arrives, is_shown) = (random.random_range(0.0..=1.0), random.random_range(0.0..=1.0));
        for page in touched {
            let start = (page * PAGE_BYTES).min(self.live.len());
            let range = start..(start + PAGE_BYTES).min(self.live.len());
            if random.random_bool(arrives) {
                self.durable[range.clone()].copy_from_slice(&self.live[range]);
            } else if !random.random_bool(is_shown) {
                self.live[range.clone()].copy_from_slice(&self.durable[range]);
            }
        }
    }

    /// Returns whether there is still such a file.
    pub(super) fn cut_power(&mut self, random: &mut StdRng) -> bool {
        if self.is_removed && random.random_bool(0.5) {
            return false;
        }
        if !self.is_named && random.random_bool(0.5) {
            return false;
        }
        let kept = [0.0, 0.5, 0.9, 1.0][random.random_range(0..4)];
        for pending in self.pending.drain(..) {
            if random.random_bool(kept) {
                pending.apply_torn(&mut self.durable, random);
            }
        }
        let content = std::mem::take(&mut self.durable);
        *self = Self {
            pages: (0..content.len().div_ceil(PAGE_BYTES)).collect(),
            live: content.clone(),
            durable: content,
            is_named: true,
            ..Self::default()
        };
        true
    }

    pub(super) fn damage(&mut self, offset: usize, bits: u8) {
        for content in [&mut self.live, &mut self.durable] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= bits;
            }
        }
    }
}

impl Pending {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, content: written } => put(content, *offset, written),
            Self::Len(len) => content.resize(*len, 0),
        }
    }

    /// A write may lose some of its sectors.
    fn apply_torn(&self, content: &mut Vec<u8>, random: &mut StdRng) {
        match self {
            Self::Write { offset, content: written } if random.random_bool(0.3) => {
                for (offset, sector) in sectors(*offset, written) {
                    if random.random_bool(0.5) {
                        put(content, offset, sector);
                    }
                }
            }
            _ => self.apply(content),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(written);
}

/// Returns the pages that a write touches.
fn pages(offset: usize, len: usize) -> std::ops::Range<usize> {
    if len == 0 { 0..0 } else { offset / PAGE_BYTES..(offset + len).div_ceil(PAGE_BYTES) }
}

/// Cuts a write where sectors begin.
fn sectors(offset: usize, content: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut offset, mut rest) = (offset, content);
    std::iter::from_fn(move || {
        let len = (SECTOR_BYTES - offset % SECTOR_BYTES).min(rest.len());
        let (sector, later) = rest.split_at(len);
        let piece = (offset, sector);
        (offset, rest) = (offset + len, later);
        (!piece.1.is_empty()).then_some(piece)
    })
}
