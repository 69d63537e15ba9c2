//! Peers that are not let in or are thrown out: each with a reason of its own, said to the peer and in the log, while
//! the node goes on with everybody else.

use std::net::SocketAddr;

use bytes::BytesMut;
use quinn::{ConnectionError, TransportErrorCode};
use runnel::certs::{Identity, Role};
use runnel::codec::{
    Class, CloseCode, Command, CommandKey, Epoch, Head, Seq, StreamKind, UpdatePolicy, encode_head,
    encode_stream_kind,
};
use runnel::{NodeBuilder, SubmitOptions};
use runnel_tests::commands::Mark;
use runnel_tests::fleet::{FLEET, TestFleet};
use runnel_tests::follow::{link_number, outcome};
use runnel_tests::log::{logged, watch_log};
use runnel_tests::pair::{Pair, PairConfig};
use runnel_tests::patience::patient;
use runnel_tests::stranger::Stranger;

#[tokio::test]
async fn a_node_of_another_authority_is_refused_and_both_ends_say_why() {
    let rig = Rig::start().await;
    rig.dial_in_vain(
        TestFleet::today().identity("stray", Role::Worker),
        "a certificate is of another authority: compare ca.crt on both nodes",
    )
    .await;

    // One that believes us, but that we do not believe, gets the alert.
    let mut papers = TestFleet::today().papers("believer", Role::Worker);
    papers.roots = vec![rig.pair.fleet.root()];
    let stranger = Stranger::new(&papers);
    // rustls says so with decrypt_error when an authority of the same name has another key (RFC 8446, section 6).
    assert_eq!(alert(&stranger.refused(rig.address, "controller", FLEET).await), 51);
    rig.has_logged(&stranger, "a certificate is of another authority").await;
    rig.goes_on().await;
}

#[tokio::test]
async fn a_node_whose_certificate_has_expired_is_refused_and_both_ends_say_why() {
    let rig = Rig::start().await;
    let expired = rig.pair.fleet.expired_identity("late", Role::Worker);
    rig.dial_in_vain(
        expired,
        "a certificate has expired, or a clock is wrong: issue a new one, or set the clock",
    )
    .await;
    rig.goes_on().await;
}

#[tokio::test]
async fn a_node_of_another_fleet_is_refused_with_a_code() {
    let rig = Rig::start().await;
    let stranger = Stranger::new(&rig.pair.fleet.odd_papers("attic", "worker", "stray"));
    let refusal = stranger.refused(rig.address, "controller", FLEET).await;
    let text = "the peer belongs to fleet attic, not to test";
    check(&refusal, CloseCode::WrongFleet, text);
    rig.has_logged(&stranger, text).await;
    rig.goes_on().await;
}

#[tokio::test]
async fn a_node_of_an_unknown_role_is_refused_with_a_code() {
    let rig = Rig::start().await;
    let stranger = Stranger::new(&rig.pair.fleet.odd_papers(FLEET, "overseer", "boss"));
    let refusal = stranger.refused(rig.address, "controller", FLEET).await;
    let text = "the certificate's role \"overseer\" is unknown here";
    check(&refusal, CloseCode::RoleRefused, text);
    rig.has_logged(&stranger, text).await;
    rig.goes_on().await;
}

