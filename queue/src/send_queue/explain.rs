//! What people ask about the send queue: how much is in it, and why a command waits.

use std::time::Instant;

use runnel_codec::ClassMap;

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
