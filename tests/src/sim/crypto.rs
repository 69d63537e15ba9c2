//! TLS whose every random number comes from one seed, so that a run has the same bytes each time.
//!
//! rustls wants its randomness from a `'static` source that takes no argument, so the seed belongs to the thread: a run
//! stays on one. The exchange of keys is no secret here, since nobody is kept out of a simulation: both public keys,
//! hashed together, are the shared secret. Everything else of a handshake is that of a real node.

use std::cell::RefCell;
use std::sync::Arc;

use quinn::rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use quinn::rustls::{Error, NamedGroup};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

/// Begins the random numbers of TLS on this thread anew.
pub(super) fn seed_tls(seed: u64) {
    RANDOM.with_borrow_mut(|random| *random = ChaCha20Rng::seed_from_u64(seed));
}

/// Returns ring with seeded randomness and an exchange of keys that repeats itself.
pub(super) fn seeded_provider() -> Arc<CryptoProvider> {
    let provider = runnel::certs::default_provider();
    Arc::new(CryptoProvider {
        secure_random: &SeededRandom,
        kx_groups: vec![&OpenExchange],
        ..CryptoProvider::clone(&provider)
    })
}

#[derive(Debug)]
struct SeededRandom;

#[derive(Debug)]
struct OpenExchange;

struct OpenKey([u8; KEY_BYTES]);

impl SecureRandom for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        RANDOM.with_borrow_mut(|random| random.fill_bytes(bytes));
        Ok(())
    }
}

impl SupportedKxGroup for OpenExchange {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut key = [0; KEY_BYTES];
        RANDOM.with_borrow_mut(|random| random.fill_bytes(&mut key));
        Ok(Box::new(OpenKey(key)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for OpenKey {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (first, second) =
            if self.0.as_slice() < peer { (&self.0[..], peer) } else { (peer, &self.0[..]) };
        let mut hasher = blake3::Hasher::new();
        hasher.update(first).update(second);
        Ok(SharedSecret::from(&hasher.finalize().as_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.0
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

thread_local! {
    static RANDOM: RefCell<ChaCha20Rng> = RefCell::new(ChaCha20Rng::seed_from_u64(0));
}

const KEY_BYTES: usize = 32;