#[tokio::test]
async fn a_peer_of_another_version_is_refused_by_alert() {
    let rig = Rig::start().await;
    let stranger = Stranger::speaking(&rig.pair.fleet.papers("future", Role::Worker), b"runnel/2");
    // The alert no_application_protocol (RFC 7301).
    assert_eq!(alert(&stranger.refused(rig.address, "controller", FLEET).await), 120);
    rig.has_logged(&stranger, "the peer speaks no version of the protocol that this node does").await;
    rig.goes_on().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_ends_its_link_and_no_other() {
    let rig = Rig::start().await;
    let mut bytes = BytesMut::new();
    encode_head(&head(vec![0; 80 << 10]), &mut bytes);
    rig.throws_out("large", &bytes, CloseCode::TooLarge).await;
    rig.goes_on().await;
}

#[tokio::test]
async fn garbage_on_a_stream_ends_its_link_and_no_other() {
    let rig = Rig::start().await;
    let mut garbage = BytesMut::new();
    encode_stream_kind(StreamKind::Command, &mut garbage);
    garbage.extend_from_slice(&[0x40, 0x40]);
    garbage.extend_from_slice(&[0xff; 64]);
    rig.throws_out("garbage", &garbage, CloseCode::Malformed).await;
    rig.throws_out("unknown", &[0x3f, 0, 1, 2, 3], CloseCode::UnknownKind).await;
    rig.throws_out("second", &[1, 0x25, 0], CloseCode::UnexpectedFrame).await;
    rig.goes_on().await;
}

#[tokio::test]
async fn a_command_before_the_hello_is_no_command() {
    let rig = Rig::start().await;
    let stranger = Stranger::new(&rig.pair.fleet.papers("hasty", Role::Controller));
    let connection = stranger.dial(rig.address, "controller", FLEET).await.expect("papers that are in order");
    let (mut send, _receive) = connection.open_bi().await.expect("a place");
    let mut bytes = BytesMut::new();
    encode_head(&head(Vec::new()), &mut bytes);
    send.write_all(&bytes).await.expect("the link is open");
    // Without a hello the link ends when its time is up, and the head is never looked at.
    let closed = patient("the end of the link", connection.closed()).await;
    check(&closed, CloseCode::HelloTimeout, "the hello did not come in time");
    rig.goes_on().await;
}

#[tokio::test]
async fn two_nodes_of_one_identity_are_refused_once_they_take_turns() {
    let rig = Rig::start().await;
    let folder = tempfile::tempdir().expect("a folder for the test");
    rig.pair.fleet.identity("twin", Role::Worker).save(folder.path()).expect("a folder to write to");
    let mut twins = Vec::new();
    for _ in 0..2 {
        let identity = Identity::load(folder.path()).expect("what was saved");
        let controller = rig.pair.controller().node().clone();
        let twin = NodeBuilder::new(identity).peer(controller, [rig.address.to_string()]);
        twins.push(twin.start().await.expect("the node starts"));
    }
    // Each throws the other out until they are found out.
    logged(&["peer=controller", "closed by the peer (duplicate-node)"]).await;
    logged(&["remote=Some(127.0.0.1:", "closed here (duplicate-node)"]).await;
    for twin in twins {
        patient("a twin to stop", twin.shutdown()).await;
    }
    rig.goes_on().await;
}

/// A controller that listens, and a worker of its own that nothing may disturb.
struct Rig {
    pair: Pair,
    address: SocketAddr,
    number: u64,
}

impl Rig {
    async fn start() -> Self {
        watch_log();
        let pair = Pair::start(PairConfig::default(), 1).await;
        let number = link_number(pair.controller(), pair.worker(), |_| true).await;
        Self { address: pair.controller().listening()[0], number, pair }
    }

    /// Has a whole node dial the controller, and checks that its log says why it does not get in.
    async fn dial_in_vain(&self, identity: Identity, reason: &str) {
        let name = identity.node().to_string();
        let controller = self.pair.controller().node().clone();
        let node = NodeBuilder::new(identity).peer(controller, [self.address.to_string()]);
        let node = node.start().await.expect("the node starts");
        logged(&["no link", "peer=controller", reason]).await;
        logged(&["no link", "remote=Some(127.0.0.1:", reason]).await;
        assert!(self.pair.controller().status().borrow().links.iter().all(|link| link.peer.as_str() != name));
        patient("the node to stop", node.shutdown()).await;
    }

    /// Checks that the controller's log has a reason beside a stranger's address.
    async fn has_logged(&self, stranger: &Stranger, reason: &str) {
        logged(&[&format!("127.0.0.1:{}", stranger.address().port()), reason]).await;
    }

    /// Has a peer in good standing write these bytes to a stream, and checks how it is thrown out.
    async fn throws_out(&self, name: &str, bytes: &[u8], code: CloseCode) {
        let stranger = Stranger::new(&self.pair.fleet.papers(name, Role::Worker));
        let guest = stranger.enter(self.address, "controller", FLEET, &[]).await;
        guest.write(bytes).await;
        let closed = patient("the end of the link", guest.connection.closed()).await;
        check(&closed, code, "");
        logged(&["link down", &format!("peer={name} "), &format!("closed here ({code})")]).await;
    }

    /// Checks that the worker's link is still the same, and works.
    async fn goes_on(self) {
        for number in 0..20 {
            assert_eq!(
                outcome(self.pair.submit::<Mark>(number, SubmitOptions::default()).await).await,
                Ok(number)
            );
        }
        assert_eq!(link_number(self.pair.controller(), self.pair.worker(), |_| true).await, self.number);
        self.pair.stop().await;
    }
}

fn head(args: Vec<u8>) -> Head {
    Head {
        key: CommandKey { epoch: Epoch::from_random(1), seq: Seq::FIRST },
        class: Class::Normal,
        name: Mark::name(),
        idempotent: false,
        cancelled: false,
        resent: false,
        started: false,
        early: false,
        updates: UpdatePolicy::Discard,
        deadline_remaining: None,
        updates_received: 0,
        result_body_received: 0,
        updates_credit: 0,
        result_body_credit: 0,
        payload_bytes: 0,
        has_body: false,
        args: args.into(),
    }
}

/// Checks the code and the text of a close.
#[track_caller]
fn check(error: &ConnectionError, code: CloseCode, text: &str) {
    let ConnectionError::ApplicationClosed(close) = error else { panic!("{error:?}") };
    assert_eq!(CloseCode::from_wire(close.error_code.into_inner()), Some(code), "{error:?}");
    let said = String::from_utf8_lossy(&close.reason);
    assert!(said.contains(text) && !said.is_empty(), "{said:?} should say {text:?}");
}

/// Returns the TLS alert that closed a connection.
#[track_caller]
fn alert(error: &ConnectionError) -> u64 {
    let ConnectionError::ConnectionClosed(close) = error else { panic!("{error:?}") };
    // RFC 9001, section 4.8: a QUIC error of 0x100 and the alert's number.
    u64::from(close.error_code) - u64::from(TransportErrorCode::crypto(0))
}
