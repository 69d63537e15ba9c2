//! The end of supervisors that a test leaves behind: their programs would outlive it.

use std::fs::{self, File};
use std::path::Path;

/// Ends the supervisors of a node that has ended itself, as the removal of its folder does, and waits for each. Does
/// nothing if the node had none.
pub(crate) fn end_supervisors(state_dir: &Path) {
    let Ok(folders) = fs::read_dir(state_dir.join("exec")) else { return };
    let locks = folders.flatten().map(|folder| folder.path().join("lock"));
    // What has just been settled is gone meanwhile.
    let held: Vec<File> =
        locks.filter_map(|path| File::open(&path).and_then(|lock| remove(&path, lock)).ok()).collect();
    for lock in held {
        lock.lock().expect("its supervisor lets go of it");
    }
}

fn remove(path: &Path, lock: File) -> std::io::Result<File> {
    fs::remove_file(path).map(|()| lock)
}

/// What a worker's configuration says so that its supervisors end soon.
pub(crate) const SUPERVISION: &str = "[supervision]\nfolder_check_interval = \"20ms\"\n";
