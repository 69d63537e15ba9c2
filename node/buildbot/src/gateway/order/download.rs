//! Files on their way from the master.
//!
//! Blocks are asked for ahead, and what travels over the fleet is windowed: a block of the master's costs no round trip to
//! the node.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use futures_util::stream;
use runnel_client::streamed;
use serde_json::json;
use tokio::sync::mpsc;

use super::Order;
use crate::gateway::fault::Fault;
use crate::gateway::node::{Body, Work};
use crate::gateway::report::Report;
use crate::worker::{Download, MasterCall, Update, block_of};

/// `downloadFile`.
pub(super) async fn run(order: &Order, report: &mut Report, download: &Download) -> Result<i64, Fault> {
    let path = order.place.path(&download.folder, &download.path);
    report.push(Update::Header(format!("downloading to {path}\n")));
    let mut args = json!({ "path": path, "kind": "file", "replace": true, "make_parents": true });
    if let Some(mode) = download.mode {
        args["mode"] = json!(mode);
    }
    let work = Work::transfer("fs.put/1", args, Body::Follows);
    let id = order.node.submit(&work).await?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let body = streamed(stream::unfold(receiver, async |mut receiver: mpsc::Receiver<io::Result<Bytes>>| {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    }));
    let place = format!("/v1/commands/{id}/body");
    let (outcome, sent, read) = tokio::join!(
        order.node.events(id.clone(), &order.halt).outcome(),
        order.node.client.put(&place, body),
        read(order, download, sender),
    );
    let closed = order.master.ask(download.reader, MasterCall::Close).await;
    let is_whole = match read? {
        Read::All => true,
        Read::Cut => {
            report.push(Update::Stderr(format!("Maximum filesize reached, truncating file '{path}'\n")));
            false
        }
        // The outcome says why nobody took it.
        Read::NotTaken => true,
    };
    let outcome = outcome?;
    closed?;
    if outcome.kind != "done" {
        let why = outcome.message.unwrap_or(outcome.kind);
        report.push(Update::Stderr(format!("Cannot open file '{path}' for download: {why}\n")));
        return Ok(1);
    }
    sent?;
    Ok(i64::from(!is_whole))
}

#[derive(Debug, PartialEq, Eq)]
enum Read {
    /// All that the master has.
    All,
    /// As much as it may be.
    Cut,
    /// Nobody takes more.
    NotTaken,
}

/// Reads from the master until its end. An error breaks the body off, so that no part of a file is taken for the whole.
async fn read(
    order: &Order,
    download: &Download,
    sender: mpsc::Sender<io::Result<Bytes>>,
) -> Result<Read, Fault> {
    let block_bytes = download.block_bytes.get();
    let ahead = (AHEAD_BYTES / block_bytes).clamp(1, AHEAD_MAX);
    let mut left = download.bytes_max.unwrap_or(u64::MAX);
    let mut asked = VecDeque::new();
    let result = async {
        loop {
            while asked.len() < ahead {
                let call = MasterCall::Read { bytes_max: block_bytes };
                asked.push_back(order.master.turn().await?.call(download.reader, call));
            }
            let Some(mut answer) = asked.pop_front() else { continue };
            let answer = tokio::select! {
                answer = answer.wait() => answer?,
                () = sender.closed() => return Ok(Read::NotTaken),
            };
            let block = block_of(answer, block_bytes).map_err(|error| Fault::failed(error.to_string()))?;
            if block.is_empty() {
                return Ok(Read::All);
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            left -= wanted as u64;
            if wanted > 0 && sender.send(Ok(block.slice(..wanted))).await.is_err() {
                return Ok(Read::NotTaken);
            }
            if wanted < block.len() {
                return Ok(Read::Cut);
            }
        }
    };
    let result: Result<Read, Fault> = result.await;
    if result.is_err() {
        sender.send(Err(io::ErrorKind::BrokenPipe.into())).await.ok();
    }
    result
}

/// How much is asked for ahead, in bytes.
const AHEAD_BYTES: usize = 1 << 20;

/// How many blocks are asked for ahead, however small they are.
const AHEAD_MAX: usize = 32;

/// Pieces that wait for the connection to the local node.
const PIECES_MAX: usize = 4;
