//! The protocol over MessagePack against the bytes of Python's own, and against peers that break the rules.

mod exchange;
mod vectors;
