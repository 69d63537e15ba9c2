//! A Runnel node: what people embed.

pub mod process;
pub mod relay;
