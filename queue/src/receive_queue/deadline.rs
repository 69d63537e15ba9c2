//! Deadlines of commands that were received, when the machine sleeps.

use std::time::Duration;

use super::ReceiveQueue;
use super::command::State;
use crate::peers::LocalId;

impl ReceiveQueue {
    /// The machine has slept, and the clock of `now` stood still meanwhile: deadlines have come nearer by as much. The
    /// time that handlers have to stop has not: they slept too.
    pub fn handle_slept(&mut self, slept: Duration) {
        self.alarms.clear();
        for (peer, sender) in self.senders.iter_mut() {
            for (key, known) in sender.known.iter_mut() {
                if matches!(known.state, State::Ended(_)) {
                    continue;
                }
                if let Some(deadline_at) =
                    known.accepted.as_mut().and_then(|accepted| accepted.deadline_at.as_mut())
                {
                    // A clock that cannot count back so far leaves the deadline late, which is better than none.
                    *deadline_at = deadline_at.checked_sub(slept).unwrap_or(*deadline_at);
                }
                self.alarms.extend(known.alarms().map(|at| (at, LocalId { peer, key })));
            }
        }
    }
}
