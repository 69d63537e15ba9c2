//! What a node sends next, what it owes, and what must be stored: pure state machines.
//!
//! Nothing here reads a clock, draws from the system's randomness or touches sockets and files: `now` is an argument and
//! randomness comes from a seed. Whoever drives a queue keeps one rule: after each call it drains every `poll_*`, and
//! calls `handle_timeout` when `poll_timeout` says so.
//!
//! Start with [`SendQueue`] for what goes out and [`ReceiveQueue`] for what comes in.

// Unit tests may look at a clock; what they test may not.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[macro_use]
mod planted;

mod body_intake;
mod body_log;
mod boxes;
mod budget;
mod clock;
mod command_map;
mod config;
mod error;
mod journal;
mod new_epoch;
mod peers;
mod positions;
mod rate_limit;
mod receive_queue;
mod room;
mod scheduler;
mod send_queue;
mod settled;
mod store;
mod stream_log;

pub use budget::{Budget, BudgetConfig, LinkView};
pub use clock::ClockReading;
pub use command_map::CommandMap;
pub use config::SendQueueConfig;
pub use error::{Bound, KeyConflict, NotFound, ProtocolError, SubmitError};
pub use journal::{Batch, BatchId};
pub use new_epoch::{GivenUp, NewEpoch};
#[cfg(planted)]
pub use planted::PlantedBug;
pub use positions::Regressed;
pub use rate_limit::RateLimit;
pub use receive_queue::{
    Attachment, Delivery, DeliveryPart, Freed, ReceiveCounts, ReceiveQueue, ReceiveQueueConfig, Reply, Start,
    Stop, StopReason,
};
pub use room::Room;
pub use scheduler::SchedulerConfig;
pub use send_queue::{
    Durability, LinkUp, NewCommand, PeerCounts, Prepared, Presumed, SendCounts, SendEvent, SendQueue, Stage,
    Transmit, Waiting, WaitsFor,
};
pub use settled::SettledSet;
pub use store::{
    AcceptedRow, BlobName, Blobs, Change, CommandRow, DiskCall, FileBackend, Idempotency, MemoryStore,
    OutcomeRow, ProgressRow, ReceiverRow, RedbStore, Row, RowKey, RunRow, SenderRow, StorageBackend, Store,
    StoreConfig, StoreError, StoreRow, StoreSpace, StoredDeadline,
};
#[cfg(any(test, feature = "sim"))]
pub use store::{DiskBlobs, DiskFile, DiskImage, FaultyDisk, read_row, write_row};
