//! Commands behind a hello that is not answered: the dialler presumes that its peer is what it was, and the acceptor says
//! whether it is.

use std::time::Instant;

use runnel_codec::{CloseCode, Epoch, Hello, LinkNumber, NodeId};
use runnel_transport::StreamId;

use super::Engine;
use super::link_set::{LinkEntry, LinkIndex, Phase, Up};

/// Whether the early heads of a dialler count. Decided with its first hello, for as long as the link lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlyHeads {
    /// Its peer is what it expects.
    Count,
    /// They are dropped.
    DoNotCount,
}

impl EarlyHeads {
    /// Judges by what a hello expects of the process `boot` with this journal of the dialler's commands.
    pub(super) fn judge(hello: &Hello, boot: Epoch, receiver: Option<Epoch>) -> Self {
        // A living process has forgotten nothing of what it was met with: no backup and no copy needs to be looked for.
        let is_met = hello.expected_boot == Some(boot);
        let is_journal_met = receiver.is_none() || hello.expected_receiver == receiver;
        if is_met && is_journal_met { Self::Count } else { Self::DoNotCount }
    }
}

impl Engine {
    /// Our first hello on a link has been written: if nothing else links us to the peer and it was met by this process,
    /// what is for it follows.
    pub(super) fn presume_up(&mut self, now: Instant, index: LinkIndex, node: &NodeId, number: LinkNumber) {
        let Some(peer) = self.peers.get_mut(node).filter(|peer| peer.link.is_none()) else { return };
        let Some((met, receive_window)) = peer.met.clone().filter(|_| self.send.owes(node)) else { return };
        let Some(entry) = self.links.get_mut(index) else { return };
        let Phase::Greeting { presumed, .. } = &mut entry.phase else { return };
        *presumed = Some(Up { peer: node.clone(), number, receive_window, at: now, retry_after: None });
        peer.link = Some(index);
        self.send.presume_link_up(node, met);
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
    use runnel_codec::Lineage;

    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch::from_random(number)
    }

    #[track_caller]
    fn check(expected: (u64, Option<u64>), (boot, receiver): (u64, Option<u64>), is: EarlyHeads) {
        let hello = Hello {
            fleet: "lab".parse().expect("a name"),
            link: LinkNumber::FIRST,
            boot: epoch(1),
            store: Some(epoch(2)),
            receiver: None,
            expected_boot: Some(epoch(expected.0)),
            expected_receiver: expected.1.map(epoch),
            lineage: Lineage::default(),
            sent: vec![],
            journaled: vec![],
            settled: vec![],
            commands: vec![],
            features: 0,
            receive_window: 0,
            args_bytes_max: 0,
            payload_bytes_max: 0,
        };
        assert_eq!(EarlyHeads::judge(&hello, epoch(boot), receiver.map(epoch)), is);
    }

    #[test]
    fn early_heads_count_at_the_process_and_the_journal_that_were_met() {
        check((5, Some(6)), (5, Some(6)), EarlyHeads::Count);
        // Without a store there, durable commands are bound to the process.
        check((5, None), (5, None), EarlyHeads::Count);
        // What it knew of this sender was forgotten.
        check((5, Some(6)), (5, Some(7)), EarlyHeads::DoNotCount);
        // Another process: perhaps one of a backup, or of a copy.
        check((5, Some(6)), (8, Some(6)), EarlyHeads::DoNotCount);
    }
}
