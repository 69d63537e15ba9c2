//! Identities of a fleet for one test, and papers that no authority would issue.

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ED25519, SanType,
};
use runnel::certs::{
    AUTHORITY_KEY_FILE, Authority, CLOCK_SKEW, Identity, NodeKey, Role, Validity, read_private,
};

/// An authority that lives as long as a test.
#[derive(Debug)]
pub struct TestFleet {
    authority: Authority,
    now: SystemTime,
}

/// A leaf with its key, and the roots that its owner trusts; all DER.
#[derive(Clone, Debug)]
pub struct Papers {
    /// The leaf.
    pub leaf: Vec<u8>,
    /// Its private key, PKCS #8.
    pub key: Vec<u8>,
    /// The trusted roots.
    pub roots: Vec<Vec<u8>>,
}

impl TestFleet {
    /// Founds a fleet whose certificates are valid at `now`.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn new(now: SystemTime) -> Self {
        let validity = Validity::starting(now, LIFETIME * 2).expect("a lifetime within the calendar");
        let authority = Authority::create(FLEET.parse().expect("a valid name"), validity);
        Self { authority: authority.expect("the system has randomness"), now }
    }

    /// Founds a fleet whose certificates are valid now.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn today() -> Self {
        Self::new(SystemTime::now())
    }

    /// Issues the identity of a node.
    ///
    /// # Panics
    ///
    /// When the name is none.
    pub fn identity(&self, name: &str, role: Role) -> Identity {
        let validity = Validity::starting(self.now, LIFETIME).expect("a lifetime within the calendar");
        self.identity_of(name, role, validity)
    }

    /// Issues the identity of a node whose certificate ended just before the fleet was founded.
    ///
    /// # Panics
    ///
    /// When the name is none.
    pub fn expired_identity(&self, name: &str, role: Role) -> Identity {
        let validity = Validity::between(self.now - CLOCK_SKEW, self.now - Duration::from_secs(60));
        self.identity_of(name, role, validity.expect("a lifetime within the calendar"))
    }

    /// Issues papers in order for a stranger.
    ///
    /// # Panics
    ///
    /// When the name is none.
    pub fn papers(&self, name: &str, role: Role) -> Papers {
        let key = NodeKey::generate().expect("the system has randomness");
        let validity = Validity::starting(self.now, LIFETIME).expect("a lifetime within the calendar");
        let csr = key.csr().expect("a fresh key signs its request");
        let leaf = self.authority.issue(&csr, &name.parse().expect("a valid name"), role, validity);
        let leaf = leaf.expect("the request is our own").der().to_vec();
        Papers { leaf, key: key.to_pkcs8().secret_pkcs8_der().to_vec(), roots: vec![self.root()] }
    }

    /// Signs papers with the authority's key that the authority itself would not: any fleet, any role.
    ///
    /// # Panics
    ///
    /// When the names form no name of a certificate, or there is no folder to write to.
    pub fn odd_papers(&self, fleet: &str, role: &str, name: &str) -> Papers {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("the system has randomness");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = (self.now - CLOCK_SKEW).into();
        params.not_after = (self.now + LIFETIME).into();
        params.subject_alt_names = vec![
            SanType::DnsName(format!("{name}.{fleet}.runnel").try_into().expect("ASCII")),
            SanType::URI(format!("spiffe://{fleet}/{role}/{name}").try_into().expect("ASCII")),
        ];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&key, &self.issuer()).expect("a leaf of the right shape");
        Papers { leaf: leaf.der().to_vec(), key: key.serialize_der(), roots: vec![self.root()] }
    }

    /// Returns the root certificate, DER.
    pub fn root(&self) -> Vec<u8> {
        self.authority.certificate().der().to_vec()
    }

    fn identity_of(&self, name: &str, role: Role, validity: Validity) -> Identity {
        let key = NodeKey::generate().expect("the system has randomness");
        let csr = key.csr().expect("a fresh key signs its request");
        let leaf = self.authority.issue(&csr, &name.parse().expect("a valid name"), role, validity);
        let leaf = leaf.expect("the request is our own");
        Identity::from_pem(&key, &leaf.pem(), &self.authority.certificate().pem())
            .expect("they belong together")
    }

    /// The authority does not give its key away, but it writes it down.
    fn issuer(&self) -> Issuer<'static, KeyPair> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        self.authority.save(folder.path()).expect("a folder to write to");
        let key = read_private(&folder.path().join(AUTHORITY_KEY_FILE)).expect("what was written");
        let key = KeyPair::from_pem(std::str::from_utf8(&key).expect("PEM is ASCII")).expect("a key");
        let certificate = self.authority.certificate().pem();
        Issuer::from_ca_cert_pem(&certificate, key).expect("a certificate of an authority")
    }
}

/// The name of every test's fleet.
pub const FLEET: &str = "test";

const LIFETIME: Duration = Duration::from_secs(24 * 3600);
