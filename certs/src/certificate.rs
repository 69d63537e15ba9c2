//! What an authority signs: its own root, and the leaf of a node. The shapes of both are fixed here.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;

use runnel_codec::{FleetId, NodeId};

use crate::role::Role;
use crate::tls::default_provider;
use crate::validity::Validity;
use crate::{names, pem};

/// A certificate that the authority has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new(der: CertificateDer<'static>) -> Self {
        Self { der }
    }

    /// Returns the certificate in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Returns the certificate in PEM.
    pub fn pem(&self) -> String {
        pem::write_certificates(std::slice::from_ref(&self.der))
    }
}

/// Describes a root that signs leaves only. There are no name constraints: webpki refuses every URI under
/// them.
pub(crate) fn root_params(fleet: &FleetId, validity: Validity, serial: SerialNumber) -> CertificateParams {
    let mut params = common_params(fleet.as_str(), validity, serial);
    params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Describes a node: one DNS name, one URI, both directions.
pub(crate) fn leaf_params(
    fleet: &FleetId,
    node: &NodeId,
    role: Role,
    validity: Validity,
    serial: SerialNumber,
) -> CertificateParams {
    let mut params = common_params(node.as_str(), validity, serial);
    params.subject_alt_names = vec![
        SanType::DnsName(ascii(names::dns_name(node, fleet))),
        SanType::URI(ascii(names::uri(node, fleet, role))),
    ];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn common_params(common_name: &str, validity: Validity, serial: SerialNumber) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = validity.not_before().into();
    params.not_after = validity.not_after().into();
    params.serial_number = Some(serial);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// Returns 126 random bits below the bits 01: every serial takes 16 bytes, so a node's leaves have one size.
pub(crate) fn random_serial() -> Option<SerialNumber> {
    let mut serial = [0; 16];
    default_provider().secure_random.fill(&mut serial).ok()?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Some(SerialNumber::from_slice(&serial))
}

fn ascii(name: String) -> Ia5String {
    name.try_into().expect("names of nodes, fleets and roles are ASCII")
}

const ORGANIZATION: &str = "Runnel fleet";

#[cfg(test)]
mod tests {
    use x509_parser::extensions::ParsedExtension;

    use crate::fixtures::{authority, issue};
    use crate::peer;
    use crate::role::Role;

    #[test]
    fn leaves_of_one_node_have_one_size_and_different_serials() {
        let authority = authority("lab");
        let leaves: Vec<_> = (0..50).map(|_| issue(&authority, "n1", Role::Worker).0).collect();
        let mut serials: Vec<_> =
            leaves.iter().map(|leaf| peer::parse(leaf.der()).unwrap().raw_serial().to_vec()).collect();
        serials.sort();
        serials.dedup();
        assert_eq!(serials.len(), 50);
        assert!(leaves.iter().all(|leaf| leaf.der().len() == leaves[0].der().len()));
    }

    #[test]
    fn a_root_signs_leaves_only_and_constrains_no_names() {
        let authority = authority("lab");
        let parsed = peer::parse(authority.certificate().der()).unwrap();
        let constraints = parsed.basic_constraints().unwrap().unwrap().value;
        assert_eq!((constraints.ca, constraints.path_len_constraint), (true, Some(0)));
        let constrains_names =
            |extension: &ParsedExtension<'_>| matches!(extension, ParsedExtension::NameConstraints(_));
        assert!(!parsed.extensions().iter().any(|extension| constrains_names(extension.parsed_extension())));
    }
}
