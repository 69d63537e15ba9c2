//! A node's own identity: its key, its certificate and its fleet's roots, in one folder or in memory.

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::sign::CertifiedKey;

use runnel_codec::{FleetId, NodeId};

use crate::error::{FileError, LoadIdentityError};
use crate::files::{self, AUTHORITY_CERT_FILE, NODE_CERT_FILE, NODE_KEY_FILE};
use crate::key::NodeKey;
use crate::names::server_name;
use crate::peer::{PeerIdentity, read_identity};
use crate::pem;
use crate::role::Role;
use crate::tls::default_provider;
use crate::trust::Trust;

/// Who a node is and how it proves it. `Debug` does not show the key.
///
/// Key and certificate belong together and the certificate comes from one of the roots: that is checked when
/// an identity is made. Whether the certificate has expired is not, so that a node can ask for a new one.
pub struct Identity {
    leaf: PeerIdentity,
    chain: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
    roots: Vec<CertificateDer<'static>>,
    trust: Trust,
}

impl Identity {
    /// Loads `node.key`, `node.crt` (the leaf) and `ca.crt` (the fleet's roots) from the folder `dir`.
    ///
    /// # Errors
    /// A file is missing or damaged, the key is open to other users, or the three do not belong together.
    pub fn load(dir: &Path) -> Result<Self, LoadIdentityError> {
        let key = NodeKey::load(dir)?;
        let chain = files::read_public(&dir.join(NODE_CERT_FILE))?;
        let roots = files::read_public(&dir.join(AUTHORITY_CERT_FILE))?;
        Self::from_texts(&key, &chain, &roots)
    }

    /// Puts together what the authority answered, in PEM, and the key that it was asked to certify.
    ///
    /// # Errors
    /// A text holds no certificate, or key, leaf and roots do not belong together.
    pub fn from_pem(key: &NodeKey, chain: &str, roots: &str) -> Result<Self, LoadIdentityError> {
        Self::from_texts(key, chain.as_bytes(), roots.as_bytes())
    }

    /// Puts together an identity from its parts in memory. The chain begins with the leaf.
    ///
    /// # Errors
    /// A part is damaged, or key, leaf and roots do not belong together.
    pub fn from_parts(
        chain: Vec<CertificateDer<'static>>,
        key: PrivatePkcs8KeyDer<'static>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, LoadIdentityError> {
        let leaf = read_identity(chain.first().ok_or(LoadIdentityError::NoLeaf)?)?;
        let trust = Trust::new(leaf.fleet.clone(), &roots)?;
        check_key(&chain, &key)?;
        check_issuer(&leaf, &chain, &trust)?;
        Ok(Self { leaf, chain, key, roots, trust })
    }

    /// Writes `node.key`, `ca.crt` and `node.crt` to the folder `dir`, which is made if need be. The key is
    /// readable by its owner only.
    ///
    /// Each file is replaced at once. A crash between two of them is found by the next [`Identity::load`]; a
    /// renewal that keeps its key changes nothing but the certificate.
    ///
    /// # Errors
    /// The system refuses.
    pub fn save(&self, dir: &Path) -> Result<(), FileError> {
        files::create_folder(dir)?;
        files::write_private(&dir.join(NODE_KEY_FILE), pem::write_private_key(&self.key).as_bytes())?;
        files::write_public(&dir.join(AUTHORITY_CERT_FILE), pem::write_certificates(&self.roots).as_bytes())?;
        files::write_public(&dir.join(NODE_CERT_FILE), pem::write_certificates(&self.chain).as_bytes())
    }

    /// Returns the fleet that the node belongs to.
    pub fn fleet(&self) -> &FleetId {
        &self.leaf.fleet
    }

    /// Returns the node's name.
    pub fn node(&self) -> &NodeId {
        &self.leaf.node
    }

    /// Returns what the node is in its fleet.
    pub fn role(&self) -> Role {
        self.leaf.role
    }

    /// Returns the last second in which the certificate counts.
    pub fn not_after(&self) -> SystemTime {
        self.leaf.not_after
    }

    /// Returns what peers read from our certificate.
    pub fn as_peer(&self) -> &PeerIdentity {
        &self.leaf
    }

