//! What happens to links: from the dial or the offer through the hello to the close.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use runnel_certs::PeerIdentity;
use runnel_codec::{
    CloseCode, CloseText, ControlFrame, Epoch, FEATURE_BATCHES, GoAway, Hello, HelloAnswer, LinkNumber,
    NodeId, Part, Reach,
};
use runnel_queue::{LinkUp, RateLimit};
use runnel_transport::{CloseReason, DialRequest, Link, LinkClosed, LinkEvent, Liveness, StreamMap};
use tracing::{debug, error, info, warn};

use super::Engine;
use super::early::EarlyHeads;
use super::link_set::{LinkEntry, LinkIndex, Phase, Up};
use super::refusal::{REGRESSED, Refusal, check_hello};
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

    /// The handshake is done, or our number was too low: the dialler says hello, unless there is no need any more.
    fn handle_connected(&mut self, now: Instant, index: LinkIndex) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let Some(node) = entry.dialled.clone() else { return };
        let identity = entry.link.peer().cloned();
        if !self.reconnect.is_dialling(&node) {
            // The peer dialled too and its link came up meanwhile: one more would only replace it.
            return self.close_link(index, CloseCode::Replaced, "a newer link is up");
        }
        let Some(proposed) = self.peers.entry(node.clone()).or_default().propose() else {
            return self.close_link(index, CloseCode::Internal, "link numbers are used up");
        };
        if identity.is_none_or(|identity| identity.node != node) {
            return self.close_link(
                index,
                CloseCode::BadIdentity,
                "another node than the dialled one answered",
            );
        }
        let hello = self.hello(&node, proposed, self.receive.store_of(&node));
        let Some(entry) = self.links.get_mut(index) else { return };
        let is_first = matches!(entry.phase, Phase::Greeting { proposed: None, .. });
        entry.phase = Phase::Greeting { proposed: Some(proposed), presumed: None };
        entry.link.send_control(&ControlFrame::Hello(Box::new(hello)));
        if is_first {
            self.presume_up(now, index, &node);
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

    /// The acceptor's side of the hello.
    fn handle_hello(&mut self, now: Instant, index: LinkIndex, hello: Hello) {
        let Some(identity) = self.links.get_mut(index).and_then(|entry| entry.link.peer().cloned()) else {
            return;
        };
        if let Err(refusal) = self.admit(now, &identity, &hello) {
            return self.close_link(index, refusal.code, refusal);
        }
        let peer = self.peers.entry(identity.node.clone()).or_default();
        let answer = match peer.accept(hello.link, &identity.node, self.identity.node()) {
            Ok(()) => HelloAnswer::Welcome(self.hello(&identity.node, hello.link, hello.store)),
            Err(highest) => HelloAnswer::TooLow { highest },
        };
        let (is_welcome, early) = match &answer {
            HelloAnswer::Welcome(ours) => (true, EarlyHeads::judge(&hello, self.boot, ours.receiver)),
            HelloAnswer::TooLow { .. } => (false, EarlyHeads::None),
        };
        if let Some(entry) = self.links.get_mut(index) {
            entry.early.get_or_insert(early);
            entry.link.send_control(&ControlFrame::HelloAnswer(Box::new(answer)));
        }
        if is_welcome {
            self.bring_up(now, index, &identity, hello);
        }
    }

    /// The dialler's side of the hello.
    fn handle_answer(&mut self, now: Instant, index: LinkIndex, answer: HelloAnswer) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let (Phase::Greeting { proposed: Some(proposed), .. }, Some(identity)) =
            (&entry.phase, entry.link.peer().cloned())
        else {
            return self.close_link(index, CloseCode::UnexpectedFrame, "an answer to no hello");
        };
        let proposed = *proposed;
        let peer = self.peers.entry(identity.node.clone()).or_default();
        match answer {
            HelloAnswer::TooLow { highest } => {
                peer.answered();
                peer.learn(highest);
                self.refuse_early(now, index);
                self.handle_connected(now, index);
            }
            // A link of a higher number came up while this answer was on its way.
            HelloAnswer::Welcome(_) if peer.highest() > Some(proposed) => {
                self.close_link(index, CloseCode::Replaced, "a newer link is up");
            }
            HelloAnswer::Welcome(hello) if hello.link == proposed => {
                peer.answered();
                if peer.boot.is_some_and(|boot| boot != hello.boot) {
                    self.refuse_early(now, index);
                }
                match self.admit(now, &identity, &hello) {
                    Ok(()) if !self.knew_journal(&identity.node, &hello) => {
                        self.close_link(index, CloseCode::Replaced, "it has a store again that was gone");
                    }
                    Ok(()) => self.bring_up(now, index, &identity, hello),
                    Err(refusal) => self.close_link(index, refusal.code, refusal),
                }
            }
            HelloAnswer::Welcome(_) => {
                self.close_link(index, CloseCode::UnexpectedFrame, "a welcome to another number");
            }
        }
    }

    /// Returns whether our hello named the journal of the peer's commands that counts. It could not if the peer has a store
    /// again that it had replaced: what that one has bound is gone here, and it must hear so before anything is sent.
    fn knew_journal(&mut self, peer: &NodeId, hello: &Hello) -> bool {
        let told = self.receive.receiver_epoch(peer, self.receive.store_of(peer));
        self.receive.handle_epochs(peer, hello.boot, hello.store);
        told == self.receive.receiver_epoch(peer, self.receive.store_of(peer))
    }

    /// Lets a peer in that says hello, whoever dialled.
    fn admit(&mut self, now: Instant, identity: &PeerIdentity, hello: &Hello) -> Result<(), Refusal> {
        check_hello(&self.identity, identity, hello, self.env.wall_clock())?;
        let node = &identity.node;
        let store = self.receive.check_store(node, hello.store, &hello.lineage, &hello.sent);
        let same = store.and(self.send.check_journaled(node, hello.receiver, &hello.journaled));
        if let Err(regressed) = same {
            error!(peer = %node, %regressed, "the peer's store is an older backup or a copy: see what it logs");
            return Err(REGRESSED);
        }
        let peer = self.peers.entry(node.clone()).or_default();
        Ok(peer.boots.admit(now, hello.boot)?)
    }

    /// The hello is answered: this link replaces any other to the same peer.
    fn bring_up(&mut self, now: Instant, index: LinkIndex, identity: &PeerIdentity, hello: Hello) {
        let node = identity.node.clone();
        let peer = self.peers.entry(node.clone()).or_default();
        peer.role = Some(identity.role);
        peer.boot = Some(hello.boot);
        let is_presumed = peer.link == Some(index);
        if let Some(older) = peer.link.replace(index).filter(|_| !is_presumed) {
            self.drop_queues_of(now, older);
            self.close_link(older, CloseCode::Replaced, "a newer link is up");
            if let Some(older) = self.links.get_mut(older) {
                older.phase = Phase::Replaced;
            }
        }
        let Some(entry) = self.links.get_mut(index) else { return };
        entry.phase = Phase::Up(Up {
            peer: node.clone(),
            number: hello.link,
            receive_window: hello.receive_window,
            at: now,
            retry_after: None,
        });
        info!(peer = %node, number = %hello.link, remote = ?entry.link.remote_address(), "link up");
        let change =
            LinkChange::Up { peer: node.clone(), number: hello.link, remote: entry.link.remote_address() };
        self.link_changes.tell(change);
        self.links_total += 1;
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.links_total += 1;
        }
        self.reconnect.handle_up(&node);
        self.paths.handle_link_up(now);
        self.receive.handle_link_up(&node, hello.link, hello.boot, hello.store, &hello.settled);
        self.receive.handle_process_met(&node, hello.lineage.newest());
        let up = LinkUp {
            link: hello.link,
            boot: hello.boot,
            receiver: hello.receiver,
            journaled: Reach {
                process: hello.lineage.processes(),
                position: hello.journaled.last().map_or(0, |reach| reach.position),
            },
            commands: hello.commands.into_iter().collect(),
            takes_batches: hello.features & FEATURE_BATCHES != 0,
            args_bytes_max: hello.args_bytes_max as usize,
            payload_bytes_max: hello.payload_bytes_max as usize,
        };
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.met = Some((up.clone(), hello.receive_window));
        }
        if !is_presumed {
            self.send.handle_link_up(&node, up);
        } else if !self.send.handle_link_answered(&node, up) {
            self.forget_early(index);
        }
        self.links.note_places(index);
        self.give_room(index);
        self.publish_status(now);
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

    /// Makes our hello to a peer, which has this store as far as is known.
    fn hello(&self, peer: &NodeId, link: LinkNumber, peer_store: Option<Epoch>) -> Hello {
        let limits = self.config.transport.limits();
        Hello {
            fleet: self.identity.fleet().clone(),
            link,
            boot: self.boot,
            store: self.send.store(),
            receiver: self.receive.receiver_epoch(peer, peer_store),
            expected_boot: self.peers.get(peer).and_then(|peer| peer.boot),
            expected_receiver: self.send.journal_epoch(peer),
            lineage: self.lineage.clone(),
            sent: self.send.sent_positions(peer),
            journaled: self.receive.journaled_positions(peer),
            settled: self.send.settled(peer),
            commands: self.dispatch.names().cloned().collect(),
            features: FEATURE_BATCHES,
            receive_window: self.config.transport.receive_window,
            args_bytes_max: u32::try_from(limits.args_bytes_max).unwrap_or(u32::MAX),
            payload_bytes_max: u32::try_from(limits.payload_bytes_max).unwrap_or(u32::MAX),
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
