//! The hello: how a link whose handshake is done comes up.
//!
//! The dialler says hello with a number, the acceptor welcomes it or names a higher one. Both sides let in only whom their
//! rules and their stores allow.

use std::time::Instant;

use runnel_certs::PeerIdentity;
use runnel_codec::{
    CloseCode, ControlFrame, Epoch, FEATURE_BATCHES, Hello, HelloAnswer, LinkNumber, NodeId, Reach,
};
use runnel_queue::LinkUp;
use tracing::{error, info};

use super::Engine;
use super::early::EarlyHeads;
use super::link_set::{LinkIndex, Phase, Up};
use super::refusal::{REGRESSED, Refusal, check_hello};
use crate::link_changes::LinkChange;

impl Engine {
    /// The handshake is done, or our number was too low: the dialler says hello, unless there is no need any more.
    pub(super) fn handle_connected(&mut self, now: Instant, index: LinkIndex) {
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

    /// The acceptor's side of the hello.
    pub(super) fn handle_hello(&mut self, now: Instant, index: LinkIndex, hello: Hello) {
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
    pub(super) fn handle_answer(&mut self, now: Instant, index: LinkIndex, answer: HelloAnswer) {
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
        let is_presumed = self.replace_older(now, index, &node);
        let Some(entry) = self.links.get_mut(index) else { return };
        entry.phase = Phase::Up(Up {
            peer: node.clone(),
            number: hello.link,
            receive_window: hello.receive_window,
            at: now,
            retry_after: None,
        });
        self.tell_up(index, &node, hello.link);
        self.reconnect.handle_up(&node);
        self.paths.handle_link_up(now);
        self.receive.handle_link_up(&node, hello.link, hello.boot, hello.store, &hello.settled);
        self.receive.handle_process_met(&node, hello.lineage.newest());
        let receive_window = hello.receive_window;
        let up = link_up(hello);
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.met = Some((up.clone(), receive_window));
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

    /// Makes a link the one to its peer and closes the older one. Returns whether it was presumed up already.
    fn replace_older(&mut self, now: Instant, index: LinkIndex, node: &NodeId) -> bool {
        let peer = self.peers.entry(node.clone()).or_default();
        let is_presumed = peer.link == Some(index);
        if let Some(older) = peer.link.replace(index).filter(|_| !is_presumed) {
            self.drop_queues_of(now, older);
            self.close_link(older, CloseCode::Replaced, "a newer link is up");
            if let Some(older) = self.links.get_mut(older) {
                older.phase = Phase::Replaced;
            }
        }
        is_presumed
    }

    fn tell_up(&mut self, index: LinkIndex, node: &NodeId, number: LinkNumber) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let remote = entry.link.remote_address();
        info!(peer = %node, %number, ?remote, "link up");
        self.link_changes.tell(LinkChange::Up { peer: node.clone(), number, remote });
        self.links_total += 1;
        if let Some(peer) = self.peers.get_mut(node) {
            peer.links_total += 1;
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
}

/// Returns what the send queue learns from a peer's hello.
fn link_up(hello: Hello) -> LinkUp {
    LinkUp {
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
    }
}
