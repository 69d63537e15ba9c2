//! How full the receive queue is, and whether one more command fits. Nobody fills the house.

use runnel_codec::{BusyScope, Class};

use super::config::ReceiveQueueConfig;

/// Commands that have not ended, and the bytes of those that wait for their start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) commands: usize,
    pub(super) bytes: u64,
}

/// What one sender has in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SenderUsage {
    pub(super) all: Usage,
    pub(super) urgent: Usage,
}

impl Usage {
    /// Returns whether one more command fits below a bound.
    fn has_room(self, commands_max: usize, bytes_max: u64, bytes: u64) -> bool {
        self.commands < commands_max && self.bytes.saturating_add(bytes) <= bytes_max
    }
}

impl SenderUsage {
    pub(super) fn add_command(&mut self, class: Class, bytes: u64) {
        for usage in self.of_class(class) {
            usage.commands += 1;
            usage.bytes += bytes;
        }
    }

    pub(super) fn remove_command(&mut self, class: Class) {
        for usage in self.of_class(class) {
            usage.commands -= 1;
        }
    }

    pub(super) fn remove_bytes(&mut self, class: Class, bytes: u64) {
        for usage in self.of_class(class) {
            usage.bytes -= bytes;
        }
    }

    fn of_class(&mut self, class: Class) -> impl Iterator<Item = &mut Usage> {
        let urgent = (class == Class::Urgent).then_some(&mut self.urgent);
        std::iter::once(&mut self.all).chain(urgent)
    }
}

/// Checks whether one more command of a class fits, or says for whom the queue is full.
pub(super) fn check(
    config: &ReceiveQueueConfig,
    total: Usage,
    sender: SenderUsage,
    class: Class,
    bytes: u64,
) -> Result<(), BusyScope> {
    if fits(config, total, sender, class, bytes) {
        Ok(())
    } else if class != Class::Urgent && fits(config, total, sender, Class::Urgent, bytes) {
        Err(BusyScope::Class)
    } else {
        Err(BusyScope::Peer)
    }
}

fn fits(config: &ReceiveQueueConfig, total: Usage, sender: SenderUsage, class: Class, bytes: u64) -> bool {
    let commands_max = |max: usize| max - reserve(class, config.urgent_reserve, max / 2);
    let bytes_max = |max: u64| max - reserve(class, config.urgent_reserve_bytes, max / 2);
    let (sender_commands_max, sender_bytes_max) =
        (commands_max(config.sender_commands_max), bytes_max(config.sender_bytes_max));
    sender.all.has_room(sender_commands_max, sender_bytes_max, bytes)
        && (is_within_minimum(config, sender, class, bytes)
            || total.has_room(commands_max(config.commands_max), bytes_max(config.bytes_max), bytes))
}

/// Returns what a class has to leave to Urgent: never more than half of a bound, so that a small one serves all classes.
fn reserve<T: Ord + Default>(class: Class, configured: T, half: T) -> T {
    if class == Class::Urgent { T::default() } else { configured.min(half) }
}

/// Every sender keeps a minimum share; half of it is for urgent commands alone.
fn is_within_minimum(config: &ReceiveQueueConfig, sender: SenderUsage, class: Class, bytes: u64) -> bool {
    let (commands_min, bytes_min) = (config.sender_commands_min, config.sender_bytes_min);
    if class == Class::Urgent || !sender.all.has_room(commands_min, bytes_min, bytes) {
        return sender.all.has_room(commands_min, bytes_min, bytes);
    }
    let others = Usage {
        commands: sender.all.commands - sender.urgent.commands,
        bytes: sender.all.bytes - sender.urgent.bytes,
    };
    others.has_room(commands_min / 2, bytes_min / 2, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how many commands of 10 bytes fit for one sender, on top of `total`.
    fn taken(
        config: &ReceiveQueueConfig,
        total: &mut Usage,
        sender: &mut SenderUsage,
        class: Class,
    ) -> (usize, BusyScope) {
        for count in 0.. {
            if let Err(scope) = check(config, *total, *sender, class, 10) {
                return (count, scope);
            }
            sender.add_command(class, 10);
            total.commands += 1;
            total.bytes += 10;
        }
        unreachable!("every bound is finite")
    }

    fn config() -> ReceiveQueueConfig {
        ReceiveQueueConfig {
            commands_max: 20,
            urgent_reserve: 2,
            sender_commands_max: 10,
            sender_commands_min: 4,
            ..ReceiveQueueConfig::default()
        }
    }

    #[test]
    fn the_last_places_of_a_sender_are_for_urgent() {
        let (config, mut total, mut sender) = (config(), Usage::default(), SenderUsage::default());
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Bulk), (8, BusyScope::Class));
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Urgent), (2, BusyScope::Peer));
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Bulk), (0, BusyScope::Peer));
    }

    #[test]
    fn a_full_house_still_has_the_minimum_share_of_a_new_sender() {
        let (config, mut total) = (config(), Usage { commands: 20, bytes: 0 });
        let mut sender = SenderUsage::default();
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Normal), (2, BusyScope::Class));
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Urgent), (2, BusyScope::Peer));
    }

    #[test]
    fn a_minimum_share_that_urgent_has_used_up_is_not_exceeded_by_the_others() {
        let (config, mut total) = (config(), Usage { commands: 20, bytes: 0 });
        let mut sender = SenderUsage::default();
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Urgent), (4, BusyScope::Peer));
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Normal), (0, BusyScope::Peer));
    }

    #[test]
    fn bytes_are_bounded_like_commands() {
        let config = ReceiveQueueConfig {
            sender_bytes_max: 100,
            urgent_reserve_bytes: 30,
            sender_bytes_min: 0,
            ..ReceiveQueueConfig::default()
        };
        let (mut total, mut sender) = (Usage::default(), SenderUsage::default());
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Low), (7, BusyScope::Class));
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Urgent), (3, BusyScope::Peer));
    }

    #[test]
    fn a_reserve_above_the_bound_leaves_half_of_it_to_the_others() {
        let config = ReceiveQueueConfig {
            sender_commands_max: 4,
            urgent_reserve: 32,
            sender_commands_min: 0,
            ..ReceiveQueueConfig::default()
        };
        let (mut total, mut sender) = (Usage::default(), SenderUsage::default());
        assert_eq!(taken(&config, &mut total, &mut sender, Class::Normal), (2, BusyScope::Class));
    }
}
