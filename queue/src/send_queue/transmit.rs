//! What leaves next: the scheduler's choice, bound to its receiver before its first byte, and pauses that receivers ask for.

use std::time::{Duration, Instant};

use rand::Rng;
use runnel_codec::{BusyScope, Class};

use super::early::may_bind;
use super::entry::Stage;
use super::notes::Note;
use super::peer::Next;
use super::words::{SendEvent, Transmit};
use super::{Alarm, LocalId, SendQueue};
use crate::peers::PeerIndex;

impl SendQueue {
    /// Returns what is to be written next.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(transmit) = self.control.pop_front() {
            return Some(transmit);
        }
        let urgent_places = self.config.urgent_places;
        loop {
            let peers = &self.peers;
            let next = |class, peer: PeerIndex| peers[peer].next(class, urgent_places);
            let cost = |class, peer: PeerIndex| next(class, peer).map(|(_, bytes)| bytes);
            let Some((class, peer)) = self.scheduler.next(cost) else { break };
            if let Some(transmit) = self.send_next(now, class, peer) {
                return Some(transmit);
            }
        }
        self.poll_batch().or_else(|| self.poll_settled())
    }

    /// Returns what is settled towards a peer that does not know it yet.
    fn poll_settled(&mut self) -> Option<Transmit> {
        while let Some(peer) = self.news.pop_front() {
            let state = &mut self.peers[peer];
            state.has_news = false;
            if state.link.is_none() {
                // It is said all over again once there is one.
                continue;
            }
            let numberings = [(&mut state.store, self.store), (&mut state.boot, Some(self.boot))];
            let said = numberings.into_iter().find_map(|(numbering, epoch)| {
                let epoch = epoch.filter(|_| std::mem::take(&mut numbering.is_news))?;
                Some(numbering.settled.to_wire(epoch))
            });
            if let Some(settled) = said {
                // There may be more.
                self.tell_news(peer);
                return Some(Transmit::Settled { peer: self.peers.name(peer).clone(), settled });
            }
        }
        None
    }

    /// Sends what goes next of a class to a peer.
    fn send_next(&mut self, now: Instant, class: Class, peer: PeerIndex) -> Option<Transmit> {
        let state = &mut self.peers[peer];
        let (next, _) = state.next(class, self.config.urgent_places)?;
        state.sent(class, next);
        match next {
            Next::Open => self.open(now, class, peer),
            Next::Body => self.write_body(class, peer),
        }
    }

    /// Takes the first command of a line and makes what is to be written, or has it bound first.
    fn open(&mut self, now: Instant, class: Class, peer: PeerIndex) -> Option<Transmit> {
        let state = &mut self.peers[peer];
        let key = state.lines[class].pop_front()?;
        let id = LocalId { peer, key };
        let (link, entry) = (state.link.as_ref()?, state.entries.get_mut(key)?);
        entry.is_in_line = false;
        if entry.stage != Stage::Waiting || entry.resend_at.is_some() {
            return None;
        }
        // What may have been sent is asked for whatever the peer lists: it knows what became of it, or says that it never
        // will be run.
        let is_listed = state.presumed.is_some() || entry.was_sent;
        if let (false, Err(outcome)) = (is_listed, link.check_understood(&entry.command)) {
            self.end(id, outcome);
            return None;
        }
        if !may_bind(state.presumed, entry.is_durable()) {
            // Its turn comes again with the answer to the hello.
            return None;
        }
        let receiver = link.epoch(entry.is_durable());
        if entry.bound.is_none() {
            entry.binding = Some(receiver);
            entry.is_begun = true;
            self.note(class, Note::Bound { id, receiver });
            return None;
        }
        let config = &self.config;
        let head = state.credits.change(config, entry, |entry, left| entry.head(key, now, config, left));
        let payload = entry.command.payload.clone();
        let bytes = (head.args.len() + payload.len()) as u64;
        if state.presumed.is_some() {
            entry.note_early();
        }
        entry.stage = Stage::Sent;
        entry.was_sent = true;
        entry.may_be_known = true;
        let is_batched = state.entries.get(key).is_some_and(|entry| state.may_batch(entry));
        state.use_budget(class, bytes);
        self.tell_step(id, SendEvent::Sent);
        if is_batched {
            return self.gather(peer, head);
        }
        let room = &mut self.peers[peer].room;
        room.places = room.places.saturating_sub(1);
        Some(Transmit::Open { peer: self.peers.name(peer).clone(), key, head, payload })
    }

    pub(super) fn handle_busy(&mut self, now: Instant, id: LocalId, scope: BusyScope, retry_after: Duration) {
        // Jitter, so that the senders of a busy receiver do not come back together.
        let pause =
            retry_after.clamp(BUSY_PAUSE_MIN, BUSY_PAUSE_MAX).mul_f64(self.random.random_range(1.0..1.5));
        let until = now + pause;
        let state = &mut self.peers[id.peer];
        let Some(entry) = state.entries.get_mut(id.key) else { return };
        entry.stage = Stage::Waiting;
        // A receiver never says it of what it knows, so should it lose its memory, nothing of this is lost.
        entry.may_be_known = false;
        state.credits.change(&self.config, entry, |entry, _| entry.forget_credit());
        let class = entry.command.class;
        match scope {
            BusyScope::Peer => state.paused_until = Some(until),
            BusyScope::Class => state.class_paused_until[class] = Some(until),
        }
        state.queue(id.key, true);
        self.set_alarm(until, Alarm::Pause(id.peer));
    }

    pub(super) fn handle_pause_over(&mut self, now: Instant, peer: PeerIndex) {
        let state = &mut self.peers[peer];
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
