//! Backups of a sender's disk: what is in them, and what may be said of it once one is restored.
//!
//! The observer reads a backup when it is made and when it is given its new epoch. All that is said later must be what
//! stands there; what was said between is genuinely lost.

use std::collections::BTreeMap;

use runnel::NotDone;
use runnel::codec::{Outcome, UnknownReason};
use runnel_queue::Row;

use super::found::number_of;
use super::life::{Breach, Life};
use super::{Observer, State};
use crate::sim::violation::Invariant;

/// What the disk of a host has of the commands that it sends: their outcomes, as far as they have one.
pub(super) type Kept = BTreeMap<u64, Option<Outcome>>;

/// A backup of the disk of a host.
#[derive(Clone, Debug)]
pub(super) struct Backup {
    /// Which of its disks it is of.
    disk: u32,
    kept: Kept,
}

/// What a restored backup has of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Restored {
    /// No outcome.
    Unended,
    /// This outcome.
    Ended(Outcome),
    /// No outcome; the process that was started with the backup as it was has stored this one.
    EndedUnrenewed(Outcome),
}

/// A restored backup was started as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unrenewed {
    /// The host had another disk after the one that the backup is of.
    was_replaced: bool,
}

impl Observer {
    /// These rows are on the disk of a host, and are kept. What was said until now is among them.
    pub fn backed_up(&self, host: usize, rows: &[Row]) {
        self.trace.event(&format!("host {host} is backed up"));
        self.disk_read(host, rows);
        let mut state = self.lock();
        let backup = Backup { disk: state.hosts[host].disk, kept: kept(rows) };
        let lacking = state.not_in_backup(host, &backup);
        state.hosts[host].backup = Some(backup);
        drop(state);
        for text in lacking {
            self.violation(Invariant::DurableFirst, text);
        }
    }

    /// The disk of a host is what it was when it was backed up.
    pub fn restored(&self, host: usize) {
        self.trace.event(&format!("the backup of host {host} is restored"));
        self.lock().hosts[host].handle_disk_lost(self.trace.elapsed());
    }

    /// A restored disk goes on as if nothing had happened since the backup.
    pub fn goes_on_unrenewed(&self, host: usize) {
        self.trace.event(&format!("host {host} goes on with its backup as it is"));
        self.lock().go_on_unrenewed(host);
    }

    /// A restored disk, with these rows, is given a new epoch.
    pub fn renewed(&self, host: usize, rows: &[Row]) {
        self.trace.event(&format!("host {host} is given a new epoch"));
        let mut state = self.lock();
        let changed = state.renew(host, &kept(rows));
        drop(state);
        for text in changed {
            self.violation(Invariant::OneOutcome, text);
        }
    }
}

impl State {
    /// S1 and S6: what was said to be stored is on the disk at any moment.
    fn not_in_backup(&self, host: usize, backup: &Backup) -> Vec<String> {
        let lacking = self.lives.iter().filter(|(number, life)| {
            let is_here = life.order.is_durable && life.sender.host == host && life.kept_on == backup.disk;
            is_here && life.id.is_some() && life.outcome.is_none() && !backup.kept.contains_key(number)
        });
        lacking.map(|(_, life)| format!("a stored command is not on the disk: {life:?}")).collect()
    }

    /// All that was numbered by the store in the backup is of a store that came back.
    fn go_on_unrenewed(&mut self, host: usize) {
        let own = &self.hosts[host];
        let Some(backup) = own.backup.as_ref() else { return };
        let unrenewed = Unrenewed { was_replaced: backup.disk + 1 != own.disk };
        let of_host = self.lives.iter_mut().filter(|(_, life)| life.sender.host == host);
        for (number, life) in of_host.filter(|(_, life)| life.disk == backup.disk) {
            life.disk = own.disk;
            if backup.kept.get(number) == Some(&None) {
                life.unrenewed = Some(unrenewed);
            }
        }
    }

