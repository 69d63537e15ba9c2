//! Which class and peer goes next.
//!
//! Urgent is strict, but may not take more than a share of the bytes for long. The other classes share bytes by weight
//! (deficit round robin), and inside a class peers take turns. A choice costs the same however many peers there are:
//! a peer stands in the ring of a class only while it may have something to send.

use std::collections::VecDeque;

use runnel_codec::{Class, ClassMap};
use serde::{Deserialize, Serialize};

use crate::peers::PeerIndex;

/// How classes share a node's sending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerConfig {
    /// Share of the bytes that Urgent may take for long while others wait, in percent. Default: 80.
    ///
    /// Too low, urgent commands wait for others; at 100 they can starve them.
    pub urgent_percent_max: u8,
    /// Bytes that Urgent may take in one go before its share counts. Default: 1 MiB.
    ///
    /// Too low, a burst of urgent commands is cut; too high, others stand still for as long.
    pub urgent_burst_bytes: u64,
}

/// Chooses among peers that have something to send.
#[derive(Debug)]
pub(crate) struct Scheduler {
    config: SchedulerConfig,
    rings: ClassMap<Ring>,
    /// Bytes that each class may still send in its turn.
    deficits: ClassMap<u64>,
    /// Whose turn it is, among the classes below Urgent.
    turn: usize,
    /// Bytes that Urgent may take before others come first.
    urgent_allowance: u64,
}

#[derive(Debug, Default)]
struct Ring {
    order: VecDeque<PeerIndex>,
    /// Of each peer, up to the highest that was ever in the ring: whether it is.
    is_member: Vec<bool>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self { urgent_percent_max: 80, urgent_burst_bytes: 1 << 20 }
    }
}

impl Scheduler {
    pub(crate) fn new(config: SchedulerConfig) -> Self {
        let urgent_allowance = config.urgent_burst_bytes;
        Self { config, rings: ClassMap::default(), deficits: ClassMap::default(), turn: 0, urgent_allowance }
    }

    /// Takes a peer into the ring of a class: it may have something to send.
    pub(crate) fn activate(&mut self, class: Class, peer: PeerIndex) {
        let ring = &mut self.rings[class];
        if !std::mem::replace(ring.membership(peer), true) {
            ring.order.push_back(peer);
        }
    }

    /// Returns who goes next. `cost` says how many bytes a peer's next command of a class has, or `None` if it can
    /// send none now; it then leaves the ring until it is activated again.
    pub(crate) fn next(
        &mut self,
        cost: impl Fn(Class, PeerIndex) -> Option<u64>,
    ) -> Option<(Class, PeerIndex)> {
        let urgent = self.rings[Class::Urgent].front(|peer| cost(Class::Urgent, peer));
        if let Some(bytes) = urgent
            && bytes <= self.urgent_allowance
        {
            self.urgent_allowance -= bytes;
            return self.take(Class::Urgent);
        }
        match self.next_by_weight(&cost) {
            Some((class, bytes)) => {
                let percent = u64::from(self.config.urgent_percent_max.min(99));
                let earned = bytes.saturating_mul(percent) / (100 - percent);
                self.urgent_allowance = (self.urgent_allowance + earned).min(self.config.urgent_burst_bytes);
                self.take(class)
            }
            // Nobody else waits, so there is no share to keep.
            None => urgent.and_then(|_| self.take(Class::Urgent)),
        }
    }

    fn next_by_weight(&mut self, cost: &impl Fn(Class, PeerIndex) -> Option<u64>) -> Option<(Class, u64)> {
        let mut empty = 0;
        while empty < WEIGHTS.len() {
            let (class, weight) = WEIGHTS[self.turn];
            match self.rings[class].front(|peer| cost(class, peer)) {
                None => {
                    self.deficits[class] = 0;
                    empty += 1;
                }
                Some(bytes) if bytes <= self.deficits[class] => {
                    self.deficits[class] -= bytes;
                    return Some((class, bytes));
                }
                Some(_) => {
                    self.deficits[class] += weight * QUANTUM_BYTES;
                    empty = 0;
                }
            }
            self.turn = (self.turn + 1) % WEIGHTS.len();
        }
        None
    }

