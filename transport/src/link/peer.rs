//! Who the peer is, once the handshake is done.

use quinn::Connection;
use runnel_certs::{IdentityError, PeerIdentity, Trust, check_peer, read_identity};
use runnel_codec::CloseCode;
use rustls::pki_types::CertificateDer;

use crate::close::code_of_identity;

/// Reads who the peer is from the leaf that TLS has verified, and whether we accept it. Otherwise returns what to close
/// the link with.
pub(super) fn identify(connection: &Connection, trust: &Trust) -> Result<PeerIdentity, (CloseCode, String)> {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let Some(leaf) = chain.as_deref().and_then(|chain| chain.first()) else {
        return Err((CloseCode::BadIdentity, "no certificate was shown".to_owned()));
    };
    check(leaf, trust).map_err(|error| (code_of_identity(&error), error.to_string()))
}

fn check(leaf: &CertificateDer<'_>, trust: &Trust) -> Result<PeerIdentity, IdentityError> {
    let peer = read_identity(leaf)?;
    check_peer(trust, &peer)?;
    Ok(peer)
}
