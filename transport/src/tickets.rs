//! Tickets by which peers resume: sealed by keys that outlive the process, and that change by themselves.
//!
//! A ticket holds the secret and the certificates of the session that it came from. Its key follows from the kept secret of
//! the endpoint, from who this node is and whom it trusts, and from the period: so a ticket is of no use once this node has
//! another leaf or other authorities, and ends with the period after its own. Whoever has the kept secret can read and
//! forge tickets, so it is kept like the node's private key.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{digest, hkdf};
use runnel_certs::Identity;
use rustls::server::ProducesTickets;

use crate::env::Env;

/// Seals and opens tickets.
pub(crate) struct Tickets {
    env: Arc<dyn Env>,
    secret: hkdf::Prk,
    /// Hash of the own leaf and of the authorities that are trusted.
    context: [u8; 32],
}

impl Tickets {
    pub(crate) fn new(env: Arc<dyn Env>, secret: hkdf::Prk, identity: &Identity) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        for certificate in identity.chain().iter().chain(identity.roots()) {
            hash.update(&(certificate.len() as u64).to_be_bytes());
            hash.update(certificate);
        }
        let mut context = [0; 32];
        context.copy_from_slice(hash.finish().as_ref());
        Self { env, secret, context }
    }

    /// Returns the number of the period; `None` on a clock that is before 1970.
    fn period(&self) -> Option<u64> {
        let since = self.env.wall_clock().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(since.as_secs() / u64::from(PERIOD_SECONDS))
    }

    fn key(&self, period: u64) -> Option<LessSafeKey> {
        let info = [b"runnel ticket 1".as_slice(), &period.to_be_bytes(), &self.context];
        let key = self.secret.expand(&info, &CHACHA20_POLY1305).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let period = self.period()?;
        let mut nonce = [0; NONCE_LEN];
        self.env.fill_random(&mut nonce);
        let mut sealed = plain.to_vec();
        let aad = Aad::from(period.to_be_bytes());
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.key(period)?.seal_in_place_append_tag(nonce_used, aad, &mut sealed).ok()?;
        let ticket = [&period.to_be_bytes()[..], &nonce, &sealed].concat();
        (ticket.len() <= TICKET_BYTES_MAX).then_some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (period, rest) = ticket.split_first_chunk::<8>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (number, now) = (u64::from_be_bytes(*period), self.period()?);
        if number != now && number.checked_add(1) != Some(now) {
            return None;
        }
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut content = sealed.to_vec();
        let plain_bytes =
            self.key(number)?.open_in_place(nonce, Aad::from(*period), &mut content).ok()?.len();
        content.truncate(plain_bytes);
        Some(content)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// Time after which tickets are sealed by another key. Each counts for as long at least, and for twice as long at most.
const PERIOD_SECONDS: u32 = 12 * 60 * 60;

/// Longest ticket: a session with a chain of a few certificates.
const TICKET_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use runnel_certs::{Authority, LEAF_LIFETIME, NodeKey, Role, Validity};
    use rustls::crypto::CryptoProvider;

    use super::*;
    use crate::env::tests::NoEnv;
    use crate::keys::EndpointKeys;
    use crate::socket::Socket;

    /// An environment at a second of a test's choice, whose random numbers count up.
    #[derive(Debug, Default)]
    struct At(u64, AtomicU64);

    impl Env for At {
        fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

        fn fill_random(&self, bytes: &mut [u8]) {
            bytes.fill(u8::try_from(self.1.fetch_add(1, Ordering::Relaxed) % 256).expect("below 256"));
        }

        fn wall_clock(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(self.0)
        }

        fn bind(&self, address: SocketAddr, buffer_bytes: u32) -> io::Result<Socket> {
            NoEnv.bind(address, buffer_bytes)
        }

        fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
            NoEnv.resolve(name)
        }

        fn crypto(&self) -> Arc<CryptoProvider> {
            NoEnv.crypto()
        }
    }

    /// Makes the tickets of a process that starts at a second, with kept keys made from a seed.
    fn tickets(second: u64, keys: u64, identity: &Identity) -> Tickets {
        let keys = EndpointKeys::random(&mut StdRng::seed_from_u64(keys));
        Tickets::new(Arc::new(At(second, AtomicU64::default())), keys.ticket_secret(), identity)
    }

    fn authority() -> Authority {
        let validity = Validity::starting(SystemTime::now(), LEAF_LIFETIME).expect("a lifetime");
        Authority::create("lab".parse().expect("a name"), validity).expect("an authority")
    }

    fn identity(authority: &Authority) -> Identity {
        let key = NodeKey::generate().expect("a key");
        let validity = Validity::starting(SystemTime::now(), LEAF_LIFETIME).expect("a lifetime");
        let csr = key.csr().expect("a request");
        let name = "w1".parse().expect("a name");
        let leaf = authority.issue(&csr, &name, Role::Worker, validity).expect("a leaf");
        Identity::from_pem(&key, &leaf.pem(), &authority.certificate().pem()).expect("an identity")
    }

    const PERIOD: u64 = PERIOD_SECONDS as u64;

    #[test]
    fn a_ticket_counts_after_a_restart_with_the_same_keys_until_its_time_is_up() {
        let identity = identity(&authority());
        let ticket = tickets(PERIOD * 10 + 5, 1, &identity).encrypt(b"session").expect("a ticket");
        let opened = |second| tickets(second, 1, &identity).decrypt(&ticket);
        for second in [PERIOD * 10, PERIOD * 10 + 5, PERIOD * 12 - 1] {
            assert_eq!(opened(second).as_deref(), Some(&b"session"[..]), "{second}");
        }
        for second in [0, PERIOD * 10 - 1, PERIOD * 12, PERIOD * 100] {
            assert_eq!(opened(second), None, "{second}");
        }
    }

    #[test]
    fn a_ticket_of_other_keys_another_leaf_or_other_authorities_is_none() {
        let authority = authority();
        let (ours, renewed) = (identity(&authority), identity(&authority));
        let ticket = tickets(PERIOD, 1, &ours).encrypt(b"session").expect("a ticket");
        assert!(tickets(PERIOD, 1, &ours).decrypt(&ticket).is_some());
        assert_eq!(tickets(PERIOD, 2, &ours).decrypt(&ticket), None);
        assert_eq!(tickets(PERIOD, 1, &renewed).decrypt(&ticket), None);
    }

    #[test]
    fn what_is_not_a_ticket_byte_for_byte_is_none() {
        let identity = identity(&authority());
        let tickets = tickets(PERIOD, 1, &identity);
        let ticket = tickets.encrypt(b"session").expect("a ticket");
        for index in 0..ticket.len() {
            let mut bent = ticket.clone();
            bent[index] ^= 1;
            assert_eq!(tickets.decrypt(&bent), None, "byte {index}");
            assert_eq!(tickets.decrypt(&ticket[..index]), None, "cut at {index}");
        }
        assert_eq!(tickets.decrypt(&vec![0; TICKET_BYTES_MAX + 1]), None);
        assert_eq!(tickets.encrypt(&vec![0; TICKET_BYTES_MAX]), None);
    }

    #[test]
    fn equal_sessions_have_different_tickets() {
        let identity = identity(&authority());
        let tickets = tickets(PERIOD, 1, &identity);
        assert_ne!(tickets.encrypt(b"session"), tickets.encrypt(b"session"));
    }
}
