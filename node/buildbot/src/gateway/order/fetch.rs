//! Content of a node on its way here: `fs.get`, its outcome, and who takes what it brings.

use bytes::Bytes;
use runnel_client::Content;
use runnel_client::api::Outcome;
use serde_json::Value;

use super::Order;
use crate::gateway::fault::Fault;
use crate::gateway::node::{Body, Work};
use crate::gateway::spool::Spool;

/// Takes a content, piece by piece.
pub(super) trait Sink {
    /// Takes the next piece, and says whether more is wanted.
    fn take(&mut self, piece: Bytes) -> impl Future<Output = Result<Taken, Fault>> + Send;

    /// Takes the end: all has come.
    fn finish(&mut self) -> impl Future<Output = Result<Taken, Fault>> + Send;
}

/// Whether more of a content is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    All,
    /// It is longer than it may be.
    Cut,
}

/// What became of a transfer.
#[derive(Debug)]
pub(super) enum Fetched {
    /// All of it has come, or not, for the reason in the outcome.
    Ended(Outcome),
    /// As much as it may be.
    Cut,
}

/// Keeps a content of bounded length.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) spool: Spool,
    bytes_left: u64,
}

/// Brings what `fs.get` finds.
pub(super) async fn fetch(order: &Order, args: Value, sink: &mut impl Sink) -> Result<Fetched, Fault> {
    let id = order.node.submit(&Work::transfer("fs.get/1", args, Body::None)).await?;
    let events = order.node.events(id.clone(), &order.halt);
    let copying = async {
        let copied = match order.node.client.content(&format!("/v1/commands/{id}/body")).await {
            Ok(content) => copy(content, sink).await,
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
        Copied::Cut => Ok(Fetched::Cut),
        Copied::All | Copied::BrokenOff => outcome.map(Fetched::Ended),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copied {
    All,
    Cut,
    BrokenOff,
}

async fn copy(mut content: Content, sink: &mut impl Sink) -> Result<Copied, Fault> {
    loop {
        let taken = match content.next().await {
            Ok(Some(piece)) => sink.take(piece).await?,
            Ok(None) => {
                let taken = sink.finish().await?;
                return Ok(if taken == Taken::Cut { Copied::Cut } else { Copied::All });
            }
            Err(_) => return Ok(Copied::BrokenOff),
        };
        if taken == Taken::Cut {
            return Ok(Copied::Cut);
        }
    }
}

impl Kept {
    pub(super) fn new(spool: Spool, bytes_max: Option<u64>) -> Self {
        Self { spool, bytes_left: bytes_max.unwrap_or(u64::MAX) }
    }
}

impl Sink for Kept {
    async fn take(&mut self, piece: Bytes) -> Result<Taken, Fault> {
        let Some(left) = self.bytes_left.checked_sub(piece.len() as u64) else { return Ok(Taken::Cut) };
        self.bytes_left = left;
        self.spool.push(piece).await.map_err(Fault::of_disk)?;
        Ok(Taken::All)
    }

    async fn finish(&mut self) -> Result<Taken, Fault> {
        self.spool.finish();
        Ok(Taken::All)
    }
}
