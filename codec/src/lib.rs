//! Words and bytes of Runnel: no I/O, no clock.

mod class;
mod close_code;
mod error;
mod frame;
mod head;
mod hello;
mod id;
mod limits;
mod outcome;

pub use class::{Class, ClassMap};
pub use close_code::CloseCode;
pub use error::NameError;
pub use frame::{BodyEnd, BusyScope, ControlFrame, Part, StreamFrame, StreamKind};
pub use head::{COMMAND_NAME_BYTES_MAX, CommandName, Head, UpdatePolicy};
pub use hello::{GoAway, GoAwayReason, Hello, HelloAnswer, Settled};
pub use id::{CommandId, CommandKey, Epoch, FleetId, LinkNumber, NAME_BYTES_MAX, NodeId, Seq};
pub use limits::Limits;
pub use outcome::{
    Failure, FailureKind, MESSAGE_BYTES_MAX, Outcome, Rejection, RejectionKind, UnknownReason,
};
