//! Who a peer is, read from a leaf that rustls has verified.
//!
//! Nothing here checks a signature: a leaf that did not come out of a finished handshake proves nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::{nom, parse_x509_certificate};

use runnel_codec::{FleetId, NodeId};

use crate::error::IdentityError;
use crate::names;
use crate::role::Role;

/// Who a node is, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its fleet.
    pub fleet: FleetId,
    /// Its name in the fleet.
    pub node: NodeId,
    /// What it is in the fleet.
    pub role: Role,
    /// The last second in which its certificate counts.
    pub not_after: SystemTime,
}

impl PeerIdentity {
    /// Says whether the certificate no longer counts at `now`, for links that outlive the handshake's check.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        now.duration_since(self.not_after).is_ok_and(|late| late >= Duration::from_secs(1))
    }
}

/// Reads who a peer is from its leaf, which rustls must have verified.
///
/// # Errors
/// The leaf does not have the shape of a node's certificate, or has a role that is unknown here.
pub fn read_identity(leaf: &CertificateDer<'_>) -> Result<PeerIdentity, IdentityError> {
    let certificate = parse(leaf).map_err(IdentityError::Malformed)?;
    let (dns, uri) = read_names(&certificate)?;
    let (fleet, role, node) = names::read_uri(uri)?;
    let expected = names::dns_name(&node, &fleet);
    if dns != expected {
        return Err(IdentityError::Disagree { dns: dns.to_owned(), expected });
    }
    check_usages(&certificate)?;
    Ok(PeerIdentity { fleet, node, role, not_after: not_after(&certificate) })
}

/// Reads a certificate that takes all of `der`.
///
/// `Finish::finish` is not for bytes from elsewhere: it panics where bytes are missing.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, X509Error> {
    match parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(nom::Err::Incomplete(_)) => Err(X509Error::InvalidCertificate),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error),
    }
}

/// Returns when a certificate ends. One that ended before 1970 has expired, whatever the second.
pub(crate) fn not_after(certificate: &X509Certificate<'_>) -> SystemTime {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Returns the one DNS name and the one URI.
fn read_names<'a>(certificate: &'a X509Certificate<'_>) -> Result<(&'a str, &'a str), IdentityError> {
    let extension = certificate.subject_alternative_name().map_err(IdentityError::Malformed)?;
    let all = extension.map_or(&[][..], |extension| &extension.value.general_names);
    let mut dns = Vec::new();
    let mut uris = Vec::new();
    for name in all {
        match name {
            GeneralName::DNSName(name) => dns.push(*name),
            GeneralName::URI(uri) => uris.push(*uri),
            _ => {}
        }
    }
    match (&dns[..], &uris[..]) {
        (&[dns], &[uri]) if all.len() == 2 => Ok((dns, uri)),
        _ => Err(IdentityError::Names {
            dns: dns.len(),
            uris: uris.len(),
            others: all.len() - dns.len() - uris.len(),
        }),
    }
}

