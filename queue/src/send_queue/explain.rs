//! What people ask about the send queue: how much is in it, and why a command waits.

use std::time::Instant;

use runnel_codec::{Class, ClassMap, CommandId};

use super::SendQueue;
use super::entry::Stage;

/// How many commands are in the send queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendCounts {
    /// Commands that are on no stream.
    pub queued: usize,
    /// Commands whose head is on a stream.
    pub in_flight: usize,
    /// Commands of each class, queued or in flight.
    pub classes: ClassMap<usize>,
}

/// What a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How far it has come.
    pub stage: Stage,
    /// Commands of its class to the same peer that go before it; `None` when it is not in line.
    pub position: Option<usize>,
    /// Its peer has a link.
    pub is_reachable: bool,
    /// When a receiver that answered `Busy` is asked again.
    pub busy_until: Option<Instant>,
    /// When it is sent again after the loss of its stream.
    pub resend_at: Option<Instant>,
}

impl SendQueue {
    /// Counts the commands in the queue.
    pub fn counts(&self) -> SendCounts {
        let stages = self.peers.values().flat_map(|peer| peer.entries.values()).map(|entry| entry.stage);
        let in_flight =
            stages.filter(|stage| matches!(stage, Stage::Sent | Stage::Accepted | Stage::Started)).count();
        let usages = self.total.everyone.classes;
        let classes = ClassMap::new(Class::ALL.map(|class| usages[class].commands));
        SendCounts { queued: self.len() - in_flight, in_flight, classes }
    }

    /// Returns what a command waits for; `None` when it has ended or was never here.
    pub fn explain(&self, id: &CommandId) -> Option<Waiting> {
        let peer = self.peers.get(&id.receiver)?;
        let entry = peer.entries.get(&id.key)?;
        let class = entry.command.class;
        Some(Waiting {
            stage: entry.stage,
            position: peer.lines[class].position(&id.key),
            is_reachable: peer.link.is_some(),
            busy_until: peer.paused_until.max(peer.class_paused_until[class]),
            resend_at: entry.resend_at,
        })
    }
}
