//! Peers by number: a name is looked up once, at the door of a queue; inside, a peer is a small number.
//!
//! A peer that was met keeps its number for as long as the queue is there.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::{Index, IndexMut};

use runnel_codec::{CommandKey, NodeId};

/// Number of a peer in one queue, in the order in which peers were met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerIndex(u32);

/// A command by its name inside one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LocalId {
    /// The other end.
    pub(crate) peer: PeerIndex,
    /// Its name between the two.
    pub(crate) key: CommandKey,
}

/// What a queue holds for each peer.
#[derive(Debug)]
pub(crate) struct Peers<T> {
    all: Vec<(NodeId, T)>,
    /// Only asked for names, never iterated over.
    by_name: HashMap<NodeId, PeerIndex, BuildHasherDefault<NameHasher>>,
}

impl<T: Default> Peers<T> {
    /// Returns the number of a peer, which it is given if it has none.
    pub(crate) fn meet(&mut self, name: &NodeId) -> PeerIndex {
        if let Some(peer) = self.find(name) {
            return peer;
        }
        let peer = PeerIndex(u32::try_from(self.all.len()).expect("a fleet has fewer nodes than 2^32"));
        self.all.push((name.clone(), T::default()));
        self.by_name.insert(name.clone(), peer);
        peer
    }
}

impl<T> Peers<T> {
    /// Returns the number of a peer that was met.
    pub(crate) fn find(&self, name: &NodeId) -> Option<PeerIndex> {
        self.by_name.get(name).copied()
    }

    /// Returns what is held for a peer that was met.
    pub(crate) fn get(&self, name: &NodeId) -> Option<&T> {
        self.find(name).map(|peer| &self[peer])
    }

    /// Like [`get`](Self::get).
    pub(crate) fn get_mut(&mut self, name: &NodeId) -> Option<&mut T> {
        self.find(name).map(|peer| &mut self[peer])
    }

    /// Returns the name of a peer.
    pub(crate) fn name(&self, peer: PeerIndex) -> &NodeId {
        &self.all[peer.slot()].0
    }

    /// Returns all, in the order in which they were met.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerIndex, &T)> {
        (0..).map(PeerIndex).zip(self.all.iter().map(|(_, held)| held))
    }

    /// Like [`iter`](Self::iter).
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerIndex, &mut T)> {
        (0..).map(PeerIndex).zip(self.all.iter_mut().map(|(_, held)| held))
    }

    /// Returns what is held for each, in the same order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.all.iter().map(|(_, held)| held)
    }

    /// Returns their names, in the same order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &NodeId> {
        self.all.iter().map(|(name, _)| name)
    }
}

impl PeerIndex {
    /// Returns the number as a position in a list of all peers.
    pub(crate) fn slot(self) -> usize {
        self.0 as usize
    }
}

impl<T> Index<PeerIndex> for Peers<T> {
    type Output = T;

    fn index(&self, peer: PeerIndex) -> &T {
        &self.all[peer.slot()].1
    }
}

impl<T> IndexMut<PeerIndex> for Peers<T> {
    fn index_mut(&mut self, peer: PeerIndex) -> &mut T {
        &mut self.all[peer.slot()].1
    }
}

impl<T> Default for Peers<T> {
    fn default() -> Self {
        Self { all: Vec::new(), by_name: HashMap::default() }
    }
}

/// A hash of a name that costs less than the look-up.
///
/// It has no secret. Names come from certificates that the own authority has issued, and each is at most 63 bytes long,
/// so nobody outside chooses names that collide.
#[derive(Debug, Default)]
pub(crate) struct NameHasher(u64);

impl NameHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(GOLDEN_RATIO).rotate_left(32);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// 2^64 divided by the golden ratio, and odd.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().expect("a valid name")
    }

    #[test]
    fn a_peer_keeps_its_number_and_its_name() {
        let mut peers = Peers::<u32>::default();
        let (b, a) = (peers.meet(&node("b")), peers.meet(&node("a")));
        assert_ne!(a, b);
        peers[a] += 1;
        assert_eq!(
            (peers.meet(&node("a")), peers.find(&node("b")), peers.find(&node("c"))),
            (a, Some(b), None)
        );
        assert_eq!((peers.name(b), peers.get(&node("a"))), (&node("b"), Some(&1)));
        assert!(peers.iter().eq([(b, &0), (a, &1)]));
    }

    #[test]
    fn names_alike_differ_in_the_bits_that_tables_use() {
        let hasher = BuildHasherDefault::<NameHasher>::default();
        let hashes: Vec<u64> =
            (0..256).map(|number| hasher.hash_one(node(&format!("worker-{number}")))).collect();
        let low: BTreeSet<u64> = hashes.iter().map(|hash| hash & 0xff).collect();
        let high: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert!(low.len() > 128, "{} of 256 buckets", low.len());
        assert!(high.len() > 64, "{} of 128 tags", high.len());
    }
}
