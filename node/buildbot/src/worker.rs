//! What a Buildbot 4.3 master and its workers ask of each other, as types.
//!
//! Over Perspective Broker, a master calls the worker's *mind* ([`MindCall`]) and, for each builder, an object that the mind has given it
//! ([`BuilderCall`]). A started [`Command`] names two or three objects of the master: the one that takes [`Update`]s
//! and the end, and for transfers a writer or a reader; [`MasterCall`] is what is asked of them. Whatever does not fit
//! is refused with a [`Refusal`], which the master shows as the step's exception. The commands and their updates are the
//! same over the other protocol, [`msgpack`](crate::msgpack).
//!
//! Paths are as the master says them: relative to the builder's folder, `~` and `..` included. Who carries a command
//! out joins and judges them.

mod arguments;
mod builder;
mod command;
mod files;
mod info;
mod master;
mod mind;
mod msgpack_names;
mod refusal;
mod shell;
mod transfer;
mod update;

pub use self::builder::{BuilderCall, MasterCommandId, Start};
pub use self::command::Command;
pub use self::files::{CopyFolder, RemoveFolders};
pub use self::info::WorkerInfo;
pub use self::master::{BlockError, MasterCall, block_of};
pub use self::mind::{BuilderName, MindCall};
pub use self::refusal::Refusal;
pub use self::shell::{Argument, EnvChange, LogFile, Program, Shell};
pub use self::transfer::{Compression, Download, Upload, UploadFolder};
pub use self::update::{FailureReason, FileStatus, Update};
