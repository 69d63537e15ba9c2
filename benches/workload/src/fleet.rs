//! Identities for one run.

use std::time::{Duration, SystemTime};

use runnel_certs::{Authority, Identity, NodeKey, Role, Validity};

/// An authority that lives as long as a bench.
#[derive(Debug)]
pub struct Fleet {
    authority: Authority,
    now: SystemTime,
}

impl Fleet {
    /// Founds a fleet whose certificates are valid now.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    #[must_use]
    pub fn new() -> Self {
        let now = SystemTime::now();
        let validity = Validity::starting(now, LIFETIME * 2).expect("a lifetime within the calendar");
        let authority = Authority::create("bench".parse().expect("a valid name"), validity);
        Self { authority: authority.expect("the system has randomness"), now }
    }

    /// Issues the identity of a node.
    ///
    /// # Panics
    ///
    /// When `name` is not one for a node.
    pub fn identity(&self, name: &str, role: Role) -> Identity {
        self.identity_with_key(name, role).1
    }

    /// Issues the identity of a node and shows its key too.
    ///
    /// # Panics
    ///
    /// When `name` is not one for a node.
    pub fn identity_with_key(&self, name: &str, role: Role) -> (NodeKey, Identity) {
        let key = NodeKey::generate().expect("the system has randomness");
        let validity = Validity::starting(self.now, LIFETIME).expect("a lifetime within the calendar");
        let request = key.csr().expect("a fresh key signs its request");
        let node = name.parse().expect("a valid name");
        let leaf = self.authority.issue(&request, &node, role, validity).expect("the request is our own");
        let authority = self.authority.certificate();
        let identity = Identity::from_pem(&key, &leaf.pem(), &authority.pem());
        (key, identity.expect("they belong together"))
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self::new()
    }
}

const LIFETIME: Duration = Duration::from_secs(24 * 3600);
