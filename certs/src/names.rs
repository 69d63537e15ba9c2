//! How a node is named in a certificate: one DNS name and one URI, made and read here and nowhere else.

use rustls::pki_types::{DnsName, ServerName};

use runnel_codec::{FleetId, NodeId};

use crate::error::IdentityError;
use crate::role::Role;

/// Returns the name to expect when `node` is dialled: `<node>.<fleet>.runnel`.
///
/// It stands in the node's certificate and is never looked up: addresses come from the configuration.
pub fn server_name(node: &NodeId, fleet: &FleetId) -> ServerName<'static> {
    let name = DnsName::try_from(dns_name(node, fleet)).expect(
        "two names of at most 63 characters from a-z, 0-9 and inner hyphens, then a word, form a DNS name",
    );
    ServerName::DnsName(name)
}

pub(crate) fn dns_name(node: &NodeId, fleet: &FleetId) -> String {
    format!("{node}.{fleet}.runnel")
}

pub(crate) fn uri(node: &NodeId, fleet: &FleetId, role: Role) -> String {
    format!("{SCHEME}{fleet}/{role}/{node}")
}

/// Reads a URI of the shape that [`uri`] makes.
pub(crate) fn read_uri(uri: &str) -> Result<(FleetId, Role, NodeId), IdentityError> {
    let wrong = || IdentityError::Uri { uri: uri.to_owned() };
    let mut parts = uri.strip_prefix(SCHEME).ok_or_else(wrong)?.split('/');
    let (Some(fleet), Some(role), Some(node), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let fleet = fleet.parse().map_err(|_| wrong())?;
    let node = node.parse().map_err(|_| wrong())?;
    let role = role.parse().map_err(|_| IdentityError::UnknownRole { role: role.to_owned() })?;
    Ok((fleet, role, node))
}

const SCHEME: &str = "spiffe://";

#[cfg(test)]
mod tests {
    use super::*;

    fn longest_name() -> String {
        "9".repeat(63)
    }

    #[test]
    fn uris_are_read_as_they_are_made() {
        let (node, fleet) = ("n1".parse().unwrap(), "lab".parse().unwrap());
        let text = uri(&node, &fleet, Role::Worker);
        assert_eq!(text, "spiffe://lab/worker/n1");
        assert_eq!(read_uri(&text).unwrap(), (fleet, Role::Worker, node));
    }

    #[test]
    fn other_uris_are_refused() {
        for text in [
            "",
            "https://lab/worker/n1",
            "spiffe://lab/worker",
            "spiffe://lab/worker/n1/more",
            "spiffe://lab/worker/n1/",
            "spiffe://Lab/worker/n1",
            "spiffe://lab/worker/n.1",
            "spiffe:///worker/n1",
        ] {
            let error = read_uri(text).unwrap_err();
            assert!(matches!(&error, IdentityError::Uri { uri } if uri == text), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_unknown_role_is_told_apart_from_a_wrong_shape() {
        let error = read_uri("spiffe://lab/admin/n1").unwrap_err();
        assert!(matches!(error, IdentityError::UnknownRole { role } if role == "admin"));
    }

    #[test]
    fn the_longest_names_can_be_dialled() {
        let (node, fleet) = (longest_name().parse().unwrap(), longest_name().parse().unwrap());
        let expected = format!("{node}.{fleet}.runnel");
        assert_eq!(server_name(&node, &fleet).to_str(), expected);
    }
}
