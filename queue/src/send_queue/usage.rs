//! How full the send queue is, and whether one more command fits. Nobody fills the house.

use runnel_codec::{Class, ClassMap};

use crate::config::SendQueueConfig;
use crate::error::Bound;

/// Commands and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) commands: usize,
    pub(super) bytes: u64,
}

/// What one peer has in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerUsage {
    pub(super) all: Usage,
    pub(super) urgent: Usage,
}

/// What all peers have in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TotalUsage {
    pub(super) all: Usage,
    pub(super) classes: ClassMap<usize>,
    /// Of peers without a link.
    pub(super) unreachable: Usage,
}

impl Usage {
    pub(super) fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.bytes += other.bytes;
    }

    pub(super) fn remove(&mut self, other: Self) {
        self.commands -= other.commands;
        self.bytes -= other.bytes;
    }
}

/// Returns the bound that one more command would break.
pub(super) fn check(
    config: &SendQueueConfig,
    total: &TotalUsage,
    peer: &PeerUsage,
    is_reachable: bool,
    class: Class,
    bytes: u64,
) -> Result<(), Bound> {
    if peer.all.commands >= config.peer_commands_max {
        return Err(Bound::PeerCommands);
    }
    if peer.all.bytes + bytes > config.peer_bytes_max {
        return Err(Bound::PeerBytes);
    }
    if is_within_minimum(config, peer, class, bytes) {
        return Ok(());
    }
    if total.all.commands >= config.commands_max {
        return Err(Bound::Commands);
    }
    if total.all.bytes + bytes > config.bytes_max {
        return Err(Bound::Bytes);
    }
    if total.classes[class] >= config.class_commands_max {
        return Err(Bound::ClassCommands(class));
    }
    let percent = usize::from(config.unreachable_percent_max.min(100));
    if !is_reachable && total.unreachable.commands >= config.commands_max.saturating_mul(percent) / 100 {
        return Err(Bound::UnreachableCommands);
    }
    if !is_reachable
        && total.unreachable.bytes + bytes > config.bytes_max.saturating_mul(percent as u64) / 100
    {
        return Err(Bound::UnreachableBytes);
    }
    Ok(())
}

/// Every peer keeps a minimum share; half of it is for urgent commands alone.
fn is_within_minimum(config: &SendQueueConfig, peer: &PeerUsage, class: Class, bytes: u64) -> bool {
    if class == Class::Urgent {
        peer.all.commands < config.peer_commands_min && peer.all.bytes + bytes <= config.peer_bytes_min
    } else {
        let commands = peer.all.commands - peer.urgent.commands;
        let others_bytes = peer.all.bytes - peer.urgent.bytes;
        commands < config.peer_commands_min / 2 && others_bytes + bytes <= config.peer_bytes_min / 2
    }
}
