//! A map by command, for what both queues hold of commands: a look-up costs the same however many there are.
//!
//! The numbers of an epoch are dense, and there are few epochs at a time: those of a node's process and of its store. So it
//! is a window for each epoch (see [`Window`]), and the epochs stand in order. All that iterates goes by key.

mod window;

use runnel_codec::{CommandKey, Epoch, Seq};

use self::window::Window;

/// A map by command.
#[derive(Debug)]
pub struct CommandMap<T> {
    /// By epoch, ascending.
    windows: Vec<(Epoch, Window<T>)>,
    len: usize,
}

/// A set of commands.
pub(crate) type CommandSet = CommandMap<()>;

impl<T> CommandMap<T> {
    /// Puts a value under a key. Returns the one that was there.
    pub fn insert(&mut self, key: CommandKey, value: T) -> Option<T> {
        let at = self.at(key.epoch).unwrap_or_else(|at| self.begin(at, key.epoch));
        let older = self.windows[at].1.insert(key.seq, value);
        self.len += usize::from(older.is_none());
        older
    }

    /// Takes out what is under a key.
    pub fn remove(&mut self, key: CommandKey) -> Option<T> {
        let at = self.at(key.epoch).ok()?;
        let value = self.windows[at].1.remove(key.seq)?;
        self.shrink(at);
        Some(value)
    }

    /// Takes out the first of all.
    pub(crate) fn pop_first(&mut self) -> Option<(CommandKey, T)> {
        let at = self.windows.iter().position(|(_, window)| !window.is_empty())?;
        let (epoch, window) = &mut self.windows[at];
        let (seq, value) = window.pop_first()?;
        let key = CommandKey { epoch: *epoch, seq };
        self.shrink(at);
        Some((key, value))
    }

    /// Takes out what `is_meant` of an epoch, from one number to another, both included, and hands it to `taken`.
    pub(crate) fn extract(
        &mut self,
        epoch: Epoch,
        (first, last): (Seq, Seq),
        is_meant: impl Fn(&T) -> bool,
        mut taken: impl FnMut(T),
    ) {
        let Ok(at) = self.at(epoch) else { return };
        let len = &mut self.len;
        self.windows[at].1.extract(first, last, is_meant, |value| {
            *len -= 1;
            taken(value);
        });
        self.forget_if_empty(at);
    }

    /// Returns what is under a key.
    pub fn get(&self, key: CommandKey) -> Option<&T> {
        self.window(key.epoch)?.get(key.seq)
    }

    /// Like [`get`](Self::get).
    pub fn get_mut(&mut self, key: CommandKey) -> Option<&mut T> {
        let at = self.at(key.epoch).ok()?;
        self.windows[at].1.get_mut(key.seq)
    }

    /// Returns whether there is something under a key.
    pub(crate) fn contains(&self, key: CommandKey) -> bool {
        self.get(key).is_some()
    }

    /// Returns whether there is something of an epoch.
    pub(crate) fn contains_epoch(&self, epoch: Epoch) -> bool {
        self.window(epoch).is_some_and(|window| !window.is_empty())
    }

    /// Returns the first key of all.
    pub(crate) fn first(&self) -> Option<CommandKey> {
        self.windows
            .iter()
            .find_map(|(epoch, window)| Some(CommandKey { epoch: *epoch, seq: window.first()? }))
    }

    /// Returns the highest number of an epoch.
    pub(crate) fn last_of(&self, epoch: Epoch) -> Option<Seq> {
        self.window(epoch)?.last()
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns all, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CommandKey, &T)> {
        self.windows.iter().flat_map(|(epoch, window)| {
            window.iter().map(|(seq, value)| (CommandKey { epoch: *epoch, seq }, value))
        })
    }

    /// Like [`iter`](Self::iter).
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (CommandKey, &mut T)> {
        self.windows.iter_mut().flat_map(|(epoch, window)| {
            let epoch = *epoch;
            window.iter_mut().map(move |(seq, value)| (CommandKey { epoch, seq }, value))
        })
    }

    /// Returns all keys, ascending.
    pub(crate) fn keys(&self) -> impl Iterator<Item = CommandKey> {
        self.iter().map(|(key, _)| key)
    }

    /// Returns all values, by key.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// Like [`values`](Self::values).
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Returns those of an epoch from one number to another, both included. The cost is that of what is found.
    pub(crate) fn range(
        &self,
        epoch: Epoch,
        (first, last): (Seq, Seq),
    ) -> impl Iterator<Item = (CommandKey, &T)> {
        let found = self.window(epoch).into_iter().flat_map(move |window| window.range(first, last));
        found.map(move |(seq, value)| (CommandKey { epoch, seq }, value))
    }

    fn window(&self, epoch: Epoch) -> Option<&Window<T>> {
        self.at(epoch).ok().map(|at| &self.windows[at].1)
    }

    /// Returns where the window of an epoch stands, or would stand.
    fn at(&self, epoch: Epoch) -> Result<usize, usize> {
        match self.windows.first() {
            Some((first, _)) if *first == epoch => Ok(0),
            _ => self.windows.binary_search_by_key(&epoch, |(other, _)| *other),
        }
    }

