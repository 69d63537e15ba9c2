//! Whose accepted command is started next: by class, then senders take turns, then the oldest that may start.

use std::collections::{BTreeMap, VecDeque};

use runnel_codec::{Class, ClassMap, CommandKey, CommandName, NodeId};

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
    /// A sender that has nothing in the line stays here: the queue remembers it anyway.
    senders: BTreeMap<NodeId, ByName>,
    /// Senders with something in this line, in the order of their turns.
    turns: VecDeque<NodeId>,
}

/// By name, so that a type at its running limit holds up only itself.
///
/// Most commands start at once: what the last one leaves empty is kept for the next, up to a bound.
#[derive(Debug, Default)]
struct ByName {
    names: BTreeMap<CommandName, BTreeMap<Arrival, CommandKey>>,
    len: usize,
}

impl Waiting {
    pub(super) fn push(
        &mut self,
        class: Class,
        sender: &NodeId,
        name: &CommandName,
        key: CommandKey,
    ) -> Arrival {
        self.arrivals += 1;
        let arrival = Arrival(self.arrivals);
        let line = &mut self.classes[class];
        let waiting = line.senders.entry(sender.clone()).or_default();
        if waiting.len == 0 {
            line.turns.push_back(sender.clone());
        }
        waiting.len += 1;
        waiting.names.entry(name.clone()).or_default().insert(arrival, key);
        self.len += 1;
        arrival
    }

    /// Takes the next command whose class and type `may_start` lets pass. A sender that has none keeps its turn.
    pub(super) fn pop(
        &mut self,
        may_start: impl Fn(Class, &CommandName) -> bool,
    ) -> Option<(NodeId, CommandKey)> {
        for class in Class::ALL {
            let line = &mut self.classes[class];
            let may_start = |name: &CommandName| may_start(class, name);
            let found = line.turns.iter().enumerate().find_map(|(turn, sender)| {
                let (name, arrival, key) = oldest(line.senders.get(sender)?, &may_start)?;
                Some((turn, sender.clone(), name.clone(), arrival, key))
            });
            if let Some((turn, sender, name, arrival, key)) = found {
                line.turns.remove(turn);
                line.turns.push_back(sender.clone());
                self.remove(class, &sender, &name, arrival);
                return Some((sender, key));
            }
        }
        None
    }

    /// Takes a command out of its line, wherever it stands.
    pub(super) fn remove(&mut self, class: Class, sender: &NodeId, name: &CommandName, arrival: Arrival) {
        let line = &mut self.classes[class];
        let Some(waiting) = line.senders.get_mut(sender) else { return };
        let Some(keys) = waiting.names.get_mut(name) else { return };
        if keys.remove(&arrival).is_none() {
            return;
        }
        self.len -= 1;
        waiting.len -= 1;
        if keys.is_empty() && waiting.names.len() > NAMES_KEPT {
            waiting.names.remove(name);
        }
        if waiting.len == 0 {
            line.turns.retain(|turn| turn != sender);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// Returns the oldest command of a sender whose type may start.
fn oldest<'a>(
    waiting: &'a ByName,
    may_start: &impl Fn(&CommandName) -> bool,
) -> Option<(&'a CommandName, Arrival, CommandKey)> {
    waiting
        .names
        .iter()
        .filter_map(|(name, keys)| keys.first_key_value().map(|(arrival, key)| (name, *arrival, *key)))
        .filter(|(name, ..)| may_start(name))
        .min_by_key(|(_, arrival, _)| *arrival)
}

/// Names kept for a sender of which nothing waits. Its peer chooses them, so there is a bound.
const NAMES_KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use runnel_codec::{Epoch, Seq};

    use super::*;

    fn key(number: u64) -> CommandKey {
        CommandKey { epoch: Epoch::from_random(1), seq: Seq::from_wire(number).expect("not 0") }
    }

    fn node(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    fn name(name: &str) -> CommandName {
        name.parse().expect("a name")
    }

    /// Takes all that may start and returns their numbers.
    fn order(waiting: &mut Waiting, may_start: impl Fn(&CommandName) -> bool) -> Vec<u64> {
        std::iter::from_fn(|| waiting.pop(|_, name| may_start(name)))
            .map(|(_, key)| key.seq.to_wire())
            .collect()
    }

    #[test]
    fn classes_come_in_order_and_senders_take_turns() {
        let (a, b, ping) = (node("a"), node("b"), name("ping/1"));
        let mut waiting = Waiting::default();
        for number in 1..=3 {
            waiting.push(Class::Normal, &a, &ping, key(number));
        }
        waiting.push(Class::Normal, &b, &ping, key(4));
        waiting.push(Class::Urgent, &b, &ping, key(5));
        let cancelled = waiting.push(Class::Normal, &b, &ping, key(6));
        waiting.remove(Class::Normal, &b, &ping, cancelled);
        waiting.remove(Class::Normal, &b, &ping, cancelled);
        assert_eq!(waiting.len(), 5);
        assert_eq!(order(&mut waiting, |_| true), [5, 1, 4, 2, 3]);
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn a_type_at_its_limit_holds_up_neither_its_sender_nor_others() {
        let (a, b, exec, ping) = (node("a"), node("b"), name("exec/1"), name("ping/1"));
        let mut waiting = Waiting::default();
        waiting.push(Class::High, &a, &exec, key(1));
        waiting.push(Class::High, &a, &ping, key(2));
        waiting.push(Class::High, &b, &ping, key(3));
        waiting.push(Class::Low, &b, &ping, key(4));
        assert_eq!(order(&mut waiting, |name| *name == ping), [2, 3, 4]);
        assert_eq!(order(&mut waiting, |_| false), []);
        assert_eq!(order(&mut waiting, |_| true), [1]);
    }

    #[test]
    fn names_of_which_nothing_waits_are_bounded() {
        let (mut waiting, a) = (Waiting::default(), node("a"));
        for number in 1..100 {
            waiting.push(Class::Normal, &a, &name(&format!("n{number}/1")), key(number));
            assert_eq!(waiting.pop(|_, _| true), Some((a.clone(), key(number))));
        }
        let kept = &waiting.classes[Class::Normal];
        assert_eq!((kept.senders[&a].names.len(), kept.turns.len()), (NAMES_KEPT, 0));
    }

    #[test]
    fn a_sender_that_was_passed_over_keeps_its_turn() {
        let (a, b, exec, ping) = (node("a"), node("b"), name("exec/1"), name("ping/1"));
        let mut waiting = Waiting::default();
        waiting.push(Class::Normal, &a, &exec, key(1));
        waiting.push(Class::Normal, &b, &ping, key(2));
        waiting.push(Class::Normal, &b, &ping, key(3));
        assert_eq!(waiting.pop(|_, name| *name == ping), Some((b, key(2))));
        assert_eq!(waiting.pop(|_, _| true), Some((a, key(1))), "it comes before the other's second");
    }
}
