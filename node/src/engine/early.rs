//! Commands behind a hello that is not answered: the dialler presumes that its peer is what it was, and the acceptor says
//! whether it is.

use std::collections::BTreeSet;
use std::time::Instant;

use runnel_codec::{CloseCode, CommandKey, Epoch, Hello, NodeId, Reach};
use runnel_queue::{LinkUp, Presumed};
use runnel_transport::StreamId;

use super::Engine;
use super::link_set::{LinkEntry, LinkIndex, Phase, Up};

/// Which early heads of a dialler count. Decided with its first hello, for as long as the link lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlyHeads {
    /// All: its peer is what it expects.
    All,
    /// Those of commands that are numbered under this epoch: it expects nothing, and has heard which process this is.
    Of(Epoch),
    /// None: they are dropped.
    None,
}

impl EarlyHeads {
    /// Judges by what a hello expects of the process `boot` with this journal of the dialler's commands.
    pub(super) fn judge(hello: &Hello, boot: Epoch, receiver: Option<Epoch>) -> Self {
        let is_journal_met = receiver.is_none() || hello.expected_receiver == receiver;
        match hello.expected_boot {
            None => Self::Of(hello.boot),
            // A living process has forgotten nothing of what it was met with: no backup and no copy is to be looked for.
            Some(expected) if expected == boot && is_journal_met => Self::All,
            Some(_) => Self::None,
        }
    }

    /// Returns whether the early head of a command counts.
    pub(super) fn count(self, key: CommandKey) -> bool {
        match self {
            Self::All => true,
            Self::Of(epoch) => key.epoch == epoch,
            Self::None => false,
        }
    }
}

impl Engine {
    /// Our first hello on a link has been written: if the peer was met by this process, what is for it follows.
    pub(super) fn presume_up(&mut self, now: Instant, index: LinkIndex, node: &NodeId) {
        if let Some((met, receive_window)) = self.peers.get(node).and_then(|peer| peer.met.clone()) {
            self.presume(now, index, node, receive_window, (met, Presumed::Unchanged));
        }
    }

    /// The acceptor has said which process it is. If it is another than the one that was met, nothing that follows the hello
    /// can reach that one; if it was never met, what may be bound to it follows the hello.
    pub(super) fn handle_announced(&mut self, now: Instant, index: LinkIndex, boot: Epoch) {
        let Some(entry) = self.links.get(index).filter(|entry| entry.early.is_none()) else { return };
        let Phase::Greeting { proposed: Some(link), .. } = entry.phase else { return };
        let Some(node) = entry.dialled.clone() else { return };
        let met = self.peers.get(&node).and_then(|peer| peer.boot);
        if met.is_some_and(|met| met != boot) {
            return self.refuse_early(now, index);
        }
        if met.is_some() || self.send.journal_epoch(&node).is_some() || self.receive.store_of(&node).is_some()
        {
            return;
        }
        let limits = self.config.transport.limits();
        let up = LinkUp {
            link,
            boot,
            receiver: None,
            journaled: Reach::default(),
            commands: BTreeSet::new(),
            takes_batches: false,
            args_bytes_max: limits.args_bytes_max,
            payload_bytes_max: limits.payload_bytes_max,
        };
        // What may arrive there unread is not known: the smallest budget is for that.
        self.presume(now, index, &node, 0, (up, Presumed::Process));
    }

    /// Lets commands follow our hello, if nothing else links us to the peer.
    fn presume(
        &mut self,
        now: Instant,
        index: LinkIndex,
        node: &NodeId,
        receive_window: u64,
        (link, what): (LinkUp, Presumed),
    ) {
        let Some(peer) = self.peers.get_mut(node).filter(|peer| peer.link.is_none()) else { return };
        let Some(entry) = self.links.get_mut(index).filter(|_| self.send.owes(node)) else { return };
        let Phase::Greeting { proposed: Some(number), presumed } = &mut entry.phase else { return };
        let up = Up { peer: node.clone(), number: *number, receive_window, at: now, retry_after: None };
        (*presumed, peer.link) = (Some(up), Some(index));
        self.send.presume_link_up(node, link, what);
        self.give_room(index);
    }

    /// The answer shows that what followed our hello does not count. There are no other streams yet.
    pub(super) fn forget_early(&mut self, index: LinkIndex) {
        let Some(entry) = self.links.get_mut(index) else { return };
        let early: Vec<_> = entry.streams.keys().copied().collect();
        early.into_iter().for_each(|stream| entry.drop_early(stream));
        entry.streams.clear();
        entry.bodies.clear();
        entry.unanswered = 0;
    }

    /// Our hello was refused, or another is needed: what followed it does not count.
    pub(super) fn refuse_early(&mut self, now: Instant, index: LinkIndex) {
        let Some(entry) = self.links.get_mut(index) else { return };
        // Nothing more is presumed on this link.
        entry.early = Some(EarlyHeads::None);
        let Phase::Greeting { presumed, .. } = &mut entry.phase else { return };
        let Some(presumed) = presumed.take() else { return };
        self.send.handle_early_refused(now, &presumed.peer);
        if let Some(peer) = self.peers.get_mut(&presumed.peer) {
            peer.link = None;
        }
        self.forget_early(index);
    }
}

impl LinkEntry {
    /// Lets go of the stream of a head that does not count.
    pub(super) fn drop_early(&mut self, stream: StreamId) {
        self.link.reset(stream, CloseCode::Stopped);
        self.link.stop(stream, CloseCode::Stopped);
    }
}

#[cfg(test)]
mod tests {
    use runnel_codec::Seq;

    use super::super::fixtures::empty_hello;
    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch::from_random(number)
    }

    /// Judges the early heads of a dialler with boot epoch 1 and store 2 that expects these epochs, and returns whether
    /// those of either count.
    fn judge(expected: (Option<u64>, Option<u64>), (boot, receiver): (u64, Option<u64>)) -> [bool; 2] {
        let hello = Hello {
            store: Some(epoch(2)),
            expected_boot: expected.0.map(epoch),
            expected_receiver: expected.1.map(epoch),
            ..empty_hello()
        };
        let early = EarlyHeads::judge(&hello, epoch(boot), receiver.map(epoch));
        [1, 2].map(|number| early.count(CommandKey { epoch: epoch(number), seq: Seq::FIRST }))
    }

    #[test]
    fn early_heads_count_at_the_process_and_the_journal_that_were_met() {
        assert_eq!(judge((Some(5), Some(6)), (5, Some(6))), [true, true]);
        assert_eq!(judge((Some(5), None), (5, None)), [true, true], "durable ones are bound to the process");
        assert_eq!(judge((Some(5), Some(6)), (5, Some(7))), [false, false], "its commands were forgotten");
        assert_eq!(judge((Some(5), Some(6)), (8, Some(6))), [false, false], "another process, or a copy");
    }

    #[test]
    fn a_dialler_that_expects_nothing_binds_only_what_is_not_durable() {
        assert_eq!(judge((None, None), (5, Some(6))), [true, false]);
        assert_eq!(judge((None, Some(6)), (5, Some(6))), [true, false]);
    }
}
