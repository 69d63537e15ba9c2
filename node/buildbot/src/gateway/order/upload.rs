//! Files and folders on their way to the master.
//!
//! What travels over the fleet is windowed; blocks are acknowledged one by one only between here and the master.

use std::num::NonZeroUsize;

use bytes::{Bytes, BytesMut};
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
    let times = match status_of(order, &path, true).await? {
        Ok(status) if status["kind"] == "file" => Some(times_of(&status)),
        Ok(_) | Err(_) => None,
    };
    let Some((accessed_at, modified_at)) = times else {
        report.push(Update::Stderr(format!("Cannot open file '{path}' for upload\n")));
        order.master.ask(upload.writer, MasterCall::Close).await?;
        return Ok(1);
    };
    let limits = Limits { block_bytes: upload.block_bytes, bytes_max: upload.bytes_max };
    let sent = send(order, upload.writer, json!({ "path": path }), limits).await;
    // The master keeps what has come once its object is closed; it has to be, whatever has happened.
    let closed = order.master.ask(upload.writer, MasterCall::Close).await;
    let code = code_of(report, sent?, &path, "Cannot open file", "for upload");
    closed?;
    if upload.keep_times && code == 0 {
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
    let limits = Limits { block_bytes: upload.block_bytes, bytes_max: upload.bytes_max };
    let sent = send(order, upload.writer, json!({ "path": path, "compress": compress }), limits).await?;
    let code = code_of(report, sent, &path, "Cannot read directory", "for upload");
    if code == 0 {
        order.master.ask(upload.writer, MasterCall::Unpack).await?;
    }
    Ok(code)
}

/// How much is sent, and in which pieces.
#[derive(Clone, Copy, Debug)]
struct Limits {
    block_bytes: NonZeroUsize,
    bytes_max: Option<u64>,
}

/// What became of a transfer.
#[derive(Debug)]
enum Sent {
    /// All of it, or not, for the reason in the outcome.
    Ended(Outcome),
    /// As much as the master wants.
    Cut,
}

/// Brings what `fs.get` finds to an object of the master's.
async fn send(order: &Order, writer: RemoteId, args: Value, limits: Limits) -> Result<Sent, Fault> {
    let work = Work::transfer("fs.get/1", args, Body::None);
    let id = order.node.submit(&work).await?;
    let events = order.node.events(id.clone(), &order.halt);
    let copying = async {
        let content = order.node.client.content(&format!("/v1/commands/{id}/body")).await;
        match content {
            Ok(content) => copy(order, writer, content, limits).await,
            // There is none: the outcome says why.
            Err(_) => Ok(Copied::BrokenOff),
        }
    };
    // Both at once: the outcome comes when all has been taken, and what is interrupted breaks off.
    let (outcome, copied) = tokio::join!(events.outcome(), async {
        let copied = copying.await;
        if !matches!(copied, Ok(Copied::All | Copied::BrokenOff)) {
            // Nobody takes the rest.
            order.node.cancel(&id).await.ok();
        }
        copied
    });
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

/// Brings a content to an object of the master's, block by block.
async fn copy(
    order: &Order,
    writer: RemoteId,
    mut content: Content,
    limits: Limits,
) -> Result<Copied, Fault> {
    let block_bytes = limits.block_bytes.get();
    let mut left = limits.bytes_max.unwrap_or(u64::MAX);
    let mut gathered = BytesMut::new();
    loop {
        let piece = match content.next().await {
            Ok(piece) => piece,
            Err(_) => return Ok(Copied::BrokenOff),
        };
        let is_last = piece.is_none();
        gathered.extend_from_slice(&piece.unwrap_or_default());
        while gathered.len() >= block_bytes || (is_last && !gathered.is_empty()) {
            let block = gathered.split_to(gathered.len().min(block_bytes)).freeze();
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            left -= wanted as u64;
            if wanted > 0 {
                write(order, writer, block.slice(..wanted)).await?;
            }
            if wanted < block.len() {
                return Ok(Copied::Cut);
            }
        }
        if is_last {
            return Ok(Copied::All);
        }
    }
}

async fn write(order: &Order, writer: RemoteId, block: Bytes) -> Result<(), Fault> {
    order.master.ask(writer, MasterCall::Write(block)).await.map(|_| ())
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
