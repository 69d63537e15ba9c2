//! What happens to links: from the dial or the offer to the close. How they come up is in `hello`.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use runnel_codec::{CloseCode, CloseText, ControlFrame, GoAway, LinkNumber, NodeId, Part};
use runnel_queue::RateLimit;
use runnel_transport::{CloseReason, DialRequest, Link, LinkClosed, LinkEvent, Liveness, StreamMap};
use tracing::{debug, info, warn};

use super::Engine;
use super::link_set::{LinkEntry, LinkIndex, Phase};
use crate::link_changes::LinkChange;
use crate::status::LinkEnd;

impl Engine {
    /// Takes a lot of what links have to say: see [`LinkSet::lot`](super::link_set::LinkSet::lot).
    pub(super) fn poll_links(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let (mut taken, mut lot) = (0, 1);
        while taken < lot
            && let Poll::Ready((index, event)) = self.links.poll_event(cx)
        {
            let share = share_of_lot(&event);
            self.handle_link_event(now, index, event);
            if taken == 0 {
                lot = self.links.lot();
            }
            taken += share;
        }
        taken > 0
    }

    /// Takes links that others dial.
    pub(super) fn poll_incoming(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut is_busy = false;
        while !self.is_draining
            && let Poll::Ready(link) = self.endpoint.poll_accept(cx)
        {
            is_busy = true;
            let timeout = self.config.reconnect.attempt_timeout;
            self.add_link(now, link, None, timeout);
        }
        is_busy
    }

    /// Dials the peers whose turn it is.
    pub(super) fn dial_due(&mut self, now: Instant) {
        while !self.is_draining
            && let Some(dial) = self.reconnect.poll_dial(now)
        {
            let Some(peer) = self.peers.get(&dial.peer) else { continue };
            debug!(peer = %dial.peer, "dialling");
            let request = DialRequest { peer: dial.peer.clone(), addresses: peer.addresses.clone() };
            let link = self.endpoint.dial(request);
            self.add_link(now, link, Some(dial.peer), dial.timeout);
        }
    }

    fn add_link(&mut self, now: Instant, link: Link, dialled: Option<NodeId>, timeout: Duration) {
        self.links.insert(LinkEntry {
            link,
            phase: Phase::Greeting { proposed: None, presumed: None },
            streams: StreamMap::default(),
            bodies: BTreeMap::new(),
            unanswered: 0,
            answered: 0,
            is_room_noted: false,
            is_places_noted: false,
            timeout_at: None,
            is_touched: false,
            deadline_at: Some(now + timeout),
            early: None,
            dialled,
            liveness: Liveness::new(self.config.liveness.clone(), now),
            was_suspect: false,
            bulk_rate: RateLimit::new(self.config.budget.bulk_rate_max, now),
        });
    }

    fn handle_link_event(&mut self, now: Instant, index: LinkIndex, event: LinkEvent) {
        match event {
            LinkEvent::Connected => self.handle_connected(now, index),
            LinkEvent::Announced(boot) => self.handle_announced(now, index, boot),
            LinkEvent::Control(frame) => self.handle_control(now, index, frame),
            LinkEvent::Head { stream, head, payload } => self.handle_head(now, index, stream, head, payload),
            LinkEvent::Messages { stream, heads } => self.handle_messages(now, index, stream, heads),
            LinkEvent::Frame { stream, frame } => self.handle_frame(now, index, stream, frame),
            LinkEvent::Finished { stream } => self.handle_stream_end(now, index, stream, true),
            LinkEvent::Lost { stream, .. } => self.handle_stream_end(now, index, stream, false),
            LinkEvent::Places | LinkEvent::Budget => self.give_room(index),
            LinkEvent::Closed(closed) => self.handle_closed(now, index, &closed),
            _ => {}
        }
    }

    fn handle_control(&mut self, now: Instant, index: LinkIndex, frame: ControlFrame) {
        match frame {
            ControlFrame::Hello(hello) => self.handle_hello(now, index, *hello),
            ControlFrame::HelloAnswer(answer) => self.handle_answer(now, index, *answer),
            frame => {
                let Some(peer) = self.peer_of(index) else {
                    if self.links.get(index).is_some_and(|entry| entry.early.is_some()) {
                        // It followed a hello that was answered with TooLow, and is said again.
                        return;
                    }
                    return self.close_link(index, CloseCode::UnexpectedFrame, "a frame before the hello");
                };
                self.handle_peer_control(now, index, &peer, frame);
            }
        }
    }

