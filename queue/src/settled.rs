//! Which commands of an epoch are settled: a low mark and ranges above it.

use std::collections::BTreeMap;

use runnel_codec::{Epoch, Seq, Settled};

/// A set of numbers that is mostly full from the bottom. One long command does not pin all later ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettledSet {
    /// All up to this number are in it.
    low: Option<Seq>,
    /// First and last of each range above that; ranges neither touch nor overlap, and none touches the low mark.
    ranges: BTreeMap<Seq, Seq>,
}

impl SettledSet {
    /// Reads a set from the wire.
    pub fn from_wire(settled: &Settled) -> Self {
        let mut set = Self::default();
        set.merge(settled);
        set
    }

    /// Adds one number. Returns whether it is new.
    pub fn insert(&mut self, seq: Seq) -> bool {
        self.insert_range(seq, seq)
    }

    /// Adds all numbers from `first` to `last`, both included. Does nothing if `last` is below `first`. Returns whether any of
    /// them is new.
    pub fn insert_range(&mut self, first: Seq, last: Seq) -> bool {
        if last < first || self.low >= Some(last) {
            return false;
        }
        if first <= self.first_missing() {
            self.raise_low(last);
            return true;
        }
        self.insert_above(first, last)
    }

    /// Adds numbers that do not touch the low mark.
    fn insert_above(&mut self, first: Seq, last: Seq) -> bool {
        let is_there = self.ranges.range(..=first).next_back().is_some_and(|(_, to)| last <= *to);
        if is_there {
            return false;
        }
        let mut last = last;
        // Ranges that begin no later than just above the new one may touch it; walk them down from the highest.
        let above = last.next().unwrap_or(last);
        while let Some((from, to)) = self.ranges.range_mut(..=above).next_back()
            && to.next().is_none_or(|next| next >= first)
        {
            last = last.max(*to);
            if *from <= first {
                *to = last;
                return true;
            }
            let from = *from;
            self.ranges.remove(&from);
        }
        self.ranges.insert(first, last);
        true
    }

    /// Moves the low mark up, beyond the ranges that it then touches.
    fn raise_low(&mut self, last: Seq) {
        let mut low = last;
        while let Some(range) = self.ranges.first_entry()
            && low.next().is_none_or(|next| *range.key() <= next)
        {
            low = low.max(range.remove());
        }
        self.low = Some(low);
    }

    /// Returns the lowest number that is not in the set; the last of all if none is missing.
    fn first_missing(&self) -> Seq {
        self.low.map_or(Seq::FIRST, |low| low.next().unwrap_or(low))
    }

    /// Adds all numbers that the wire names. Returns whether any of them is new.
    pub fn merge(&mut self, settled: &Settled) -> bool {
        let low = settled.low.map(|low| (Seq::FIRST, low));
        let ranges = low.into_iter().chain(settled.ranges.iter().copied());
        ranges.fold(false, |is_new, (first, last)| self.insert_range(first, last) | is_new)
    }

    /// Returns whether a number is in the set.
    pub fn contains(&self, seq: Seq) -> bool {
        self.low >= Some(seq) || self.ranges.range(..=seq).next_back().is_some_and(|(_, last)| seq <= *last)
    }

    /// Returns the number up to which all are in the set.
    pub fn low(&self) -> Option<Seq> {
        self.low
    }

    /// Returns the highest number in the set.
    pub fn highest(&self) -> Option<Seq> {
        self.ranges.last_key_value().map(|(_, last)| *last).or(self.low)
    }

    /// Returns the ranges above the low mark, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (Seq, Seq)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    /// Writes the set for the wire.
    pub fn to_wire(&self, epoch: Epoch) -> Settled {
        Settled { epoch, low: self.low(), ranges: self.ranges().collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::from_wire(number).expect("not 0")
    }

    #[test]
    fn the_last_number_has_no_neighbour() {
        let mut set = SettledSet::default();
        set.insert(seq(u64::MAX));
        set.insert(seq(u64::MAX - 1));
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(seq(u64::MAX - 1), seq(u64::MAX))]);
    }

    proptest! {
        #[test]
        fn it_is_a_set(ranges in prop::collection::vec((1u64..60, 0u64..6), 0..40)) {
            let (mut set, mut model) = (SettledSet::default(), BTreeSet::new());
            for (first, more) in ranges {
                set.insert_range(seq(first), seq(first + more));
                model.extend(first..=first + more);
            }
            for number in 1..70 {
                prop_assert_eq!(set.contains(seq(number)), model.contains(&number));
            }
            let low = (1..).take_while(|number| model.contains(number)).last();
            prop_assert_eq!(set.low().map(Seq::to_wire), low);
            let epoch = Epoch::from_random(1);
            prop_assert_eq!(&SettledSet::from_wire(&set.to_wire(epoch)), &set);
            let bounds: Vec<_> = set.ranges.iter().collect();
            prop_assert!(bounds.windows(2).all(|pair| pair[0].1.to_wire() + 1 < pair[1].0.to_wire()));
            prop_assert!(bounds.first().is_none_or(|(first, _)| low.unwrap_or(0) + 1 < first.to_wire()));
            prop_assert_eq!(set.highest().map(Seq::to_wire), model.last().copied());
        }
    }
}
