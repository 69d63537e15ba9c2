//! What the benches share: two nodes on loopback, the same on raw quinn, and callers that keep them busy.
//!
//! [`NodePair`] is a controller and a worker with everything that Runnel does; [`RawPair`] is the floor under it: quinn
//! with the same TLS, the same settings, the same threads and the same bytes each way. [`run`] drives either. The
//! benches themselves are in `benches/`, one question a file.

mod commands;
pub mod compared;
mod elsewhere;
#[cfg(target_os = "linux")]
pub mod emulated;
pub mod led;
mod load;
mod nodes;
mod queued;
mod raw;

pub use commands::{Bulk, Echo, Note, WireSizes, sample_head};
pub use elsewhere::needs_linux;
pub use load::{Caller, run};
pub use nodes::{Handling, NodePair};
pub use queued::{QueuedCommands, echo_command, link_up, wide_room};
pub use raw::RawPair;
pub use runnel_workload::{BODY_BYTES, Fleet};

/// The settings of every criterion bench: short, so that all of them together take minutes.
#[macro_export]
macro_rules! criterion_settings {
    () => {
        criterion::Criterion::default()
            .sample_size(20)
            .warm_up_time(std::time::Duration::from_secs(1))
            .measurement_time(std::time::Duration::from_secs(4))
    };
}
