//! Configurations for rustls: both sides show a certificate, both are verified by rustls' own verifiers, TLS
//! 1.3 only.
//!
//! After the handshake, [`read_identity`](crate::read_identity) and [`check_peer`](crate::check_peer) say who
//! came.

use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite, kx_group};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use crate::error::TlsError;
use crate::identity::Identity;
use crate::trust::Trust;

/// What both sides say they speak. It changes only when the hello does.
pub const ALPN: &[u8] = b"runnel/1";

/// Makes the configuration with which a node accepts links: every peer must show a certificate that `trust`
/// verifies.
///
/// Certificates are checked against the time of `time`; signatures and randomness are those of `provider`.
///
/// # Errors
/// The provider lacks TLS 1.3 or does not take our key.
pub fn server_config(
    identity: &Identity,
    trust: &Trust,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
) -> Result<ServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(trust.roots().clone(), provider.clone())
        .build()
        .map_err(TlsError::Verifier)?;
    let mut config = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Provider)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain().to_vec(), identity.key())
        .map_err(TlsError::Key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.max_early_data_size = 0;
    // No resumption, unless somebody cares for the checks that it skips: see `issue_tickets`.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Makes the configuration with which a node dials. The peer must have the name that is dialled,
/// [`server_name`](crate::server_name), and a certificate that `trust` verifies.
///
/// Certificates are checked against the time of `time`; signatures and randomness are those of `provider`.
///
/// # Errors
/// The provider lacks TLS 1.3 or does not take our key.
pub fn client_config(
    identity: &Identity,
    trust: &Trust,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(trust.roots().clone(), provider.clone())
        .build()
        .map_err(TlsError::Verifier)?;
    let mut config = ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Provider)?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(identity.chain().to_vec(), identity.key())
        .map_err(TlsError::Key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Returns ring with AES-128-GCM first and X25519 alone.
///
/// One group of key exchange means that no handshake needs another round trip to agree on one. The other
/// cipher suites remain for peers of later versions.
pub fn default_provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519],
        ..ring::default_provider()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;
    use rustls::{
        CertificateError, CipherSuite, ClientConnection, Error, HandshakeKind, NamedGroup, ServerConnection,
    };

    use super::*;
    use crate::authority::Authority;
    use crate::fixtures::{NOW, authority, identity, leaf_validity};
    use crate::names::server_name;
    use crate::peer::read_identity;
    use crate::role::Role;

    #[derive(Debug)]
    struct FixedTime(u64);

    impl TimeProvider for FixedTime {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
        }
    }

    /// What went wrong, and on which side it was found.
    #[derive(Debug, PartialEq)]
    enum Refusal {
        ByClient(Error),
        ByServer(Error),
    }

    /// One controller that dials one worker, each with a clock of its own.
    struct Handshake {
        client: ClientConfig,
        server: ServerConfig,
        dialled: &'static str,
    }

    impl Handshake {
        fn new(dialler: &Authority, acceptor: &Authority, client_clock: u64, server_clock: u64) -> Self {
            let controller = identity(dialler, "c1", Role::Controller);
            let worker = identity(acceptor, "n1", Role::Worker);
            let provider = default_provider;
            let (client_time, server_time) =
                (Arc::new(FixedTime(client_clock)), Arc::new(FixedTime(server_clock)));
            let client = client_config(&controller, controller.trust(), provider(), client_time).unwrap();
            let server = server_config(&worker, worker.trust(), provider(), server_time).unwrap();
            Self { client, server, dialled: "n1" }
        }

        fn run(self) -> Result<(ClientConnection, ServerConnection), Refusal> {
            let name = server_name(&self.dialled.parse().unwrap(), &"lab".parse().unwrap());
            let mut client = ClientConnection::new(Arc::new(self.client), name).unwrap();
            let mut server = ServerConnection::new(Arc::new(self.server)).unwrap();
            while client.wants_write() || server.wants_write() {
                let flight = take(&mut client);
                server.read_tls(&mut &flight[..]).unwrap();
                server.process_new_packets().map_err(Refusal::ByServer)?;
                let flight = take(&mut server);
                client.read_tls(&mut &flight[..]).unwrap();
                client.process_new_packets().map_err(Refusal::ByClient)?;
            }
            assert!(!client.is_handshaking() && !server.is_handshaking());
            Ok((client, server))
        }

        #[track_caller]
        fn refused(self) -> Refusal {
            self.run().expect_err("the handshake succeeded")
        }
    }

    /// Returns everything that a side wants to send.
    fn take<Data>(side: &mut rustls::ConnectionCommon<Data>) -> Vec<u8> {
        let mut bytes = Vec::new();
        while side.wants_write() {
            side.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn leaf_end() -> u64 {
        leaf_validity().not_after().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    }

    /// Whether a certificate was refused for its time.
    fn is_expiry(error: &Error) -> bool {
        let Error::InvalidCertificate(error) = error else { return false };
        matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. })
    }

    #[test]
    fn two_nodes_of_one_fleet_meet() {
        let authority = authority("lab");
        let (client, server) = Handshake::new(&authority, &authority, NOW, NOW).run().unwrap();
        let worker = read_identity(&client.peer_certificates().unwrap()[0]).unwrap();
        let controller = read_identity(&server.peer_certificates().unwrap()[0]).unwrap();
        assert_eq!((worker.node.as_str(), worker.role), ("n1", Role::Worker));
        assert_eq!((controller.node.as_str(), controller.role), ("c1", Role::Controller));
        assert_eq!(client.alpn_protocol(), Some(&b"runnel/1"[..]));
        assert_eq!(client.negotiated_cipher_suite().unwrap().suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519);
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
    }

    #[test]
    fn a_handshake_is_never_resumed() {
        let authority = authority("lab");
        let handshake = || Handshake::new(&authority, &authority, NOW, NOW);
        let (client, server) = (handshake().client, handshake().server);
        for _ in 0..2 {
            let handshake = Handshake { client: client.clone(), server: server.clone(), dialled: "n1" };
            let (client, server) = handshake.run().unwrap();
            assert_eq!(client.tls13_tickets_received(), 0);
            assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        }
    }

    #[test]
    fn a_worker_of_another_authority_is_refused() {
        let refusal = Handshake::new(&authority("lab"), &authority("lab"), NOW, NOW).refused();
        // Both authorities have the same name, so a root is found and its key does not fit.
        let expected = Error::InvalidCertificate(CertificateError::BadSignature);
        assert_eq!(refusal, Refusal::ByClient(expected));
    }

    #[test]
    fn a_controller_of_another_authority_is_refused() {
        let (ours, theirs) = (authority("lab"), authority("lab"));
        let mut handshake = Handshake::new(&theirs, &ours, NOW, NOW);
        // The intruder trusts our worker, but our worker does not trust the intruder.
        let intruder = identity(&theirs, "c1", Role::Controller);
        let trust = identity(&ours, "c1", Role::Controller).trust().clone();
        handshake.client =
            client_config(&intruder, &trust, default_provider(), Arc::new(FixedTime(NOW))).unwrap();
        let expected = Error::InvalidCertificate(CertificateError::BadSignature);
        assert_eq!(handshake.refused(), Refusal::ByServer(expected));
    }

    #[test]
    fn a_node_of_another_fleet_is_refused() {
        let refusal = Handshake::new(&authority("lab"), &authority("attic"), NOW, NOW).refused();
        let expected = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(refusal, Refusal::ByClient(expected));
    }

    #[test]
    fn certificates_count_in_their_last_second_and_not_after() {
        let authority = authority("lab");
        assert!(Handshake::new(&authority, &authority, leaf_end(), leaf_end()).run().is_ok());
        match Handshake::new(&authority, &authority, leaf_end() + 1, NOW).refused() {
            Refusal::ByClient(error) => assert!(is_expiry(&error), "{error}"),
            refusal @ Refusal::ByServer(_) => panic!("{refusal:?}"),
        }
        match Handshake::new(&authority, &authority, NOW, leaf_end() + 1).refused() {
            Refusal::ByServer(error) => assert!(is_expiry(&error), "{error}"),
            refusal @ Refusal::ByClient(_) => panic!("{refusal:?}"),
        }
    }

    #[test]
    fn a_clock_that_is_an_hour_late_is_forgiven() {
        let authority = authority("lab");
        assert!(Handshake::new(&authority, &authority, NOW - 3600, NOW - 3600).run().is_ok());
        let refusal = Handshake::new(&authority, &authority, NOW - 3601, NOW).refused();
        assert!(matches!(refusal, Refusal::ByClient(Error::InvalidCertificate(_))), "{refusal:?}");
    }

    #[test]
    fn another_node_than_the_one_dialled_is_refused() {
        let authority = authority("lab");
        let mut handshake = Handshake::new(&authority, &authority, NOW, NOW);
        handshake.dialled = "n2";
        let refusal = handshake.refused();
        let is_other_name = matches!(
            refusal,
            Refusal::ByClient(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ))
        );
        assert!(is_other_name, "{refusal:?}");
    }

    #[test]
    fn a_client_without_a_certificate_is_refused() {
        let authority = authority("lab");
        let mut handshake = Handshake::new(&authority, &authority, NOW, NOW);
        let trust = identity(&authority, "c1", Role::Controller).trust().clone();
        handshake.client = ClientConfig::builder_with_details(default_provider(), Arc::new(FixedTime(NOW)))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(trust.roots().clone())
            .with_no_client_auth();
        handshake.client.alpn_protocols = vec![ALPN.to_vec()];
        assert_eq!(handshake.refused(), Refusal::ByServer(Error::NoCertificatesPresented));
    }

    #[test]
    fn a_peer_that_speaks_something_else_is_refused() {
        let authority = authority("lab");
        let mut handshake = Handshake::new(&authority, &authority, NOW, NOW);
        handshake.client.alpn_protocols = vec![b"runnel/2".to_vec()];
        assert_eq!(handshake.refused(), Refusal::ByServer(Error::NoApplicationProtocol));
    }
}
