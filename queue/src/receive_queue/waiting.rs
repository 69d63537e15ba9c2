//! Whose accepted command is started next: by class, then senders take turns.

use std::collections::{BTreeMap, VecDeque};

use runnel_codec::{Class, ClassMap, CommandKey, NodeId};

/// Commands that wait for their start.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    classes: ClassMap<Line>,
    len: usize,
}

#[derive(Debug, Default)]
struct Line {
    senders: BTreeMap<NodeId, VecDeque<CommandKey>>,
    /// Senders with something in this line, in the order of their turns.
    turns: VecDeque<NodeId>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, class: Class, sender: &NodeId, key: CommandKey) {
        let line = &mut self.classes[class];
        let keys = line.senders.entry(sender.clone()).or_default();
        if keys.is_empty() {
            line.turns.push_back(sender.clone());
        }
        keys.push_back(key);
        self.len += 1;
    }

    /// Takes the next command that `may_start` lets pass. Of each sender and class only the oldest is asked for.
    pub(super) fn pop(
        &mut self,
        may_start: impl Fn(&NodeId, CommandKey) -> bool,
    ) -> Option<(NodeId, CommandKey)> {
        for class in Class::ALL {
            let line = &mut self.classes[class];
            for _ in 0..line.turns.len() {
                let sender = line.turns.pop_front()?;
                let key = *line.senders.get(&sender)?.front()?;
                if may_start(&sender, key) {
                    line.take_first(&sender);
                    self.len -= 1;
                    return Some((sender, key));
                }
                line.turns.push_back(sender);
            }
        }
        None
    }

    /// Takes a command out of its line, wherever it stands.
    pub(super) fn remove(&mut self, class: Class, sender: &NodeId, key: CommandKey) {
        let line = &mut self.classes[class];
        let Some(keys) = line.senders.get_mut(sender) else { return };
        let before = keys.len();
        keys.retain(|waiting| *waiting != key);
        self.len -= before - keys.len();
        if keys.is_empty() {
            line.senders.remove(sender);
            line.turns.retain(|turn| turn != sender);
        }
    }
}

impl Line {
    fn take_first(&mut self, sender: &NodeId) {
        let Some(keys) = self.senders.get_mut(sender) else { return };
        keys.pop_front();
        if keys.is_empty() {
            self.senders.remove(sender);
        } else {
            self.turns.push_back(sender.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use runnel_codec::{Epoch, Seq};

    use super::*;

    fn key(number: u64) -> CommandKey {
        CommandKey { epoch: Epoch::from_random(1), seq: Seq::from_wire(number).expect("not 0") }
    }

    #[test]
    fn classes_come_in_order_and_senders_take_turns() {
        let (a, b): (NodeId, NodeId) = ("a".parse().expect("a name"), "b".parse().expect("a name"));
        let mut waiting = Waiting::default();
        for number in 1..=3 {
            waiting.push(Class::Normal, &a, key(number));
        }
        waiting.push(Class::Normal, &b, key(4));
        waiting.push(Class::Urgent, &b, key(5));
        waiting.push(Class::Normal, &b, key(6));
        waiting.remove(Class::Normal, &b, key(6));
        let order: Vec<u64> =
            std::iter::from_fn(|| waiting.pop(|_, _| true)).map(|(_, key)| key.seq.to_wire()).collect();
        assert_eq!(order, [5, 1, 4, 2, 3]);
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn a_command_that_may_not_start_lets_others_pass() {
        let (a, b): (NodeId, NodeId) = ("a".parse().expect("a name"), "b".parse().expect("a name"));
        let mut waiting = Waiting::default();
        waiting.push(Class::High, &a, key(1));
        waiting.push(Class::High, &b, key(2));
        assert_eq!(waiting.pop(|sender, _| *sender == b), Some((b, key(2))));
        assert_eq!(waiting.pop(|_, _| false), None);
        assert_eq!(waiting.pop(|_, _| true), Some((a, key(1))));
    }
}
