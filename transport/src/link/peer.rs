//! Who the peer is, once the handshake is done.

use quinn::Connection;
use runnel_certs::{IdentityError, PeerIdentity, Trust, check_peer, read_identity};
use runnel_codec::CloseCode;
use rustls::pki_types::CertificateDer;

use super::LinkContext;
use super::event::Side;
use crate::close::code_of_identity;

/// Reads who the peer is from the leaf that it has shown, in this handshake or in the one that this resumes, and whether
/// we accept it now. Otherwise returns what to close the link with.
pub(super) fn identify(
    connection: &Connection,
    side: Side,
    context: &LinkContext,
) -> Result<PeerIdentity, (CloseCode, String)> {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let Some(chain) = chain.filter(|chain| !chain.is_empty()) else {
        return Err((CloseCode::BadIdentity, "no certificate was shown".to_owned()));
    };
    let peer =
        check(&chain[0], &context.trust).map_err(|error| (code_of_identity(&error), error.to_string()))?;
    let verified = match side {
        Side::Dialler => context.chains.check_server(&chain, &peer),
        Side::Acceptor => context.chains.check_client(&chain),
    };
    match verified {
        Ok(()) => Ok(peer),
        Err(error) => Err((CloseCode::BadIdentity, error.to_string())),
    }
}

fn check(leaf: &CertificateDer<'_>, trust: &Trust) -> Result<PeerIdentity, IdentityError> {
    let peer = read_identity(leaf)?;
    check_peer(trust, &peer)?;
    Ok(peer)
}
