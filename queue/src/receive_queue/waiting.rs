//! Whose accepted command is started next: by class, then senders take turns, then the oldest that may start.

use std::collections::{BTreeMap, VecDeque};

use runnel_codec::{Class, ClassMap, CommandKey, CommandName};

use crate::peers::{LocalId, PeerIndex};

/// Commands that wait for their start.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    classes: ClassMap<Line>,
    len: usize,
    arrivals: u64,
}

/// When a command came, counted in commands: where it stands in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival(u64);

#[derive(Debug, Default)]
struct Line {
    /// What each sender has in the line, up to the last of them that ever had anything.
    senders: Vec<ByName>,
    /// Senders with something in this line, in the order of their turns.
    turns: VecDeque<PeerIndex>,
}

/// By name, so that a type at its running limit holds up only itself.
///
/// Most commands start at once: what the last one leaves empty is kept for the next, up to a bound.
#[derive(Debug, Default)]
struct ByName {
    names: BTreeMap<CommandName, VecDeque<(Arrival, CommandKey)>>,
    len: usize,
}

impl Waiting {
    pub(super) fn push(&mut self, class: Class, name: &CommandName, id: LocalId) -> Arrival {
        self.arrivals += 1;
        let arrival = Arrival(self.arrivals);
        let line = &mut self.classes[class];
        if line.senders.len() <= id.peer.slot() {
            line.senders.resize_with(id.peer.slot() + 1, ByName::default);
        }
        let waiting = &mut line.senders[id.peer.slot()];
        if waiting.len == 0 {
            line.turns.push_back(id.peer);
        }
        waiting.len += 1;
        match waiting.names.get_mut(name) {
            Some(keys) => keys.push_back((arrival, id.key)),
            None => _ = waiting.names.insert(name.clone(), [(arrival, id.key)].into()),
        }
        self.len += 1;
        arrival
    }

    /// Takes the next command whose class and type `may_start` lets pass. A sender that has none keeps its turn.
    pub(super) fn pop(&mut self, may_start: impl Fn(Class, &CommandName) -> bool) -> Option<LocalId> {
        for class in Class::ALL {
            let Line { senders, turns } = &mut self.classes[class];
            if turns.is_empty() {
                continue;
            }
            let found = turns.iter().enumerate().find_map(|(turn, peer)| {
                let key = senders[peer.slot()].pop_oldest(|name| may_start(class, name))?;
                Some((turn, LocalId { peer: *peer, key }))
            });
            if let Some((turn, id)) = found {
                turns.remove(turn);
                if senders[id.peer.slot()].len > 0 {
                    turns.push_back(id.peer);
                }
                self.len -= 1;
                return Some(id);
            }
        }
        None
    }