/// A leaf without usages passes rustls in both directions, one with a single usage in one; ours has both.
fn check_usages(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    let extension = certificate.extended_key_usage().map_err(IdentityError::Malformed)?;
    match extension {
        Some(extension) if extension.value.server_auth && extension.value.client_auth => Ok(()),
        _ => Err(IdentityError::Usages),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{ExtendedKeyUsagePurpose, SanType};

    use super::*;
    use crate::fixtures::{LEAF_END, TestLeaf, at};

    fn refused(leaf: TestLeaf) -> IdentityError {
        read_identity(&leaf.sign()).unwrap_err()
    }

    #[test]
    fn a_leaf_of_the_right_shape_says_who_it_is() {
        let peer = read_identity(&TestLeaf::new("lab", "worker", "n1").sign()).unwrap();
        let expected = PeerIdentity {
            fleet: "lab".parse().unwrap(),
            node: "n1".parse().unwrap(),
            role: Role::Worker,
            not_after: at(LEAF_END),
        };
        assert_eq!(peer, expected);
    }

    #[test]
    fn an_identity_expires_after_its_last_second() {
        let peer = read_identity(&TestLeaf::new("lab", "worker", "n1").sign()).unwrap();
        assert!(!peer.has_expired(at(LEAF_END)));
        assert!(!peer.has_expired(at(LEAF_END) + Duration::from_millis(999)));
        assert!(peer.has_expired(at(LEAF_END + 1)));
    }

    #[test]
    fn an_unknown_role_has_an_error_of_its_own() {
        let error = refused(TestLeaf::new("lab", "admin", "n1"));
        assert!(matches!(error, IdentityError::UnknownRole { role } if role == "admin"));
    }

    #[test]
    fn a_leaf_with_missing_or_additional_names_is_refused() {
        #[track_caller]
        fn check<const N: usize>(names: [&SanType; N], expected: (usize, usize, usize)) {
            let mut leaf = TestLeaf::new("lab", "worker", "n1");
            leaf.params.subject_alt_names = names.into_iter().cloned().collect();
            match refused(leaf) {
                IdentityError::Names { dns, uris, others } => assert_eq!((dns, uris, others), expected),
                error => panic!("{error}"),
            }
        }
        let dns = SanType::DnsName("n1.lab.runnel".try_into().unwrap());
        let uri = SanType::URI("spiffe://lab/worker/n1".try_into().unwrap());
        let ip = SanType::IpAddress([127, 0, 0, 1].into());
        let mail = SanType::Rfc822Name("n1@lab".try_into().unwrap());
        check([], (0, 0, 0));
        check([&dns], (1, 0, 0));
        check([&uri], (0, 1, 0));
        check([&dns, &uri, &dns], (2, 1, 0));
        check([&dns, &uri, &uri], (1, 2, 0));
        check([&dns, &uri, &ip, &mail], (1, 1, 2));
    }

    #[test]
    fn a_leaf_whose_names_disagree_is_refused() {
        for dns in
            ["n2.lab.runnel", "n1.attic.runnel", "n1.lab.runnel.example", "N1.lab.runnel", "*.lab.runnel"]
        {
            let mut leaf = TestLeaf::new("lab", "worker", "n1");
            leaf.params.subject_alt_names[0] = SanType::DnsName(dns.try_into().unwrap());
            let error = refused(leaf);
            assert!(
                matches!(&error, IdentityError::Disagree { dns: found, expected }
                if found == dns && expected == "n1.lab.runnel"),
                "{dns}: {error}"
            );
        }
    }

    #[test]
    fn a_leaf_for_one_direction_is_refused() {
        for usages in
            [vec![], vec![ExtendedKeyUsagePurpose::ServerAuth], vec![ExtendedKeyUsagePurpose::ClientAuth]]
        {
            let mut leaf = TestLeaf::new("lab", "worker", "n1");
            leaf.params.extended_key_usages = usages;
            assert!(matches!(refused(leaf), IdentityError::Usages));
        }
    }

    #[test]
    fn a_leaf_of_another_length_is_refused() {
        let leaf = TestLeaf::new("lab", "worker", "n1").sign();
        for len in 0..leaf.len() {
            let error = read_identity(&CertificateDer::from(&leaf[..len])).unwrap_err();
            assert!(matches!(error, IdentityError::Malformed(_)), "{len} bytes: {error}");
        }
        let longer = CertificateDer::from([&leaf[..], &[0]].concat());
        assert!(matches!(read_identity(&longer), Err(IdentityError::Malformed(_))));
    }

    #[test]
    fn damaged_leaves_never_pass_for_another_node() {
        let leaf = TestLeaf::new("lab", "worker", "n1").sign();
        for (position, bit) in (0..leaf.len()).flat_map(|position| (0..8).map(move |bit| (position, bit))) {
            let mut damaged = leaf.to_vec();
            damaged[position] ^= 1 << bit;
            // What is damaged elsewhere may be read: signatures are not checked here.
            if let Ok(peer) = read_identity(&damaged.into()) {
                assert_eq!(
                    (peer.node.as_str(), peer.fleet.as_str()),
                    ("n1", "lab"),
                    "byte {position}, bit {bit}"
                );
            }
        }
    }
}
