//! A node's own key, and the request to have it certified. The key never leaves the machine.

use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::error::KeyError;
use crate::files::{self, NODE_KEY_FILE};
use crate::pem;

/// A node's Ed25519 key.
///
/// Its signatures all have the same size, so handshakes do too. `Debug` does not show it.
#[derive(Debug)]
pub struct NodeKey {
    pair: KeyPair,
}

impl NodeKey {
    /// Makes a new key with the system's randomness.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(KeyError::Generate)?;
        Ok(Self { pair })
    }

    /// Loads the key from `node.key` in the folder `dir`.
    ///
    /// # Errors
    /// The file is missing, open to other users, or holds no Ed25519 key.
    pub fn load(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(NODE_KEY_FILE);
        let text = files::read_private(&path)?;
        let der =
            pem::read_private_key(&text).map_err(|source| KeyError::Pem { path: path.clone(), source })?;
        let pair = read_ed25519(&der).map_err(|source| KeyError::Algorithm { path, source })?;
        Ok(Self { pair })
    }

    /// Writes the key to `node.key` in the folder `dir`, readable by its owner only. The folder is made if
    /// need be.
    ///
    /// # Errors
    /// The system refuses, or there is a key already ([`FileError::Exists`](crate::FileError::Exists)): a
    /// certificate may be on its way for it.
    pub fn save_new(&self, dir: &Path) -> Result<(), KeyError> {
        files::create_folder(dir)?;
        let text = pem::write_private_key(&self.to_pkcs8());
        Ok(files::create_private(&dir.join(NODE_KEY_FILE), text.as_bytes())?)
    }

    /// Makes a signing request (PKCS #10) in PEM.
    ///
    /// It proves that we hold the key and names nobody: the authority decides whose it is.
    ///
    /// # Errors
    /// The request cannot be signed.
    pub fn csr(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.pair).and_then(|request| request.pem()).map_err(KeyError::Request)
    }

    /// Returns the key in PKCS #8, for [`Identity::from_parts`](crate::Identity::from_parts).
    pub fn to_pkcs8(&self) -> PrivatePkcs8KeyDer<'static> {
        self.pair.serialize_der().into()
    }
}

/// Reads a key in PKCS #8 that must be one for Ed25519.
pub(crate) fn read_ed25519(der: &PrivatePkcs8KeyDer<'_>) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_der_and_sign_algo(der, &PKCS_ED25519)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::FileError;

    #[test]
    fn a_key_is_loaded_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("certs");
        let key = NodeKey::generate().unwrap();
        key.save_new(&folder).unwrap();
        assert_eq!(NodeKey::load(&folder).unwrap().to_pkcs8(), key.to_pkcs8());
    }

    #[test]
    fn a_key_is_never_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let key = NodeKey::generate().unwrap();
        key.save_new(dir.path()).unwrap();
        let error = NodeKey::generate().unwrap().save_new(dir.path()).unwrap_err();
        assert!(matches!(error, KeyError::File(FileError::Exists { .. })), "{error}");
        assert_eq!(NodeKey::load(dir.path()).unwrap().to_pkcs8(), key.to_pkcs8());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        NodeKey::generate().unwrap().save_new(dir.path()).unwrap();
        let path = dir.path().join(NODE_KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = NodeKey::load(dir.path()).unwrap_err();
        assert!(matches!(error, KeyError::File(FileError::Exposed { mode: 0o640, .. })), "{error}");
    }

    #[test]
    fn a_key_of_another_algorithm_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        files::write_private(&dir.path().join(NODE_KEY_FILE), other.serialize_pem().as_bytes()).unwrap();
        assert!(matches!(NodeKey::load(dir.path()), Err(KeyError::Algorithm { .. })));
    }

    #[test]
    fn debug_output_does_not_show_the_key() {
        let key = NodeKey::generate().unwrap();
        let secret = &key.to_pkcs8().secret_pkcs8_der()[16..48].to_vec();
        let shown = format!("{key:?}");
        assert!(!shown.contains(&format!("{secret:?}")), "{shown}");
        assert!(shown.contains("elided"), "{shown}");
    }
}
