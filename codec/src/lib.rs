//! Words and bytes of Runnel: no I/O, no clock.

mod class;
mod error;
mod id;

pub use class::{Class, ClassMap};
pub use error::NameError;
pub use id::{CommandId, CommandKey, Epoch, FleetId, LinkNumber, NAME_BYTES_MAX, NodeId, Seq};
