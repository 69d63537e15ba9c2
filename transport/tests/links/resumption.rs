//! Handshakes that a ticket makes short: who may resume, and that each is checked like a whole one.

use std::time::{Duration, SystemTime};

use rand::SeedableRng;
use rand::rngs::StdRng;
use runnel_certs::{Authority, Identity, LEAF_LIFETIME, NodeKey, PeerIdentity, Role, Validity};
use runnel_codec::CloseCode;
use runnel_transport::{CloseReason, EndpointKeys, LinkEvent, Side, TransportConfig};

use crate::harness::{Nodes, authority, endpoint, endpoint_with};

/// A leaf that lasts from now on.
fn identity(authority: &Authority, node: &str, role: Role, lifetime: Duration) -> Identity {
    let key = NodeKey::generate().expect("a key");
    let validity = Validity::starting(SystemTime::now(), lifetime).expect("a valid time");
    let csr = key.csr().expect("a request");
    let leaf = authority.issue(&csr, &node.parse().expect("a valid name"), role, validity).expect("a leaf");
    Identity::from_pem(&key, &leaf.pem(), &authority.certificate().pem()).expect("an identity")
}

fn keys(seed: u64) -> EndpointKeys {
    EndpointKeys::random(&mut StdRng::seed_from_u64(seed))
}

/// A dialler, and an acceptor that can be restarted.
struct Rig {
    nodes: Nodes,
    worker: Identity,
}

impl Rig {
    /// Their leaves last so long.
    fn new(lifetime: Duration) -> Self {
        let authority = authority("lab");
        let controller = identity(&authority, "c1", Role::Controller, lifetime);
        let worker = identity(&authority, "w1", Role::Worker, LEAF_LIFETIME);
        let (config, now) = (TransportConfig::default(), SystemTime::now());
        let dialler = endpoint(&controller, config.clone(), now);
        let acceptor = endpoint_with(&worker, config, now, keys(1)).0;
        Self { nodes: Nodes::with(dialler, acceptor), worker }
    }

    /// Has the acceptor start again, with keys and at a date.
    fn restart(&mut self, keys: EndpointKeys, date: SystemTime) {
        let acceptor = endpoint_with(&self.worker, TransportConfig::default(), date, keys).0;
        self.nodes.acceptor = acceptor;
        self.nodes.address = self.nodes.acceptor.listen(([127, 0, 0, 1], 0).into()).expect("a free port");
    }

    /// Makes a link, and looks who is at its ends.
    async fn link(&mut self) {
        let pair = self.nodes.link().await;
        let named = |peer: &PeerIdentity| (peer.node.to_string(), peer.role);
        assert_eq!(pair.dialler.peer().map(named), Some(("w1".to_owned(), Role::Worker)));
        assert_eq!(pair.acceptor.peer().map(named), Some(("c1".to_owned(), Role::Controller)));
    }

    /// Returns how a link ends whose dialler has a leaf that is not good any more. One that makes a whole handshake fails in
    /// TLS, one that resumes shows no certificate: what refuses it is the check of each link.
    async fn refused(&mut self) -> CloseReason {
        let mut pair = self.nodes.connect().await;
        let said = pair.until(Side::Dialler, |event| matches!(event, LinkEvent::Closed(_))).await;
        let Some((_, LinkEvent::Closed(closed))) = said.last() else { panic!("{said:?}") };
        closed.reason.clone()
    }
}

#[tokio::test]
async fn peers_know_each_other_on_every_link_whoever_of_them_was_restarted() {
    let mut rig = Rig::new(LEAF_LIFETIME);
    rig.link().await;
    rig.link().await;
    for kept in [1, 1, 2, 2] {
        rig.restart(keys(kept), SystemTime::now());
        rig.link().await;
        rig.link().await;
    }
}

#[tokio::test]
async fn a_ticket_outlives_its_process_with_the_keys_and_ends_with_its_leaf() {
    let mut rig = Rig::new(HOUR);
    rig.link().await;
    rig.restart(keys(1), SystemTime::now() + HOUR * 2);
    let reason = rig.refused().await;
    let CloseReason::Remote { code, text, .. } = &reason else { panic!("{reason:?}") };
    assert_eq!(*code, Some(CloseCode::BadIdentity), "{text}");
    assert!(text.contains("xpired"), "{text}");
}

#[tokio::test]
async fn without_the_keys_nobody_resumes() {
    let mut rig = Rig::new(HOUR);
    rig.link().await;
    rig.restart(keys(2), SystemTime::now() + HOUR * 2);
    let reason = rig.refused().await;
    assert!(matches!(reason, CloseReason::Tls(_)), "{reason:?}");
}

const HOUR: Duration = Duration::from_secs(3600);
