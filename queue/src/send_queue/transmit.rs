//! What leaves next: the scheduler's choice, bound to its receiver before its first byte, and pauses that receivers ask for.

use std::time::{Duration, Instant};

use rand::Rng;
use runnel_codec::{BusyScope, Class, CommandId, CommandKey, NodeId};

use super::early::may_bind;
use super::entry::Stage;
use super::notes::Note;
use super::peer::Next;
use super::words::{SendEvent, Transmit};
use super::{Alarm, SendQueue};

impl SendQueue {
    /// Returns what is to be written next.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(transmit) = self.control.pop_front() {
            return Some(transmit);
        }
        let urgent_places = self.config.urgent_places;
        loop {
            let peers = &self.peers;
            let next = |class, peer: &NodeId| peers.get(peer)?.next(class, urgent_places);
            let cost = |class, peer: &NodeId| next(class, peer).map(|(_, bytes)| bytes);
            let Some((class, node)) = self.scheduler.next(cost) else { break };
            if let Some(transmit) = self.send_next(now, class, &node) {
                return Some(transmit);
            }
        }
        self.poll_settled()
    }

    /// Returns what is settled towards a peer that does not know it yet.
    fn poll_settled(&mut self) -> Option<Transmit> {
        while let Some(node) = self.news.pop_first() {
            // Without a link it is said all over again once there is one.
            let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.link.is_some()) else { continue };
            let numberings = [(&mut peer.store, self.store), (&mut peer.boot, Some(self.boot))];
            for (numbering, epoch) in numberings {
                let Some(epoch) = epoch.filter(|_| std::mem::take(&mut numbering.is_news)) else { continue };
                let settled = numbering.settled.to_wire(epoch);
                self.news.insert(node.clone());
                return Some(Transmit::Settled { peer: node, settled });
            }
        }
        None
    }

    /// Sends what goes next of a class to a peer.
    fn send_next(&mut self, now: Instant, class: Class, node: &NodeId) -> Option<Transmit> {
        let peer = self.peers.get_mut(node)?;
        let (next, _) = peer.next(class, self.config.urgent_places)?;
        peer.sent(class, next);
        match next {
            Next::Open => self.open(now, class, node),
            Next::Body => self.write_body(class, node),
        }
    }

    /// Takes the first command of a line and makes what is to be written, or has it bound first.
    fn open(&mut self, now: Instant, class: Class, node: &NodeId) -> Option<Transmit> {
        let peer = self.peers.get_mut(node)?;
        let key = peer.lines[class].pop_front()?;
        let (link, entry) = (peer.link.as_ref()?, peer.entries.get_mut(key)?);
        entry.is_in_line = false;
        if entry.stage != Stage::Waiting || entry.resend_at.is_some() {
            return None;
        }
        // What may have been sent is asked for whatever the peer lists: it knows what became of it, or says that it never
        // will be run.
        let is_listed = peer.presumed.is_some() || entry.was_sent;
        if let (false, Err(outcome)) = (is_listed, link.check_understood(&entry.command)) {
            self.end(node, key, outcome);
            return None;
        }
        if !may_bind(peer.presumed, entry.is_durable()) {
            // Its turn comes again with the answer to the hello.
            return None;
        }
        let receiver = link.epoch(entry.is_durable());
        if entry.bound.is_none() {
            entry.binding = Some(receiver);
            entry.is_begun = true;
            let id = CommandId { sender: self.node.clone(), receiver: node.clone(), key };
            self.note(class, key, Note::Bound { id, receiver });
            return None;
        }
        let config = &self.config;
        let head = peer.credits.change(config, entry, |entry, left| entry.head(now, config, left));
        let payload = entry.command.payload.clone();
        let bytes = (head.args.len() + payload.len()) as u64;
        if peer.presumed.is_some() {
            entry.note_early();
        }
        entry.stage = Stage::Sent;
        entry.was_sent = true;
        entry.may_be_known = true;
        peer.use_room(class, bytes);
        self.events.push_back(SendEvent::Sent(self.id(node, key)));
        Some(Transmit::Open { peer: node.clone(), key, head, payload })
    }

    pub(super) fn handle_busy(
        &mut self,
        now: Instant,
        peer: &NodeId,
        key: CommandKey,
        scope: BusyScope,
        retry_after: Duration,
    ) {
        // Jitter, so that the senders of a busy receiver do not come back together.
        let pause =
            retry_after.clamp(BUSY_PAUSE_MIN, BUSY_PAUSE_MAX).mul_f64(self.random.random_range(1.0..1.5));
        let until = now + pause;
        let Some(state) = self.peers.get_mut(peer) else { return };
        let Some(entry) = state.entries.get_mut(key) else { return };
        entry.stage = Stage::Waiting;
        // A receiver never says it of what it knows, so should it lose its memory, nothing of this is lost.
        entry.may_be_known = false;
        state.credits.change(&self.config, entry, |entry, _| entry.forget_credit());
        let class = entry.command.class;
        match scope {
            BusyScope::Peer => state.paused_until = Some(until),
            BusyScope::Class => state.class_paused_until[class] = Some(until),
        }
        state.queue(key, true);
        self.set_alarm(until, Alarm::Pause(peer.clone()));
    }

    pub(super) fn handle_pause_over(&mut self, now: Instant, peer: &NodeId) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.paused_until = state.paused_until.filter(|until| *until > now);
        for class in Class::ALL {
            state.class_paused_until[class] = state.class_paused_until[class].filter(|until| *until > now);
            if !state.lines[class].is_empty() {
                self.scheduler.activate(class, peer);
            }
        }
    }
}

/// Each retry costs a stream, so even an impatient receiver is not asked more often.
const BUSY_PAUSE_MIN: Duration = Duration::from_millis(10);

/// A receiver that asks for more is asked again all the same: a wrong number must not silence a peer for good.
pub(super) const BUSY_PAUSE_MAX: Duration = Duration::from_secs(60);
