//! What the bytes are, and what the decoders make of good and bad ones.

mod hostile;
mod order;
mod round_trip;
mod samples;
mod streams;
mod vectors;
