//! The systems that Runnel is compared with, each as a process that serves or drives, led by `compare` of
//! `runnel-benches` (see `runnel-workload` for the lines between them).
//!
//! All of them speak over TCP with TLS 1.3, both ends with a certificate, the same verifiers and the same cipher that
//! Runnel uses; a process has one thread.

mod multiplexer;
mod stream;
mod tarpc_peer;
mod tonic_peer;

use std::io::{self, Write};
use std::process::ExitCode;

use runnel_workload::{Role, Setup, drive, serve};

fn main() -> ExitCode {
    let Some(setup) = Setup::from_arguments() else {
        writeln!(io::stderr(), "this is started by compare of runnel-benches, not by hand").ok();
        return ExitCode::FAILURE;
    };
    match (setup.system.as_str(), setup.role) {
        ("tonic", Role::Serve) => serve(&setup, tonic_peer::start),
        ("tonic", Role::Drive) => drive(&setup, tonic_peer::connect),
        ("tarpc", Role::Serve) => serve(&setup, tarpc_peer::start),
        ("tarpc", Role::Drive) => drive(&setup, tarpc_peer::connect),
        ("multiplexer", Role::Serve) => serve(&setup, multiplexer::start),
        ("multiplexer", Role::Drive) => drive(&setup, multiplexer::connect),
        (other, _) => {
            writeln!(io::stderr(), "there is no system {other}").ok();
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
