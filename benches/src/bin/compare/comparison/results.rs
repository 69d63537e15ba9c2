//! What was measured, and the medians of it.

use std::io::{self, Write};

use runnel_workload::{Kind, Latency, Measured, Served};
use serde::{Deserialize, Serialize};

use super::options::Options;
use super::path::Path;
use super::plan::Cell;
use super::systems::System;
use super::{plot, provenance, table};

/// All samples, and where they come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) commit: String,
    pub(crate) machine: String,
    pub(crate) commands: Vec<String>,
    pub(crate) samples: Vec<Sample>,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) path: Path,
    pub(crate) kind: Kind,
    pub(crate) in_flight: usize,
    pub(crate) system: System,
    pub(crate) repetition: u32,
    /// Requests or messages a second.
    pub(crate) rate: f64,
    /// Bytes of bodies that came, in Mbit/s.
    pub(crate) goodput: f64,
    pub(crate) latency: Option<Latency>,
    /// Processor time of both processes, as a part of one processor.
    pub(crate) processors: f64,
}

/// The middle of some samples, and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Sample {
    pub(crate) fn new(cell: &Cell, repetition: u32, measured: &Measured, served: &Served) -> Self {
        let seconds = measured.seconds();
        let processor_seconds = (measured.processor_micros as f64 + served.processor_micros) / 1e6;
        Self {
            path: cell.path,
            kind: cell.workload.kind,
            in_flight: cell.workload.in_flight,
            system: cell.system,
            repetition,
            rate: measured.commands as f64 / seconds,
            goodput: served.body_bytes * 8.0 / 1e6 / seconds,
            latency: measured.latency,
            processors: processor_seconds / seconds,
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        (self.path, self.kind, self.in_flight, self.system)
            == (other.path, other.kind, other.in_flight, other.system)
    }
}

impl Results {
    /// Begins, with what an earlier run has left if that is wanted and of the same commit.
    pub(crate) fn load(options: &Options) -> io::Result<Self> {
        let new = Self {
            commit: provenance::commit(),
            machine: provenance::machine(),
            commands: vec![provenance::command()],
            samples: Vec::new(),
        };
        let Some(folder) = options.out.as_ref().filter(|_| options.keep) else { return Ok(new) };
        let file = folder.join(FILE);
        if !file.exists() {
            return Ok(new);
        }
        let mut kept: Self = serde_json::from_slice(&std::fs::read(file)?)?;
        if kept.commit != new.commit {
            let error = format!("{} has results of {}, not of {}", folder.display(), kept.commit, new.commit);
            return Err(io::Error::other(error));
        }
        kept.commands.extend(new.commands);
        Ok(kept)
    }

    /// Adds a sample in place of an older one.
    pub(crate) fn add(&mut self, sample: Sample) {
        self.samples.retain(|other| !(other.is_of(&sample) && other.repetition == sample.repetition));
        self.samples.push(sample);
    }

    /// Tells them.
    pub(crate) fn report(&self, options: &Options) -> io::Result<()> {
        let mut out = io::stdout();
        let table = table::markdown(self);
        if options.json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
        } else {
            write!(out, "{table}")?;
        }
        let Some(folder) = &options.out else { return Ok(()) };
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(FILE), serde_json::to_string(self)? + "\n")?;
        std::fs::write(folder.join("table.md"), table)?;
        plot::write(self, folder).map_err(io::Error::other)
    }

    /// Returns all pairs of path and workload, in the order in which they were measured.
    pub(crate) fn rows(&self) -> Vec<(Path, Kind, usize)> {
        let mut rows = Vec::new();
        for sample in &self.samples {
            let row = (sample.path, sample.kind, sample.in_flight);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        rows
    }

    /// Returns all systems that take part.
    pub(crate) fn systems(&self, is_in: impl Fn(Path) -> bool) -> Vec<System> {
        let mut systems: Vec<_> =
            self.samples.iter().filter(|sample| is_in(sample.path)).map(|sample| sample.system).collect();
        systems.sort_unstable();
        systems.dedup();
        systems
    }

    /// Returns the spread of a figure over the repetitions, unless there are none.
    pub(crate) fn spread(
        &self,
        (path, kind, in_flight): (Path, Kind, usize),
        system: System,
        figure: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<Spread> {
        let is_of = |sample: &&Sample| {
            (sample.path, sample.kind, sample.in_flight, sample.system) == (path, kind, in_flight, system)
        };
        Spread::of(self.samples.iter().filter(is_of).filter_map(figure).collect())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { median: values[values.len() / 2], min, max })
    }
}

const FILE: &str = "results.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_ends() {
        let spread = Spread { median: 2.0, min: 1.0, max: 9.0 };
        assert_eq!(Spread::of(vec![9.0, 1.0, 2.0]), Some(spread));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
