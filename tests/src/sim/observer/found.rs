//! What a process finds of the durable commands of older ones: all that was stored and has not been told, and nothing else.

use runnel::Recovered;
use runnel::codec::CommandId;

use super::{Observer, Seat, State};
use crate::sim::mark::Mark;
use crate::sim::order::Order;
use crate::sim::violation::Invariant;

/// What is wrong, and what of.
type Fault = (Invariant, String);

impl Observer {
    /// A process has found commands. Returns their orders.
    pub fn found(&self, seat: Seat, recovered: &[Recovered]) -> Vec<(Order, CommandId)> {
        let mut orders = Vec::new();
        let mut faults = Vec::new();
        {
            let mut state = self.lock();
            for found in recovered {
                match state.find(seat, found) {
                    Ok(order) => orders.push((order, found.id.clone())),
                    Err(fault) => faults.push(fault),
                }
            }
            faults.extend(state.missing(seat));
        }
        let numbers: Vec<_> = orders.iter().map(|(order, _)| order.job.number).collect();
        self.trace.event(&format!("host {} finds {numbers:?}", seat.host));
        for (invariant, text) in faults {
            self.violation(invariant, text);
        }
        orders
    }
}

impl State {
    fn find(&mut self, seat: Seat, found: &Recovered) -> Result<Order, Fault> {
        let disk = self.hosts[seat.host].disk;
        let life = number_of(&found.label).and_then(|number| self.lives.get_mut(&number));
        let Some(life) = life.filter(|life| life.order.is_durable && life.sender.host == seat.host) else {
            return Err((Invariant::NoGhosts, format!("{found:?} is found, and nobody stored it")));
        };
        if life.id.as_ref().is_some_and(|id| *id != found.id) {
            return Err((Invariant::NothingTwice, format!("{found:?} was stored as another: {life:?}")));
        }
        if life.kept_on != disk {
            return Err((Invariant::NoGhosts, format!("{found:?} is found on another disk: {life:?}")));
        }
        if life.restored.as_ref().is_some_and(|restored| !restored.allows(found.outcome.as_ref())) {
            return Err((Invariant::OneOutcome, format!("{found:?} was otherwise in the backup: {life:?}")));
        }
        life.id = Some(found.id.clone());
        (life.sender, life.was_found, life.is_resuming) = (seat, true, true);
        self.marks.insert(if found.outcome.is_some() { Mark::OutcomeKept } else { Mark::Recovered });
        Ok(life.order.clone())
    }

    /// S1 and S6: what was said to be stored is there after every crash.
    fn missing(&self, seat: Seat) -> Vec<Fault> {
        let disk = self.hosts[seat.host].disk;
        let missing = self.lives.values().filter(|life| {
            let is_older = life.sender.host == seat.host && life.sender.boot < seat.boot;
            let is_stored = life.order.is_durable && life.id.is_some() && life.kept_on == disk;
            is_older && is_stored && life.outcome.is_none()
        });
        missing
            .map(|life| (Invariant::NothingLost, format!("a stored command is not found: {life:?}")))
            .collect()
    }
}

/// Returns which command a label is of.
pub(super) fn number_of(label: &[u8]) -> Option<u64> {
    label.try_into().ok().map(u64::from_le_bytes)
}
