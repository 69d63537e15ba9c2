//! Whom a node accepts: holders of certificates from the fleet's authority, of the same fleet, in a known
//! role.
//!
//! rustls checks roots, signatures and times during the handshake ([`client_config`](crate::client_config)
//! and [`server_config`](crate::server_config)); [`check_peer`] checks what rustls knows nothing of.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use runnel_codec::FleetId;

use crate::error::{IdentityError, TrustError};
use crate::peer::PeerIdentity;

/// Whom a node accepts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust {
    fleet: FleetId,
    roots: Arc<RootCertStore>,
}

impl Trust {
    /// Accepts nodes of `fleet` with certificates from any of `roots`.
    ///
    /// While an authority is replaced there are two roots, the old and the new one.
    ///
    /// # Errors
    /// There is no root, or one is damaged.
    pub fn new<'a>(
        fleet: FleetId,
        roots: impl IntoIterator<Item = &'a CertificateDer<'static>>,
    ) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        for (index, root) in roots.into_iter().enumerate() {
            store.add(root.clone()).map_err(|source| TrustError::Root { index, source })?;
        }
        if store.is_empty() {
            return Err(TrustError::NoRoots);
        }
        Ok(Self { fleet, roots: Arc::new(store) })
    }

    /// Returns the fleet whose nodes are accepted.
    pub fn fleet(&self) -> &FleetId {
        &self.fleet
    }

    pub(crate) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }
}

/// Checks a peer whose leaf rustls has verified with the same `trust`.
///
/// One authority serves one fleet, but nothing in X.509 says so: a root may have been given to two.
///
/// # Errors
/// The peer belongs to another fleet ([`IdentityError::WrongFleet`]).
pub fn check_peer(trust: &Trust, peer: &PeerIdentity) -> Result<(), IdentityError> {
    if peer.fleet != trust.fleet {
        return Err(IdentityError::WrongFleet { theirs: peer.fleet.clone(), ours: trust.fleet.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{TestLeaf, authority};
    use crate::peer::read_identity;

    #[test]
    fn a_peer_of_another_fleet_is_refused() {
        let trust = Trust::new("lab".parse().unwrap(), [authority("lab").certificate().der()]).unwrap();
        let ours = read_identity(&TestLeaf::new("lab", "worker", "n1").sign()).unwrap();
        let other = read_identity(&TestLeaf::new("attic", "worker", "n1").sign()).unwrap();
        assert!(check_peer(&trust, &ours).is_ok());
        let error = check_peer(&trust, &other).unwrap_err();
        assert!(matches!(error, IdentityError::WrongFleet { theirs, ours }
            if theirs.as_str() == "attic" && ours.as_str() == "lab"));
    }

    #[test]
    fn trust_needs_a_root_and_every_root_must_be_readable() {
        assert!(matches!(Trust::new("lab".parse().unwrap(), []), Err(TrustError::NoRoots)));
        let authority = authority("lab");
        let roots = [authority.certificate().der().clone(), CertificateDer::from(vec![1, 2, 3])];
        assert!(matches!(Trust::new("lab".parse().unwrap(), &roots), Err(TrustError::Root { index: 1, .. })));
    }
}
