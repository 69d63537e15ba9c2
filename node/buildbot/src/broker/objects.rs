//! The objects of this side, and how often the peer holds each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::TooManyObjects;
use crate::ids::ObjectId;

/// Objects by number. A number is never used twice.
#[derive(Debug)]
pub(super) struct Objects {
    max: usize,
    last: i64,
    known: HashMap<ObjectId, Object>,
}

#[derive(Debug, Default)]
struct Object {
    /// References that the peer has and did not give back.
    references: u64,
    /// Whether the application has taken it away: what is left is a place for late words of the peer.
    removed: bool,
}

/// What has become of an object of which a reference was given back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GivenBack {
    /// It has others, or the application does not care.
    Held,
    /// It was the last.
    Last,
    /// There was none.
    Never,
}

impl Objects {
    pub(super) fn new(max: usize) -> Self {
        Self { max, last: 0, known: HashMap::new() }
    }

    pub(super) fn add(&mut self) -> Result<ObjectId, TooManyObjects> {
        if self.known.len() >= self.max {
            return Err(TooManyObjects { max: self.max });
        }
        self.last += 1;
        let object = ObjectId::from_wire(self.last);
        self.known.insert(object, Object::default());
        Ok(object)
    }

    /// Takes an object away: the peer can call it no more.
    pub(super) fn remove(&mut self, object: ObjectId) {
        let Entry::Occupied(mut entry) = self.known.entry(object) else {
            return;
        };
        entry.get_mut().removed = true;
        if entry.get().references == 0 {
            entry.remove();
        }
    }

    pub(super) fn exists(&self, object: ObjectId) -> bool {
        self.known.get(&object).is_some_and(|object| !object.removed)
    }

    /// Returns whether the peer has a reference by which it can call.
    pub(super) fn is_callable(&self, object: ObjectId) -> bool {
        self.known.get(&object).is_some_and(|object| !object.removed && object.references > 0)
    }

    /// Counts a reference that goes to the peer.
    pub(super) fn give(&mut self, object: ObjectId) {
        if let Some(object) = self.known.get_mut(&object) {
            object.references += 1;
        }
    }

    /// Counts a reference that the peer gives back.
    pub(super) fn take_back(&mut self, object: ObjectId) -> GivenBack {
        let Entry::Occupied(mut entry) = self.known.entry(object) else {
            return GivenBack::Never;
        };
        let state = entry.get_mut();
        if state.references == 0 {
            return GivenBack::Never;
        }
        state.references -= 1;
        match (state.references, state.removed) {
            (0, true) => {
                entry.remove();
                GivenBack::Held
            }
            (0, false) => GivenBack::Last,
            _ => GivenBack::Held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_can_be_called_while_the_peer_holds_it() {
        let mut objects = Objects::new(2);
        let object = objects.add().expect("room");
        assert!(objects.exists(object) && !objects.is_callable(object));
        objects.give(object);
        objects.give(object);
        assert!(objects.is_callable(object));
        assert_eq!(objects.take_back(object), GivenBack::Held);
        assert_eq!(objects.take_back(object), GivenBack::Last);
        assert_eq!(objects.take_back(object), GivenBack::Never);
        assert!(objects.exists(object) && !objects.is_callable(object));
        objects.give(object);
        assert!(objects.is_callable(object));
    }

    #[test]
    fn a_removed_object_takes_late_words_and_then_no_place() {
        let mut objects = Objects::new(1);
        let object = objects.add().expect("room");
        objects.give(object);
        objects.remove(object);
        assert!(!objects.exists(object) && !objects.is_callable(object));
        assert_eq!(objects.add(), Err(TooManyObjects { max: 1 }));
        assert_eq!(objects.take_back(object), GivenBack::Held);
        let other = objects.add().expect("its place is free");
        assert_ne!(other, object);
        objects.remove(other);
        assert!(objects.add().is_ok());
    }
}
