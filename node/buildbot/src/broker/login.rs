//! How a worker proves that it knows its password: it answers the master's challenge, and never sends the password.

use std::fmt;

use bytes::Bytes;

use crate::ids::RemoteId;
use crate::jelly::Value;

/// A worker's name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name under which the master knows the worker.
    pub username: String,
    /// The password, which never leaves this process. MD5 is the protocol's choice: it keeps no secret from those who
    /// hear the login and guess, so the connection has to be on loopback or within TLS.
    pub password: String,
}

/// What the master answers to a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    challenge: Bytes,
    pub(super) challenger: RemoteId,
}

impl Credentials {
    /// Returns what proves that the password is known: MD5 of the password's MD5 and the challenge.
    pub(super) fn response(&self, challenge: &Challenge) -> Bytes {
        let mut context = md5::Context::new();
        context.consume(md5::compute(&self.password).0);
        context.consume(&challenge.challenge);
        Bytes::copy_from_slice(&context.finalize().0)
    }
}

impl Challenge {
    /// Reads a challenge and who is to be answered. Twisted's have 16 bytes.
    pub(super) fn of(answer: &Value) -> Option<Self> {
        let Value::Tuple(answer) = answer else {
            return None;
        };
        match &answer[..] {
            [Value::Bytes(challenge), Value::Remote(challenger)]
                if challenge.len() <= CHALLENGE_BYTES_MAX =>
            {
                Some(Self { challenge: challenge.clone(), challenger: *challenger })
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

const CHALLENGE_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_a_hash_of_the_hash_and_the_challenge() {
        let credentials = Credentials { username: "w1".to_owned(), password: "secret".to_owned() };
        let challenge = Challenge {
            challenge: Bytes::from_static(b"0123456789abcdef"),
            challenger: RemoteId::from_wire(1),
        };
        // Python: md5(md5(b"secret").digest() + b"0123456789abcdef").digest()
        let expected =
            [0xfb, 0x65, 0x4a, 0xad, 0x50, 0x30, 0x3a, 0x26, 0xb5, 0x39, 0x85, 0x8a, 0xfb, 0x96, 0x9f, 0x27];
        assert_eq!(&credentials.response(&challenge)[..], expected);
    }

    #[test]
    fn a_challenge_is_a_pair_of_a_string_and_an_object() {
        let (bytes, remote) = (Value::Bytes(Bytes::from_static(b"c")), RemoteId::from_wire(1));
        let pair = Value::Tuple(vec![bytes.clone(), Value::Remote(remote)]);
        assert!(Challenge::of(&pair).is_some_and(|challenge| challenge.challenger == remote));
        assert_eq!(Challenge::of(&Value::List(vec![bytes.clone(), Value::Remote(remote)])), None);
        assert_eq!(Challenge::of(&Value::Tuple(vec![bytes])), None);
        assert_eq!(Challenge::of(&Value::None), None);
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials { username: "w1".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