    fn handle_peer_control(&mut self, now: Instant, index: LinkIndex, peer: &NodeId, frame: ControlFrame) {
        match frame {
            ControlFrame::Cancel(key) => self.receive.handle_cancel(now, peer, key),
            ControlFrame::Settled(settled) => self.receive.handle_settled(peer, &settled),
            ControlFrame::Credit { key, part: Part::Body, offset } => {
                if let Err(error) = self.send.handle_credit(peer, key, Part::Body, offset) {
                    self.close_link(index, error.close_code(), error.to_string());
                }
            }
            ControlFrame::Credit { key, part, offset } => self.receive.handle_credit(peer, key, part, offset),
            ControlFrame::Received { key, updates, result_body } => {
                self.receive.handle_received(peer, key, updates, result_body);
            }
            ControlFrame::GoAway(go_away) => self.handle_go_away(index, go_away),
            ControlFrame::Heartbeat => self.handle_heartbeat(now, index),
            ControlFrame::Reached(reached) => self.handle_reached(now, index, peer, &reached),
            ControlFrame::Ended { key, last } => self.handle_last_word(now, index, peer, key, last),
            _ => {}
        }
    }

    /// On an idle link this is all that comes: it is heard when it comes, not when the link is next looked at.
    fn handle_heartbeat(&mut self, now: Instant, index: LinkIndex) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let frames = entry.link.stats().frames_received;
        entry.liveness.handle_frames_received(now, frames);
    }

    /// The peer wants nothing new on this link: what is not sent waits for the next one.
    fn handle_go_away(&mut self, index: LinkIndex, go_away: GoAway) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let Phase::Up(up) = &mut entry.phase else { return };
        info!(peer = %up.peer, reason = ?go_away.reason, retry_after = ?go_away.retry_after, "the peer goes away");
        up.retry_after = Some(go_away.retry_after);
        // Who says GoAway closes once it knows that it was heard.
        entry.link.send_control(&ControlFrame::Heartbeat);
        self.give_room(index);
    }

    fn handle_closed(&mut self, now: Instant, index: LinkIndex, closed: &LinkClosed) {
        self.drop_queues_of(now, index);
        let Some(entry) = self.links.remove(index) else { return };
        let reason = &closed.reason;
        match entry.phase {
            Phase::Up(up) => {
                info!(peer = %up.peer, number = %up.number, %reason, "link down");
                let peer = self.peers.entry(up.peer.clone()).or_default();
                (peer.link, peer.down_at) = (None, Some(now));
                self.note_end(now, &up.peer, Some(up.number), reason);
                self.reconnect.handle_down(now, &up.peer, closed.was_answered());
                if let Some(retry_after) = closed.retry_after().max(up.retry_after) {
                    self.reconnect.handle_retry_after(now, &up.peer, retry_after);
                }
            }
            Phase::Replaced => debug!(%reason, "replaced link closed"),
            Phase::Greeting { presumed, .. } => match entry.dialled {
                Some(peer) => {
                    if presumed.is_some() {
                        self.peers.entry(peer.clone()).or_default().link = None;
                    }
                    warn!(%peer, %reason, "no link");
                    self.note_end(now, &peer, None, reason);
                    self.reconnect.handle_failed(now, &peer, closed.was_answered());
                    if let Some(retry_after) = closed.retry_after() {
                        self.reconnect.handle_retry_after(now, &peer, retry_after);
                    }
                }
                None => warn!(remote = ?entry.link.remote_address(), %reason, "no link"),
            },
        }
        self.publish_status(now);
    }

    /// Remembers how a link or an attempt ended, for those who ask.
    fn note_end(&mut self, now: Instant, peer: &NodeId, number: Option<LinkNumber>, reason: &CloseReason) {
        let end = LinkEnd { peer: peer.clone(), number, at: now, reason: reason.clone() };
        let (peer_name, reason) = (peer.clone(), reason.clone());
        let change = match number {
            Some(number) => LinkChange::Down { peer: peer_name, number, reason },
            None => LinkChange::Failed { peer: peer_name, reason },
        };
        self.link_changes.tell(change);
        self.peers.entry(peer.clone()).or_default().end = Some(end);
    }

    /// Tells the queues that a link that was up is gone.
    pub(super) fn drop_queues_of(&mut self, now: Instant, index: LinkIndex) {
        let Some(up) = self.links.get_mut(index).and_then(|entry| entry.writable()) else { return };
        let (peer, number) = (up.peer.clone(), up.number);
        self.send.handle_link_down(now, &peer);
        self.receive.handle_link_down(&peer, number);
    }

    /// Closes a link. Its last event is still to come.
    pub(super) fn close_link(&mut self, index: LinkIndex, code: CloseCode, why: impl Into<CloseText>) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let why = why.into();
        if code != CloseCode::Replaced {
            let retry_after = why.retry_after;
            warn!(remote = ?entry.link.remote_address(), %code, why = why.text, ?retry_after, "closing a link");
        }
        entry.link.close(code, why);
        entry.deadline_at = None;
        self.links.touch(index);
    }

    /// Sends heartbeats, looks for silent links, and ends attempts whose time is up.
    pub(super) fn handle_link_timeouts(&mut self, now: Instant) {
        while let Some(index) = self.links.poll_due(now) {
            let Some(entry) = self.links.get_mut(index) else { continue };
            match &entry.phase {
                Phase::Greeting { .. } => {
                    if let Some(peer) = entry.dialled.as_ref().and_then(|node| self.peers.get_mut(node)) {
                        peer.answered();
                    }
                    self.close_link(index, CloseCode::HelloTimeout, "the hello did not come in time");
                }
                Phase::Up(up) => {
                    let peer = up.peer.clone();
                    self.watch_link(now, index, &peer);
                    self.look_at_rate(now, index);
                }
                Phase::Replaced => {}
            }
        }
    }

    fn watch_link(&mut self, now: Instant, index: LinkIndex, peer: &NodeId) {
        let is_owed = self.send.owes(peer) || self.receive.owes(peer);
        let Some(entry) = self.links.get_mut(index) else { return };
        let frames = entry.link.stats().frames_received;
        entry.liveness.handle_owed(now, is_owed);
        entry.liveness.handle_frames_received(now, frames);
        entry.liveness.handle_timeout(now);
        if entry.liveness.poll_heartbeat() {
            match entry.liveness.is_probing(now) {
                true => entry.link.send_probe(),
                false => entry.link.send_control(&ControlFrame::Heartbeat),
            }
        }
        let is_suspect = entry.liveness.is_suspect();
        if let Some(number) = entry.note_suspicion(is_suspect) {
            let peer = peer.clone();
            let change = if is_suspect {
                LinkChange::Suspect { peer, number }
            } else {
                LinkChange::Trusted { peer, number }
            };
            self.link_changes.tell(change);
        }
        if is_suspect {
            self.reconnect.handle_suspect(now, peer);
        } else {
            self.reconnect.handle_trusted(peer);
        }
    }

    /// Gives room again on a link that is kept to a rate.
    fn look_at_rate(&mut self, now: Instant, index: LinkIndex) {
        let limit = self.links.get_mut(index).and_then(|entry| entry.bulk_rate.as_mut());
        if limit.is_some_and(|limit| limit.handle_timeout(now)) {
            self.give_room(index);
        }
    }

    /// Returns the peer of a link that is up.
    pub(super) fn peer_of(&mut self, index: LinkIndex) -> Option<NodeId> {
        self.links.get_mut(index)?.up().map(|up| up.peer.clone())
    }
}

/// Returns how many events of a lot one counts for: messages that came together are many, and cost less each.
fn share_of_lot(event: &LinkEvent) -> usize {
    match event {
        LinkEvent::Messages { heads, .. } => heads.len().div_ceil(MESSAGES_PER_EVENT),
        _ => 1,
    }
}

/// Messages that count as one event of a turn.
const MESSAGES_PER_EVENT: usize = 8;
