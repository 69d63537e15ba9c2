//! A fleet's authority: makes itself, keeps itself in a folder, and says whose a key is.
//!
//! A requester proves that it holds its key and nothing else. Everything else that its request asks for is
//! ignored: names, role and usages come from our caller.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{CertificateSigningRequestParams, Issuer, KeyPair, PKCS_ED25519, PublicKeyData};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use runnel_codec::{FleetId, NodeId};

use crate::certificate::{self, Certificate};
use crate::error::{CreateAuthorityError, FileError, IssueError, LoadAuthorityError, PemError};
use crate::files::{self, AUTHORITY_CERT_FILE, AUTHORITY_KEY_FILE};
use crate::key::read_ed25519;
use crate::role::Role;
use crate::validity::Validity;
use crate::{peer, pem};

/// Largest signing request that is read, in bytes of PEM. Ours have some 250.
///
/// Lower, requests made by other programs with long subjects are refused; higher, a stranger makes us parse
/// more.
pub const CSR_BYTES_MAX: usize = 16 * 1024;

/// The authority of one fleet. `Debug` does not show its key.
#[derive(Debug)]
pub struct Authority {
    fleet: FleetId,
    certificate: Certificate,
    not_after: SystemTime,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority with a key of its own. [`AUTHORITY_LIFETIME`](crate::AUTHORITY_LIFETIME)
    /// proposes how long it should last.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn create(fleet: FleetId, validity: Validity) -> Result<Self, CreateAuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(CreateAuthorityError::Key)?;
        let serial = certificate::random_serial().ok_or(CreateAuthorityError::Random)?;
        let params = certificate::root_params(&fleet, validity, serial);
        let certificate = params.self_signed(&key).map_err(CreateAuthorityError::Sign)?;
        Ok(Self {
            fleet,
            certificate: Certificate::new(certificate.into()),
            not_after: validity.not_after(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Loads an authority from `ca.crt` and `ca.key` in the folder `dir`. The first certificate in the file
    /// counts.
    ///
    /// # Errors
    /// A file is missing or damaged, the key is open to other users, or both do not belong together.
    pub fn load(dir: &Path) -> Result<Self, LoadAuthorityError> {
        let key_path = dir.join(AUTHORITY_KEY_FILE);
        let key = load_key(&key_path)?;
        let path = dir.join(AUTHORITY_CERT_FILE);
        let der = load_certificate(&path)?;
        let damaged = |source| LoadAuthorityError::Certificate { path: path.clone(), source };
        let parsed = peer::parse(&der).map_err(damaged)?;
        let fleet = read_fleet(&path, &parsed)?;
        if parsed.public_key().subject_public_key.data != key.der_bytes() {
            return Err(LoadAuthorityError::KeyMismatch { certificate: path, key: key_path });
        }
        let not_after = peer::not_after(&parsed);
        let Ok(issuer) = Issuer::from_ca_cert_der(&der, key) else {
            return Err(LoadAuthorityError::NotAnAuthority { path });
        };
        Ok(Self { fleet, certificate: Certificate::new(der), not_after, issuer })
    }

    /// Writes `ca.key`, readable by its owner only, and `ca.crt` to the folder `dir`, which is made if need
    /// be.
    ///
    /// # Errors
    /// The system refuses, or the folder has an authority's key already ([`FileError::Exists`]), which is
    /// never replaced. A folder with a key and no certificate was left by a crash in here: nothing was issued
    /// with that key.
    pub fn save(&self, dir: &Path) -> Result<(), FileError> {
        files::create_folder(dir)?;
        let key = pem::write_private_key(&self.issuer.key().serialize_der().into());
        files::create_private(&dir.join(AUTHORITY_KEY_FILE), key.as_bytes())?;
        files::write_public(&dir.join(AUTHORITY_CERT_FILE), self.certificate.pem().as_bytes())
    }

    /// Certifies that the key in a signing request is that of `node` in `role`.
    ///
    /// [`LEAF_LIFETIME`](crate::LEAF_LIFETIME) proposes how long a certificate should last.
    ///
    /// # Errors
    /// The request is not signed by its own key, is no request or too large; or the certificate would outlive
    /// us.
    pub fn issue(
        &self,
        csr_pem: &str,
        node: &NodeId,
        role: Role,
        validity: Validity,
    ) -> Result<Certificate, IssueError> {
        if let Ok(excess) = validity.not_after().duration_since(self.not_after)
            && !excess.is_zero()
        {
            return Err(IssueError::OutlivesAuthority { excess_secs: excess.as_secs() });
        }
        let request = read_request(csr_pem)?;
        let serial = certificate::random_serial().ok_or(IssueError::Random)?;
        let params = certificate::leaf_params(&self.fleet, node, role, validity, serial);
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(IssueError::Sign)?;
        Ok(Certificate::new(certificate.into()))
    }

    /// Returns the fleet.
    pub fn fleet(&self) -> &FleetId {
        &self.fleet
    }

    /// Returns the authority's own certificate: the root that every node of the fleet trusts.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns the last second in which the authority counts.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

/// Reads a request and checks that it is signed by the key that it names.
fn read_request(csr_pem: &str) -> Result<CertificateSigningRequestParams, IssueError> {
    if csr_pem.len() > CSR_BYTES_MAX {
        return Err(IssueError::TooLarge { len: csr_pem.len(), max: CSR_BYTES_MAX });
    }
    let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(|error| match error {
        rcgen::Error::InvalidCertificationRequestSignature => IssueError::Signature,
        error => IssueError::Malformed(error),
    })?;
    if request.public_key.algorithm() != &PKCS_ED25519 {
        return Err(IssueError::KeyAlgorithm);
    }
    Ok(request)
}

fn load_key(path: &Path) -> Result<KeyPair, LoadAuthorityError> {
    let text = files::read_private(path)?;
    let der = pem::read_private_key(&text).map_err(|source| unusable(path, source))?;
    read_ed25519(&der).map_err(|source| LoadAuthorityError::Key { path: path.to_owned(), source })
}

fn load_certificate(path: &Path) -> Result<CertificateDer<'static>, LoadAuthorityError> {
    let text = files::read_public(path)?;
    let all = pem::read_certificates(&text).map_err(|source| unusable(path, source))?;
    all.into_iter().next().ok_or_else(|| unusable(path, PemError::NoCertificate))
}

fn unusable(path: &Path, source: PemError) -> LoadAuthorityError {
    LoadAuthorityError::Pem { path: path.to_owned(), source }
}

/// Returns the fleet of an authority's certificate, which is its subject's common name.
fn read_fleet(path: &Path, certificate: &X509Certificate<'_>) -> Result<FleetId, LoadAuthorityError> {
    let not_an_authority = || LoadAuthorityError::NotAnAuthority { path: PathBuf::from(path) };
    if !certificate.is_ca() {
        return Err(not_an_authority());
    }
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = name.ok_or_else(not_an_authority)?;
    name.parse().map_err(|source| LoadAuthorityError::Fleet { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    };
    use rustls::pki_types::CertificateSigningRequestDer;
    use rustls::pki_types::pem::PemObject;
    use x509_parser::extensions::GeneralName;

    use super::*;
    use crate::fixtures::{NOW, at, authority, identity, issue, leaf_validity};
    use crate::key::NodeKey;
    use crate::peer::read_identity;

    /// Names and other facts of a leaf, as a stranger would read them.
    #[track_caller]
    fn check_leaf_of_n1(leaf: &Certificate) {
        let parsed = peer::parse(leaf.der()).unwrap();
        let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(
            names[..],
            [GeneralName::DNSName("n1.lab.runnel"), GeneralName::URI("spiffe://lab/worker/n1")]
        );
        let constraints = parsed.basic_constraints().unwrap().unwrap().value;
        assert!(!constraints.ca && constraints.path_len_constraint.is_none());
        let usages = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usages.server_auth && usages.client_auth);
        assert!(!usages.any && !usages.code_signing && usages.other.is_empty());
        let key_usage = parsed.key_usage().unwrap().unwrap().value;
        assert!(key_usage.digital_signature() && !key_usage.key_cert_sign() && !key_usage.crl_sign());
        assert_eq!(parsed.subject().to_string(), "CN=n1");
        assert_eq!(parsed.issuer().to_string(), "CN=lab, O=Runnel fleet");
        // The four above, and the identifiers of both keys.
        assert_eq!(parsed.extensions().len(), 6, "{:?}", parsed.extensions());
    }

    fn hostile_request(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::default();
        change(&mut params);
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    fn issue_n1(csr: &str) -> Result<Certificate, IssueError> {
        authority("lab").issue(csr, &"n1".parse().unwrap(), Role::Worker, leaf_validity())
    }

    #[test]
    fn a_leaf_names_its_node_and_nothing_else() {
        let (leaf, _) = issue(&authority("lab"), "n1", Role::Worker);
        check_leaf_of_n1(&leaf);
        let peer = read_identity(leaf.der()).unwrap();
        assert_eq!((peer.role, peer.not_after), (Role::Worker, leaf_validity().not_after()));
    }

    #[test]
    fn whatever_a_request_asks_for_is_ignored() {
        let csr = hostile_request(|params| {
            params.distinguished_name.push(DnType::CommonName, "controller-1");
            params.subject_alt_names = vec![
                SanType::DnsName("controller-1.lab.runnel".try_into().unwrap()),
                SanType::URI("spiffe://lab/controller/controller-1".try_into().unwrap()),
                SanType::IpAddress([10, 0, 0, 1].into()),
            ];
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::Any, ExtendedKeyUsagePurpose::CodeSigning];
        });
        check_leaf_of_n1(&issue_n1(&csr).unwrap());
    }

    #[test]
    fn a_request_with_an_extension_that_is_not_understood_is_refused() {
        let csr = hostile_request(|params| {
            let extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            params.custom_extensions = vec![extension];
        });
        assert!(matches!(issue_n1(&csr), Err(IssueError::Malformed(_))));
    }

    #[test]
    fn a_tampered_request_is_refused() {
        let csr = NodeKey::generate().unwrap().csr().unwrap();
        let der = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes()).unwrap();
        // Two short headers, what is signed, the name of the algorithm, 64 bytes of signature.
        let signed = 2..4 + usize::from(der[3]);
        let signature = der.len() - 64..der.len();
        for position in signed.chain(signature.clone()) {
            let mut tampered = der.to_vec();
            tampered[position] ^= 1;
            let error = issue_n1(&pem_request(&tampered)).unwrap_err();
            let is_refused = match error {
                IssueError::Signature => true,
                IssueError::Malformed(_) => !signature.contains(&position),
                _ => false,
            };
            assert!(is_refused, "byte {position} of {}: {error}", der.len());
        }
        assert!(issue_n1(&pem_request(&der)).is_ok());
    }

    fn pem_request(der: &[u8]) -> String {
        // The label does not count for the authority, only what is in it.
        pem::write_certificates(&[CertificateDer::from(der)])
    }

    #[test]
    fn requests_that_are_none_are_refused() {
        assert!(matches!(issue_n1(""), Err(IssueError::Malformed(_))));
        assert!(matches!(issue_n1(&"A".repeat(CSR_BYTES_MAX)), Err(IssueError::Malformed(_))));
        assert!(matches!(issue_n1(&"A".repeat(CSR_BYTES_MAX + 1)), Err(IssueError::TooLarge { .. })));
    }

    #[test]
    fn keys_of_other_algorithms_are_refused() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        assert!(matches!(issue_n1(&csr), Err(IssueError::KeyAlgorithm)));
    }

    #[test]
    fn a_leaf_does_not_outlive_its_authority() {
        let authority = authority("lab");
        let csr = NodeKey::generate().unwrap().csr().unwrap();
        let issue = |not_after| {
            let validity = Validity::between(at(NOW), not_after).unwrap();
            authority.issue(&csr, &"n1".parse().unwrap(), Role::Worker, validity)
        };
        assert!(issue(authority.not_after()).is_ok());
        let error = issue(authority.not_after() + Duration::from_secs(7)).unwrap_err();
        assert!(matches!(error, IssueError::OutlivesAuthority { excess_secs: 7 }), "{error}");
    }

    #[test]
    fn an_authority_is_loaded_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let created = authority("lab");
        created.save(dir.path()).unwrap();
        let loaded = Authority::load(dir.path()).unwrap();
        assert_eq!(loaded.fleet(), created.fleet());
        assert_eq!(loaded.certificate(), created.certificate());
        assert_eq!(loaded.not_after(), created.not_after());
        // An identity is checked against its root, here the one that was created.
        let (leaf, key) = issue(&loaded, "n1", Role::Worker);
        check_leaf_of_n1(&leaf);
        crate::Identity::from_pem(&key, &leaf.pem(), &created.certificate().pem()).unwrap();
    }

