//! What benches of the queues alone bring to them.

use bytes::Bytes;
use runnel_codec::{Class, ClassMap, Command, Epoch, LinkNumber, NodeId, Reach, UpdatePolicy};
use runnel_queue::{LinkUp, NewCommand, Room};

use crate::commands::Echo;

/// Returns a first link to a receiver without a store.
#[must_use]
pub fn link_up() -> LinkUp {
    LinkUp {
        link: LinkNumber::FIRST,
        boot: Epoch::from_random(2),
        receiver: None,
        journaled: Reach::default(),
        commands: [Echo::name()].into(),
        args_bytes_max: 1024,
        payload_bytes_max: 1024,
    }
}

/// Returns the room of a link that takes all that is there.
#[must_use]
pub fn wide_room() -> Room {
    Room { places: 4096, budget: ClassMap::new([u64::MAX; Class::ALL.len()]), ..Room::default() }
}

/// Returns an echo of 64 bytes.
#[must_use]
pub fn echo_command(to: &NodeId, class: Class) -> NewCommand {
    NewCommand {
        to: to.clone(),
        class,
        name: Echo::name(),
        idempotent: false,
        args: Bytes::from_static(&[7; 64]),
        payload: Bytes::new(),
        updates: UpdatePolicy::Follow,
        deadline: None,
        has_body: false,
        body_repeats: false,
        body_held_bytes: 0,
        wants_result_body: false,
        durable: None,
    }
}
