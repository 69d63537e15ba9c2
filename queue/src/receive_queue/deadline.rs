//! Deadlines of commands that were received, and the time that a handler has to stop.

use std::time::{Duration, Instant};

use runnel_codec::{CommandKey, FailureKind, NodeId, Outcome};

use super::ReceiveQueue;
use super::command::State;
use super::words::{Stop, StopReason};
use crate::peers::LocalId;

impl ReceiveQueue {
    /// Looks at the time: deadlines, and handlers that do not stop.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.durable.handle_timeout(now);
        while let Some((_, id)) = self.alarms.first().filter(|(at, _)| *at <= now).copied() {
            self.alarms.pop_first();
            let Some(known) = self.known_mut(id) else { continue };
            match (&known.state, known.stop) {
                (State::Running, Some((reason, Some(until)))) if until <= now => {
                    let kind = match reason {
                        StopReason::Cancelled => FailureKind::Cancelled,
                        StopReason::DeadlineExceeded => FailureKind::DeadlineExceeded,
                    };
                    self.end(id, Outcome::failed(kind, "the handler did not stop in time"));
                }
                (State::Running, None) => self.stop(now, id, StopReason::DeadlineExceeded),
                (State::Running, Some(_)) => {}
                _ => self.call_off(id, Outcome::Expired),
            }
        }
    }

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

    /// A handler may take as long as this to stop once it is told to, if that is longer than others may; `stop_grace_max`
    /// bounds it. Said of a command that is stopping, it counts from now.
    pub fn handle_stop_grace(&mut self, now: Instant, from: &NodeId, key: CommandKey, grace: Duration) {
        let grace = grace.min(self.config.stop_grace_max);
        let Some(id) = self.local(from, key) else { return };
        let Some(known) = self.known_mut(id).filter(|known| known.state == State::Running) else { return };
        known.stop_grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        if let Some((_, until)) = &mut known.stop {
            *until = (*until).max(now.checked_add(grace));
            let until = *until;
            self.alarms.extend(until.map(|until| (until, id)));
        }
    }

    /// Tells a running command to stop; it has a time to do so.
    pub(super) fn stop(&mut self, now: Instant, id: LocalId, reason: StopReason) {
        let shortest = self.config.stop_grace;
        let Some(known) = self.known_mut(id).filter(|known| known.stop.is_none()) else { return };
        let until = now.checked_add(shortest.max(Duration::from_millis(known.stop_grace_ms.into())));
        known.stop = Some((reason, until));
        self.alarms.extend(until.map(|until| (until, id)));
        self.stops.push_back(Stop { from: self.senders.name(id.peer).clone(), key: id.key, reason });
    }
}