    #[test]
    fn an_authority_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let first = authority("lab");
        first.save(dir.path()).unwrap();
        assert!(matches!(authority("lab").save(dir.path()), Err(FileError::Exists { .. })));
        assert_eq!(Authority::load(dir.path()).unwrap().certificate(), first.certificate());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        authority("lab").save(dir.path()).unwrap();
        let path = dir.path().join(AUTHORITY_KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Authority::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(matches!(error, LoadAuthorityError::File(FileError::Exposed { mode: 0o644, .. })));
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        authority("lab").save(dir.path()).unwrap();
        authority("lab").save(other.path()).unwrap();
        fs::copy(other.path().join(AUTHORITY_CERT_FILE), dir.path().join(AUTHORITY_CERT_FILE)).unwrap();
        assert!(matches!(Authority::load(dir.path()), Err(LoadAuthorityError::KeyMismatch { .. })));
    }

    #[test]
    fn a_nodes_certificate_is_no_authority() {
        let dir = tempfile::tempdir().unwrap();
        let authority = authority("lab");
        authority.save(dir.path()).unwrap();
        let leaf = pem::write_certificates(identity(&authority, "n1", Role::Worker).chain());
        fs::write(dir.path().join(AUTHORITY_CERT_FILE), leaf).unwrap();
        assert!(matches!(Authority::load(dir.path()), Err(LoadAuthorityError::NotAnAuthority { .. })));
    }
}
