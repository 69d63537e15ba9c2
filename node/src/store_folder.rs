//! A store in a folder of this machine: the database, its side files, and the lock that keeps other processes out.
//!
//! Start at [`open_store`]. What is written, and in which order, `runnel-queue` decides; here are the files.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use runnel_queue::{BlobName, Blobs, FileBackend, RedbStore, Store, StoreConfig};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// Another process has it: a node that runs, most likely. Stop that one, or give this one a folder of its own.
    #[error("the store in {} is in use by another process; each node needs a folder of its own", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no store.
    #[error("there is no store in {}", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or folder could not be made, opened or locked.
    #[error("the store in {} cannot be opened", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Opens the store in a folder, which is made if it is missing; nobody but the user who runs this can look into it. The
/// folder belongs to the returned store until that is dropped.
///
/// Nothing is read yet: a damaged store shows when a node is started with it.
///
/// # Errors
///
/// See [`OpenStoreError`].
pub fn open_store(folder: &Path, config: &StoreConfig) -> Result<Box<dyn Store>, OpenStoreError> {
    let failed = |source| OpenStoreError::Io { folder: folder.to_owned(), source };
    let missing = missing_above(folder);
    let lock = lock(folder)?;
    let side_files = SideFiles::open(folder.join(SIDE_FOLDER), lock).map_err(failed)?;
    let database = open_private(&folder.join(DATABASE_FILE)).map_err(failed)?;
    // New names are durable before anything is said of what is under them.
    sync_folder(folder).map_err(failed)?;
    folder.ancestors().skip(1).take(missing.max(1)).try_for_each(sync_folder).map_err(failed)?;
    let disk = FileBackend::new(database).map_err(|error| failed(io::Error::other(error.to_string())))?;
    Ok(Box::new(RedbStore::new(Arc::new(disk), Arc::new(side_files), config.clone())))
}

/// Opens the store in a folder like [`open_store`], and makes none.
///
/// # Errors
///
/// See [`OpenStoreError`].
pub fn open_existing_store(folder: &Path, config: &StoreConfig) -> Result<Box<dyn Store>, OpenStoreError> {
    if !folder.join(DATABASE_FILE).exists() {
        return Err(OpenStoreError::Missing { folder: folder.to_owned() });
    }
    open_store(folder, config)
}

/// Makes the folder and takes its lock, which the returned file holds. It is waited for a moment: a process that is just
/// being started has inherited the locks of whoever starts it, until its own program runs.
fn lock(folder: &Path) -> Result<File, OpenStoreError> {
    let failed = |source| OpenStoreError::Io { folder: folder.to_owned(), source };
    make_folder(folder).map_err(failed)?;
    let file = open_private(&folder.join(LOCK_FILE)).map_err(failed)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Err(OpenStoreError::InUse { folder: folder.to_owned() })
}

const LOCK_ATTEMPTS: u32 = 20;

const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// Side files, each a file under its name. They hold the store's lock, for they live as long as it does.
#[derive(Debug)]
struct SideFiles {
    folder: PathBuf,
    /// The folder, for syncing names.
    names: File,
    _lock: File,
}

impl SideFiles {
    fn open(folder: PathBuf, lock: File) -> io::Result<Self> {
        make_folder(&folder)?;
        let names = File::open(&folder)?;
        Ok(Self { folder, names, _lock: lock })
    }

    fn path(&self, name: BlobName) -> PathBuf {
        self.folder.join(name.to_string())
    }
}

impl Blobs for SideFiles {
    fn write(&self, name: BlobName, offset: u64, content: &[u8]) -> io::Result<()> {
        open_private(&self.path(name))?.write_all_at(content, offset)
    }

    fn sync(&self, name: BlobName) -> io::Result<()> {
        File::open(self.path(name))?.sync_all()?;
        self.names.sync_all()
    }

    fn read(&self, name: BlobName, offset: u64, out: &mut [u8]) -> io::Result<()> {
        File::open(self.path(name))?.read_exact_at(out, offset)
    }

