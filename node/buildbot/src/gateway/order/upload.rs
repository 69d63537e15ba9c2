//! Files and folders on their way to the master.
//!
//! What travels over the fleet is windowed; blocks are acknowledged one by one only between here and the master.

use std::num::NonZeroUsize;

use bytes::BytesMut;
use runnel_client::Content;
use runnel_client::api::Outcome;
use serde_json::{Value, json};

use super::Order;
use super::folders::status_of;
use crate::gateway::fault::Fault;
use crate::gateway::node::{Body, Work};
use crate::gateway::report::Report;
use crate::ids::RemoteId;
use crate::worker::{Compression, MasterCall, Update, Upload, UploadFolder};

/// `uploadFile`. The master's object is closed even if nothing comes.
pub(super) async fn file(order: &Order, report: &mut Report, upload: &Upload) -> Result<i64, Fault> {
    let path = order.place.path(&upload.folder, &upload.path);
    report.push(Update::Header(format!("sending {path}\n")));
    let status = status_of(order, &path, true).await?.ok().filter(|status| status["kind"] == "file");
    let Some(status) = status else {
        report.push(Update::Stderr(format!("Cannot open file '{path}' for upload\n")));
        order.master.ask(upload.writer, MasterCall::Close).await?;
        return Ok(1);
    };
    let sent = send_file(order, upload, &path, &status).await;
    // The master keeps what has come once its object is closed; it has to be, whatever has happened.
    let closed = order.master.ask(upload.writer, MasterCall::Close).await;
    let code = code_of(report, sent?, &path, "Cannot open file", "for upload");
    closed?;
    if upload.keep_times && code == 0 {
        let (accessed_at, modified_at) = times_of(&status);
        order.master.ask(upload.writer, MasterCall::SetTimes { accessed_at, modified_at }).await?;
    }
    Ok(code)
}

/// `uploadDirectory`: the folder as one archive, which the master unpacks.
pub(super) async fn folder(order: &Order, report: &mut Report, upload: &UploadFolder) -> Result<i64, Fault> {
    let path = order.place.path(&upload.folder, &upload.path);
    report.push(Update::Header(format!("sending {path}\n")));
    if !status_of(order, &path, true).await?.is_ok_and(|status| status["kind"] == "folder") {
        report.push(Update::Stderr(format!("Cannot read directory '{path}' for upload: it is no folder\n")));
        return Ok(1);
    }
    let compress = match upload.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Bzip2 => "bzip2",
    };
    let mut blocks = Blocks::new(order, upload.writer, upload.block_bytes, upload.bytes_max);
    let sent = send(order, json!({ "path": path, "compress": compress }), &mut blocks).await?;
    let code = code_of(report, sent, &path, "Cannot read directory", "for upload");
    if code == 0 {
        order.master.ask(upload.writer, MasterCall::Unpack).await?;
    }
    Ok(code)
}

/// What became of a transfer.
#[derive(Debug)]
enum Sent {
    /// All of it, or not, for the reason in the outcome.
    Ended(Outcome),
    /// As much as the master wants.
    Cut,
}

/// Sends a file, from where it was again if its node's daemon was restarted meanwhile and the file has not changed.
async fn send_file(order: &Order, upload: &Upload, path: &str, status: &Value) -> Result<Sent, Fault> {
    let mut blocks = Blocks::new(order, upload.writer, upload.block_bytes, upload.bytes_max);
    for _ in 0..RESUMES_MAX {
        match send(order, json!({ "path": path }), &mut blocks).await {
            Err(Fault::Unknown(why)) => {
                let now = status_of(order, path, true).await?.ok();
                let is_same = |name: &str| now.as_ref().is_some_and(|now| now[name] == status[name]);
                if !["bytes", "modified_ms", "inode", "device"].into_iter().all(is_same) {
                    return Err(Fault::Unknown(why));
                }
                tracing::info!(node = order.node.name, path, bytes = blocks.passed, "an upload goes on");
                blocks.begin_again();
            }
            sent => return sent,
        }
    }
    send(order, json!({ "path": path }), &mut blocks).await
}

