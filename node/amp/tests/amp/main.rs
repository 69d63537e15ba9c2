//! Boxes and sessions against what the real Twisted has written, against each other, and against anything.

mod hostile;
mod round_trip;
mod vectors;
