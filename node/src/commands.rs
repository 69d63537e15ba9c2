//! The commands that every worker understands.

mod exec;
mod system;

use crate::handler::Handlers;
use crate::process::Confinement;

pub use self::exec::{Exec, ExecArgs, ExecCause, ExecResult, ExecStatus, ExecUpdate};
pub use self::system::{Ping, SystemInfo, SystemInfoResult};

/// Registers the built-in commands of a worker.
pub fn register_built_ins(handlers: &mut Handlers, confinement: Confinement) {
    exec::register(handlers, confinement);
    system::register(handlers);
}
