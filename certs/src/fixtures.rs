//! What the tests of this crate share: moments, authorities, and leaves made by hand that no authority would
//! issue.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ED25519, SanType};
use rustls::pki_types::CertificateDer;

use crate::authority::Authority;
use crate::certificate::Certificate;
use crate::identity::Identity;
use crate::key::NodeKey;
use crate::role::Role;
use crate::validity::{AUTHORITY_LIFETIME, LEAF_LIFETIME, Validity};

/// The present of the tests, in seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;

/// The last second of a leaf made by hand.
pub(crate) const LEAF_END: u64 = NOW + 1000;

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn authority(fleet: &str) -> Authority {
    let validity = Validity::starting(at(NOW), AUTHORITY_LIFETIME).unwrap();
    Authority::create(fleet.parse().unwrap(), validity).unwrap()
}

pub(crate) fn leaf_validity() -> Validity {
    Validity::starting(at(NOW), LEAF_LIFETIME).unwrap()
}

pub(crate) fn issue(authority: &Authority, node: &str, role: Role) -> (Certificate, NodeKey) {
    let key = NodeKey::generate().unwrap();
    let csr = key.csr().unwrap();
    let leaf = authority.issue(&csr, &node.parse().unwrap(), role, leaf_validity()).unwrap();
    (leaf, key)
}

pub(crate) fn identity(authority: &Authority, node: &str, role: Role) -> Identity {
    let (leaf, key) = issue(authority, node, role);
    let roots = vec![authority.certificate().der().clone()];
    Identity::from_parts(vec![leaf.der().clone()], key.to_pkcs8(), roots).unwrap()
}

/// A leaf of the right shape, to be bent before it is signed by some key.
pub(crate) struct TestLeaf {
    pub(crate) params: CertificateParams,
}

impl TestLeaf {
    pub(crate) fn new(fleet: &str, role: &str, node: &str) -> Self {
        let mut params = CertificateParams::default();
        params.not_before = at(NOW - 1000).into();
        params.not_after = at(LEAF_END).into();
        params.subject_alt_names = vec![
            SanType::DnsName(format!("{node}.{fleet}.runnel").try_into().unwrap()),
            SanType::URI(format!("spiffe://{fleet}/{role}/{node}").try_into().unwrap()),
        ];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self { params }
    }

    pub(crate) fn sign(self) -> CertificateDer<'static> {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate_for(&PKCS_ED25519).unwrap());
        self.params.signed_by(&key, &issuer).unwrap().into()
    }
}
