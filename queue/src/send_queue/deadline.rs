//! Deadlines of commands that are sent.

use std::time::Duration;

use runnel_codec::Outcome;

use super::entry::Stage;
use super::words::SendEvent;
use super::{Alarm, LocalId, SendQueue};

impl SendQueue {
    /// The machine has slept, and the clock of `now` stood still meanwhile: deadlines have come nearer by as much.
    pub fn handle_slept(&mut self, slept: Duration) {
        for (peer, state) in self.peers.iter_mut() {
            for (key, entry) in state.entries.iter_mut() {
                let Some(at) = entry.deadline_at else { continue };
                // A clock that cannot count back so far leaves the deadline late, which is better than none.
                let earlier = at.checked_sub(slept).unwrap_or(at);
                entry.deadline_at = Some(earlier);
                let alarm = Alarm::Deadline(LocalId { peer, key });
                if self.alarms.remove(&(at, alarm)) {
                    self.alarms.insert((earlier, alarm));
                }
            }
        }
    }

    pub(super) fn handle_deadline(&mut self, id: LocalId) {
        let Some(entry) = self.entry_mut(id).filter(|entry| entry.stage != Stage::Ending) else {
            return;
        };
        if entry.is_here_alone() {
            return self.end(id, Outcome::Expired);
        }
        // The receiver decides; what is said here is no outcome.
        if !std::mem::replace(&mut entry.is_overdue, true) {
            self.tell_step(id, SendEvent::Overdue);
        }
    }
}
