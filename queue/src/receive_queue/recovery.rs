//! Going on from what the store has kept, after a restart or a crash.
//!
//! Whatever has ended keeps its outcome. A handler that was called and had not ended is lost with its process: if it has
//! left a token it is called again to find its work by it, an idempotent command may be run again, and of any other
//! nobody knows how it ended.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use runnel_codec::{BodyEnd, CommandKey, NodeId, Outcome, UnknownReason};

use super::ReceiveQueue;
use super::command::{Accepted, Known, State, StoredOutput};
use super::starting::occupy;
use super::words::Start;
use crate::body_log::BodyLog;
use crate::clock::ClockReading;
use crate::peers::LocalId;
use crate::store::{AcceptedRow, Row, RunRow, StoreRow};
use crate::stream_log::StreamLog;

/// What else the store has of a command.
#[derive(Default)]
struct Rest {
    token: Option<Bytes>,
    outputs: Vec<(u64, Bytes)>,
    pieces: Vec<(u64, Bytes)>,
}

impl ReceiveQueue {
    /// Goes on from the rows of a store, of which this process is the newest. To be called once, before anything else.
    /// Rows of other kinds are passed over.
    pub fn recover(&mut self, now: Instant, clock: &ClockReading, store: &StoreRow, rows: &[Row]) {
        (self.store, self.process) = (Some(store.epoch), store.lineage.processes());
        let mut rests = BTreeMap::<_, Rest>::new();
        for row in rows {
            match row {
                Row::Sender(peer, row) => {
                    let peer = self.senders.meet(peer);
                    self.senders[peer].recover(row);
                }
                Row::Token(peer, key, token) => {
                    rests.entry((peer, *key)).or_default().token = Some(token.clone());
                }
                Row::Output(peer, key, number, content) => {
                    rests.entry((peer, *key)).or_default().outputs.push((*number, content.clone()));
                }
                Row::ResultPiece(peer, key, offset, content) => {
                    rests.entry((peer, *key)).or_default().pieces.push((*offset, content.clone()));
                }
                _ => {}
            }
        }
        for row in rows {
            if let Row::Run(peer, key, row) = row {
                let rest = rests.remove(&(peer, *key)).unwrap_or_default();
                match &row.outcome {
                    Some(outcome) => {
                        self.recover_ended(now, clock, (peer, *key), row, outcome.clone(), &rest)
                    }
                    None => self.recover_run(now, clock, (peer, *key), row, rest.token),
                }
            }
        }
    }

    /// The handler of a command that was recovered says how much of its updates its older process had let go of: its next
    /// update has the number behind these.
    pub fn handle_resumed(&mut self, peer: &NodeId, key: CommandKey, updates: u64, bytes: u64) {
        if let Some(known) = self.known_of(peer, key).filter(|known| known.state == State::Running) {
            known.log.resume(updates, bytes);
        }
    }

    fn recover_ended(
        &mut self,
        now: Instant,
        clock: &ClockReading,
        (peer, key): (&NodeId, CommandKey),
        row: &RunRow,
        outcome: Outcome,
        rest: &Rest,
    ) {
        let outcome_is_never = outcome.is_never();
        let mut known = Known::tombstone(None, outcome);
        if let State::Ending(outcome) = known.state {
            known.state = State::Ended(outcome);
        }
        known.runs = row.runs;
        // The record of a start whose handler was not called after all counts as a run, but must not be said to have started;
        // nor must a run of an older process whose command was not accepted again.
        known.was_called = row.accepted.is_some() && row.runs > 0 && !outcome_is_never;
        if let Some(accepted) = &row.accepted {
            let mut log = StreamLog::default();
            log.resume(row.updates.0, row.updates.1);
            rest.outputs.iter().for_each(|(_, content)| {
                log.push(content.clone());
            });
            known.log = log;
            known.result_body =
                accepted.wants_result_body.then(|| Box::new(accepted.result_body(&rest.pieces)));
            known.stored_output = StoredOutput::of(&rest.outputs, &rest.pieces);
            known.accepted = Some(Accepted::recovered(accepted, now, clock));
        }
        known.kept_bytes = known.held_bytes();
        let peer = self.senders.meet(peer);
        let sender = &mut self.senders[peer];
        sender.kept_bytes += known.kept_bytes;
        sender.known.insert(key, self.boxes.fill(known));
        // A row of the sender tells all that it had settled, perhaps before the rows of the commands were deleted.
        if sender.has_settled(key) {
            self.purge(LocalId { peer, key });
            self.stale_rows.insert(peer);
            self.senders[peer].forget_if_ended(key);
        }
    }

    fn recover_run(
        &mut self,
        now: Instant,
        clock: &ClockReading,
        (peer, key): (&NodeId, CommandKey),
        row: &RunRow,
        token: Option<Bytes>,
    ) {
        let Some(accepted) = &row.accepted else { return };
        let from = peer;
        let id = LocalId { peer: self.senders.meet(from), key };
        let sender = &mut self.senders[id.peer];
        let may_run_again = accepted.idempotent && row.runs < self.config.idempotent_runs_max.get();
        if token.is_none() && may_run_again && !sender.has_settled(key) {
            // Its head will come again, and then it is run again.
            sender.interrupted.insert(key, row.runs);
            return;
        }
        let mut known = Known::tombstone(None, Outcome::Unknown(UnknownReason::HandlerLost));
        known.runs = row.runs;
        known.was_called = true;
        let mut recovered = Accepted::recovered(accepted, now, clock);
        self.total.commands += 1;
        sender.usage.add_command(accepted.class, 0);
        let Some(token) = token else {
            known.accepted = Some(recovered);
            sender.known.insert(key, self.boxes.fill(known));
            let reason =
                if accepted.idempotent { UnknownReason::Poisoned } else { UnknownReason::HandlerLost };
            return self.end(id, Outcome::Unknown(reason));
        };
        known.state = State::Running;
        known.has_place = true;
        // It is opened once its handler wants it: until then its sender keeps it.
        known.body = accepted.has_body.then(Box::default);
        known.result_body = accepted.wants_result_body.then(|| Box::new(BodyLog::again()));
        let start = recovered.take_start(from.clone(), key, sender.store());
        self.starts.push_back(Start { recover: Some(token), ..start });
        known.accepted = Some(recovered);
        self.running += 1;
        occupy(&mut self.running_by_name, &accepted.name);
        self.alarms.extend(known.alarms().map(|at| (at, id)));
        sender.known.insert(key, self.boxes.fill(known));
    }
}

impl AcceptedRow {
    /// Makes what was left of the result's body when its command ended.
    fn result_body(&self, pieces: &[(u64, Bytes)]) -> BodyLog {
        let end = self.result_end.map(|(bytes, hash)| BodyEnd { bytes, hash });
        let from = pieces.first().map(|(offset, _)| *offset).or(end.map(|end| end.bytes)).unwrap_or(0);
        let mut log = BodyLog::recovered(from, pieces.iter().map(|(_, content)| content));
        if let Some(end) = end {
            log.end(end);
        }
        log
    }
}
