//! The builders of a worker: an object for the master each, and the one command that runs for it.

use std::collections::BTreeMap;

use crate::gateway::protocol::Running;
use crate::ids::ObjectId;
use crate::worker::MasterCommandId;

/// The builders that the master has named, by name.
#[derive(Debug, Default)]
pub(super) struct Builders {
    builders: BTreeMap<String, Builder>,
}

/// A builder.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) object: ObjectId,
    /// Absolute.
    pub(super) folder: String,
    running: Option<Running>,
    /// What runs ends by itself in a moment.
    is_brief: bool,
}

impl Builders {
    /// Keeps those that are named and lets go of the others, which are returned. Each new one gets an object.
    pub(super) fn set<E>(
        &mut self,
        named: Vec<(String, String)>,
        mut new_object: impl FnMut() -> Result<ObjectId, E>,
    ) -> Result<Vec<ObjectId>, E> {
        let mut old = std::mem::take(&mut self.builders);
        for (name, folder) in named {
            let builder = match old.remove(&name) {
                Some(builder) => Builder { folder, ..builder },
                None => Builder { object: new_object()?, folder, running: None, is_brief: false },
            };
            self.builders.insert(name, builder);
        }
        for builder in old.values() {
            builder.interrupt();
        }
        Ok(old.into_values().map(|builder| builder.object).collect())
    }

    /// Returns the builders with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Builder)> {
        self.builders.iter().map(|(name, builder)| (name.as_str(), builder))
    }

    /// Finds a builder, with its name, by its object.
    pub(super) fn of_object(&mut self, object: ObjectId) -> Option<(&str, &mut Builder)> {
        let mut builders = self.builders.iter_mut();
        builders.find(|(_, builder)| builder.object == object).map(|(name, builder)| (name.as_str(), builder))
    }
}

impl Builder {
    /// Starts a command in place of the one that runs, which has to be waited for: it is returned.
    ///
    /// The older one is made to end, unless it is brief: masters ask several questions at once, which Buildbot's own worker
    /// answers before it looks at the next.
    pub(super) fn start(&mut self, id: MasterCommandId, is_brief: bool) -> (Running, Option<Running>) {
        if !self.is_brief {
            self.interrupt();
        }
        let before = self.running().cloned();
        let running = Running::new(id);
        self.running = Some(running.clone());
        self.is_brief = is_brief;
        (running, before)
    }

    /// Makes a command end. One that has ended, or is another, is left alone.
    pub(super) fn interrupt_command(&self, id: &MasterCommandId) {
        if let Some(running) = self.running().filter(|running| running.id == *id) {
            running.interrupted.cancel();
        }
    }

    fn interrupt(&self) {
        if let Some(running) = self.running() {
            running.interrupted.cancel();
        }
    }

    fn running(&self) -> Option<&Running> {
        self.running.as_ref().filter(|running| !running.ended.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> impl FnMut() -> Result<ObjectId, ()> {
        let mut last = 0;
        move || {
            last += 1;
            Ok(ObjectId::from_wire(last))
        }
    }

    fn named(names: &[&str]) -> Vec<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), format!("/srv/{name}"))).collect()
    }

    fn id(id: &str) -> MasterCommandId {
        MasterCommandId::new(id)
    }

    #[test]
    fn a_builder_that_stays_keeps_its_object() {
        let mut builders = Builders::default();
        let mut new_object = objects();
        assert_eq!(builders.set(named(&["a", "b"]), &mut new_object), Ok(vec![]));
        let gone = builders.set(named(&["b", "c"]), &mut new_object).unwrap();
        assert_eq!(gone, [ObjectId::from_wire(1)]);
        let now: Vec<_> = builders.iter().map(|(name, builder)| (name, builder.object.to_wire())).collect();
        assert_eq!(now, [("b", 2), ("c", 3)]);
    }

    #[test]
    fn a_command_ends_the_one_before_it() {
        let mut builders = Builders::default();
        builders.set(named(&["a"]), objects()).unwrap();
        let (_, builder) = builders.of_object(ObjectId::from_wire(1)).unwrap();
        let (first, none) = builder.start(id("1"), false);
        assert!(none.is_none() && !first.interrupted.is_cancelled());
        let (second, before) = builder.start(id("2"), true);
        assert_eq!(before.map(|before| before.id), Some(id("1")));
        assert!(first.interrupted.is_cancelled() && !second.interrupted.is_cancelled());
        builder.interrupt_command(&id("1"));
        assert!(!second.interrupted.is_cancelled(), "it is another");
        builder.interrupt_command(&id("2"));
        assert!(second.interrupted.is_cancelled());
        second.ended.cancel();
        let (_, none) = builder.start(id("3"), false);
        assert!(none.is_none(), "it has ended");
    }

    #[test]
    fn a_brief_command_is_waited_for() {
        let mut builders = Builders::default();
        builders.set(named(&["a"]), objects()).unwrap();
        let (_, builder) = builders.of_object(ObjectId::from_wire(1)).unwrap();
        let (first, _) = builder.start(id("1"), true);
        let (second, before) = builder.start(id("2"), false);
        assert_eq!(before.map(|before| before.id), Some(id("1")));
        assert!(!first.interrupted.is_cancelled() && !second.interrupted.is_cancelled());
    }

    #[test]
    fn a_builder_that_is_taken_away_ends_its_command() {
        let mut builders = Builders::default();
        builders.set(named(&["a"]), objects()).unwrap();
        let (running, _) = builders.of_object(ObjectId::from_wire(1)).unwrap().1.start(id("1"), false);
        builders.set(named(&[]), objects()).unwrap();
        assert!(running.interrupted.is_cancelled());
    }
}
