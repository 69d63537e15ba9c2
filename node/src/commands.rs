//! The commands that every worker understands.

mod exec;
mod files;
mod folders;
mod system;

use std::sync::Arc;

use crate::handler::Handlers;
use crate::process::Confinement;
pub use crate::process::LogFile;
use crate::supervise::Supervision;

pub use self::exec::{EnvValue, Exec, ExecArgs, ExecCause, ExecConfig, ExecResult, ExecStatus, ExecUpdate};
pub use self::files::{
    Compression, FileKind, FsDone, FsFound, FsGet, FsGetArgs, FsPut, FsPutArgs, TreeCount, count, pack,
    unpack,
};
pub use self::folders::{
    FoldersConfig, FsCopy, FsCopyArgs, FsEntries, FsEntry, FsFoundPaths, FsGlob, FsGlobArgs, FsKind, FsList,
    FsListArgs, FsMade, FsMkdir, FsMkdirArgs, FsRemove, FsRemoveArgs, FsRemoved, FsStat, FsStatArgs,
    FsStatResult, os_error,
};
pub use self::system::{Ping, SystemInfo, SystemInfoResult};

/// Registers the built-in commands of a worker.
pub fn register_built_ins(handlers: &mut Handlers, confinement: Confinement) {
    let confinement = Arc::new(confinement);
    exec::register(handlers, confinement.clone(), ExecConfig::default());
    files::register(handlers, &confinement);
    folders::register(handlers, &confinement, FoldersConfig::default());
    system::register(handlers);
}

/// Has the commands about folders keep to these limits, in place of those of [`register_built_ins`].
pub fn register_folder_commands(handlers: &mut Handlers, confinement: Confinement, config: FoldersConfig) {
    folders::register(handlers, &Arc::new(confinement), config);
}

/// Has `exec` look after programs in this way, in place of that of [`register_built_ins`].
pub fn register_exec(handlers: &mut Handlers, confinement: Confinement, config: ExecConfig) {
    exec::register(handlers, Arc::new(confinement), config);
}

/// Has `exec` run each program under a supervisor, in place of the `exec` of [`register_built_ins`]: programs outlive this
/// process, and a node with a durable store goes on with them after a restart, a crash or an upgrade.
///
/// Programs that earlier processes left and that no command is going on with are ended when the node begins.
pub fn register_supervised_exec(
    handlers: &mut Handlers,
    confinement: Confinement,
    supervision: Supervision,
    config: ExecConfig,
) {
    exec::register_supervised(handlers, Arc::new(confinement), supervision, config);
}

/// Counts a time in nanoseconds, as far as they go: until the year 2262.
fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
