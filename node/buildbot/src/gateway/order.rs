//! One command of the master, from its start to its end.

mod download;
mod fetch;
mod folders;
mod headers;
mod shell;
mod upload;

use std::sync::Arc;

use runnel_client::api::Outcome;
use tokio::time::Instant;

use super::fault::Fault;
use super::master::Master;
use super::node::{Halt, Node, Work};
use super::paths::Place;
use super::protocol::Abilities;
use super::report::{OutputLimits, Report};
use crate::ids::RemoteId;
use crate::worker::{Command, MasterCall, Update};

/// What a command has to do with.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) node: Arc<Node>,
    /// The local node keeps commands over its restarts.
    pub(super) has_store: bool,
    pub(super) master: Master,
    /// From where its paths count.
    pub(super) place: Place,
    /// The master's object that takes updates and the end.
    pub(super) sink: RemoteId,
    pub(super) halt: Halt,
    /// What the master can do.
    pub(super) abilities: Abilities,
    pub(super) output_limits: OutputLimits,
    pub(super) spool_bytes_max: u64,
}

/// Carries a command out. Whatever happens, the master hears of its end, once, or the session ends.
pub(super) async fn carry_out(order: Order, command: Command) {
    let started_at = Instant::now();
    let mut report = Report::new(order.master.clone(), order.sink, order.output_limits);
    let mut done = dispatch(&order, &mut report, &command).await;
    if let Ok(code) = done {
        report.push(Update::ReturnCode(code));
        report.push(Update::Elapsed(started_at.elapsed()));
    }
    // What was said before it went wrong belongs to the step too.
    if !matches!(done, Err(Fault::Lost))
        && let Err(fault) = report.flush().await
        && done.is_ok()
    {
        done = Err(fault);
    }
    end(&order, done).await;
    if let Some(remote) = objects_of(&command) {
        order.master.release(remote).await;
    }
    order.master.release(order.sink).await;
}

/// Tells the master of the end.
async fn end(order: &Order, done: Result<i64, Fault>) {
    let failure = match done {
        Ok(_) => None,
        Err(Fault::Failed(failure)) => Some(failure),
        Err(Fault::Lost) => return,
        Err(Fault::Unknown(why)) => return order.master.give_up(why).await,
    };
    if let Err(fault) = order.master.ask(order.sink, MasterCall::Complete(failure)).await {
        tracing::debug!(?fault, "the master does not take the end of a command");
    }
}

async fn dispatch(order: &Order, report: &mut Report, command: &Command) -> Result<i64, Fault> {
    match command {
        Command::Shell(shell) => shell::run(order, report, shell).await,
        Command::Upload(upload) => upload::file(order, report, upload).await,
        Command::UploadFolder(upload) => upload::folder(order, report, upload).await,
        Command::Download(download) => download::run(order, report, download).await,
        Command::MakeFolders { paths } => folders::make(order, report, paths).await,
        Command::RemoveFolders(remove) => folders::remove(order, report, remove).await,
        Command::CopyFolder(copy) => folders::copy(order, report, copy).await,
        Command::Stat { folder, path } => folders::stat(order, report, folder, path).await,
        Command::Glob { pattern } => folders::glob(order, report, pattern).await,
        Command::List { path } => folders::list(order, report, path).await,
        Command::RemoveFile { path } => folders::remove_file(order, report, path).await,
    }
}

/// Returns the master's objects that came with a command.
fn objects_of(command: &Command) -> Option<RemoteId> {
    match command {
        Command::Upload(upload) => Some(upload.writer),
        Command::UploadFolder(upload) => Some(upload.writer),
        Command::Download(download) => Some(download.reader),
        _ => None,
    }
}

/// How often a transfer goes on after its node has forgotten it, with its daemon's process.
const RESUMES_MAX: usize = 3;

impl Order {
    /// Does one thing on the node.
    async fn call(&self, work: &Work) -> Result<Outcome, Fault> {
        self.node.call(work, &self.halt).await
    }
}
