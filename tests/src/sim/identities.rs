//! Throw-away identities for the simulation, the same in every run: each key is the hash of a name.
//!
//! Certificates begin and end years away from the simulation's days, so that steps of wall clocks leave them valid.

use std::time::{Duration, SystemTime};

use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
};
use runnel::certs::{Identity, Role};

/// Returns the identity of a node of the simulated fleet.
///
/// # Panics
///
/// When the name is none.
pub fn identity(name: &str, role: Role) -> Identity {
    let root_key = key_of("the authority of the simulation");
    let root = root_params().self_signed(&root_key).expect("a root of the right shape");
    let (root, issuer) = (root.der().clone(), Issuer::new(root_params(), root_key));
    let leaf_key = key_of(name);
    let leaf = leaf_params(name, role).signed_by(&leaf_key, &issuer).expect("a leaf of the right shape");
    let key = PrivatePkcs8KeyDer::from(leaf_key.serialize_der());
    let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
    Identity::from_parts(chain, key, vec![root]).expect("they belong together")
}

/// Makes an Ed25519 key of a text: RFC 8410 puts its 32 bytes behind a fixed prefix.
fn key_of(text: &str) -> KeyPair {
    let der = [&PKCS8_PREFIX[..], blake3::hash(text.as_bytes()).as_bytes()].concat();
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519);
    key.expect("any 32 bytes are an Ed25519 key")
}

fn root_params() -> CertificateParams {
    let mut params = common_params(FLEET);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params(name: &str, role: Role) -> CertificateParams {
    let mut params = common_params(name);
    params.subject_alt_names = vec![
        SanType::DnsName(format!("{name}.{FLEET}.runnel").try_into().expect("ASCII")),
        SanType::URI(format!("spiffe://{FLEET}/{role}/{name}").try_into().expect("ASCII")),
    ];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn common_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = (SystemTime::UNIX_EPOCH + NOT_BEFORE).into();
    params.not_after = (SystemTime::UNIX_EPOCH + NOT_AFTER).into();
    params
}

const FLEET: &str = "sim";

/// The year 2023 or so; the simulation begins in 2027.
const NOT_BEFORE: Duration = Duration::from_secs(1_700_000_000);

/// Some ten years after the simulation begins.
const NOT_AFTER: Duration = Duration::from_secs(2_100_000_000);

/// A sequence of version 0, the algorithm 1.3.101.112, and an octet string of 32 bytes in an octet string.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_same_each_time() {
        let (first, second) = (identity("w1", Role::Worker), identity("w1", Role::Worker));
        assert_eq!(first.chain(), second.chain());
        assert_eq!(first.roots(), second.roots());
        assert_eq!((first.node().as_str(), first.role()), ("w1", Role::Worker));
    }

    #[test]
    fn nodes_of_names_of_one_length_have_certificates_of_one_size() {
        let sizes = ["w001", "w002", "w999"].map(|name| identity(name, Role::Worker).chain()[0].len());
        assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    }
}