    fn begin(&mut self, at: usize, epoch: Epoch) -> usize {
        // Nearly all have one epoch, and there are many maps.
        self.windows.reserve_exact(1);
        self.windows.insert(at, (epoch, Window::default()));
        at
    }

    /// One value is gone.
    fn shrink(&mut self, at: usize) {
        self.len -= 1;
        self.forget_if_empty(at);
    }

    /// The windows of a process and of its store are kept for what comes next; that of one that is gone is not.
    fn forget_if_empty(&mut self, at: usize) {
        if self.windows.len() > EPOCHS_KEPT && self.windows[at].1.is_empty() {
            self.windows.remove(at);
        }
    }
}

impl CommandSet {
    /// Returns how many of a set go before a member.
    pub(crate) fn position(&self, key: CommandKey) -> Option<usize> {
        self.contains(key).then(|| self.keys().take_while(|other| *other < key).count())
    }
}

impl<T> Default for CommandMap<T> {
    fn default() -> Self {
        Self { windows: Vec::new(), len: 0 }
    }
}

/// Epochs of which nothing is there that keep their window.
const EPOCHS_KEPT: usize = 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(CommandKey),
        Remove(CommandKey),
        PopFirst,
        /// Takes even values out.
        Extract(Epoch, Seq, Seq),
    }

    fn key(epoch: u64, seq: u64) -> CommandKey {
        CommandKey { epoch: Epoch::from_random(epoch), seq: Seq::from_wire(seq).expect("not 0") }
    }

    fn steps() -> impl Strategy<Value = Step> {
        let key = (1..5_u64, prop_oneof![9 => 1..40_u64, 1 => 1..2_000_u64])
            .prop_map(|(epoch, seq)| key(epoch, seq));
        prop_oneof![
            5 => key.clone().prop_map(Step::Insert),
            3 => key.clone().prop_map(Step::Remove),
            1 => Just(Step::PopFirst),
            1 => (key, 0..30_u64).prop_map(|(key, more)| {
                let last = Seq::from_wire(key.seq.to_wire() + more).expect("not 0");
                Step::Extract(key.epoch, key.seq, last)
            }),
        ]
    }

    fn apply(map: &mut CommandMap<u64>, model: &mut BTreeMap<CommandKey, u64>, value: u64, step: &Step) {
        match *step {
            Step::Insert(key) => assert_eq!(map.insert(key, value), model.insert(key, value)),
            Step::Remove(key) => assert_eq!(map.remove(key), model.remove(&key)),
            Step::PopFirst => assert_eq!(map.pop_first(), model.pop_first()),
            Step::Extract(epoch, first, last) => {
                let bounds = CommandKey { epoch, seq: first }..=CommandKey { epoch, seq: last };
                let expected: Vec<_> =
                    model.extract_if(bounds, |_, value| *value % 2 == 0).map(|(_, value)| value).collect();
                let mut taken = Vec::new();
                map.extract(epoch, (first, last), |value| value % 2 == 0, |value| taken.push(value));
                assert_eq!(taken, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_in_the_order_of_keys(steps in prop::collection::vec(steps(), 0..200)) {
            let (mut map, mut model) = (CommandMap::default(), BTreeMap::new());
            for (value, step) in (0..).zip(&steps) {
                apply(&mut map, &mut model, value, step);
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.first(), model.keys().next().copied());
                prop_assert!(map.iter().eq(model.iter().map(|(key, value)| (*key, value))));
                prop_assert!(map.iter_mut().map(|(key, value)| (key, *value)).eq(model.clone()));
            }
            for epoch in 1..5 {
                let (first, last) = (key(epoch, 5), key(epoch, 300));
                let range = map.range(first.epoch, (first.seq, last.seq));
                prop_assert!(range.eq(model.range(first..=last).map(|(key, value)| (*key, value))));
                let (_, last) = (model.range(..=key(epoch, u64::MAX)), model.range(key(epoch, 1)..=key(epoch, u64::MAX)).next_back());
                prop_assert_eq!(map.last_of(first.epoch), last.map(|(key, _)| key.seq));
                prop_assert_eq!(map.contains_epoch(first.epoch), last.is_some());
            }
            for seq in 1..60 {
                prop_assert_eq!(map.get(key(2, seq)), model.get(&key(2, seq)));
                prop_assert_eq!(map.get_mut(key(2, seq)), model.get_mut(&key(2, seq)));
            }
        }
    }

    #[test]
    fn epochs_of_which_nothing_is_left_are_forgotten() {
        let mut map = CommandMap::default();
        for epoch in 1..100 {
            map.insert(key(epoch, 1), ());
        }
        while map.pop_first().is_some() {}
        assert!(map.windows.len() <= EPOCHS_KEPT);
    }

    #[test]
    fn a_position_counts_those_before_it() {
        let mut set = CommandSet::default();
        for seq in [7, 3, 5] {
            set.insert(key(2, seq), ());
        }
        set.insert(key(1, 9), ());
        assert_eq!(set.position(key(2, 7)), Some(3));
        assert_eq!(set.position(key(2, 4)), None);
    }
}
