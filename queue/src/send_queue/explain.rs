//! What people ask about the send queue: how much is in it, and why a command waits.

use std::time::Instant;

use runnel_codec::{BusyScope, Class, ClassMap, CommandId, NodeId, UpdatePolicy};

use super::entry::{Entry, Stage};
use super::peer::Peer;
use super::{SendQueue, usage};
use crate::error::Bound;
use crate::peers::PeerIndex;
use crate::scheduler::WEIGHTS;

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

/// Where a command stands and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How far it has come.
    pub stage: Stage,
    /// What it waits for first of all.
    pub waits_for: WaitsFor,
    /// Commands of its class to the same peer that go before it; `None` when it is not in line.
    pub position: Option<usize>,
    /// About how many commands of all classes to all peers go before it, if none comes and all are of one size; `None`
    /// when it is not in line.
    pub ahead: Option<usize>,
    /// The bound that would refuse a caller one more command of its class to its peer.
    pub full: Option<Bound>,
    /// Its peer has a link.
    pub is_reachable: bool,
    /// Since when its peer has no link: see [`SendQueue::unreachable_since`].
    pub unreachable_since: Option<Instant>,
    /// When a receiver that answered `Busy` is asked again.
    pub busy_until: Option<Instant>,
    /// When it is sent again after the loss of its stream.
    pub resend_at: Option<Instant>,
    /// How many of its streams were lost since it was last answered.
    pub streams_lost: u32,
    /// How many links died after its head without an answer to it.
    pub links_died: u32,
    /// How many processes of its receiver may have run it and have lost their memory of it.
    pub runs_lost: u32,
    /// Its caller wants it cancelled, and its receiver has not said yet what became of it.
    pub is_cancelled: bool,
    /// Its deadline has passed, and nobody knows what became of it.
    pub is_overdue: bool,
    /// Bytes of its updates that have come and that nobody has taken.
    pub updates_held_bytes: u64,
}

/// What a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A record of it is on the way into this node's store.
    Store,
    /// Its peer has no link.
    Link,
    /// Somebody who releases or abandons it: one link after the other died after its head.
    Release,
    /// Its receiver answered `Busy`.
    Pause {
        /// Until then.
        until: Instant,
        /// Whom the receiver meant.
        scope: BusyScope,
    },
    /// The pause after the loss of its stream.
    Resend {
        /// Until then.
        at: Instant,
    },
    /// A stream place: its receiver lets no more be open, or leaves the last ones to urgent commands.
    Place {
        /// Places that are left to urgent commands.
        reserved: usize,
    },
    /// The budget: what is in flight on the link has not been taken off it by the peer.
    Budget,
    /// Its turn: others go first.
    Turn,
    /// A first answer from its receiver.
    Answer,
    /// Its turn, or a running place, at its receiver.
    Start,
    /// Its handler, which runs.
    Handler,
    /// Its caller, who has not taken its updates: they are held back, and so is its handler.
    Caller,
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

    /// Returns where a command stands and what it waits for; `None` when it has ended or was never here.
    pub fn explain(&self, id: &CommandId) -> Option<Waiting> {
        let to = self.peers.find(&id.receiver)?;
        let peer = &self.peers[to];
        let entry = peer.entries.get(id.key)?;
        let class = entry.command.class;
        let position = peer.lines[class].position(id.key);
        let is_reachable = peer.link.is_some();
        Some(Waiting {
            stage: entry.stage,
            waits_for: peer.waits_for(entry, self.config.urgent_places),
            position,
            ahead: position.map(|position| self.ahead(to, class, position)),
            full: usage::check(&self.config, &self.total, &peer.usage, is_reachable, class, 1).err(),
            is_reachable,
            unreachable_since: peer.unreachable_since,
            busy_until: peer.pause(class).map(|(until, _)| until),
            resend_at: entry.resend_at,
            streams_lost: entry.streams_lost,
            links_died: entry.links_died,
            runs_lost: entry.runs,
            is_cancelled: entry.is_cancelled,
            is_overdue: entry.is_overdue,
            updates_held_bytes: entry.update_bytes_received - entry.update_bytes_taken,
        })
    }

    /// Returns since when a peer has no link: the end of its last one, or the first command for it. `None` when it has a
    /// link, or nothing was ever for it.
    pub fn unreachable_since(&self, peer: &NodeId) -> Option<Instant> {
        self.peers.get(peer)?.unreachable_since
    }

    /// Counts the commands that go before one at this position of its line. Peers that can send nothing now are left
    /// out; of the others each has as many turns as this one, and each class as many as its weight says.
    fn ahead(&self, to: PeerIndex, class: Class, position: usize) -> usize {
        let others = |class: Class| {
            let lines = self.peers.iter().filter(move |(other, peer)| *other != to && peer.may_send(class));
            lines.map(move |(_, peer)| peer.lines[class].len())
        };
        let in_class = position + others(class).map(|len| len.min(position + 1)).sum::<usize>();
        let before = |other: Class| {
            let all = others(other).sum::<usize>() + self.peers[to].lines[other].len();
            match (other, class) {
                (Class::Urgent, _) => all,
                (_, Class::Urgent) => 0,
                _ => all.min((in_class + 1) * weight(other) / weight(class)),
            }
        };
        Class::ALL.iter().filter(|other| **other != class).map(|other| before(*other)).sum::<usize>()
            + in_class
    }
}

