//! What is compared, and where the results go.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use runnel_workload::Kind;

use super::path::Path;
use super::systems::System;

/// Compares Runnel with raw quinn, tonic, tarpc and a bare multiplexer over TLS, in turns in one run.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Compare only this system; may be repeated.
    #[arg(long, value_name = "SYSTEM")]
    pub(crate) only: Vec<System>,
    /// Run only workloads of this kind; may be repeated.
    #[arg(long)]
    pub(crate) kind: Vec<KindOption>,
    /// Where: loopback, or real packets over an emulated link, which takes root.
    #[arg(long, default_value = "all")]
    pub(crate) path: PathOption,
    /// How often each measurement is made; medians are told.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repetitions: u32,
    /// How long each is measured on loopback.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,
    /// How long each is measured on an emulated link, after as long again at most to find its rate.
    #[arg(long, default_value_t = 15.0)]
    pub(crate) link_seconds: f64,
    /// How many emulated links are measured beside each other, fewer of the fastest. They share the machine, not the link.
    #[arg(long, default_value = "4")]
    pub(crate) links: NonZeroUsize,
    /// Folder for results.json, table.md and the plots.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Keep what an earlier run at the same commit left in that folder, except for what is measured again.
    #[arg(long, requires = "out")]
    pub(crate) keep: bool,
    /// Print the samples as JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindOption {
    Echo,
    Messages,
    Bulk,
    Urgent,
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PathOption {
    All,
    Loopback,
    Emulated,
}

impl Options {
    /// Returns the paths that are measured.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let loopback = (self.path != PathOption::Emulated).then_some(Path::Loopback);
        let emulated = if self.path == PathOption::Loopback { Vec::new() } else { Path::emulated() };
        loopback.into_iter().chain(emulated).collect()
    }

    pub(crate) fn includes(&self, system: System, kind: Kind) -> bool {
        let kind = match kind {
            Kind::Echo { .. } => KindOption::Echo,
            Kind::Messages { .. } => KindOption::Messages,
            Kind::Bulk => KindOption::Bulk,
            Kind::Urgent => KindOption::Urgent,
        };
        (self.only.is_empty() || self.only.contains(&system))
            && (self.kind.is_empty() || self.kind.contains(&kind))
    }
}
