//! Who the two ends are: every system proves it with the same certificates.

use std::path::Path;

use runnel_certs::{Identity, Role};

use crate::fleet::Fleet;

/// Founds a fleet and writes the identities of its client and its server into folders of their names.
///
/// # Panics
///
/// When the folder cannot be written.
pub fn write_identities(folder: &Path) {
    let fleet = Fleet::new();
    for (name, role) in [(CLIENT, Role::Controller), (SERVER, Role::Worker)] {
        let (key, identity) = fleet.identity_with_key(name, role);
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).expect("the folder can be written");
        key.save_new(&folder).expect("the folder is empty");
        identity.save(&folder).expect("the folder can be written");
    }
}

/// Reads the client's.
///
/// # Panics
///
/// When it is not there.
#[must_use]
pub fn load_client(folder: &Path) -> Identity {
    Identity::load(&folder.join(CLIENT)).expect("the identities were written")
}

/// Reads the server's.
///
/// # Panics
///
/// When it is not there.
#[must_use]
pub fn load_server(folder: &Path) -> Identity {
    Identity::load(&folder.join(SERVER)).expect("the identities were written")
}

/// The name of the node that drives.
pub const CLIENT: &str = "controller";

/// The name of the node that serves.
pub const SERVER: &str = "worker";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_identities(folder.path());
        assert_eq!(load_client(folder.path()).node().to_string(), CLIENT);
        assert_eq!(load_server(folder.path()).role(), Role::Worker);
    }
}
