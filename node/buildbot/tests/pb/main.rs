//! The protocol against the bytes of Twisted, against itself, and against peers that break the rules.

mod broker;
mod hostile;
mod limits;
mod round_trip;
mod samples;
mod script;
mod vectors;