    /// Takes a command out of its line, wherever it stands.
    pub(super) fn remove(&mut self, class: Class, sender: PeerIndex, name: &CommandName, arrival: Arrival) {
        let line = &mut self.classes[class];
        let Some(waiting) = line.senders.get_mut(sender.slot()) else { return };
        if waiting.remove(name, arrival) {
            self.len -= 1;
            if waiting.len == 0 {
                line.turns.retain(|turn| *turn != sender);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl ByName {
    /// Takes the oldest command whose type may start.
    fn pop_oldest(&mut self, may_start: impl Fn(&CommandName) -> bool) -> Option<CommandKey> {
        let has_too_many = self.names.len() > NAMES_KEPT;
        let waiting = self.names.iter_mut().filter(|(name, keys)| !keys.is_empty() && may_start(name));
        let (name, keys) = waiting.min_by_key(|(_, keys)| keys.front().map(|(arrival, _)| *arrival))?;
        let (_, key) = keys.pop_front()?;
        self.len -= 1;
        if keys.is_empty() && has_too_many {
            let name = name.clone();
            self.names.remove(&name);
        }
        Some(key)
    }

    /// Takes a command out. Returns whether it was there.
    fn remove(&mut self, name: &CommandName, arrival: Arrival) -> bool {
        let Some(keys) = self.names.get_mut(name) else { return false };
        let Ok(place) = keys.binary_search_by_key(&arrival, |(arrival, _)| *arrival) else { return false };
        keys.remove(place);
        self.len -= 1;
        if keys.is_empty() && self.names.len() > NAMES_KEPT {
            self.names.remove(name);
        }
        true
    }
}

/// Names kept for a sender of which nothing waits. Its peer chooses them, so there is a bound.
const NAMES_KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use runnel_codec::{Epoch, Seq};

    use super::*;
    use crate::peers::Peers;

    fn key(number: u64) -> CommandKey {
        CommandKey { epoch: Epoch::from_random(1), seq: Seq::from_wire(number).expect("not 0") }
    }

    /// Returns two senders as a queue numbers them.
    fn senders() -> [PeerIndex; 2] {
        let mut peers = Peers::<()>::default();
        ["a", "b"].map(|name| peers.meet(&name.parse().expect("a valid name")))
    }

    fn id(peer: PeerIndex, number: u64) -> LocalId {
        LocalId { peer, key: key(number) }
    }

    fn name(name: &str) -> CommandName {
        name.parse().expect("a name")
    }

    /// Takes all that may start and returns their numbers.
    fn order(waiting: &mut Waiting, may_start: impl Fn(&CommandName) -> bool) -> Vec<u64> {
        std::iter::from_fn(|| waiting.pop(|_, name| may_start(name))).map(|id| id.key.seq.to_wire()).collect()
    }

    #[test]
    fn classes_come_in_order_and_senders_take_turns() {
        let ([a, b], ping) = (senders(), name("ping/1"));
        let mut waiting = Waiting::default();
        for number in 1..=3 {
            waiting.push(Class::Normal, &ping, id(a, number));
        }
        waiting.push(Class::Normal, &ping, id(b, 4));
        waiting.push(Class::Urgent, &ping, id(b, 5));
        let cancelled = waiting.push(Class::Normal, &ping, id(b, 6));
        waiting.remove(Class::Normal, b, &ping, cancelled);
        waiting.remove(Class::Normal, b, &ping, cancelled);
        assert_eq!(waiting.len(), 5);
        assert_eq!(order(&mut waiting, |_| true), [5, 1, 4, 2, 3]);
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn a_type_at_its_limit_holds_up_neither_its_sender_nor_others() {
        let ([a, b], exec, ping) = (senders(), name("exec/1"), name("ping/1"));
        let mut waiting = Waiting::default();
        waiting.push(Class::High, &exec, id(a, 1));
        waiting.push(Class::High, &ping, id(a, 2));
        waiting.push(Class::High, &ping, id(b, 3));
        waiting.push(Class::Low, &ping, id(b, 4));
        assert_eq!(order(&mut waiting, |name| *name == ping), [2, 3, 4]);
        assert_eq!(order(&mut waiting, |_| false), []);
        assert_eq!(order(&mut waiting, |_| true), [1]);
    }

    #[test]
    fn names_of_which_nothing_waits_are_bounded() {
        let (mut waiting, [a, _]) = (Waiting::default(), senders());
        for number in 1..100 {
            waiting.push(Class::Normal, &name(&format!("n{number}/1")), id(a, number));
            assert_eq!(waiting.pop(|_, _| true), Some(id(a, number)));
        }
        let kept = &waiting.classes[Class::Normal];
        assert_eq!((kept.senders[a.slot()].names.len(), kept.turns.len()), (NAMES_KEPT, 0));
    }

    #[test]
    fn a_sender_that_was_passed_over_keeps_its_turn() {
        let ([a, b], exec, ping) = (senders(), name("exec/1"), name("ping/1"));
        let mut waiting = Waiting::default();
        waiting.push(Class::Normal, &exec, id(a, 1));
        waiting.push(Class::Normal, &ping, id(b, 2));
        waiting.push(Class::Normal, &ping, id(b, 3));
        assert_eq!(waiting.pop(|_, name| *name == ping), Some(id(b, 2)));
        assert_eq!(waiting.pop(|_, _| true), Some(id(a, 1)), "it comes before the other's second");
    }
}
