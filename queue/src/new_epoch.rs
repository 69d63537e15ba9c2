//! A new epoch for a store that was restored from an older backup: the operator's way out of a regression.
//!
//! Peers take the store for a new one, and have fenced the older one once they have met it. What the lost store did since
//! the backup nobody can say, so nothing of before may run because of what the backup says: each command that has no
//! outcome in it may have been sent and run since, bound or not, and ends as `Unknown`; tokens that handlers left are
//! gone, so that no handler goes on with work that was finished since. Outcomes are kept, and so is what is known of
//! other nodes: it only grows, and theirs is the newer word.

use std::collections::BTreeSet;

use runnel_codec::{CommandKey, Epoch, NodeId, Outcome, Settled, UnknownReason};

use crate::clock::ClockReading;
use crate::store::{Change, CommandRow, OutcomeRow, ReceiverRow, Row, RowKey, StoreRow};

/// What gives a store a new epoch, and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing changes until the changes are applied"]
pub struct NewEpoch {
    /// The epoch that the store has.
    pub older: Epoch,
    /// The one that it gets.
    pub epoch: Epoch,
    /// What makes it so, to be applied as one batch.
    pub changes: Vec<Change>,
    /// Commands to other nodes that end as `Unknown`.
    pub given_up: Vec<GivenUp>,
    /// Outcomes of commands to other nodes that are kept.
    pub outcomes: usize,
    /// Commands of other nodes whose handlers were called and had not ended: they are not gone on with.
    pub runs: usize,
}

/// A command that ends as `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The node that it is for.
    pub receiver: NodeId,
    /// Which of the commands for it.
    pub key: CommandKey,
    /// It may have left before the backup was made; any other may have since.
    pub was_bound: bool,
}

impl NewEpoch {
    /// Decides what gives the store with these rows this epoch. `clock` is read now. Returns `None` for an empty store:
    /// it is given an epoch when a node is started with it.
    pub fn of(rows: &[Row], epoch: Epoch, clock: &ClockReading) -> Option<Self> {
        let older = rows.iter().find_map(|row| match row {
            Row::Store(row) => Some(row),
            _ => None,
        })?;
        let changes = vec![Change::Put(Row::Store(StoreRow { epoch, ..older.clone() }))];
        let mut new = Self { older: older.epoch, epoch, changes, given_up: Vec::new(), outcomes: 0, runs: 0 };
        let bound: BTreeSet<_> = rows.iter().filter_map(bound_command).collect();
        for row in rows {
            match row {
                Row::Receiver(peer, row) => new.number_anew(peer, row),
                Row::Command(peer, key, row) => new.give_up(peer, *key, row, clock, &bound),
                Row::Outcome(..) => new.outcomes += 1,
                Row::Run(_, _, row) => new.runs += usize::from(row.outcome.is_none()),
                Row::Progress(..) | Row::Token(..) => new.changes.push(Change::Delete(row.key())),
                _ => {}
            }
        }
        Some(new)
    }

    /// Numbers of a new epoch begin anew. What its journal was is remembered: there is nothing newer to compare it with.
    fn number_anew(&mut self, peer: &NodeId, row: &ReceiverRow) {
        let settled = Settled { epoch: self.epoch, low: None, ranges: Vec::new() };
        let row = ReceiverRow { sent: Vec::new(), settled, ..row.clone() };
        self.changes.push(Change::Put(Row::Receiver(peer.clone(), row)));
    }

    fn give_up(
        &mut self,
        peer: &NodeId,
        key: CommandKey,
        row: &CommandRow,
        clock: &ClockReading,
        bound: &BTreeSet<(&NodeId, CommandKey)>,
    ) {
        let outcome = OutcomeRow {
            class: row.class,
            name: row.name.clone(),
            outcome: Outcome::Unknown(UnknownReason::Abandoned),
            ended_at: *clock,
            is_taken: false,
            idempotency: row.idempotency.clone(),
            label: row.label.clone(),
        };
        self.changes.push(Change::Delete(RowKey::Command(peer.clone(), key)));
        self.changes.push(Change::Put(Row::Outcome(peer.clone(), key, outcome)));
        let was_bound = bound.contains(&(peer, key));
        self.given_up.push(GivenUp { receiver: peer.clone(), key, was_bound });
    }
}