impl Peer {
    fn waits_for(&self, entry: &Entry, urgent_places: usize) -> WaitsFor {
        let class = entry.command.class;
        match entry.stage {
            Stage::Storing | Stage::Ending => WaitsFor::Store,
            _ if entry.is_held => WaitsFor::Release,
            _ if self.link.is_none() => WaitsFor::Link,
            Stage::Waiting if entry.binding.is_some() => WaitsFor::Store,
            Stage::Waiting => match (entry.resend_at, self.pause(class)) {
                (Some(at), _) => WaitsFor::Resend { at },
                (None, Some((until, scope))) => WaitsFor::Pause { until, scope },
                (None, None) => self.waits_for_room(entry, urgent_places),
            },
            Stage::Sent => WaitsFor::Answer,
            Stage::Accepted => WaitsFor::Start,
            Stage::Started if entry.holds_back_updates() => WaitsFor::Caller,
            Stage::Started => WaitsFor::Handler,
        }
    }

    fn waits_for_room(&self, entry: &Entry, urgent_places: usize) -> WaitsFor {
        let class = entry.command.class;
        let reserved = if class == Class::Urgent { 0 } else { urgent_places };
        if self.room.places <= reserved {
            WaitsFor::Place { reserved }
        } else if self.room.budget[class] == 0
            || (!entry.command.payload.is_empty() && self.room.budget[class.of_bulk_bytes()] == 0)
        {
            WaitsFor::Budget
        } else {
            WaitsFor::Turn
        }
    }

    /// Returns until when its receiver wants nothing of a class, and whom it meant. The later pause counts.
    fn pause(&self, class: Class) -> Option<(Instant, BusyScope)> {
        let of_peer = self.paused_until.map(|until| (until, BusyScope::Peer));
        let of_class = self.class_paused_until[class].map(|until| (until, BusyScope::Class));
        of_peer.into_iter().chain(of_class).max_by_key(|(until, _)| *until)
    }

    fn may_send(&self, class: Class) -> bool {
        self.link.is_some() && self.pause(class).is_none()
    }
}

impl Entry {
    /// Returns whether its receiver may write no more updates because those that came were not taken.
    fn holds_back_updates(&self) -> bool {
        let is_followed = self.command.updates != UpdatePolicy::Discard;
        is_followed && self.update_bytes_received > self.update_bytes_taken && self.has_used_credit()
    }
}

/// Returns how many turns a class has. Urgent is strict and has none to count.
fn weight(class: Class) -> usize {
    WEIGHTS
        .iter()
        .find(|(other, _)| *other == class)
        .map_or(1, |(_, weight)| usize::try_from(*weight).unwrap_or(1))
}
