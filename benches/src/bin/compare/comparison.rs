//! Goes through everything that is compared, and tells what came of it.

mod build;
mod options;
mod pair;
mod path;
mod plan;
mod plot;
mod provenance;
mod results;
mod systems;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use runnel_benches::compared::run_process;
use runnel_benches::emulated::{Link, LinkError};
use runnel_workload::Setup;

use self::options::Options;
use self::pair::Measurement;
use self::path::Path;
use self::plan::{Cell, cells};
use self::results::{Results, Sample};

/// Compares what the command line says, or is one end of what is compared.
pub(super) fn main() -> ExitCode {
    // This program is also the processes that it compares.
    if let Some(setup) = Setup::from_arguments() {
        return if run_process(&setup) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let options = Options::parse();
    match compare(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            writeln!(io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every measurement succeeded.
fn compare(options: &Options) -> io::Result<bool> {
    let peers = build::peers(options)?;
    let identities = tempfile::tempdir()?;
    runnel_workload::write_identities(identities.path());
    let mut results = Results::load(options)?;
    let cells = cells(options);
    let bar = progress(&cells, options);
    let mut is_whole = true;
    for path in options.paths() {
        if let Some(reason) = unavailable(path) {
            bar.suspend(|| writeln!(io::stderr(), "skipped: {path}: {reason}")).ok();
            continue;
        }
        let here: Vec<_> = cells.iter().filter(|cell| cell.path == path).collect();
        for repetition in 0..options.repetitions {
            for turn in here.chunks(path.beside_each_other(options.links.get())) {
                bar.set_message(turn[0].to_string());
                let measured = measure_beside(turn, repetition, &peers, identities.path());
                for (cell, outcome) in turn.iter().zip(measured) {
                    match outcome {
                        Ok(sample) => results.add(sample),
                        Err(error) => {
                            is_whole = false;
                            bar.suspend(|| writeln!(io::stderr(), "{cell}: {error}")).ok();
                        }
                    }
                    bar.inc(1);
                }
            }
        }
    }
    bar.finish_and_clear();
    results.report(options)?;
    Ok(is_whole)
}

/// Returns why there can be no such path here.
fn unavailable(path: Path) -> Option<LinkError> {
    Link::start(&path.link(0)?).err()
}

/// Measures cells beside each other, each on a link of its own.
fn measure_beside(
    turn: &[&Cell],
    repetition: u32,
    peers: &std::path::Path,
    identities: &std::path::Path,
) -> Vec<io::Result<Sample>> {
    std::thread::scope(|scope| {
        let measure = |cell: Cell| {
            let measurement = Measurement { cell, repetition, peers, identities };
            scope.spawn(move || measurement.run())
        };
        let running: Vec<_> = turn.iter().map(|&cell| measure(*cell)).collect();
        running.into_iter().map(|cell| cell.join().expect("a measurement returns its errors")).collect()
    })
}

fn progress(cells: &[Cell], options: &Options) -> ProgressBar {
    let bar = ProgressBar::new(cells.len() as u64 * u64::from(options.repetitions));
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} of {eta} more · {msg}");
    bar.set_style(style.expect("the template is right"));
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}
