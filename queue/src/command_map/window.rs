//! What is held under the numbers of one epoch: a window of slots, one for each number, that moves up as numbers do.
//!
//! A window that is too sparse for what it holds leaves its lowest behind, in an ordered map: one command of an hour does
//! not keep a slot for each number since. So memory is bounded by what is held, and a value is left behind once at most.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use runnel_codec::Seq;

/// Values by number.
#[derive(Debug)]
pub(super) struct Window<T> {
    /// The number of the first slot.
    base: u64,
    /// The first and the last one are taken, if there are any.
    slots: VecDeque<Option<T>>,
    /// How many slots are taken.
    taken: usize,
    /// Those below the window.
    left_behind: BTreeMap<Seq, T>,
}

impl<T> Window<T> {
    /// Puts a value under a number. Returns the one that was there.
    pub(super) fn insert(&mut self, seq: Seq, value: T) -> Option<T> {
        let Some(slot) = self.reach(seq) else { return self.left_behind.insert(seq, value) };
        let older = self.slots[slot].replace(value);
        self.taken += usize::from(older.is_none());
        older
    }

    /// Takes out what is under a number.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<T> {
        let Some(slot) = self.slot(seq) else { return self.left_behind.remove(&seq) };
        let value = self.slots[slot].take()?;
        self.taken -= 1;
        self.tighten();
        Some(value)
    }

    /// Takes out what `is_meant` from one number to another, both included, by number, and hands it to `taken`.
    pub(super) fn extract(
        &mut self,
        first: Seq,
        last: Seq,
        is_meant: impl Fn(&T) -> bool,
        mut taken: impl FnMut(T),
    ) {
        if first <= last && !self.left_behind.is_empty() {
            self.left_behind
                .extract_if(first..=last, |_, value| is_meant(value))
                .for_each(|(_, value)| taken(value));
        }
        let span = self.span(first, last);
        for slot in self.slots.range_mut(span) {
            if let Some(value) = slot.take_if(|value| is_meant(value)) {
                self.taken -= 1;
                taken(value);
            }
        }
        self.tighten();
    }

    /// Takes out the first.
    pub(super) fn pop_first(&mut self) -> Option<(Seq, T)> {
        if let Some(first) = self.left_behind.pop_first() {
            return Some(first);
        }
        let seq = self.first()?;
        self.remove(seq).map(|value| (seq, value))
    }

    /// Returns what is under a number.
    pub(super) fn get(&self, seq: Seq) -> Option<&T> {
        match self.slot(seq) {
            Some(slot) => self.slots[slot].as_ref(),
            None => self.left_behind.get(&seq),
        }
    }

    /// Like [`get`](Self::get).
    pub(super) fn get_mut(&mut self, seq: Seq) -> Option<&mut T> {
        match self.slot(seq) {
            Some(slot) => self.slots[slot].as_mut(),
            None => self.left_behind.get_mut(&seq),
        }
    }

    /// Returns the lowest number.
    pub(super) fn first(&self) -> Option<Seq> {
        let behind = self.left_behind.first_key_value().map(|(seq, _)| *seq);
        behind.or_else(|| self.slots.front().and_then(|_| Seq::from_wire(self.base)))
    }

    /// Returns the highest number.
    pub(super) fn last(&self) -> Option<Seq> {
        let behind = self.left_behind.last_key_value().map(|(seq, _)| *seq);
        self.slots.len().checked_sub(1).and_then(|slot| seq_of(self.base, slot)).or(behind)
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0 && self.left_behind.is_empty()
    }

    /// Returns all, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Seq, &T)> {
        let base = self.base;
        let slots = self.slots.iter().enumerate();
        let slots = slots.filter_map(move |(slot, value)| Some((seq_of(base, slot)?, value.as_ref()?)));
        self.left_behind.iter().map(|(seq, value)| (*seq, value)).chain(slots)
    }

    /// Like [`iter`](Self::iter).
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Seq, &mut T)> {
        let base = self.base;
        let slots = self.slots.iter_mut().enumerate();
        let slots = slots.filter_map(move |(slot, value)| Some((seq_of(base, slot)?, value.as_mut()?)));
        self.left_behind.iter_mut().map(|(seq, value)| (*seq, value)).chain(slots)
    }

    /// Returns those from one number to another, both included, by number; none if the second is the lower one.
    pub(super) fn range(&self, first: Seq, last: Seq) -> impl Iterator<Item = (Seq, &T)> {
        let behind = (first <= last).then(|| self.left_behind.range(first..=last)).into_iter().flatten();
        let span = self.span(first, last);
        let slots = span.clone().zip(self.slots.range(span));
        let slots = slots.filter_map(|(slot, value)| Some((seq_of(self.base, slot)?, value.as_ref()?)));
        behind.map(|(seq, value)| (*seq, value)).chain(slots)
    }

    /// Returns the slot of a number, if the window has one.
    fn slot(&self, seq: Seq) -> Option<usize> {
        let slot = seq.to_wire().checked_sub(self.base).map(slots)?;
        (slot < self.slots.len()).then_some(slot)
    }

    /// Returns the slots from one number to another, both included.
    fn span(&self, first: Seq, last: Seq) -> Range<usize> {
        let end = last.to_wire().checked_sub(self.base).map_or(0, |slot| slots(slot).saturating_add(1));
        let end = end.min(self.slots.len());
        slots(first.to_wire().saturating_sub(self.base)).min(end)..end
    }

    /// Makes the window reach a number, which is about to be taken. Returns its slot; `None` if it is to be left behind.
    fn reach(&mut self, seq: Seq) -> Option<usize> {
        let number = seq.to_wire();
        if self.slots.front().is_some() && number < self.base {
            return self.reach_down(seq);
        }
        while !self.slots.is_empty() && slots(number - self.base) >= span_max(self.taken + 1) {
            self.leave_first_behind();
        }
        if self.slots.is_empty() {
            if self.is_left_behind(seq) {
                return None;
            }
            self.base = number;
        }
        let slot = slots(number - self.base);
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        Some(slot)
    }

    /// Like [`reach`](Self::reach), of a number below the window.
    fn reach_down(&mut self, seq: Seq) -> Option<usize> {
        let more = slots(self.base - seq.to_wire());
        if self.is_left_behind(seq) || more.saturating_add(self.slots.len()) > span_max(self.taken + 1) {
            return None;
        }
        (0..more).for_each(|_| self.slots.push_front(None));
        self.base = seq.to_wire();
        Some(0)
    }

    /// Returns whether a number is not above all that were left behind.
    fn is_left_behind(&self, seq: Seq) -> bool {
        self.left_behind.last_key_value().is_some_and(|(last, _)| seq <= *last)
    }

    /// Moves the first value out of the window.
    fn leave_first_behind(&mut self) {
        if let (Some(seq), Some(Some(value))) = (Seq::from_wire(self.base), self.slots.pop_front()) {
            self.base += 1;
            self.taken -= 1;
            self.left_behind.insert(seq, value);
            self.trim();
        }
    }

    /// Lets go of slots at both ends that are not taken.
    fn trim(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base += 1;
        }
        while let Some(None) = self.slots.back() {
            self.slots.pop_back();
        }
    }

    /// Makes the window as small as what it holds lets it be.
    fn tighten(&mut self) {
        self.trim();
        while self.slots.len() > span_max(self.taken) {
            self.leave_first_behind();
        }
        let capacity = self.slots.capacity();
        if capacity > SLOTS_KEPT && self.slots.len() < capacity / 8 {
            self.slots.shrink_to(SLOTS_KEPT.max(self.slots.len() * 2));
        }
    }
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { base: 1, slots: VecDeque::new(), taken: 0, left_behind: BTreeMap::new() }
    }
}