    /// Takes the peer at the front of a ring; its next turn comes after the others.
    fn take(&mut self, class: Class) -> Option<(Class, PeerIndex)> {
        let order = &mut self.rings[class].order;
        let peer = *order.front()?;
        order.rotate_left(1);
        Some((class, peer))
    }
}

impl Ring {
    /// Returns the cost of the first peer that can send, letting go of those before it that cannot.
    fn front(&mut self, cost: impl Fn(PeerIndex) -> Option<u64>) -> Option<u64> {
        while let Some(peer) = self.order.front().copied() {
            if let Some(bytes) = cost(peer) {
                return Some(bytes);
            }
            *self.membership(peer) = false;
            self.order.pop_front();
        }
        None
    }

    fn membership(&mut self, peer: PeerIndex) -> &mut bool {
        if self.is_member.len() <= peer.slot() {
            self.is_member.resize(peer.slot() + 1, false);
        }
        &mut self.is_member[peer.slot()]
    }
}

/// The weights of the classes below Urgent.
pub(crate) const WEIGHTS: [(Class, u64); 4] =
    [(Class::High, 8), (Class::Normal, 4), (Class::Low, 2), (Class::Bulk, 1)];

/// Bytes that a weight of 1 may send in a turn: about the smallest piece, so that small commands interleave finely.
const QUANTUM_BYTES: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Peers;

    /// Returns peers as a queue numbers them.
    fn peers<const N: usize>() -> [PeerIndex; N] {
        let mut peers = Peers::<()>::default();
        std::array::from_fn(|number| peers.meet(&format!("w{number}").parse().expect("a valid name")))
    }

    /// Counts what each class gets of `turns` choices when all of `classes` always have commands of `bytes`.
    fn shares(classes: &[Class], bytes: u64, turns: usize) -> ClassMap<usize> {
        let (mut scheduler, [peer]) = (Scheduler::new(SchedulerConfig::default()), peers());
        for class in classes {
            scheduler.activate(*class, peer);
        }
        let mut counts = ClassMap::<usize>::default();
        for _ in 0..turns {
            let (class, _) = scheduler.next(|_, _| Some(bytes)).expect("somebody has something to send");
            counts[class] += 1;
        }
        counts
    }

    #[test]
    fn classes_below_urgent_share_bytes_by_weight() {
        let counts = shares(&Class::ALL[1..], 1024, 15_000);
        for (class, weight) in WEIGHTS {
            let expected = 1000 * usize::try_from(weight).expect("small");
            assert!(counts[class].abs_diff(expected) <= 40, "{class}: {} of {expected}", counts[class]);
        }
    }

    #[test]
    fn urgent_goes_first_but_does_not_starve_the_others() {
        let counts = shares(&Class::ALL, 1024, 20_000);
        assert!(counts[Class::Urgent] > 15_000, "{counts:?}");
        assert!(counts[Class::Bulk] > 100, "{counts:?}");
    }

    #[test]
    fn urgent_alone_has_no_share_to_keep() {
        assert_eq!(shares(&[Class::Urgent], 1 << 20, 100)[Class::Urgent], 100);
    }

    #[test]
    fn peers_of_a_class_take_turns() {
        let (mut scheduler, [a, b, c]) = (Scheduler::new(SchedulerConfig::default()), peers());
        for peer in [a, b, c] {
            scheduler.activate(Class::Normal, peer);
        }
        let order: Vec<_> =
            (0..6).filter_map(|_| scheduler.next(|_, _| Some(100))).map(|(_, peer)| peer).collect();
        assert_eq!(order, [a, b, c, a, b, c]);
    }

    #[test]
    fn a_peer_that_can_send_nothing_leaves_the_ring_until_it_is_activated() {
        let (mut scheduler, [a]) = (Scheduler::new(SchedulerConfig::default()), peers());
        scheduler.activate(Class::Low, a);
        assert_eq!(scheduler.next(|_, _| None), None);
        assert_eq!(scheduler.next(|_, _| Some(1)), None, "it has left");
        scheduler.activate(Class::Low, a);
        assert_eq!(scheduler.next(|_, _| Some(1)), Some((Class::Low, a)));
    }
}
