//! Runnel and raw quinn as processes of their own, to be compared with systems of others (`--bin compare`).

mod nodes;
mod quinn;

use runnel_workload::{Role, Setup, drive, serve};

/// Is one end of the system that `setup` names until its standard input ends. Returns false if there is no such system
/// here.
///
/// # Panics
///
/// When it cannot serve, or its server answers wrongly.
#[must_use]
pub fn run_process(setup: &Setup) -> bool {
    match (setup.system.as_str(), setup.role) {
        ("runnel" | "runnel-here" | "runnel-inline", Role::Serve) => serve(setup, nodes::start),
        ("runnel" | "runnel-here" | "runnel-inline", Role::Drive) => drive(setup, nodes::connect),
        ("quinn" | "quinn-cubic" | "quinn-hashed", Role::Serve) => serve(setup, quinn::start),
        ("quinn" | "quinn-cubic" | "quinn-hashed", Role::Drive) => drive(setup, quinn::connect),
        _ => return false,
    }
    true
}
