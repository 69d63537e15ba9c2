//! The endpoint's keys on disk: what makes a restart show at once.
//!
//! With the same keys after a restart, the first packet of a peer's older link is answered with a reset that the peer
//! believes, and the tickets of the older process count. With new keys the peer finds out by silence, and makes a whole
//! handshake.

use std::io;
use std::path::{Path, PathBuf};

use runnel_certs::{FileError, read_private, write_private};
use runnel_transport::EndpointKeys;

use crate::store_folder::make_folder;

/// Name of the file with the endpoint's keys, in a node's state folder.
pub const ENDPOINT_KEYS_FILE: &str = "endpoint.keys";

/// Why the endpoint's keys could not be loaded or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointKeysError {
    /// The state folder does not exist and could not be made.
    #[error("cannot make the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file could not be read or written, or is open to other users.
    #[error("cannot keep the endpoint's keys")]
    File(#[from] FileError),
    /// The file does not hold keys. Delete it: new keys are made, and peers notice one restart late.
    #[error("{} has {len} bytes instead of {}; delete it, new keys are then made", path.display(), EndpointKeys::BYTES)]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
    },
}

/// Loads the endpoint's keys from a node's state folder, or makes them there, readable by their owner alone.
///
/// Two nodes must not share a folder: each would reset the other's links.
///
/// # Errors
///
/// See [`EndpointKeysError`].
pub fn load_or_create_endpoint_keys(folder: &Path) -> Result<EndpointKeys, EndpointKeysError> {
    let path = folder.join(ENDPOINT_KEYS_FILE);
    match read_private(&path) {
        Ok(bytes) => match <&[u8; EndpointKeys::BYTES]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(EndpointKeys::from_bytes(bytes)),
            Err(_) => Err(EndpointKeysError::Length { path, len: bytes.len() }),
        },
        Err(FileError::NotFound { .. }) => create(folder, &path),
        Err(error) => Err(error.into()),
    }
}

fn create(folder: &Path, path: &Path) -> Result<EndpointKeys, EndpointKeysError> {
    make_folder(folder).map_err(|source| EndpointKeysError::Folder { path: folder.to_owned(), source })?;
    let keys = EndpointKeys::random(&mut rand::rng());
    write_private(path, &keys.to_bytes())?;
    Ok(keys)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_then_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/state");
        let made = load_or_create_endpoint_keys(&folder).unwrap();
        let loaded = load_or_create_endpoint_keys(&folder).unwrap();
        assert_eq!(made.to_bytes(), loaded.to_bytes());
        let mode = fs::metadata(folder.join(ENDPOINT_KEYS_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = load_or_create_endpoint_keys(&dir.path().join("b")).unwrap();
        assert_ne!(made.to_bytes(), other.to_bytes());
    }

    #[test]
    fn a_file_that_holds_no_keys_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        write_private(&dir.path().join(ENDPOINT_KEYS_FILE), &[1; 95]).unwrap();
        let error = load_or_create_endpoint_keys(dir.path()).unwrap_err();
        assert!(matches!(error, EndpointKeysError::Length { len: 95, .. }), "{error}");
        assert!(error.to_string().contains("endpoint.keys has 95 bytes instead of 96"), "{error}");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create_endpoint_keys(dir.path()).unwrap();
        let path = dir.path().join(ENDPOINT_KEYS_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load_or_create_endpoint_keys(dir.path()).unwrap_err();
        assert!(matches!(error, EndpointKeysError::File(FileError::Exposed { .. })), "{error}");
    }
}
