//! What a receiver remembers of one sender: its commands until they are settled, and what it has settled.
//!
//! What is settled counts at the door at once, so that nothing of it is run any more; commands are forgotten only when
//! it is stored.

use std::collections::{BTreeMap, VecDeque};

use runnel_codec::{
    ClassMap, CommandKey, Epoch, HELLO_SETTLED_MAX, LinkNumber, Reach, Seq, Settled, StoreProcess,
};

use super::batch_answers::BatchAnswers;
use super::command::Known;
use super::usage::SenderUsage;
use crate::boxes::Boxes;
use crate::clock::ClockReading;
use crate::command_map::CommandMap;
use crate::positions::Reaches;
use crate::room::Room;
use crate::settled::SettledSet;
use crate::store::SenderRow;

/// What is known of one sender.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// The link that is up; anything of another is refused at the door.
    pub(super) link: Option<LinkNumber>,
    /// Boxed, so that numbers without a command cost little.
    pub(super) known: CommandMap<Box<Known>>,
    pub(super) usage: SenderUsage,
    /// What is to be said on its link of messages that came in batches.
    pub(super) batch_answers: BatchAnswers,
    /// Bytes that are kept with commands that have ended.
    pub(super) kept_bytes: u64,
    /// What its link can take now.
    pub(super) room: Room,
    /// Its commands that have something to write; they take turns.
    pub(super) writers: ClassMap<VecDeque<CommandKey>>,
    /// What its bodies may be written ahead of their handlers together.
    pub(super) body_windows: u64,
    /// How often the handler of an idempotent command was called by processes of this node that are gone.
    pub(super) interrupted: BTreeMap<CommandKey, u32>,
    /// Its process: what has neither this epoch nor that of its store is of one that is gone. `None` before its first link.
    boot: Option<Epoch>,
    /// Its store, if it ever named one.
    store: Option<Epoch>,
    /// The newest process of that store that was met.
    pub(super) process: Option<StoreProcess>,
    /// Stores that it had before, each as often as it was replaced.
    fenced: Vec<Epoch>,
    /// How often its commands were forgotten.
    generation: u64,
    /// How far older processes of this node have brought the journal of its commands.
    reaches: Reaches,
    /// Batches that concerned its commands.
    journaled: u64,
    /// How many of them are stored.
    journaled_stored: u64,
    settled: BTreeMap<Epoch, Announced>,
    announcements: u64,
}

/// What a sender has settled of one of its epochs.
#[derive(Debug, Default)]
struct Announced {
    set: SettledSet,
    /// When it was last heard of, counted in announcements of this sender.
    heard: u64,
}

impl Sender {
    /// Takes note of which process and which store it is. Returns whether either was another before.
    ///
    /// A sender that comes without its store for once keeps what it was: it may find it again.
    pub(super) fn restart(&mut self, boot: Epoch, store: Option<Epoch>) -> bool {
        let is_other = self.boot.replace(boot).is_some_and(|older| older != boot);
        let older_store = self.store;
        self.store = store.or(older_store);
        let is_fenced = older_store.is_some() && older_store != self.store;
        if let Some(older) = older_store.filter(|_| is_fenced) {
            self.process = None;
            self.fence(older);
        }
        if is_other || is_fenced {
            let living = [self.boot, self.store];
            self.settled.retain(|epoch, _| living.contains(&Some(*epoch)));
        }
        is_other || is_fenced
    }

    /// Remembers that a store of it was replaced. Should it come back, what it has bound must not be taken for new: nothing
    /// of it is known here.
    fn fence(&mut self, store: Epoch) {
        if self.fenced.len() == FENCED_MAX {
            self.fenced.clear();
            self.generation += 1;
        }
        self.fenced.push(store);
    }

    /// Makes its journal a new one. Returns the durable commands that are known: they count as settled from now on.
    pub(super) fn begin_anew(&mut self) -> Vec<CommandKey> {
        self.generation += 1;
        self.fenced.clear();
        self.interrupted.clear();
        let Some(store) = self.store else { return Vec::new() };
        let keys: Vec<_> = self.known.keys().filter(|key| key.epoch == store).collect();
        let announced = self.settled.entry(store).or_default();
        for key in &keys {
            announced.set.insert(key.seq);
        }
        keys
    }