    /// What is on the disk is found there again, under a new epoch. Returns what is not as it was in the backup.
    fn renew(&mut self, host: usize, kept: &Kept) -> Vec<String> {
        let own = &mut self.hosts[host];
        let Some(backup) = own.backup.take() else { return Vec::new() };
        own.disk += 1;
        let mut changed = Vec::new();
        for (number, outcome) in kept {
            let Some(life) = self.lives.get_mut(number) else { continue };
            let before = backup.kept.get(number);
            if before.is_none_or(|before| before.is_some() && before != outcome) {
                changed.push(format!("the backup had {before:?} of it, then {outcome:?}: {life:?}"));
            }
            life.restored = Some(match (before, outcome) {
                (_, None) => Restored::Unended,
                (Some(None), Some(outcome)) => Restored::EndedUnrenewed(outcome.clone()),
                (_, Some(outcome)) => Restored::Ended(outcome.clone()),
            });
            life.was_given_up |= outcome.is_none();
            life.kept_on = own.disk;
            life.lost_outcome = life.outcome.take().or(life.lost_outcome.take());
        }
        changed
    }
}

impl Life {
    /// Returns whether its receiver has no journal any more of a call that its sender, who goes by a backup, may not know
    /// of. A sender whose store was replaced meets another journal when the older one comes back (ARCHITECTURE.md).
    pub(super) fn has_lost_journal(&self, has_receiver_lost_disk: bool) -> bool {
        self.unrenewed.is_some_and(|unrenewed| unrenewed.was_replaced || has_receiver_lost_disk)
    }

    /// README: the node "keeps the outcomes that the backup has", and "commands without one end as `unknown`".
    pub(super) fn judge_restored(
        &self,
        restored: &Restored,
        outcome: &Result<(), NotDone>,
    ) -> Result<(), Breach> {
        match (restored, outcome, &self.lost_outcome) {
            (Restored::Unended, Err(NotDone::Unknown(UnknownReason::Abandoned)), _) => Ok(()),
            (Restored::Unended, ..) => {
                Err((Invariant::TrueOutcome, "what had no outcome in the backup is not unknown"))
            }
            (Restored::Ended(_), outcome, Some(lost)) if outcome != lost => {
                Err((Invariant::OneOutcome, "the backup has another outcome than was told before it"))
            }
            _ => Ok(()),
        }
    }
}

impl Restored {
    /// Returns whether a command may be found with this outcome.
    pub(super) fn allows(&self, found: Option<&Outcome>) -> bool {
        match self {
            Self::Unended => found == Some(&Outcome::Unknown(UnknownReason::Abandoned)),
            Self::Ended(outcome) | Self::EndedUnrenewed(outcome) => found == Some(outcome),
        }
    }
}

