//! The demo's upload: one large file to one worker while everything else goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use runnel_client::api::{Event, Happening, Stored};
use runnel_client::{Client, streamed};
use serde_json::json;

/// A file of noise.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    worker: String,
    bytes: u64,
    seed: u64,
}

impl Upload {
    pub(super) fn new(worker: String, bytes: u64, seed: u64) -> Self {
        Self { worker, bytes, seed }
    }

    pub(super) fn worker(&self) -> &str {
        &self.worker
    }

    /// Uploads it, and compares what is in the worker's folder with what was sent. Returns the bytes and the time taken, or
    /// what is wrong.
    pub(super) async fn run(
        self,
        client: &Client,
        folder: &Path,
    ) -> anyhow::Result<Result<(u64, Duration), String>> {
        let started_at = Instant::now();
        let request = json!({
            "to": self.worker, "command": "fs.put/1", "class": "bulk", "has_body": true,
            "args": { "path": NAME, "kind": "file" },
        });
        let stored: Stored = client.post("/v1/commands", &request).await?;
        let body = streamed(futures_util::stream::iter(self.pieces().map(Ok)));
        client.put(&format!("/v1/commands/{}/body", stored.id), body).await?;
        let mut lines = client.lines(&format!("/v1/commands/{}/events?follow=true", stored.id)).await?;
        let mut outcome = None;
        while let Some(line) = lines.next().await? {
            if let Happening::Outcome { outcome: last } = serde_json::from_str::<Event>(&line)?.what {
                outcome = Some(last);
            }
        }
        let took = started_at.elapsed();
        match outcome {
            Some(outcome) if outcome.kind == "done" => {}
            other => return Ok(Err(format!("the upload ended as {other:?}"))),
        }
        let mut hasher = blake3::Hasher::new();
        for piece in self.pieces() {
            hasher.update(&piece);
        }
        let arrived = blake3::hash(&tokio::fs::read(folder.join(NAME)).await?);
        Ok(if arrived == hasher.finalize() {
            Ok((self.bytes, took))
        } else {
            Err("the file is not what was sent".to_owned())
        })
    }

    /// Returns the content: the same for the same seed.
    fn pieces(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        let (bytes, mut noise) =
            (self.bytes, blake3::Hasher::new().update(&self.seed.to_le_bytes()).finalize_xof());
        (0..bytes).step_by(PIECE_BYTES).map(move |from| {
            let length = (bytes - from).min(PIECE_BYTES as u64);
            let mut piece = vec![0; usize::try_from(length).unwrap_or(PIECE_BYTES)];
            noise.fill(&mut piece);
            piece.into()
        })
    }
}

const NAME: &str = "upload";

const PIECE_BYTES: usize = 64 << 10;
