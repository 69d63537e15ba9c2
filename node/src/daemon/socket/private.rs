//! A Unix socket that its user alone can open.

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::net::UnixListener;

/// The file of a socket. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl SocketFile {
    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good.
        std::fs::remove_file(&self.0).ok();
    }
}

/// Listens at `path`, for this user only. `what` is what listens here, and `setting` says where another place is chosen.
///
/// # Errors
///
/// Somebody listens there, something else is there, or the system refuses.
pub(crate) fn bind_private(
    path: &Path,
    what: &str,
    setting: &str,
) -> anyhow::Result<(UnixListener, SocketFile)> {
    remove_stale(path, what, setting)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make the folder {} of the socket", folder.display()))?;
    }
    let listener = bind_hidden(path).with_context(|| {
        format!("cannot listen at {}: choose another place with {setting}", path.display())
    })?;
    Ok((listener, SocketFile(path.to_owned())))
}

/// Removes the socket of a process that is gone.
fn remove_stale(path: &Path, what: &str, setting: &str) -> anyhow::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        bail!("{} is there and is no socket: remove it, or choose another place", path.display());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => bail!(
            "another {what} listens at {}: stop it, or choose another place with {setting}",
            path.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .with_context(|| format!("cannot remove the socket {} of a stopped {what}", path.display())),
        Err(error) => Err(error).with_context(|| format!("cannot tell who listens at {}", path.display())),
    }
}

/// Binds under another name, closes the file to others, and only then gives it its name: at no moment can another user
/// connect.
fn bind_hidden(path: &Path) -> io::Result<UnixListener> {
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = SocketFile(PathBuf::from(hidden));
    let listener = UnixListener::bind(&hidden.0)?;
    std::fs::set_permissions(&hidden.0, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&hidden.0, path)?;
    Ok(listener)
}
