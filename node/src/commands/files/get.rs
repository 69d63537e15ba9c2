//! `fs.get`: a file or folder becomes the body of a result.

use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use tokio::fs;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};

use super::tree::{PieceWriter, count, pack};
use super::{FileKind, FsDone, FsFound, FsGet, FsGetArgs};
use crate::body::BodyWriter;
use crate::handler::{Context, HandlerError};
use crate::process::Confinement;

pub(super) async fn run(
    mut context: Context<FsGet>,
    args: FsGetArgs,
    confinement: Arc<Confinement>,
) -> Result<FsDone, HandlerError> {
    let mut stop = context.stop_signal();
    let writer = context
        .result_body()
        .ok_or_else(|| HandlerError::new("the caller does not read the result's body"))?;
    let path = confinement.resolve(Path::new(&args.path))?;
    let found = find(&path).await?;
    context.update(&found).await?;
    let get = async {
        match found.kind {
            FileKind::File => get_file(writer, &path, found.bytes).await,
            FileKind::Folder => get_folder(writer, path.clone()).await,
        }
    };
    tokio::select! {
        done = get => done,
        reason = stop.stopped() => Err(HandlerError::stopped(reason, "stopped before all of it had gone")),
    }
}

async fn find(path: &Path) -> Result<FsFound, HandlerError> {
    let metadata = fs::metadata(path)
        .await
        .map_err(|error| HandlerError::new(format!("{}: {error}", path.display())))?;
    let mode = metadata.permissions().mode();
    if metadata.is_file() {
        return Ok(FsFound { kind: FileKind::File, bytes: metadata.len(), mode });
    }
    if !metadata.is_dir() {
        return Err(HandlerError::new(format!("{} is neither a file nor a folder", path.display())));
    }
    let path = path.to_owned();
    let counted = tokio::task::spawn_blocking(move || count(&path)).await;
    let counted = counted.map_err(|_| HandlerError::new("counting was broken off"))??;
    Ok(FsFound { kind: FileKind::Folder, bytes: counted.bytes, mode })
}

/// Brings as many bytes as were found: a log that grows meanwhile is brought as it was.
async fn get_file(mut writer: BodyWriter, path: &Path, bytes: u64) -> Result<FsDone, HandlerError> {
    let mut file = fs::File::open(path).await?.take(bytes);
    let mut left = bytes;
    while left > 0 {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let read = file.read_buf(&mut buffer).await?;
        if read == 0 {
            return Err(HandlerError::new(format!("{} became shorter while it was read", path.display())));
        }
        left -= read as u64;
        writer.write(buffer.freeze()).await?;
    }
    writer.finish().await?;
    Ok(FsDone { files: 1, bytes })
}

/// Packs on a thread of its own: it waits for the link, and those of the pool that all share must not.
async fn get_folder(mut writer: BodyWriter, path: PathBuf) -> Result<FsDone, HandlerError> {
    let (pieces, mut packed) = mpsc::channel(PIECES_MAX);
    let (ended, end) = oneshot::channel();
    let pack = move || {
        let count = BufWriter::with_capacity(READ_BYTES, PieceWriter(pieces));
        let count = pack(&path, count).and_then(|(count, mut rest)| rest.flush().map(|()| count));
        // Whoever asked may be gone.
        ended.send(count).ok();
    };
    std::thread::Builder::new().name("runnel-pack".to_owned()).spawn(pack)?;
    while let Some(piece) = packed.recv().await {
        writer.write(piece).await?;
    }
    let count = end.await.map_err(|_| HandlerError::new("packing was broken off"))??;
    writer.finish().await?;
    Ok(FsDone { files: count.files, bytes: count.bytes })
}

/// Bytes read from a file at once: each read costs a hand-over to a thread that may block.
const READ_BYTES: usize = 256 << 10;

/// Pieces that are packed and wait for the link.
const PIECES_MAX: usize = 2;
