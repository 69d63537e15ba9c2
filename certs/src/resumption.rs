//! Resumption: a handshake that a ticket of an earlier one makes short.
//!
//! Who resumes shows no certificate again, and rustls takes the one of the ticket unseen. So whoever lets handshakes be
//! resumed checks each chain once more with [`ChainCheck`], against the present time and trust.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue, WebPkiServerVerifier,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, Error, NamedGroup, ServerConfig};

use crate::error::TlsError;
use crate::names::server_name;
use crate::peer::PeerIdentity;
use crate::trust::Trust;

/// Has a node that accepts links give out tickets, and take them. Early data stays off.
pub fn issue_tickets(config: &mut ServerConfig, ticketer: Arc<dyn ProducesTickets>) {
    config.ticketer = ticketer;
    config.send_tls13_tickets = TICKETS;
}

/// Has a node that dials keep the tickets of so many servers, in memory and each for one use. With a server beyond them
/// every handshake is a whole one.
pub fn keep_tickets(config: &mut ClientConfig, servers: usize) {
    config.resumption =
        Resumption::store(Arc::new(KeptTickets { servers_max: servers, servers: Mutex::default() }));
}

/// Tickets by server. What it holds grows with the servers that were met: rustls' own memory for many servers takes its
/// room at once, 22 KiB for a thousand.
#[derive(Debug)]
struct KeptTickets {
    servers_max: usize,
    servers: Mutex<HashMap<ServerName<'static>, Arc<ClientSessionMemoryCache>>>,
}

impl KeptTickets {
    fn lock(&self) -> MutexGuard<'_, HashMap<ServerName<'static>, Arc<ClientSessionMemoryCache>>> {
        // No code that can panic runs under the lock.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, server: &ServerName<'_>) -> Option<Arc<ClientSessionMemoryCache>> {
        self.lock().get(&server.to_owned()).cloned()
    }

    /// Returns where the tickets of a server are kept; `None` if there are too many others.
    fn place_of(&self, server: ServerName<'static>) -> Option<Arc<ClientSessionMemoryCache>> {
        let mut servers = self.lock();
        let has_room = servers.len() < self.servers_max || servers.contains_key(&server);
        has_room.then(|| {
            servers.entry(server).or_insert_with(|| Arc::new(ClientSessionMemoryCache::new(1))).clone()
        })
    }
}

impl ClientSessionStore for KeptTickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        if let Some(kept) = self.place_of(server.clone()) {
            kept.set_kx_hint(server, group);
        }
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.of(server)?.kx_hint(server)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        if let Some(kept) = self.place_of(server.clone()) {
            kept.insert_tls13_ticket(server, ticket);
        }
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.of(server)?.take_tls13_ticket(server)
    }
}

/// Verifies chains of peers as a full handshake does, whatever handshake they came with.
#[derive(Clone, Debug)]
pub struct ChainCheck {
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<dyn ServerCertVerifier>,
    time: Arc<dyn TimeProvider>,
}

impl ChainCheck {
    /// Checks against the roots of `trust` and the time of `time`.
    ///
    /// # Errors
    /// The provider lacks what rustls' verifiers need.
    pub fn new(
        trust: &Trust,
        provider: Arc<CryptoProvider>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsError> {
        let roots = trust.roots();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(TlsError::Verifier)?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider)
            .build()
            .map_err(TlsError::Verifier)?;
        Ok(Self { clients, servers, time })
    }

    /// Checks the chain of a peer that dialled.
    ///
    /// # Errors
    /// What a full handshake would have ended with.
    pub fn check_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (leaf, others) = split(chain)?;
        let now = self.time.current_time().ok_or(Error::FailedToGetCurrentTime)?;
        self.clients.verify_client_cert(leaf, others, now).map(drop)
    }

    /// Checks the chain of a peer that was dialled and has shown itself to be `peer`.
    ///
    /// # Errors
    /// What a full handshake would have ended with.
    pub fn check_server(&self, chain: &[CertificateDer<'_>], peer: &PeerIdentity) -> Result<(), Error> {
        let (leaf, others) = split(chain)?;
        let now = self.time.current_time().ok_or(Error::FailedToGetCurrentTime)?;
        let name = server_name(&peer.node, &peer.fleet);
        self.servers.verify_server_cert(leaf, others, &name, &[], now).map(drop)
    }
}

fn split<'a, 'b>(
    chain: &'a [CertificateDer<'b>],
) -> Result<(&'a CertificateDer<'b>, &'a [CertificateDer<'b>]), Error> {
    chain.split_first().ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// Tickets given out after each handshake: one for the next link, and one should that fail.
const TICKETS: usize = 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;
    use crate::authority::Authority;
    use crate::fixtures::{NOW, authority, issue, leaf_validity};
    use crate::peer::read_identity;
    use crate::role::Role;
    use crate::tls::default_provider;

    #[derive(Debug)]
    struct FixedTime(u64);

    impl TimeProvider for FixedTime {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
        }
    }

    /// Checks a leaf of one authority with the trust of another, in both directions.
    fn check(issuer: &Authority, trusted: &Authority, clock: u64) -> [bool; 2] {
        let trust = Trust::new("lab".parse().unwrap(), [trusted.certificate().der()]).unwrap();
        let check = ChainCheck::new(&trust, default_provider(), Arc::new(FixedTime(clock))).unwrap();
        let (leaf, _) = issue(issuer, "n1", Role::Worker);
        let peer = read_identity(leaf.der()).unwrap();
        let chain = [leaf.der().clone()];
        [check.check_client(&chain).is_ok(), check.check_server(&chain, &peer).is_ok()]
    }

    #[test]
    fn a_chain_counts_while_its_authority_is_trusted_and_its_leaf_lasts() {
        let (ours, other) = (authority("lab"), authority("lab"));
        let end = leaf_validity().not_after().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(check(&ours, &ours, NOW), [true, true]);
        assert_eq!(check(&ours, &ours, end + 1), [false, false]);
        assert_eq!(check(&other, &ours, NOW), [false, false]);
    }

    #[test]
    fn no_more_servers_are_remembered_than_there_may_be() {
        let kept = KeptTickets { servers_max: 1, servers: Mutex::default() };
        let names = ["one", "other"].map(|name| ServerName::try_from(name).unwrap());
        for name in &names {
            kept.set_kx_hint(name.clone(), NamedGroup::X25519);
            kept.set_kx_hint(name.clone(), NamedGroup::secp256r1);
        }
        assert_eq!(kept.kx_hint(&names[0]), Some(NamedGroup::secp256r1));
        assert_eq!(kept.kx_hint(&names[1]), None);
    }

    #[test]
    fn no_chain_is_no_good_chain() {
        let authority = authority("lab");
        let trust = Trust::new("lab".parse().unwrap(), [authority.certificate().der()]).unwrap();
        let check = ChainCheck::new(&trust, default_provider(), Arc::new(FixedTime(NOW))).unwrap();
        assert!(check.check_client(&[]).is_err());
    }
}
