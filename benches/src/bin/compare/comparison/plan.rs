//! What is asked of whom.

use std::fmt;

use runnel_workload::{Kind, Workload};

use super::options::Options;
use super::path::Path;
use super::systems::System;

/// One thing that is measured, as often as there are repetitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) path: Path,
    pub(crate) workload: Workload,
    pub(crate) system: System,
}

/// Returns all cells, in the order in which they are measured: systems in turns.
pub(crate) fn cells(options: &Options) -> Vec<Cell> {
    let mut cells = Vec::new();
    for path in options.paths() {
        let systems: &[System] = if path == Path::Loopback { &System::LOOPBACK } else { &System::EMULATED };
        for (kind, in_flight) in kinds(path) {
            let workload = workload(path, kind, in_flight, options);
            let takes_part =
                systems.iter().filter(|&&system| system.takes_part(kind) && options.includes(system, kind));
            cells.extend(takes_part.map(|&system| Cell { path, workload, system }));
        }
    }
    cells
}

fn kinds(path: Path) -> Vec<(Kind, usize)> {
    if path != Path::Loopback {
        return vec![(Kind::Urgent, BODIES)];
    }
    let mut kinds = Vec::new();
    for bytes in [64, 1024] {
        kinds.extend([1, 64, 1024].map(|in_flight| (Kind::Echo { bytes }, in_flight)));
    }
    kinds.extend([64, 1024].map(|bytes| (Kind::Messages { bytes }, MESSAGES)));
    kinds.extend([(Kind::Bulk, BODIES), (Kind::Urgent, BODIES)]);
    kinds
}

fn workload(path: Path, kind: Kind, in_flight: usize, options: &Options) -> Workload {
    let (warm_up_seconds, seconds) = match path {
        Path::Loopback => (WARM_UP_SECONDS.min(options.seconds), options.seconds),
        Path::Emulated { .. } => (LINK_WARM_UP_SECONDS.min(options.link_seconds), options.link_seconds),
    };
    Workload { kind, in_flight, warm_up_seconds, seconds }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.path, name(self.workload.kind, self.workload.in_flight), self.system)
    }
}

/// Returns the name of a workload.
pub(crate) fn name(kind: Kind, in_flight: usize) -> String {
    match kind {
        Kind::Echo { bytes } => format!("echo of {bytes} B, {in_flight} in flight"),
        Kind::Messages { bytes } => format!("messages of {bytes} B, {in_flight} in flight"),
        Kind::Bulk => format!("bodies of 8 MiB, {in_flight} at once"),
        Kind::Urgent => "urgent beside bulk".to_owned(),
    }
}

const BODIES: usize = 4;
const MESSAGES: usize = 1024;

/// Long enough for caches and congestion windows on loopback.
const WARM_UP_SECONDS: f64 = 0.3;

/// Within it every congestion control has found the rate of the slowest link.
const LINK_WARM_UP_SECONDS: f64 = 10.0;
