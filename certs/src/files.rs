//! Files of certificates and keys: bounded reading, atomic writing, and private files that only their owner
//! may open.
//!
//! A file is written beside its place, synced and then moved there, so that a crash leaves the old one or the
//! new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::FileError;

/// Name of the file with the fleet's roots, in a node's and in the authority's folder.
pub const AUTHORITY_CERT_FILE: &str = "ca.crt";

/// Name of the file with the authority's key.
pub const AUTHORITY_KEY_FILE: &str = "ca.key";

/// Name of the file with a node's certificate.
pub const NODE_CERT_FILE: &str = "node.crt";

/// Name of the file with a node's key.
pub const NODE_KEY_FILE: &str = "node.key";

/// Largest file that is read, in bytes. Ours are below 2 KiB; roots of many authorities may take more.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Reads a file that only its owner may open.
///
/// # Errors
/// The file cannot be read, is too large, or is open to other users ([`FileError::Exposed`]).
pub fn read_private(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    check_private(path, &file)?;
    read_bounded(path, file)
}

/// Writes or replaces a file that only its owner may open, and makes it durable.
///
/// # Errors
/// The system refuses. Under the file's name is then the older content, if there was any, or the whole new
/// one.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_file(path, content, Access::Private, Existing::Replace)
}

/// Writes a private file, and fails if it exists.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_file(path, content, Access::Private, Existing::Keep)
}

/// Reads a file that everybody may read.
pub(crate) fn read_public(path: &Path) -> Result<Vec<u8>, FileError> {
    read_bounded(path, open(path)?)
}

/// Writes or replaces a file that everybody may read, and makes it durable.
pub(crate) fn write_public(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_file(path, content, Access::Public, Existing::Replace)
}

/// Makes a folder for private files unless there is one.
pub(crate) fn create_folder(path: &Path) -> Result<(), FileError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    restrict_folder(&mut builder);
    builder.create(path).map_err(write_error(path))
}

/// Who may read a file.
#[derive(Clone, Copy)]
enum Access {
    Private,
    Public,
}

/// What happens to a file of the same name.
#[derive(Clone, Copy)]
enum Existing {
    Replace,
    Keep,
}

fn write_file(path: &Path, content: &[u8], access: Access, existing: Existing) -> Result<(), FileError> {
    let draft = draft_path(path);
    let written = write_draft(&draft, content, access).and_then(|()| publish(&draft, path, existing));
    if let Err(error) = written {
        // The first error is the one that tells; the draft may not even exist.
        let _ = fs::remove_file(&draft);
        return Err(match (existing, error.kind()) {
            (Existing::Keep, io::ErrorKind::AlreadyExists) => FileError::Exists { path: path.to_owned() },
            _ => write_error(path)(error),
        });
    }
    Ok(())
}

/// Returns the place beside `path` where it is written first. Only one process writes a node's files.
fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write_draft(draft: &Path, content: &[u8], access: Access) -> io::Result<()> {
    // A draft left by a crash may have the wrong mode or be a link to somewhere else: it is never opened.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    restrict_file(&mut options, access);
    let mut file = options.open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

fn publish(draft: &Path, path: &Path, existing: Existing) -> io::Result<()> {
    match existing {
        Existing::Replace => fs::rename(draft, path)?,
        // Unlike a rename, a link fails when the name is taken.
        Existing::Keep => {
            fs::hard_link(draft, path)?;
            fs::remove_file(draft)?;
        }
    }
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileError::NotFound { path: path.to_owned() },
        _ => FileError::Read { path: path.to_owned(), source },
    })
}

fn read_bounded(path: &Path, file: File) -> Result<Vec<u8>, FileError> {
    let mut content = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content);
    let len = read.map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if len as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned(), max: FILE_BYTES_MAX });
    }
    Ok(content)
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> FileError {
    move |source| FileError::Write { path: path.to_owned(), source }
}

#[cfg(unix)]
fn check_private(path: &Path, file: &File) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt;

    // Asked of the open file: the name may be given to another one in the meantime.
    let metadata = file.metadata().map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(unix)]
fn restrict_file(options: &mut OpenOptions, access: Access) {
    use std::os::unix::fs::OpenOptionsExt;

    options.mode(match access {
        Access::Private => 0o600,
        Access::Public => 0o644,
    });
}

#[cfg(unix)]
fn restrict_folder(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt;

    builder.mode(0o700);
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

// Other systems have no permission bits: there the folder's access list protects its files.

#[cfg(not(unix))]
fn check_private(_path: &Path, _file: &File) -> Result<(), FileError> {
    Ok(())
}

#[cfg(not(unix))]
fn restrict_file(_options: &mut OpenOptions, _access: Access) {}

#[cfg(not(unix))]
fn restrict_folder(_builder: &mut DirBuilder) {}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_private_file_is_read_back_and_only_its_owner_may_open_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read_private(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_private_file_that_is_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one").unwrap();
        for open_to in [0o640, 0o604, 0o660, 0o610, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open_to)).unwrap();
            let error = read_private(&path).unwrap_err();
            assert!(matches!(error, FileError::Exposed { mode, .. } if mode == open_to), "{error}");
            assert!(error.to_string().ends_with(&format!("chmod 600 {}", path.display())), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(read_private(&path).unwrap(), b"one");
    }

    #[test]
    fn replacing_an_exposed_file_makes_it_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(read_private(&path).unwrap(), b"new");
    }

    #[test]
    fn a_draft_that_a_crash_left_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("secret"), dir.path().join("elsewhere"));
        fs::write(&elsewhere, b"untouched").unwrap();
        symlink(&elsewhere, draft_path(&path)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
        assert_eq!(read_private(&path).unwrap(), b"new");
    }

    #[test]
    fn a_file_that_must_be_new_never_replaces_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create_private(&path, b"one").unwrap();
        assert!(matches!(create_private(&path, b"two"), Err(FileError::Exists { .. })));
        assert_eq!(read_private(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_missing_file_and_a_large_file_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roots");
        assert!(matches!(read_public(&path), Err(FileError::NotFound { .. })));
        File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(matches!(read_public(&path), Err(FileError::TooLarge { .. })));
        File::create(&path).unwrap().set_len(FILE_BYTES_MAX).unwrap();
        assert!(read_public(&path).is_ok());
    }

    #[test]
    fn a_folder_for_private_files_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        create_folder(&path).unwrap();
        create_folder(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }
}