/// Reads what rows have of commands to other nodes.
fn kept(rows: &[Row]) -> Kept {
    let one = |row: &Row| match row {
        Row::Command(_, _, row) => Some((number_of(&row.label)?, None)),
        Row::Outcome(_, _, row) if !row.is_taken => Some((number_of(&row.label)?, Some(row.outcome.clone()))),
        _ => None,
    };
    rows.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use runnel::codec::{CommandId, CommandKey, Epoch, NodeId, Seq};

    use super::*;
    use crate::sim::observer::Seat;
    use crate::sim::order::{Job, Order};
    use crate::sim::trace::{Detail, Trace};

    const UNKNOWN: Outcome = Outcome::Unknown(UnknownReason::Abandoned);

    /// Host 0 has stored command 1 for host 1 when its disk is backed up.
    fn backed_up(outcome: Option<Outcome>) -> Observer {
        let observer = Observer::new(Trace::new(Detail::None), 2, Duration::from_secs(10));
        let seat = observer.started(0);
        observer.submits(seat, &Order { is_durable: true, ..Order::plain(Job::short(1), 1) });
        let (sender, receiver): (NodeId, NodeId) = ("c000".parse().unwrap(), "w0000".parse().unwrap());
        let key = CommandKey { epoch: Epoch::from_random(7), seq: Seq::FIRST };
        observer.accepted(1, &CommandId { sender, receiver, key });
        let mut state = observer.lock();
        let backup = Backup { disk: 0, kept: Kept::from([(1, outcome)]) };
        assert!(state.not_in_backup(0, &backup).is_empty());
        state.hosts[0].backup = Some(backup);
        drop(state);
        observer
    }

    /// The backup is restored, with this in it when it is given its new epoch. Returns what was wrong.
    fn renewed(observer: &Observer, kept: Option<Outcome>) -> Vec<String> {
        observer.restored(0);
        let mut state = observer.lock();
        state.renew(0, &Kept::from([(1, kept)]))
    }

    fn violations(observer: &Observer) -> Vec<Invariant> {
        observer.violations().iter().map(|violation| violation.invariant).collect()
    }

    #[test]
    fn what_had_no_outcome_in_the_backup_is_unknown_whatever_was_told_since() {
        for (told, broken) in [
            (NotDone::Unknown(UnknownReason::Abandoned), vec![]),
            (NotDone::Cancelled, vec![Invariant::TrueOutcome]),
        ] {
            let observer = backed_up(None);
            observer.cancels(1);
            observer.outcome(1, Err(NotDone::Cancelled));
            assert!(renewed(&observer, None).is_empty());
            observer.outcome(1, Err(told));
            assert_eq!(violations(&observer), broken);
        }
    }

    #[test]
    fn an_outcome_in_the_backup_stays_what_it_is() {
        let observer = backed_up(Some(Outcome::Cancelled));
        observer.cancels(1);
        observer.outcome(1, Err(NotDone::Cancelled));
        assert!(renewed(&observer, Some(Outcome::Cancelled)).is_empty());
        observer.outcome(1, Err(NotDone::Expired));
        assert_eq!(violations(&observer), [Invariant::OneOutcome]);
        assert_eq!(renewed(&backed_up(Some(Outcome::Cancelled)), Some(UNKNOWN)).len(), 1);
        assert!(!Restored::Ended(Outcome::Cancelled).allows(Some(&UNKNOWN)));
        assert!(!Restored::Unended.allows(None) && Restored::Unended.allows(Some(&UNKNOWN)));
    }

    #[test]
    fn what_the_older_epoch_has_sent_does_not_start_once_the_new_one_has_run_something() {
        let observer = backed_up(None);
        assert!(renewed(&observer, None).is_empty());
        let sender = observer.started(0);
        observer.submits(sender, &Order { is_durable: true, ..Order::plain(Job::short(2), 1) });
        let worker = Seat { host: 1, boot: 1 };
        observer.called(2, worker);
        assert_eq!(violations(&observer), []);
        observer.called(1, worker);
        assert_eq!(violations(&observer), [Invariant::NoGhosts]);
    }

    #[test]
    fn a_command_that_ran_does_not_run_again_because_a_backup_goes_on_as_it_is() {
        let worker = Seat { host: 1, boot: 1 };
        let again = |is_journal_lost: bool| {
            let observer = backed_up(None);
            observer.called(1, worker);
            observer.restored(0);
            observer.goes_on_unrenewed(0);
            if is_journal_lost {
                observer.disk_lost(1);
            }
            observer.called(1, worker);
            violations(&observer)
        };
        assert_eq!(again(false), [Invariant::NothingTwice]);
        assert_eq!(again(true), [], "its receiver has lost the journal, and its sender goes by the backup");
    }

    #[test]
    fn a_stored_command_that_is_not_on_the_disk_is_found_out() {
        let observer = backed_up(None);
        let backup = Backup { disk: 0, kept: Kept::new() };
        assert_eq!(observer.lock().not_in_backup(0, &backup).len(), 1);
    }
}
