//! The command line, as a user types it: a fleet made by it, two real nodes, and every verb that asks them.

mod buildbot;
mod endings;
mod files;
mod fleet;
mod house;
mod leaving;
mod run;
mod scripts;
mod store;
#[path = "../shared/supervisors.rs"]
mod supervisors;
mod verbs;
