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

/// What is in the queue, in all and of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usages {
    pub(super) all: Usage,
    pub(super) classes: ClassMap<Usage>,
}

/// From which share of the queue a command has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// The minimum that its peer always has. It counts in no bound on all peers, or the minimum shares of many peers
    /// would use up what is left for others.
    Own,
    /// What all peers have in common.
    Common,
}

/// What one peer has in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerUsage {
    own: Usages,
    common: Usages,
}

/// What all peers have in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TotalUsage {
    /// In all shares.
    pub(super) everyone: Usages,
    /// In the common share.
    common: Usages,
    /// In the common share, of peers without a link.
    unreachable: Usages,
}

impl Usage {
    fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Self) {
        self.commands -= other.commands;
        self.bytes -= other.bytes;
    }

    /// Returns whether one more command stays within a bound on commands.
    fn has_room(self, commands_max: usize) -> bool {
        self.commands < commands_max
    }

    /// Returns whether as many more bytes stay within a bound on bytes.
    fn has_room_for(self, bytes: u64, bytes_max: u64) -> bool {
        self.bytes.saturating_add(bytes) <= bytes_max
    }
}

impl Usages {
    fn add(&mut self, class: Class, usage: Usage) {
        self.all.add(usage);
        self.classes[class].add(usage);
    }

    fn remove(&mut self, class: Class, usage: Usage) {
        self.all.remove(usage);
        self.classes[class].remove(usage);
    }

    /// Returns what is below Urgent.
    fn below_urgent(&self) -> Usage {
        let mut usage = self.all;
        usage.remove(self.classes[Class::Urgent]);
        usage
    }
}

impl PeerUsage {
    fn all(&self) -> Usage {
        let mut usage = self.own.all;
        usage.add(self.common.all);
        usage
    }
}

impl TotalUsage {
    /// Counts a command of a peer that has a link or not.
    pub(super) fn add(
        &mut self,
        peer: &mut PeerUsage,
        is_reachable: bool,
        share: Share,
        class: Class,
        bytes: u64,
    ) {
        self.change(peer, is_reachable, share, |usages| usages.add(class, Usage { commands: 1, bytes }));
    }

    /// Counts a command no longer.
    pub(super) fn remove(
        &mut self,
        peer: &mut PeerUsage,
        is_reachable: bool,
        share: Share,
        class: Class,
        bytes: u64,
    ) {
        self.change(peer, is_reachable, share, |usages| usages.remove(class, Usage { commands: 1, bytes }));
    }

    /// A peer has lost its link.
    pub(super) fn add_unreachable(&mut self, peer: &PeerUsage) {
        peer.common.classes.iter().for_each(|(class, usage)| self.unreachable.add(class, *usage));
    }

    /// A peer has a link again.
    pub(super) fn remove_unreachable(&mut self, peer: &PeerUsage) {
        peer.common.classes.iter().for_each(|(class, usage)| self.unreachable.remove(class, *usage));
    }

    /// Changes all in which a command counts.
    fn change(
        &mut self,
        peer: &mut PeerUsage,
        is_reachable: bool,
        share: Share,
        change: impl Fn(&mut Usages),
    ) {
        change(&mut self.everyone);
        match share {
            Share::Own => change(&mut peer.own),
            Share::Common => {
                change(&mut peer.common);
                change(&mut self.common);
                if !is_reachable {
                    change(&mut self.unreachable);
                }
            }
        }
    }
}

/// Returns in which share one more command fits, or the bound that it would break.
pub(super) fn check(
    config: &SendQueueConfig,
    total: &TotalUsage,
    peer: &PeerUsage,
    is_reachable: bool,
    class: Class,
    bytes: u64,
) -> Result<Share, Bound> {
    if !peer.all().has_room(config.peer_commands_max) {
        return Err(Bound::PeerCommands);
    }
    if !peer.all().has_room_for(bytes, config.peer_bytes_max) {
        return Err(Bound::PeerBytes);
    }
    if is_within_minimum(config, &peer.own, class, bytes) {
        return Ok(Share::Own);
    }
    check_common(config, &total.common, class, bytes)?;
    if !is_reachable {
        check_unreachable(config, &total.unreachable, class, bytes)?;
    }
    Ok(Share::Common)
}

/// Every peer keeps a minimum share; half of it is for urgent commands alone.
fn is_within_minimum(config: &SendQueueConfig, own: &Usages, class: Class, bytes: u64) -> bool {
    let fits = |usage: Usage, commands_max, bytes_max| {
        usage.has_room(commands_max) && usage.has_room_for(bytes, bytes_max)
    };
    fits(own.all, config.peer_commands_min, config.peer_bytes_min)
        && (class == Class::Urgent
            || fits(own.below_urgent(), config.peer_commands_min / 2, config.peer_bytes_min / 2))
}

fn check_common(config: &SendQueueConfig, common: &Usages, class: Class, bytes: u64) -> Result<(), Bound> {
    let of_class = common.classes[class];
    if !common.all.has_room(config.commands_max) {
        Err(Bound::Commands)
    } else if !common.all.has_room_for(bytes, config.bytes_max) {
        Err(Bound::Bytes)
    } else if !of_class.has_room(config.class_commands_max) {
        Err(Bound::ClassCommands(class))
    } else if !of_class.has_room_for(bytes, config.class_bytes_max) {
        Err(Bound::ClassBytes(class))
    } else {
        Ok(())
    }
}

/// Peers without a link have a share of each bound together, so that what is left of it is for the others.
fn check_unreachable(
    config: &SendQueueConfig,
    unreachable: &Usages,
    class: Class,
    bytes: u64,
) -> Result<(), Bound> {
    let percent = config.unreachable_percent_max.min(100);
    let commands_max = |max: usize| max.saturating_mul(usize::from(percent)) / 100;
    let bytes_max = |max: u64| max.saturating_mul(u64::from(percent)) / 100;
    let of_class = unreachable.classes[class];
    if !unreachable.all.has_room(commands_max(config.commands_max)) {
        Err(Bound::UnreachableCommands)
    } else if !unreachable.all.has_room_for(bytes, bytes_max(config.bytes_max)) {
        Err(Bound::UnreachableBytes)
    } else if !of_class.has_room(commands_max(config.class_commands_max)) {
        Err(Bound::UnreachableClassCommands(class))
    } else if !of_class.has_room_for(bytes, bytes_max(config.class_bytes_max)) {
        Err(Bound::UnreachableClassBytes(class))
    } else {
        Ok(())
    }
}