/// Returns the most slots of a window in which so many are taken.
fn span_max(taken: usize) -> usize {
    SPAN_MIN + SPAN_PER_VALUE * taken
}

/// Returns the number of a slot.
fn seq_of(base: u64, slot: usize) -> Option<Seq> {
    Seq::from_wire(base + slot as u64)
}

/// Counts slots. Where that many cannot be addressed, there are none.
fn slots(numbers: u64) -> usize {
    usize::try_from(numbers).unwrap_or(usize::MAX)
}

/// Slots that a window may have whatever it holds: less than a map takes for its first value.
const SPAN_MIN: usize = 64;

/// Slots for each value. A slot of a value in a box has 8 bytes, so they are about what an ordered map takes at worst.
const SPAN_PER_VALUE: usize = 8;

/// Slots whose memory is kept for what comes next, so that steady work asks for none.
const SLOTS_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::from_wire(number).expect("not 0")
    }

    #[track_caller]
    fn check_invariants<T>(window: &Window<T>) {
        assert_eq!(window.slots.iter().flatten().count(), window.taken);
        assert!(window.slots.len() <= span_max(window.taken));
        for end in [window.slots.front(), window.slots.back()].into_iter().flatten() {
            assert!(end.is_some());
        }
        let last = window.left_behind.last_key_value();
        assert!(window.slots.is_empty() || last.is_none_or(|(last, _)| last.to_wire() < window.base));
    }

    #[test]
    fn a_command_of_an_hour_keeps_no_slot_for_those_since() {
        let mut window = Window::default();
        window.insert(seq(1), ());
        for number in 2..100_000 {
            window.insert(seq(number), ());
            assert_eq!(window.remove(seq(number)), Some(()));
            check_invariants(&window);
        }
        assert_eq!((window.first(), window.last()), (Some(seq(1)), Some(seq(1))));
        assert!(window.slots.capacity() <= SLOTS_KEPT);
        assert_eq!(window.remove(seq(1)), Some(()));
        assert!(window.is_empty());
    }

    #[test]
    fn numbers_far_apart_take_no_slots_between_them() {
        let mut window = Window::default();
        for number in [1 << 40, 1, u64::MAX, 1 << 50, 3] {
            window.insert(seq(number), number);
            check_invariants(&window);
        }
        let numbers: Vec<_> = window.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, [1, 3, 1 << 40, 1 << 50, u64::MAX]);
        assert_eq!(window.range(seq(2), seq(u64::MAX)).count(), 4);
        assert_eq!(window.range(seq(3), seq(2)).count(), 0);
        assert_eq!(window.last(), Some(seq(u64::MAX)));
    }

    #[test]
    fn memory_of_many_is_given_back() {
        let mut window = Window::default();
        (1..100_000).for_each(|number| assert_eq!(window.insert(seq(number), number), None));
        while window.pop_first().is_some() {}
        assert!(window.slots.capacity() <= 8 * SLOTS_KEPT, "{}", window.slots.capacity());
    }

    proptest! {
        /// Each step puts a value under a number, or takes what is under it; numbers are near one another in runs.
        #[test]
        fn it_is_a_map_however_numbers_lie(
            runs in prop::collection::vec((1..3_000_u64, prop::collection::vec((any::<bool>(), 0..200_u64), 0..60)), 0..12),
        ) {
            let (mut window, mut model) = (Window::default(), BTreeMap::new());
            let steps = runs.iter().flat_map(|(from, steps)| steps.iter().map(move |(put, more)| (*put, seq(from + more))));
            for (value, (is_put, seq)) in steps.enumerate() {
                if is_put {
                    prop_assert_eq!(window.insert(seq, value), model.insert(seq, value));
                } else {
                    prop_assert_eq!(window.remove(seq), model.remove(&seq));
                }
                check_invariants(&window);
                prop_assert_eq!(window.get(seq), model.get(&seq));
                prop_assert_eq!(window.first(), model.keys().next().copied());
                prop_assert_eq!(window.last(), model.keys().next_back().copied());
                prop_assert_eq!(window.is_empty(), model.is_empty());
            }
            prop_assert!(window.iter().eq(model.iter().map(|(seq, value)| (*seq, value))));
            let (first, last) = (seq(500), seq(1500));
            prop_assert!(window.range(first, last).eq(model.range(first..=last).map(|(seq, value)| (*seq, value))));
        }
    }
}
