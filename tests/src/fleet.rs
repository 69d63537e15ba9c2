//! Identities of a fleet for one test.

use std::time::{Duration, SystemTime};

use runnel::certs::{Authority, Identity, NodeKey, Role, Validity};

/// An authority that lives as long as a test.
#[derive(Debug)]
pub struct TestFleet {
    authority: Authority,
    now: SystemTime,
}

impl TestFleet {
    /// Founds a fleet whose certificates are valid at `now`.
    pub fn new(now: SystemTime) -> Self {
        let validity = Validity::starting(now, LIFETIME * 2).expect("a lifetime within the calendar");
        let authority = Authority::create("test".parse().expect("a valid name"), validity);
        Self { authority: authority.expect("the system has randomness"), now }
    }

    /// Founds a fleet whose certificates are valid now.
    pub fn today() -> Self {
        Self::new(SystemTime::now())
    }

    /// Issues the identity of a node.
    pub fn identity(&self, name: &str, role: Role) -> Identity {
        let key = NodeKey::generate().expect("the system has randomness");
        let validity = Validity::starting(self.now, LIFETIME).expect("a lifetime within the calendar");
        let csr = key.csr().expect("a fresh key signs its request");
        let leaf = self.authority.issue(&csr, &name.parse().expect("a valid name"), role, validity);
        let leaf = leaf.expect("the request is our own");
        Identity::from_pem(&key, &leaf.pem(), &self.authority.certificate().pem())
            .expect("they belong together")
    }
}

const LIFETIME: Duration = Duration::from_secs(24 * 3600);