    /// Returns how often its commands of a store were forgotten.
    pub(super) fn generation(&self, store: Option<Epoch>) -> (u64, usize) {
        let fenced = self.fenced.iter().filter(|fenced| Some(**fenced) == store).count();
        (self.generation, fenced)
    }

    /// Takes over what the store has of it.
    pub(super) fn recover(&mut self, row: &SenderRow) {
        (self.store, self.process, self.generation) = (row.store, row.process, row.generation);
        self.fenced.clone_from(&row.fenced);
        self.reaches = Reaches::of(&row.journaled);
        self.journaled = self.reaches.position();
        self.journaled_stored = self.journaled;
        for settled in &row.settled {
            self.announce(settled);
        }
    }

    /// Makes what is stored of it next by this process of the own store.
    pub(super) fn next_row(&mut self, process: u64, clock: &ClockReading) -> SenderRow {
        self.journaled += 1;
        let durable = self.settled.iter().filter(|(epoch, _)| Some(**epoch) == self.store);
        SenderRow {
            store: self.store,
            process: self.process,
            settled: durable.map(|(epoch, announced)| announced.set.to_wire(*epoch)).collect(),
            fenced: self.fenced.clone(),
            generation: self.generation,
            journaled: self.reaches.with(process, self.journaled),
            met_at: *clock,
        }
    }

    /// Returns the position of the journal of its commands, stored or not.
    pub(super) fn journaled(&self) -> u64 {
        self.journaled
    }

    /// Its row is stored at this position.
    pub(super) fn handle_position(&mut self, journaled: u64) {
        self.journaled_stored = journaled;
    }

    /// Returns the epoch of its store.
    pub(super) fn store(&self) -> Option<Epoch> {
        self.store
    }

    /// Returns the highest number of a durable command of it that is known here.
    pub(super) fn highest_known(&self) -> u64 {
        let Some(epoch) = self.store else { return 0 };
        let settled = self.settled.get(&epoch).and_then(|announced| announced.set.highest());
        self.known.last_of(epoch).max(settled).map_or(0, Seq::to_wire)
    }

    /// Returns how far the journal of its commands that is stored has come with this process of the own store.
    pub(super) fn positions(&self, process: u64) -> Vec<Reach> {
        let position = if planted!(PositionBeforeStored) { self.journaled } else { self.journaled_stored };
        self.reaches.with(process, position)
    }

    /// Takes note of what is settled. Returns whether anything of it is new.
    pub(super) fn announce(&mut self, settled: &Settled) -> bool {
        if self.is_gone(settled.epoch) {
            return false;
        }
        if !self.settled.contains_key(&settled.epoch) && self.settled.len() >= HELLO_SETTLED_MAX {
            self.forget_oldest_epoch();
        }
        self.announcements += 1;
        let announced = self.settled.entry(settled.epoch).or_default();
        announced.heard = self.announcements;
        announced.set.merge(settled)
    }

    /// Forgets the commands that have ended and are in `settled`, now that this is stored.
    pub(super) fn prune(&mut self, settled: &Settled, boxes: &mut Boxes<Known>) {
        for range in ranges_of(settled) {
            let kept_bytes = &mut self.kept_bytes;
            let forget = |known: Box<Known>| {
                *kept_bytes -= known.kept_bytes;
                boxes.take_back(known);
            };
            self.known.extract(settled.epoch, range, |known| known.has_ended(), forget);
        }
    }

    /// Forgets a command if it has ended.
    pub(super) fn forget_if_ended(&mut self, key: CommandKey) {
        if self.known.get(key).is_some_and(|known| known.has_ended())
            && let Some(known) = self.known.remove(key)
        {
            self.kept_bytes -= known.kept_bytes;
        }
    }

    /// The link is gone, and all its streams with it.
    pub(super) fn detach_all(&mut self) {
        for known in self.known.values_mut() {
            known.at = known.at.filter(|_| planted!(AttachWithoutDetach));
            known.is_in_ring = false;
        }
        self.writers = ClassMap::default();
        self.room = Room::default();
        self.batch_answers = BatchAnswers::default();
    }