/// Brings what `fs.get` finds to the master.
async fn send(order: &Order, args: Value, blocks: &mut Blocks<'_>) -> Result<Sent, Fault> {
    let work = Work::transfer("fs.get/1", args, Body::None);
    let id = order.node.submit(&work).await?;
    let events = order.node.events(id.clone(), &order.halt);
    let copying = async {
        let copied = match order.node.client.content(&format!("/v1/commands/{id}/body")).await {
            Ok(content) => blocks.copy(content).await,
            // There is none: the outcome says why.
            Err(_) => Ok(Copied::BrokenOff),
        };
        if !matches!(copied, Ok(Copied::All | Copied::BrokenOff)) {
            // Nobody takes the rest.
            order.node.cancel(&id).await.ok();
        }
        copied
    };
    // Both at once: the outcome comes when all has been taken, and what is interrupted breaks off.
    let (outcome, copied) = tokio::join!(events.outcome(), copying);
    match copied? {
        Copied::Cut => Ok(Sent::Cut),
        Copied::All | Copied::BrokenOff => outcome.map(Sent::Ended),
    }
}

#[derive(Debug)]
enum Copied {
    All,
    Cut,
    BrokenOff,
}

/// A content on its way to an object of the master's, block by block.
struct Blocks<'a> {
    order: &'a Order,
    writer: RemoteId,
    block_bytes: usize,
    /// How much the master wants.
    bytes_max: u64,
    gathered: BytesMut,
    /// How much has gone to the master.
    passed: u64,
    /// How much of the content to come has gone there before.
    skipped: u64,
}

impl<'a> Blocks<'a> {
    fn new(order: &'a Order, writer: RemoteId, block_bytes: NonZeroUsize, bytes_max: Option<u64>) -> Self {
        let (block_bytes, bytes_max) = (block_bytes.get(), bytes_max.unwrap_or(u64::MAX));
        Self { order, writer, block_bytes, bytes_max, gathered: BytesMut::new(), passed: 0, skipped: 0 }
    }

    /// Expects the same content from its beginning.
    fn begin_again(&mut self) {
        self.gathered.clear();
        self.skipped = self.passed;
    }

    async fn copy(&mut self, mut content: Content) -> Result<Copied, Fault> {
        loop {
            let Ok(piece) = content.next().await else { return Ok(Copied::BrokenOff) };
            let Some(mut piece) = piece else { break };
            let skipped = usize::try_from(self.skipped).unwrap_or(usize::MAX).min(piece.len());
            self.skipped -= skipped as u64;
            self.gathered.extend_from_slice(&piece.split_off(skipped));
            while self.gathered.len() >= self.block_bytes {
                if self.pass().await? == Passed::Cut {
                    return Ok(Copied::Cut);
                }
            }
        }
        let last = self.pass().await?;
        Ok(if last == Passed::Cut { Copied::Cut } else { Copied::All })
    }

    /// Brings one block to the master, or as much of it as it wants.
    async fn pass(&mut self) -> Result<Passed, Fault> {
        let mut block = self.gathered.split_to(self.gathered.len().min(self.block_bytes));
        let wanted = usize::try_from(self.bytes_max - self.passed).unwrap_or(usize::MAX);
        let is_cut = block.len() > wanted;
        block.truncate(wanted);
        if !block.is_empty() {
            self.passed += block.len() as u64;
            self.order.master.ask(self.writer, MasterCall::Write(block.freeze())).await?;
        }
        Ok(if is_cut { Passed::Cut } else { Passed::Whole })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Whole,
    Cut,
}

fn code_of(report: &mut Report, sent: Sent, path: &str, cannot: &str, purpose: &str) -> i64 {
    match sent {
        Sent::Ended(outcome) if outcome.kind == "done" => 0,
        Sent::Ended(outcome) => {
            let why = outcome.message.unwrap_or(outcome.kind);
            report.push(Update::Stderr(format!("{cannot} '{path}' {purpose}: {why}\n")));
            1
        }
        Sent::Cut => {
            report.push(Update::Stderr(format!("Maximum filesize reached, truncating file '{path}'\n")));
            1
        }
    }
}

/// Returns when a file was read and changed last, in seconds since 1970.
fn times_of(status: &Value) -> (f64, f64) {
    let seconds = |name: &str| status[name].as_f64().unwrap_or_default() / 1000.0;
    (seconds("accessed_ms"), seconds("modified_ms"))
}

/// How often an upload goes on after its node has forgotten it.
const RESUMES_MAX: usize = 3;
