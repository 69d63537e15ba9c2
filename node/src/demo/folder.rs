//! The demo's temporary folder, and the sweeping of those that killed demos left behind.
//!
//! A demo holds a lock on a file in its folder as long as its process lives, however that ends. So a folder whose lock can be
//! taken is nobody's any more.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::TempDir;

/// A folder that lives as long as this value, or until another demo finds that its process is gone.
pub(super) struct DemoFolder {
    folder: TempDir,
    /// Locked until the process ends.
    _lock: File,
}

impl DemoFolder {
    /// Makes a folder in `parent`. Those of killed demos that are there go.
    pub(super) fn make(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // Under its name the file is locked from the first: who sweeps meanwhile leaves the folder alone.
        let unlocked = folder.path().join("unlocked");
        let lock = File::create_new(&unlocked)?;
        lock.lock()?;
        fs::rename(&unlocked, folder.path().join(LOCK))?;
        Ok(Self { folder, _lock: lock })
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes what killed demos of this user left. It is a courtesy: what cannot be removed stays.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_of_a_demo = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_of_a_demo && is_left(&entry.path()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Returns whether it is a folder of ours whose process is gone.
fn is_left(folder: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let is_ours = |meta: fs::Metadata| meta.is_dir() && meta.uid() == own;
    fs::symlink_metadata(folder).is_ok_and(is_ours)
        && File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

const PREFIX: &str = "runnel-demo-";

const LOCK: &str = "lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_whose_process_is_gone_is_swept_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let DemoFolder { folder, _lock } = DemoFolder::make(parent.path()).unwrap();
        let left = folder.keep();
        fs::create_dir(left.join("w1")).unwrap();
        fs::write(left.join("w1/node.toml"), "").unwrap();
        let lives = DemoFolder::make(parent.path()).unwrap();
        assert!(left.exists(), "its process lives");
        drop(_lock);
        let strangers = ["runnel-demo-by-hand", "another"].map(|name| parent.path().join(name));
        strangers.iter().for_each(|folder| fs::create_dir(folder).unwrap());

        let next = DemoFolder::make(parent.path()).unwrap();
        assert!(!left.exists());
        assert!(lives.path().exists() && next.path().exists());
        assert!(strangers.iter().all(|folder| folder.exists()), "they have no lock");
        let own = [lives, next].map(|folder| folder.path().to_owned());
        assert!(
            own.iter().all(|folder| !folder.exists()),
            "those that end in order take their folders with them"
        );
    }

    #[test]
    fn a_link_to_a_folder_is_left_alone() {
        let (parent, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), parent.path().join("runnel-demo-link")).unwrap();
        sweep(parent.path());
        assert!(elsewhere.path().join(LOCK).exists());
    }
}
