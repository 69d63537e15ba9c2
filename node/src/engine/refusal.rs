//! Why a hello is refused, whoever dialled. Pure.

use std::time::{Duration, SystemTime};

use runnel_certs::{Identity, PeerIdentity};
use runnel_codec::{CloseCode, CloseText, Hello};

use super::boots::Duplicate;

/// A close code, what the peer's people are to do, and when it may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: CloseCode,
    pub(super) text: &'static str,
    /// `None`: nothing changes by itself, so the usual pauses will do.
    pub(super) retry_after: Option<Duration>,
}

/// Checks what may have changed since the handshake, or never was part of it. The role needs no check: commands are judged
/// by that of the newest link's certificate.
///
/// # Errors
///
/// What to close the link with.
pub(super) fn check_hello(
    own: &Identity,
    peer: &PeerIdentity,
    hello: &Hello,
    date: SystemTime,
) -> Result<(), Refusal> {
    let refuse = |code, text| Err(Refusal { code, text, retry_after: None });
    if hello.fleet != *own.fleet() || peer.fleet != *own.fleet() {
        return refuse(CloseCode::WrongFleet, "the hello names another fleet");
    }
    if peer.node == *own.node() {
        return refuse(
            CloseCode::DuplicateNode,
            "both ends use one name: issue one of them an identity of its own",
        );
    }
    if peer.has_expired(date) {
        return refuse(CloseCode::BadIdentity, "the certificate has expired: issue a new one");
    }
    Ok(())
}

/// The peer's store has forgotten what it had promised: it was restored from an older backup, or is one of two copies.
pub(super) const REGRESSED: Refusal = Refusal {
    code: CloseCode::StoreRegressed,
    text: "this store has forgotten what it had promised: restore a newer backup, or stop the node and run \
           `runnel new-epoch`; if the machine was cloned, issue the clone an identity and a store of its own",
    retry_after: None,
};

impl From<Duplicate> for Refusal {
    fn from(Duplicate { retry_after }: Duplicate) -> Self {
        Self {
            code: CloseCode::DuplicateNode,
            text: "two processes take turns under one name: stop one of them, or issue it an identity of its own",
            retry_after: Some(retry_after),
        }
    }
}

impl From<Refusal> for CloseText {
    fn from(refusal: Refusal) -> Self {
        Self { text: refusal.text.to_owned(), retry_after: refusal.retry_after }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixtures::empty_hello;
    use super::*;
    use runnel_certs::{Authority, NodeKey, Role, Validity};

    fn date(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second)
    }

    fn own() -> Identity {
        let validity = Validity::starting(date(0), Duration::from_secs(1000)).expect("a lifetime");
        let authority = Authority::create("lab".parse().expect("a name"), validity).expect("an authority");
        let key = NodeKey::generate().expect("a key");
        let csr = key.csr().expect("a request");
        let leaf = authority.issue(&csr, &"w1".parse().expect("a name"), Role::Worker, validity);
        Identity::from_pem(&key, &leaf.expect("a leaf").pem(), &authority.certificate().pem())
            .expect("they belong together")
    }

    /// Checks a hello at second 100 of a peer whose certificate counts up to `not_after`.
    #[track_caller]
    fn check(node: &str, fleet: &str, not_after: u64, expected: Option<CloseCode>) {
        let peer = PeerIdentity {
            fleet: "lab".parse().expect("a name"),
            node: node.parse().expect("a name"),
            role: Role::Controller,
            not_after: date(not_after),
        };
        let hello = Hello { fleet: fleet.parse().expect("a name"), ..empty_hello() };
        let refusal = check_hello(&own(), &peer, &hello, date(100)).err();
        assert_eq!(refusal.map(|refusal| refusal.code), expected);
    }

    #[test]
    fn a_peer_of_the_fleet_with_a_valid_certificate_is_let_in() {
        check("c1", "lab", 500, None);
        check("c1", "lab", 100, None);
    }

    #[test]
    fn a_certificate_that_has_expired_since_the_handshake_is_refused() {
        check("c1", "lab", 99, Some(CloseCode::BadIdentity));
    }

    #[test]
    fn another_fleet_and_our_own_name_are_refused() {
        check("c1", "attic", 500, Some(CloseCode::WrongFleet));
        check("w1", "lab", 500, Some(CloseCode::DuplicateNode));
    }
}
