//! Files on their way from the master.
//!
//! Blocks are asked for ahead, and what travels over the fleet is windowed: a block of the master's costs no round trip to
//! the node. What came of them is kept until the node has all of it: if its daemon is restarted, it is sent again.

use std::collections::VecDeque;
use std::pin::pin;

use futures_util::stream;
use runnel_client::api::Outcome;
use runnel_client::streamed;
use serde_json::{Value, json};

use super::{Order, RESUMES_MAX};
use crate::gateway::fault::Fault;
use crate::gateway::node::{Body, Work};
use crate::gateway::report::Report;
use crate::gateway::spool::{Spool, SpoolReader};
use crate::worker::{Download, MasterCall, Update, block_of};

/// `downloadFile`.
pub(super) async fn run(order: &Order, report: &mut Report, download: &Download) -> Result<i64, Fault> {
    let path = order.place.path(&download.folder, &download.path);
    if !order.abilities.reads_files {
        return refuse(order, report, download, &path).await;
    }
    report.push(Update::Header(format!("downloading to {path}\n")));
    let mut args = json!({ "path": path, "kind": "file", "replace": true, "make_parents": true });
    if let Some(mode) = download.mode {
        args["mode"] = json!(mode);
    }
    let spool = Spool::new(order.spool_bytes_max).await.map_err(Fault::of_disk)?;
    let (outcome, read) = transfer(order, download, spool, args).await;
    let closed = order.master.ask(download.reader, MasterCall::Close).await;
    let (outcome, is_cut) = (outcome?, read? == Some(Read::Cut));
    closed?;
    if outcome.kind != "done" {
        let why = outcome.message.unwrap_or(outcome.kind);
        report.push(Update::Stderr(format!("Cannot open file '{path}' for download: {why}\n")));
        return Ok(1);
    }
    if is_cut {
        report.push(Update::Stderr(format!("Maximum filesize reached, truncating file '{path}'\n")));
    }
    Ok(i64::from(is_cut))
}

/// Ends a download that cannot be: an empty file would look like the master's.
async fn refuse(order: &Order, report: &mut Report, download: &Download, path: &str) -> Result<i64, Fault> {
    report.push(Update::Stderr(format!(
        "Cannot download to '{path}': the master sends no files to workers over this protocol; \
         have the gateway speak pb (protocol = \"pb\" in its configuration). Nothing was written.\n"
    )));
    order.master.ask(download.reader, MasterCall::Close).await?;
    Ok(1)
}

/// How much came of a file.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    /// All that the master has.
    All,
    /// As much as it may be.
    Cut,
}

/// Reads from the master and writes to the node at once. Nothing is read any more when the node does not take it.
async fn transfer(
    order: &Order,
    download: &Download,
    spool: Spool,
    args: Value,
) -> (Result<Outcome, Fault>, Result<Option<Read>, Fault>) {
    let mut writing = pin!(write(order, spool.reader(), Work::transfer("fs.put/1", args, Body::Follows)));
    let mut reading = pin!(read(order, download, spool));
    tokio::select! {
        read = &mut reading => (writing.await, read.map(Some)),
        outcome = &mut writing => (outcome, Ok(None)),
    }
}

/// Writes to the node, again if its daemon forgets of it.
async fn write(order: &Order, content: SpoolReader, work: Work) -> Result<Outcome, Fault> {
    for _ in 0..RESUMES_MAX {
        match write_once(order, content.clone(), &work).await {
            Err(Fault::Unknown(why)) => tracing::info!(node = order.node.name, why, "a download goes on"),
            outcome => return outcome,
        }
    }
    write_once(order, content, &work).await
}

async fn write_once(order: &Order, content: SpoolReader, work: &Work) -> Result<Outcome, Fault> {
    let id = order.node.submit(work).await?;
    let body = streamed(stream::try_unfold(content, async |mut content: SpoolReader| {
        Ok(content.next().await?.map(|piece| (piece, content)))
    }));
    let place = format!("/v1/commands/{id}/body");
    let events = order.node.events(id, &order.halt);
    // Where the content was not taken the outcome says why.
    let (outcome, _) = tokio::join!(events.outcome(), order.node.client.put(&place, body));
    outcome
}

/// Reads from the master until its end. An error breaks the content off, so that no part of a file is taken for the whole.
async fn read(order: &Order, download: &Download, mut spool: Spool) -> Result<Read, Fault> {
    let block_bytes = download.block_bytes.get();
    let ahead = (AHEAD_BYTES / block_bytes).clamp(1, AHEAD_MAX);
    let mut left = download.bytes_max.unwrap_or(u64::MAX);
    let mut asked = VecDeque::new();
    loop {
        while asked.len() < ahead {
            let call = MasterCall::Read { bytes_max: block_bytes };
            asked.push_back(order.master.turn().await?.call(download.reader, call));
        }
        let Some(mut answer) = asked.pop_front() else { continue };
        let block = block_of(answer.wait().await?, block_bytes);
        let block = block.map_err(|error| Fault::failed(error.to_string()))?;
        if block.is_empty() {
            spool.finish();
            return Ok(Read::All);
        }
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        left -= wanted as u64;
        spool.push(block.slice(..wanted)).await.map_err(Fault::of_disk)?;
        if wanted < block.len() {
            spool.finish();
            return Ok(Read::Cut);
        }
    }
}

/// How much is asked for ahead, in bytes.
const AHEAD_BYTES: usize = 1 << 20;

/// How many blocks are asked for ahead, however small they are.
const AHEAD_MAX: usize = 32;
