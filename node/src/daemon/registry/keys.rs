//! Idempotency keys: the same request, repeated, gives the same command.
//!
//! A key is reserved before its command is submitted, so that two requests at the same time do not store two commands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use runnel::codec::{CommandId, NodeId};

/// The keys of the commands submitted of late.
#[derive(Debug)]
pub(in crate::daemon) struct Keys {
    keys_max: usize,
    age: Duration,
    keys: BTreeMap<RequestKey, Key>,
    /// Those that have a command, by when they are forgotten.
    bound: BTreeSet<(Instant, RequestKey)>,
}

/// A key as its caller gave it, for one target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::daemon) struct RequestKey {
    pub(in crate::daemon) to: NodeId,
    pub(in crate::daemon) key: String,
}

#[derive(Debug)]
struct Key {
    /// Of all that makes the command.
    hash: [u8; 32],
    /// `None` while it is being submitted.
    id: Option<CommandId>,
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Reservation {
    /// It is new: submit the command, then say what came of it.
    New,
    /// It stands for this command.
    Known(CommandId),
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum KeyError {
    /// It stands for another command.
    Conflict,
    /// A command of this key is being submitted: ask again.
    Pending,
    /// There are too many keys.
    Full,
}

impl Keys {
    pub(super) fn new(keys_max: usize, age: Duration) -> Self {
        Self { keys_max, age, keys: BTreeMap::new(), bound: BTreeSet::new() }
    }

    /// Looks a key up, and reserves it if it is new.
    pub(in crate::daemon) fn reserve(
        &mut self,
        key: &RequestKey,
        hash: [u8; 32],
    ) -> Result<Reservation, KeyError> {
        match self.keys.get(key) {
            Some(known) if known.hash != hash => Err(KeyError::Conflict),
            Some(Key { id: Some(id), .. }) => Ok(Reservation::Known(id.clone())),
            Some(_) => Err(KeyError::Pending),
            None if self.keys.len() >= self.keys_max => Err(KeyError::Full),
            None => {
                self.keys.insert(key.clone(), Key { hash, id: None });
                Ok(Reservation::New)
            }
        }
    }

    /// The command of a reserved key is stored. The key is forgotten at the age of all, or earlier if that is wanted.
    pub(in crate::daemon) fn bind(
        &mut self,
        now: Instant,
        key: RequestKey,
        id: CommandId,
        age: Option<Duration>,
    ) {
        let age = age.map_or(self.age, |age| age.min(self.age));
        if let Some(known) = self.keys.get_mut(&key) {
            known.id = Some(id);
            self.bound.insert((now + age, key));
        }
    }

    /// The command of a reserved key was not stored.
    pub(in crate::daemon) fn release(&mut self, key: &RequestKey) {
        self.keys.remove(key);
    }

    /// Forgets keys that are old.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.bound.first().is_some_and(|(at, _)| *at < now) {
            if let Some((_, key)) = self.bound.pop_first() {
                self.keys.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(text: &str) -> RequestKey {
        RequestKey { to: "w1".parse().expect("a valid name"), key: text.to_owned() }
    }

    fn id(seq: u64) -> CommandId {
        format!("ctl.w1.00000000000000ff.{seq}").parse().expect("a valid id")
    }

    #[test]
    fn a_repeated_key_gives_the_command_of_the_first() {
        let mut keys = Keys::new(10, HOUR);
        assert_eq!(keys.reserve(&key("a"), [1; 32]), Ok(Reservation::New));
        assert_eq!(keys.reserve(&key("a"), [1; 32]), Err(KeyError::Pending));
        keys.bind(Instant::now(), key("a"), id(1), None);
        assert_eq!(keys.reserve(&key("a"), [1; 32]), Ok(Reservation::Known(id(1))));
        assert_eq!(keys.reserve(&key("a"), [2; 32]), Err(KeyError::Conflict));
        assert_eq!(keys.reserve(&key("b"), [1; 32]), Ok(Reservation::New));
        let elsewhere = RequestKey { to: "w2".parse().expect("a valid name"), key: "a".to_owned() };
        assert_eq!(keys.reserve(&elsewhere, [2; 32]), Ok(Reservation::New), "keys are per target");
    }

    #[test]
    fn the_key_of_a_refused_command_is_free_again() {
        let mut keys = Keys::new(10, HOUR);
        assert_eq!(keys.reserve(&key("a"), [1; 32]), Ok(Reservation::New));
        keys.release(&key("a"));
        assert_eq!(keys.reserve(&key("a"), [2; 32]), Ok(Reservation::New));
    }

    #[test]
    fn keys_are_bounded_by_number_and_age() {
        let (mut keys, now) = (Keys::new(1, HOUR), Instant::now());
        assert_eq!(keys.reserve(&key("a"), [1; 32]), Ok(Reservation::New));
        assert_eq!(keys.reserve(&key("b"), [1; 32]), Err(KeyError::Full));
        keys.bind(now, key("a"), id(1), None);
        keys.expire(now + HOUR);
        assert_eq!(keys.reserve(&key("b"), [1; 32]), Err(KeyError::Full));
        keys.expire(now + HOUR + Duration::from_secs(1));
        assert_eq!(keys.reserve(&key("b"), [1; 32]), Ok(Reservation::New));
    }

    #[test]
    fn a_key_that_is_wanted_for_less_makes_room_earlier() {
        let (mut keys, now) = (Keys::new(2, HOUR), Instant::now());
        for (name, age) in [("a", None), ("b", Some(HOUR / 60))] {
            assert_eq!(keys.reserve(&key(name), [1; 32]), Ok(Reservation::New));
            keys.bind(now, key(name), id(1), age);
        }
        keys.expire(now + HOUR / 30);
        assert_eq!(keys.reserve(&key("a"), [1; 32]), Ok(Reservation::Known(id(1))));
        assert_eq!(keys.reserve(&key("b"), [1; 32]), Ok(Reservation::New));
    }
}
