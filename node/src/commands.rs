//! The commands that every worker understands.

mod exec;
mod files;
mod system;

use std::sync::Arc;

use crate::handler::Handlers;
use crate::process::Confinement;

pub use self::exec::{Exec, ExecArgs, ExecCause, ExecResult, ExecStatus, ExecUpdate};
pub use self::files::{
    FileKind, FsDone, FsFound, FsGet, FsGetArgs, FsPut, FsPutArgs, TreeCount, count, pack, unpack,
};
pub use self::system::{Ping, SystemInfo, SystemInfoResult};

/// Registers the built-in commands of a worker.
pub fn register_built_ins(handlers: &mut Handlers, confinement: Confinement) {
    let confinement = Arc::new(confinement);
    exec::register(handlers, confinement.clone());
    files::register(handlers, &confinement);
    system::register(handlers);
}