    /// Returns whether a command is settled, whether or not that is stored already.
    pub(super) fn has_settled(&self, key: CommandKey) -> bool {
        self.is_gone(key.epoch)
            || self.settled.get(&key.epoch).is_some_and(|announced| announced.set.contains(key.seq))
    }

    /// Returns the known commands of its older processes and stores.
    pub(super) fn known_of_older_epochs(&self) -> Vec<CommandKey> {
        self.known.keys().filter(|key| self.is_gone(key.epoch)).collect()
    }

    /// Returns whether it waits for an answer.
    pub(super) fn is_owed(&self) -> bool {
        if self.boot.is_none() {
            return !self.known.is_empty();
        }
        [self.boot, self.store].into_iter().flatten().any(|epoch| self.known.contains_epoch(epoch))
    }

    /// Returns whether an epoch is of one of its older processes or stores: everything of it is settled.
    fn is_gone(&self, epoch: Epoch) -> bool {
        !planted!(NoSenderFence) && self.boot.is_some() && ![self.boot, self.store].contains(&Some(epoch))
    }

    /// Returns the known commands in `settled`. The cost is that of what is found, however much is known.
    pub(super) fn known_in(&self, settled: &Settled) -> impl Iterator<Item = (CommandKey, &Known)> {
        ranges_of(settled)
            .flat_map(|range| self.known.range(settled.epoch, range))
            .map(|(key, known)| (key, known.as_ref()))
    }

    /// Living epochs are named in every hello, so the one not heard of for longest is the one that is gone.
    fn forget_oldest_epoch(&mut self) {
        let oldest =
            self.settled.iter().min_by_key(|(_, announced)| announced.heard).map(|(epoch, _)| *epoch);
        if let Some(epoch) = oldest {
            self.settled.remove(&epoch);
        }
    }
}

/// Returns the first and the last number of each range in `settled` that is not empty.
fn ranges_of(settled: &Settled) -> impl Iterator<Item = (Seq, Seq)> {
    let low = settled.low.map(|low| (Seq::FIRST, low));
    low.into_iter().chain(settled.ranges.iter().copied()).filter(|(first, last)| first <= last)
}

/// Stores of one sender that are remembered to be gone. With one more, its journal becomes a new one for all of them.
const FENCED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(epoch: u64, low: u64) -> Settled {
        Settled { epoch: Epoch::from_random(epoch), low: Seq::from_wire(low), ranges: Vec::new() }
    }

    fn key(epoch: u64) -> CommandKey {
        CommandKey { epoch: Epoch::from_random(epoch), seq: Seq::FIRST }
    }

    #[test]
    fn what_is_said_again_is_not_new() {
        let mut sender = Sender::default();
        assert!(sender.announce(&settled(1, 3)));
        assert!(!sender.announce(&settled(1, 3)));
        assert!(!sender.announce(&settled(1, 2)), "and nothing becomes unsettled");
        assert!(
            sender.has_settled(CommandKey { epoch: Epoch::from_random(1), seq: Seq::from_wire(3).unwrap() })
        );
    }

    #[test]
    fn epochs_are_bounded_and_the_one_not_heard_of_goes_first() {
        let mut sender = Sender::default();
        for epoch in 1..=HELLO_SETTLED_MAX as u64 {
            sender.announce(&settled(epoch, 1));
        }
        sender.announce(&settled(1, 1));
        sender.announce(&settled(1000, 1));
        assert_eq!(sender.settled.len(), HELLO_SETTLED_MAX);
        assert!(sender.has_settled(key(1)) && sender.has_settled(key(1000)));
        assert!(!sender.has_settled(key(2)));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty() {
        let seq = |number| Seq::from_wire(number).unwrap();
        let backwards = Settled { epoch: Epoch::from_random(1), low: None, ranges: vec![(seq(5), seq(2))] };
        assert_eq!(Sender::default().known_in(&backwards).count(), 0);
    }
}
