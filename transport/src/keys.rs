//! The keys by which an endpoint is known again after a restart.
//!
//! With all of them kept, a peer learns of a restart with its next packet, and resumes with a ticket from before; without
//! them, it learns at its idle timeout, and makes a whole handshake.

use std::fmt;
use std::sync::Arc;

use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::InvalidCid;
use rand::Rng;
use ring::{hkdf, hmac};

use crate::env::Env;

/// Secrets of an endpoint: for stateless resets, address tokens, tickets and connection ids. Keep them like a private key:
/// with them tickets can be forged that name any peer.
#[derive(Clone)]
pub struct EndpointKeys {
    reset: [u8; 32],
    token: [u8; 32],
    connection_id: [u8; 32],
}

impl EndpointKeys {
    /// Bytes of all keys together.
    pub const BYTES: usize = 96;

    /// Makes new keys.
    pub fn random(random: &mut impl Rng) -> Self {
        let mut bytes = [0; Self::BYTES];
        random.fill(&mut bytes[..]);
        Self::from_bytes(&bytes)
    }

    /// Takes keys that were kept.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let part = |index: usize| {
            let mut key = [0; 32];
            key.copy_from_slice(&bytes[index * 32..(index + 1) * 32]);
            key
        };
        Self { reset: part(0), token: part(1), connection_id: part(2) }
    }

    /// Returns the keys, to be kept.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (part, key) in bytes.chunks_exact_mut(32).zip([self.reset, self.token, self.connection_id]) {
            part.copy_from_slice(&key);
        }
        bytes
    }

    pub(crate) fn reset_key(&self) -> Arc<hmac::Key> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.reset))
    }

    pub(crate) fn token_key(&self) -> Arc<hkdf::Prk> {
        Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.token))
    }

    /// Returns the secret of tickets. It follows from that of address tokens, which the salt keeps apart.
    pub(crate) fn ticket_secret(&self) -> hkdf::Prk {
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"runnel tickets").extract(&self.token)
    }

    pub(crate) fn connection_ids(&self, env: Arc<dyn Env>) -> ConnectionIds {
        ConnectionIds { env, key: hmac::Key::new(hmac::HMAC_SHA256, &self.connection_id) }
    }
}

impl fmt::Debug for EndpointKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointKeys").finish_non_exhaustive()
    }
}

/// Makes connection ids that the same key recognises after a restart: 4 random bytes and 4 that prove the key.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionIds {
    env: Arc<dyn Env>,
    key: hmac::Key,
}

impl ConnectionIds {
    fn proof(&self, nonce: &[u8]) -> [u8; HALF] {
        let tag = hmac::sign(&self.key, nonce);
        let mut proof = [0; HALF];
        proof.copy_from_slice(&tag.as_ref()[..HALF]);
        proof
    }
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; 2 * HALF];
        self.env.fill_random(&mut id[..HALF]);
        let proof = self.proof(&id[..HALF]);
        id[HALF..].copy_from_slice(&proof);
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        match id.split_at_checked(HALF) {
            Some((nonce, proof)) if proof == self.proof(nonce) => Ok(()),
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        2 * HALF
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

const HALF: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(first: u8) -> [u8; EndpointKeys::BYTES] {
        std::array::from_fn(|index| first.wrapping_add(u8::try_from(index).expect("below 256")))
    }

    fn proof(keys: &EndpointKeys, nonce: [u8; HALF]) -> ConnectionId {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &keys.connection_id);
        let tag = hmac::sign(&key, &nonce);
        ConnectionId::new(&[&nonce, &tag.as_ref()[..HALF]].concat())
    }

    #[test]
    fn keys_are_read_back_as_they_were_kept() {
        assert_eq!(EndpointKeys::from_bytes(&bytes(1)).to_bytes(), bytes(1));
    }

    #[test]
    fn the_same_keys_know_their_connection_ids_again() {
        let env = crate::env::tests::NoEnv;
        let ids = |first| EndpointKeys::from_bytes(&bytes(first)).connection_ids(Arc::new(env));
        let id = ids(1).generate_cid();
        assert_eq!(id, proof(&EndpointKeys::from_bytes(&bytes(1)), [7; HALF]));
        assert!(ids(1).validate(&id).is_ok());
        assert!(ids(2).validate(&id).is_err());
        assert!(ids(1).validate(&ConnectionId::new(&id[..7])).is_err());
        assert!(ids(1).validate(&ConnectionId::new(&[])).is_err());
    }

    #[test]
    fn debug_output_does_not_show_the_keys() {
        assert_eq!(format!("{:?}", EndpointKeys::from_bytes(&bytes(1))), "EndpointKeys { .. }");
    }
}
