//! Standard input as a command's body.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use bytes::BytesMut;
use futures_util::stream;
use runnel_client::{RequestBody, streamed};
use tokio::io::AsyncReadExt;

use super::session::Session;

/// Returns whether standard input has anything to pass on: it is neither a terminal nor `/dev/null`.
pub(super) fn is_redirected() -> bool {
    !std::io::stdin().is_terminal() && !is_null().unwrap_or(false)
}

/// Passes standard input on to the end of it, or of the command.
pub(super) async fn forward(session: &Session, id: &str) {
    let sent = session.client.put(&format!("/v1/commands/{id}/body"), content()).await;
    // A program that ends before it has read everything is nothing to complain about.
    if let Err(error) = sent
        && !matches!(error.code(), Some("ended" | "unknown-command" | "body-broken"))
        && !error.is_lost()
    {
        session.note(&format!("standard input was not passed on: {error}"));
    }
}

fn content() -> RequestBody {
    let pieces = stream::try_unfold(tokio::io::stdin(), |mut stdin| async move {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let length = stdin.read_buf(&mut piece).await?;
        Ok((length > 0).then(|| (piece.freeze(), stdin)))
    });
    streamed(pieces)
}

fn is_null() -> std::io::Result<bool> {
    let stdin = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    Ok(stdin.metadata()?.rdev() == std::fs::metadata("/dev/null")?.rdev())
}

/// Octets read at once.
const PIECE_BYTES: usize = 64 * 1024;