fn bound_command(row: &Row) -> Option<(&NodeId, CommandKey)> {
    match row {
        Row::Progress(peer, key, progress) if progress.bound.is_some() => Some((peer, *key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use runnel_codec::{Class, CommandId, Reach, Seq, UpdatePolicy};

    use super::*;
    use crate::store::{AcceptedRow, MemoryStore, ProgressRow, RunRow, SenderRow, Store};
    use crate::{ReceiveQueue, ReceiveQueueConfig, SendQueue, SendQueueConfig};

    const CLOCK: ClockReading =
        ClockReading { machine: 1, uptime: std::time::Duration::ZERO, wall: std::time::Duration::ZERO };

    fn node(name: &str) -> NodeId {
        name.parse().expect("a valid name")
    }

    fn key(epoch: u64, number: u64) -> CommandKey {
        CommandKey { epoch: Epoch::from_random(epoch), seq: Seq::from_wire(number).expect("not 0") }
    }

    fn id(epoch: u64, number: u64) -> CommandId {
        CommandId { sender: node("ctl"), receiver: node("w1"), key: key(epoch, number) }
    }

    fn command() -> CommandRow {
        CommandRow {
            class: Class::Normal,
            name: "test/1".parse().expect("a valid name"),
            idempotent: false,
            args: Bytes::new(),
            payload: Bytes::new(),
            body: None,
            body_held_bytes: 0,
            wants_result_body: false,
            updates: UpdatePolicy::Follow,
            deadline: None,
            idempotency: None,
            label: "label".into(),
        }
    }

    fn ended(outcome: Outcome) -> OutcomeRow {
        let CommandRow { class, name, idempotency, label, .. } = command();
        OutcomeRow { class, name, outcome, ended_at: CLOCK, is_taken: false, idempotency, label }
    }

    /// Epoch 7: of three commands to `w1` the first has ended, the second is bound, the third is not.
    fn of_a_sender() -> Vec<Row> {
        let settled = Settled { epoch: Epoch::from_random(7), low: Seq::from_wire(1), ranges: Vec::new() };
        let receiver = ReceiverRow {
            sent: vec![Reach { process: 1, position: 3 }],
            settled,
            receiver: Some(Epoch::from_random(50)),
            journaled: Reach { process: 1, position: 9 },
        };
        let bound = ProgressRow { bound: Some(Epoch::from_random(50)), ..ProgressRow::default() };
        vec![
            Row::Store(StoreRow::new(Epoch::from_random(7))),
            Row::Receiver(node("w1"), receiver),
            Row::Command(node("w1"), key(7, 2), Box::new(command())),
            Row::Command(node("w1"), key(7, 3), Box::new(command())),
            Row::Progress(node("w1"), key(7, 2), bound),
            Row::Outcome(node("w1"), key(7, 1), ended(Outcome::Cancelled)),
        ]
    }

    /// Rows of a store that has this done to it.
    fn renewed(rows: Vec<Row>) -> (NewEpoch, Vec<Row>) {
        let mut store = MemoryStore::new();
        store.apply(&rows.into_iter().map(Change::Put).collect::<Vec<_>>()).expect("it is in memory");
        let rows = store.load().expect("it is in memory");
        let new = NewEpoch::of(&rows, Epoch::from_random(8), &CLOCK).expect("it has an epoch");
        store.apply(&new.changes).expect("it is in memory");
        (new, store.load().expect("it is in memory"))
    }

    fn recovered(rows: &[Row]) -> SendQueue {
        let mut queue = SendQueue::new(SendQueueConfig::default(), node("ctl"), Epoch::from_random(60), 1);
        queue.recover(Instant::now(), &CLOCK, &StoreRow::new(Epoch::from_random(8)), rows);
        // What can wait to be stored goes at once.
        queue.handle_draining();
        queue
    }

    #[test]
    fn what_has_no_outcome_is_unknown_under_its_old_id_and_outcomes_are_kept() {
        let (new, rows) = renewed(of_a_sender());
        let given_up: Vec<_> = new.given_up.iter().map(|one| (one.key, one.was_bound)).collect();
        assert_eq!(given_up, [(key(7, 2), true), (key(7, 3), false)]);
        assert_eq!((new.older, new.outcomes, new.runs), (Epoch::from_random(7), 1, 0));
        let queue = recovered(&rows);
        assert_eq!(queue.unfinished().count(), 0);
        let outcomes = |number| queue.outcome(&id(7, number)).map(|row| row.outcome.clone());
        let unknown = Outcome::Unknown(UnknownReason::Abandoned);
        assert_eq!([1, 2, 3].map(outcomes), [Outcome::Cancelled, unknown.clone(), unknown].map(Some));
    }

    #[test]
    fn numbers_begin_anew_and_none_of_them_counts_as_settled() {
        let queue = recovered(&renewed(of_a_sender()).1);
        assert_eq!(queue.sent_positions(&node("w1")), []);
        let settled: Vec<_> = queue.settled(&node("w1"));
        assert!(settled.iter().all(|of| of.low.is_none() && of.ranges.is_empty()), "{settled:?}");
        assert_eq!(queue.journal_epoch(&node("w1")), Some(Epoch::from_random(50)));
    }

    #[test]
    fn the_outcome_of_an_older_epoch_leaves_the_store_when_it_is_taken() {
        let (_, rows) = renewed(of_a_sender());
        let mut queue = recovered(&rows);
        queue.handle_outcome_taken(Instant::now(), &id(7, 2)).expect("it is kept");
        let batch = queue.poll_store(Instant::now(), &CLOCK).expect("there is something to store");
        let gone = Change::Delete(RowKey::Outcome(node("w1"), key(7, 2)));
        assert!(batch.changes.contains(&gone), "{:?}", batch.changes);
    }

    #[test]
    fn no_handler_goes_on_by_a_token_of_before_and_every_peer_meets_another_journal() {
        let sender = SenderRow {
            store: Some(Epoch::from_random(3)),
            process: None,
            settled: Vec::new(),
            fenced: Vec::new(),
            generation: 0,
            journaled: vec![Reach { process: 1, position: 4 }],
            met_at: CLOCK,
        };
        let accepted = AcceptedRow {
            class: Class::Normal,
            name: command().name,
            idempotent: false,
            updates: UpdatePolicy::Follow,
            has_body: false,
            wants_result_body: false,
            result_end: None,
            deadline: None,
        };
        let run = RunRow { accepted: Some(accepted), outcome: None, runs: 1, updates: (0, 0) };
        let rows = vec![
            Row::Store(StoreRow::new(Epoch::from_random(7))),
            Row::Sender(node("ctl"), sender),
            Row::Run(node("ctl"), key(3, 1), Box::new(run)),
            Row::Token(node("ctl"), key(3, 1), "token".into()),
        ];
        let journals = |rows: &[Row], epoch| {
            let mut queue = ReceiveQueue::new(ReceiveQueueConfig::default(), 1);
            queue.recover(Instant::now(), &CLOCK, &StoreRow::new(Epoch::from_random(epoch)), rows);
            assert_eq!(queue.poll_start().is_some(), epoch == 7, "a handler is called");
            queue.receiver_epoch(&node("ctl"), Some(Epoch::from_random(3)))
        };
        let before = journals(&rows, 7);
        let (new, rows) = renewed(rows);
        assert_eq!(new.runs, 1);
        assert_ne!(journals(&rows, 8), before);
    }

    #[test]
    fn an_empty_store_needs_none() {
        assert_eq!(NewEpoch::of(&[], Epoch::from_random(8), &CLOCK), None);
    }
}
