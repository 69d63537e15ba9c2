//! What a relay has done so far, as plain numbers.

use std::fmt;

/// One of the two directions through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client to the target.
    Up,
    /// From the target to a client.
    Down,
}

/// What a [`Relay`](super::Relay) has done since it was bound.
///
/// Packets that the system throws away before the relay has read them are in no count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    /// From the clients to the target.
    pub up: DirectionCounts,
    /// From the target to the clients.
    pub down: DirectionCounts,
    /// How often all clients were given new source ports.
    pub rebinds: u64,
    /// Blackouts that have begun, scheduled or commanded.
    pub blackouts: u64,
    /// Whether a blackout lasts now.
    pub is_dark: bool,
    /// Clients that have a port now.
    pub clients: usize,
    /// Packets of clients for which there was no place or no socket.
    pub refused: u64,
}

/// What has become of the packets of one direction.
///
/// A packet that came in is forwarded, lost, dropped, unsent or still on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionCounts {
    /// Packets that came out at the far end; a duplicated one counts once.
    pub forwarded: u64,
    /// Bytes of UDP payload in them.
    pub forwarded_bytes: u64,
    /// Packets lost behind the bottleneck.
    pub lost: u64,
    /// Packets for which a queue had no room: the one before the bottleneck, or the relay's own memory.
    pub queue_dropped: u64,
    /// Packets that entered during a blackout, or would have arrived in one.
    pub blackout_dropped: u64,
    /// Packets sent on the way twice.
    pub duplicated: u64,
    /// Packets held back so that later ones overtake them.
    pub reordered: u64,
    /// Packets at the end of their way that the system did not take, or whose client had given up its port.
    pub unsent: u64,
}

impl RelayCounts {
    /// Returns the counts of one direction.
    pub fn direction(&self, direction: Direction) -> &DirectionCounts {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    pub(super) fn direction_mut(&mut self, direction: Direction) -> &mut DirectionCounts {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}
