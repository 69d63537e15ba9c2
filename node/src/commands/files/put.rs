//! `fs.put`: a body becomes a file or folder.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::tree::unpack;
use super::{FileKind, FsDone, FsPut, FsPutArgs};
use crate::body::BodyReader;
use crate::handler::{Context, HandlerError, StopSignal};
use crate::process::Confinement;

pub(super) async fn run(
    mut context: Context<FsPut>,
    args: FsPutArgs,
    confinement: Arc<Confinement>,
) -> Result<FsDone, HandlerError> {
    let mut stop = context.stop_signal();
    let body = context.body().ok_or_else(|| HandlerError::new("the command has no body to put"))?;
    let path = confinement.resolve(Path::new(&args.path))?;
    if args.make_parents
        && let Some(parent) = path.parent()
    {
        fs::create_dir_all(parent).await.map_err(|error| failed("cannot make", parent, &error))?;
    }
    if !args.replace && fs::symlink_metadata(&path).await.is_ok() {
        return Err(HandlerError::new(format!(
            "{} exists; ask to replace it, or choose another name",
            path.display()
        )));
    }
    let partial = Partial::beside(&path, context.id().key.seq.to_wire())?;
    let done = match args.kind {
        FileKind::File => {
            let mode = match args.mode {
                None => mode_of_file(&path).await,
                mode => mode,
            };
            put_file(body, &partial.0, mode, &mut stop).await?
        }
        FileKind::Folder => put_folder(body, &partial.0, &mut stop).await?,
    };
    partial.move_to(&path).await.map_err(|error| failed("cannot make", &path, &error))?;
    Ok(done)
}

/// Returns the permission bits of a file that is there.
async fn mode_of_file(path: &Path) -> Option<u32> {
    let metadata = fs::symlink_metadata(path).await.ok().filter(std::fs::Metadata::is_file)?;
    Some(metadata.permissions().mode())
}

/// Only the wait for the body is broken off by a stop: what a thread has begun on the disk would go on, and make anew
/// what was removed.
async fn put_file(
    mut body: BodyReader,
    path: &Path,
    mode: Option<u32>,
    stop: &mut StopSignal,
) -> Result<FsDone, HandlerError> {
    let cannot_write = |error: io::Error| failed("cannot write", path, &error);
    let mut file = fs::File::create_new(path).await.map_err(cannot_write)?;
    let mut bytes = 0;
    loop {
        let piece = tokio::select! {
            piece = body.next() => piece?,
            reason = stop.stopped() => {
                // Its last write may still be under way.
                file.flush().await.ok();
                return Err(HandlerError::stopped(reason, "stopped before all of it had come"));
            }
        };
        let Some(piece) = piece else { break };
        file.write_all(&piece).await.map_err(cannot_write)?;
        bytes += piece.len() as u64;
    }
    if let Some(mode) = mode {
        let permissions = std::fs::Permissions::from_mode(mode & PERMISSION_BITS);
        file.set_permissions(permissions).await.map_err(cannot_write)?;
    }
    file.flush().await.map_err(cannot_write)?;
    file.sync_all().await.map_err(cannot_write)?;
    Ok(FsDone { files: 1, bytes })
}

/// Unpacks once all of it has come: no thread waits for the link, and nothing broken is unpacked.
async fn put_folder(body: BodyReader, path: &Path, stop: &mut StopSignal) -> Result<FsDone, HandlerError> {
    let stream = Partial(path.with_extension("tar"));
    put_file(body, &stream.0, Some(0o600), stop).await?;
    let path = path.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || unpack(File::open(&stream.0)?, &path)).await;
    let count = unpacked.map_err(|_| HandlerError::new("unpacking was broken off"))??;
    Ok(FsDone { files: count.files, bytes: count.bytes })
}

/// Something that is not complete, beside where it is to be. It is removed unless it is moved.
#[derive(Debug)]
struct Partial(PathBuf);

impl Partial {
    fn beside(path: &Path, number: u64) -> Result<Self, HandlerError> {
        let name =
            path.file_name().ok_or_else(|| HandlerError::new(format!("{} has no name", path.display())))?;
        let name = format!(".{}.{number}.{:08x}.partial", name.to_string_lossy(), rand::random::<u32>());
        Ok(Self(path.with_file_name(name)))
    }

    /// Gives it its name, in place of what has it now, and has the folder know it for good.
    async fn move_to(self, path: &Path) -> io::Result<()> {
        let is_folder = fs::metadata(&self.0).await?.is_dir();
        let old = self.0.with_extension("old");
        let has_old = is_folder && fs::symlink_metadata(path).await.is_ok();
        if has_old {
            fs::rename(path, &old).await?;
        }
        fs::rename(&self.0, path).await?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::File::open(parent).await?.sync_all().await?;
        }
        if has_old {
            remove(&old);
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a file or folder, if it is there.
fn remove(path: &Path) {
    // What cannot be removed stays under a name that shows what it is.
    if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path).ok()
    } else {
        std::fs::remove_file(path).ok()
    };
}

fn failed(what: &str, path: &Path, error: &io::Error) -> HandlerError {
    HandlerError::new(format!("{what} {}: {error}", path.display()))
}

/// Permission bits that a file may be given: those of owner, group and others, and no special ones.
const PERMISSION_BITS: u32 = 0o777;
