//! Peers that are not let in, and what each side is told.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use quinn::crypto::rustls::QuicClientConfig;
use runnel_certs::{Identity, LEAF_LIFETIME, Role, client_config, default_provider};
use runnel_codec::{Class, CloseCode, encode_head};
use runnel_transport::{CloseReason, Link, LinkEvent, TlsFailure, TransportConfig};
use rustls::time_provider::DefaultTimeProvider;

use crate::harness::{Nodes, Pair, authority, endpoint, head, identity};

/// Checks how a dial ends at both ends.
#[track_caller]
fn check(closed: (CloseReason, CloseReason), dialler: TlsFailure, acceptor: TlsFailure) {
    assert_eq!(closed, (CloseReason::Tls(dialler), CloseReason::Tls(acceptor)));
}

/// Dials `w1` and returns why it failed at the dialler and at the acceptor.
async fn fail(nodes: &mut Nodes, node: &str) -> (CloseReason, CloseReason) {
    let mut dialler = nodes.dial(node);
    let acceptor = std::future::poll_fn(|cx| {
        assert!(dialler.poll_event(cx).is_pending());
        nodes.acceptor.poll_accept(cx)
    });
    let acceptor = acceptor.await;
    let (dialler, acceptor) = Pair { dialler, acceptor }.until_closed().await;
    assert!(dialler.was_answered() && acceptor.was_answered());
    (dialler.reason, acceptor.reason)
}

/// Moves a link until it ends.
async fn end_of(mut link: Link) -> CloseReason {
    loop {
        if let LinkEvent::Closed(closed) = std::future::poll_fn(|cx| link.poll_event(cx)).await {
            return closed.reason;
        }
    }
}

/// Dials `w1` as quinn does it, with the protocol `alpn`.
fn raw_dial(nodes: &Nodes, identity: &Identity, alpn: &[u8]) -> (quinn::Endpoint, quinn::Connecting) {
    let mut tls =
        client_config(identity, identity.trust(), default_provider(), Arc::new(DefaultTimeProvider))
            .expect("a configuration");
    tls.alpn_protocols = vec![alpn.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).expect("a suite for QUIC");
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a free port");
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let connecting = endpoint.connect_with(config, nodes.address, "w1.lab.runnel").expect("a valid name");
    (endpoint, connecting)
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused() {
    let dialler = identity(&authority("lab"), "c1", Role::Controller, &[]);
    let acceptor = identity(&authority("lab"), "w1", Role::Worker, &[]);
    let (config, now) = (TransportConfig::default(), SystemTime::now());
    let mut nodes = Nodes::with(endpoint(&dialler, config.clone(), now), endpoint(&acceptor, config, now));
    check(fail(&mut nodes, "w1").await, TlsFailure::UnknownAuthority, TlsFailure::UnknownAuthority);
}

#[tokio::test]
async fn a_dialler_that_only_the_acceptor_does_not_know_is_told_so() {
    let (theirs, ours) = (authority("lab"), authority("lab"));
    let dialler = identity(&theirs, "c1", Role::Controller, &[&ours]);
    let acceptor = identity(&ours, "w1", Role::Worker, &[]);
    let (config, now) = (TransportConfig::default(), SystemTime::now());
    let mut nodes = Nodes::with(endpoint(&dialler, config.clone(), now), endpoint(&acceptor, config, now));
    check(fail(&mut nodes, "w1").await, TlsFailure::UnknownAuthority, TlsFailure::UnknownAuthority);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_by_either_side() {
    let authority = authority("lab");
    let dialler = identity(&authority, "c1", Role::Controller, &[]);
    let acceptor = identity(&authority, "w1", Role::Worker, &[]);
    let now = SystemTime::now();
    let later = now + LEAF_LIFETIME + Duration::from_secs(1);
    for (dialler_date, acceptor_date) in [(now, later), (later, now)] {
        let mut nodes = Nodes::with(
            endpoint(&dialler, TransportConfig::default(), dialler_date),
            endpoint(&acceptor, TransportConfig::default(), acceptor_date),
        );
        check(fail(&mut nodes, "w1").await, TlsFailure::Expired, TlsFailure::Expired);
    }
}

#[tokio::test]
async fn another_node_than_the_dialled_one_is_refused() {
    let closed = fail(&mut Nodes::new(), "w2").await;
    check(closed, TlsFailure::BadCertificate, TlsFailure::BadCertificate);
}

#[tokio::test]
async fn a_node_of_another_fleet_under_a_shared_authority_is_refused() {
    let (lab, attic) = (authority("lab"), authority("attic"));
    let acceptor = identity(&lab, "w1", Role::Worker, &[&attic]);
    let (config, now) = (TransportConfig::default(), SystemTime::now());
    let mut nodes = Nodes::with(endpoint(&acceptor, config.clone(), now), endpoint(&acceptor, config, now));
    let stranger = identity(&attic, "c1", Role::Controller, &[&lab]);
    let (_endpoint, connecting) = raw_dial(&nodes, &stranger, runnel_certs::ALPN);
    let link = nodes.accept().await;
    let (connection, reason) = tokio::join!(connecting, end_of(link));
    assert!(matches!(reason, CloseReason::Local { code: CloseCode::WrongFleet, .. }), "{reason:?}");
    let error = connection.expect("TLS alone is content").closed().await;
    let quinn::ConnectionError::ApplicationClosed(close) = error else { panic!("{error:?}") };
    assert_eq!(close.error_code, CloseCode::WrongFleet.to_wire().into());
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_refused_before_it_is_a_link() {
    let mut nodes = Nodes::new();
    let stranger = identity(&authority("lab"), "c1", Role::Controller, &[]);
    let (_endpoint, connecting) = raw_dial(&nodes, &stranger, b"runnel/0");
    let error = tokio::select! {
        connection = connecting => connection.expect_err("no protocol in common"),
        link = nodes.accept() => panic!("{link:?}"),
    };
    let quinn::ConnectionError::ConnectionClosed(close) = error else { panic!("{error:?}") };
    // The alert no_application_protocol (RFC 7301).
    assert_eq!(close.error_code, quinn::TransportErrorCode::crypto(120));
}

#[tokio::test]
async fn half_a_head_ends_the_link_after_a_while() {
    let authority = authority("lab");
    let acceptor = identity(&authority, "w1", Role::Worker, &[]);
    let config = TransportConfig { head_timeout: Duration::from_millis(50), ..TransportConfig::default() };
    let now = SystemTime::now();
    let mut nodes = Nodes::with(endpoint(&acceptor, config.clone(), now), endpoint(&acceptor, config, now));
    let stranger = identity(&authority, "c1", Role::Controller, &[]);
    let (_endpoint, connecting) = raw_dial(&nodes, &stranger, runnel_certs::ALPN);
    let link = nodes.accept().await;
    let half_a_head = async {
        let connection = connecting.await.expect("a link");
        let (mut send, _recv) = connection.open_bi().await.expect("a place");
        let mut bytes = BytesMut::new();
        encode_head(&head(Class::Normal), &mut bytes);
        send.write_all(&bytes[..bytes.len() / 2]).await.expect("a stream");
        connection.closed().await
    };
    let (error, reason) = tokio::join!(half_a_head, end_of(link));
    assert!(matches!(reason, CloseReason::Local { code: CloseCode::HeadTimeout, .. }), "{reason:?}");
    assert!(matches!(error, quinn::ConnectionError::ApplicationClosed(_)), "{error:?}");
}
