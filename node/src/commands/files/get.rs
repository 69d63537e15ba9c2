//! `fs.get`: a file or folder becomes the body of a result.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::fs;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};

use super::compress::{Compression, Compressor};
use super::tree::{PieceWriter, became_shorter, count, pack};
use super::{FileKind, FsDone, FsFound, FsGet, FsGetArgs};
use crate::body::BodyWriter;
use crate::commands::nanoseconds;
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
        match (found.kind, args.compress) {
            (FileKind::File, Compression::None) => get_file(writer, &path, found.bytes).await,
            (FileKind::File, _) => {
                let file = path.clone();
                get_packed(writer, args.compress, move |to| copy(&file, found.bytes, to)).await
            }
            (FileKind::Folder, _) => {
                let folder = path.clone();
                get_packed(writer, args.compress, move |to| pack_folder(&folder, to)).await
            }
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
    if metadata.is_file() {
        return Ok(found(FileKind::File, metadata.len(), &metadata));
    }
    if !metadata.is_dir() {
        return Err(HandlerError::new(format!("{} is neither a file nor a folder", path.display())));
    }
    let path = path.to_owned();
    let counted = tokio::task::spawn_blocking(move || count(&path)).await;
    let counted = counted.map_err(|_| HandlerError::new("counting was broken off"))??;
    Ok(found(FileKind::Folder, counted.bytes, &metadata))
}

fn found(kind: FileKind, bytes: u64, metadata: &Metadata) -> FsFound {
    FsFound {
        kind,
        bytes,
        mode: metadata.permissions().mode(),
        accessed_ns: nanoseconds(metadata.atime(), metadata.atime_nsec()),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
    }
}

/// Brings as many bytes as were found: a log that grows meanwhile is brought as it was.
async fn get_file(mut writer: BodyWriter, path: &Path, bytes: u64) -> Result<FsDone, HandlerError> {
    let mut file = fs::File::open(path).await?.take(bytes);
    let mut left = bytes;
    while left > 0 {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let read = file.read_buf(&mut buffer).await?;
        if read == 0 {
            return Err(became_shorter(path).into());
        }
        left -= read as u64;
        writer.write(buffer.freeze()).await?;
    }
    writer.finish().await?;
    Ok(FsDone { files: 1, bytes })
}

/// Makes the body on a thread of its own: it waits for the link, and those of the pool that all share must not.
async fn get_packed(
    mut writer: BodyWriter,
    compression: Compression,
    make: impl FnOnce(Packing) -> io::Result<(FsDone, Packing)> + Send + 'static,
) -> Result<FsDone, HandlerError> {
    let (pieces, mut packed) = mpsc::channel(PIECES_MAX);
    let (ended, end) = oneshot::channel();
    let pack = move || {
        let pieces = BufWriter::with_capacity(READ_BYTES, PieceWriter(pieces));
        let made = make(Compressor::new(compression, pieces));
        let done = made.and_then(|(done, rest)| rest.finish()?.flush().map(|()| done));
        // Whoever asked may be gone.
        ended.send(done).ok();
    };
    std::thread::Builder::new().name("runnel-pack".to_owned()).spawn(pack)?;
    while let Some(piece) = packed.recv().await {
        writer.write(piece).await?;
    }
    let done = end.await.map_err(|_| HandlerError::new("packing was broken off"))??;
    writer.finish().await?;
    Ok(done)
}

fn pack_folder(folder: &Path, to: Packing) -> io::Result<(FsDone, Packing)> {
    pack(folder, to).map(|(count, to)| (FsDone { files: count.files, bytes: count.bytes }, to))
}

/// Copies as many bytes as were found.
fn copy(path: &Path, bytes: u64, mut to: Packing) -> io::Result<(FsDone, Packing)> {
    let copied = io::copy(&mut File::open(path)?.take(bytes), &mut to)?;
    if copied < bytes {
        return Err(became_shorter(path));
    }
    Ok((FsDone { files: 1, bytes }, to))
}

type Packing = Compressor<BufWriter<PieceWriter>>;

/// Bytes read from a file at once: each read costs a hand-over to a thread that may block.
const READ_BYTES: usize = 256 << 10;

/// Pieces that are packed and wait for the link.
const PIECES_MAX: usize = 2;