    /// Returns what is shown to peers: the leaf and what leads from it to a root, if anything does.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Returns the fleet's roots.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Returns the trust in everybody of the same fleet.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key().into()
    }

    fn from_texts(key: &NodeKey, chain: &[u8], roots: &[u8]) -> Result<Self, LoadIdentityError> {
        let read = |file, text| {
            pem::read_certificates(text).map_err(|source| LoadIdentityError::Pem { file, source })
        };
        Self::from_parts(read(NODE_CERT_FILE, chain)?, key.to_pkcs8(), read(AUTHORITY_CERT_FILE, roots)?)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

fn check_key(
    chain: &[CertificateDer<'static>],
    key: &PrivatePkcs8KeyDer<'static>,
) -> Result<(), LoadIdentityError> {
    CertifiedKey::from_der(chain.to_vec(), key.clone_key().into(), &default_provider())
        .map_err(LoadIdentityError::KeyMismatch)?;
    Ok(())
}

/// Verifies the leaf as a peer would in the leaf's last second.
fn check_issuer(
    leaf: &PeerIdentity,
    chain: &[CertificateDer<'static>],
    trust: &Trust,
) -> Result<(), LoadIdentityError> {
    let (end_entity, intermediates) = chain.split_first().ok_or(LoadIdentityError::NoLeaf)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(trust.roots().clone(), default_provider())
        .build()
        .map_err(LoadIdentityError::Verifier)?;
    let last_second = leaf.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
    verifier
        .verify_server_cert(
            end_entity,
            intermediates,
            &server_name(&leaf.node, &leaf.fleet),
            &[],
            UnixTime::since_unix_epoch(last_second),
        )
        .map_err(LoadIdentityError::NotIssued)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::{KeyError, PemError};
    use crate::fixtures::{authority, identity, issue};

    #[track_caller]
    fn check_same(left: &Identity, right: &Identity) {
        assert_eq!(left.as_peer(), right.as_peer());
        assert_eq!(left.chain(), right.chain());
        assert_eq!(left.roots(), right.roots());
        assert_eq!(left.key(), right.key());
    }

    #[test]
    fn an_identity_is_loaded_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let saved = identity(&authority("lab"), "n1", Role::Worker);
        saved.save(dir.path()).unwrap();
        let loaded = Identity::load(dir.path()).unwrap();
        check_same(&loaded, &saved);
        assert_eq!((loaded.fleet().as_str(), loaded.node().as_str()), ("lab", "n1"));
        assert_eq!(loaded.role(), Role::Worker);
        assert_eq!(loaded.trust().fleet(), loaded.fleet());
    }

    #[test]
    fn saving_again_replaces_all_parts() {
        let dir = tempfile::tempdir().unwrap();
        identity(&authority("lab"), "n1", Role::Worker).save(dir.path()).unwrap();
        let second = identity(&authority("lab"), "n1", Role::Controller);
        second.save(dir.path()).unwrap();
        check_same(&Identity::load(dir.path()).unwrap(), &second);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_no_identity() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        identity(&authority("lab"), "n1", Role::Worker).save(dir.path()).unwrap();
        let path = dir.path().join(NODE_KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let error = Identity::load(dir.path()).unwrap_err();
        let is_exposed =
            matches!(error, LoadIdentityError::Key(KeyError::File(FileError::Exposed { mode: 0o604, .. })));
        assert!(is_exposed, "{error}");
    }

    #[test]
    fn each_missing_or_empty_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let identity = identity(&authority("lab"), "n1", Role::Worker);
        for name in [NODE_KEY_FILE, NODE_CERT_FILE, AUTHORITY_CERT_FILE] {
            identity.save(dir.path()).unwrap();
            fs::remove_file(dir.path().join(name)).unwrap();
            let text = Identity::load(dir.path()).unwrap_err().to_string();
            assert!(text.ends_with(&format!("{name} does not exist")), "{text}");
        }
        identity.save(dir.path()).unwrap();
        fs::write(dir.path().join(NODE_CERT_FILE), "").unwrap();
        let error = Identity::load(dir.path()).unwrap_err();
        let is_named =
            matches!(error, LoadIdentityError::Pem { file: NODE_CERT_FILE, source: PemError::NoCertificate });
        assert!(is_named, "{error}");
    }

    #[test]
    fn a_leaf_for_another_key_is_refused() {
        let authority = authority("lab");
        let (leaf, _) = issue(&authority, "n1", Role::Worker);
        let other = NodeKey::generate().unwrap();
        let error = Identity::from_pem(&other, &leaf.pem(), &authority.certificate().pem()).unwrap_err();
        assert!(matches!(error, LoadIdentityError::KeyMismatch(_)), "{error}");
    }

    #[test]
    fn a_leaf_from_another_authority_of_the_same_name_is_refused() {
        let (leaf, key) = issue(&authority("lab"), "n1", Role::Worker);
        let error = Identity::from_pem(&key, &leaf.pem(), &authority("lab").certificate().pem()).unwrap_err();
        assert!(matches!(error, LoadIdentityError::NotIssued(_)), "{error}");
    }

    #[test]
    fn one_of_several_roots_is_enough() {
        let (old, new) = (authority("lab"), authority("lab"));
        let (leaf, key) = issue(&old, "n1", Role::Worker);
        let roots = new.certificate().pem() + &old.certificate().pem();
        assert_eq!(Identity::from_pem(&key, &leaf.pem(), &roots).unwrap().roots().len(), 2);
    }

    #[test]
    fn an_authoritys_certificate_is_no_nodes() {
        let authority = authority("lab");
        let root = authority.certificate().pem();
        let error = Identity::from_pem(&NodeKey::generate().unwrap(), &root, &root).unwrap_err();
        assert!(matches!(error, LoadIdentityError::Leaf(_)), "{error}");
        let parts = Identity::from_parts(vec![], NodeKey::generate().unwrap().to_pkcs8(), vec![]);
        assert!(matches!(parts, Err(LoadIdentityError::NoLeaf)));
    }

    #[test]
    fn debug_output_does_not_show_the_key() {
        let shown = format!("{:?}", identity(&authority("lab"), "n1", Role::Worker));
        assert!(shown.starts_with("Identity { leaf: PeerIdentity { fleet: lab, node: n1,"), "{shown}");
        assert!(!shown.contains("key"), "{shown}");
    }
}