    fn remove(&self, name: BlobName) -> io::Result<()> {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn names(&self) -> io::Result<Vec<BlobName>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            // What has another name is not ours, and is left alone.
            names.extend(entry?.file_name().to_str().and_then(BlobName::from_hex));
        }
        Ok(names)
    }
}

/// Makes a folder that nobody else can look into, and those above it.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Opens a file for reading and writing, and makes it if there is none.
fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Returns how many folders there are to make, from this one upwards. The name of each stands in the one above.
fn missing_above(folder: &Path) -> usize {
    folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count()
}

/// Makes the names in a folder durable; those of a path without folders are in the current one.
fn sync_folder(folder: &Path) -> io::Result<()> {
    let is_here = folder.as_os_str().is_empty();
    File::open(if is_here { Path::new(".") } else { folder })?.sync_all()
}

/// Name of the file that is locked, in the store's folder. It is empty.
const LOCK_FILE: &str = "lock";

/// Name of the database, in the store's folder.
const DATABASE_FILE: &str = "store.redb";

/// Name of the folder with the side files, in the store's folder.
const SIDE_FOLDER: &str = "side";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use bytes::Bytes;
    use runnel_codec::{CommandKey, Epoch, Seq};
    use runnel_queue::{Change, Row, RowKey};

    use super::*;

    /// A row that says `bytes` bytes.
    fn row(number: u64, bytes: usize) -> Row {
        let key = CommandKey { epoch: Epoch::from_random(1), seq: Seq::FIRST };
        Row::Update("w1".parse().unwrap(), key, number, Bytes::from(vec![7; bytes]))
    }

    fn open(folder: &Path) -> Box<dyn Store> {
        open_store(folder, &StoreConfig::default()).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn rows_short_and_long_are_there_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state/store");
        let rows = [row(1, 10), row(2, 100_000)];
        let mut store = open(&folder);
        assert_eq!(store.load().unwrap(), []);
        store.apply(&rows.clone().map(Change::Put)).unwrap();
        drop(store);
        let mut store = open(&folder);
        assert_eq!(store.load().unwrap(), rows);
        assert_eq!(fs::read_dir(folder.join(SIDE_FOLDER)).unwrap().count(), 2, "the reserve is one");
        let keys: Vec<RowKey> = rows.iter().map(Row::key).collect();
        store.apply(&keys.into_iter().map(Change::Delete).collect::<Vec<_>>()).unwrap();
        assert_eq!(fs::read_dir(folder.join(SIDE_FOLDER)).unwrap().count(), 1);
    }

    #[test]
    fn nobody_else_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("store");
        let mut store = open(&folder);
        store.load().unwrap();
        store.apply(&[Change::Put(row(1, 100_000))]).unwrap();
        assert_eq!((mode(&folder), mode(&folder.join(SIDE_FOLDER))), (0o700, 0o700));
        let side_file = fs::read_dir(folder.join(SIDE_FOLDER)).unwrap().next().unwrap().unwrap().path();
        for file in [folder.join(DATABASE_FILE), folder.join(LOCK_FILE), side_file] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }

    #[test]
    fn a_second_opener_is_told_which_folder_is_in_use_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = open(dir.path());
        first.load().unwrap();
        let error = open_store(dir.path(), &StoreConfig::default()).unwrap_err();
        assert!(matches!(&error, OpenStoreError::InUse { folder } if folder == dir.path()), "{error:?}");
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
        drop(first);
        open(dir.path());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = open_store(&file.join("store"), &StoreConfig::default()).unwrap_err();
        assert!(matches!(error, OpenStoreError::Io { .. }), "{error:?}");
        assert!(error.to_string().contains("file/store"), "{error}");
    }

    #[test]
    fn files_of_other_names_among_the_side_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        let (other, orphan) = (dir.path().join("side/README"), dir.path().join("side").join("a".repeat(32)));
        fs::write(&other, "").unwrap();
        fs::write(&orphan, "").unwrap();
        open(dir.path()).load().unwrap();
        assert_eq!((other.exists(), orphan.exists()), (true, false));
    }
}
