//! What is asked for, in which order it is measured, and how it is told.

use std::error::Error;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use super::choices;
use super::ends;
use super::figures::{ChoiceCost, LinkCost};
use super::links;
use super::plot;

/// Measures what large numbers cost: of queued commands, of peers, of idle links.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Most workers of one controller; a tenth and a hundredth of them are measured too.
    #[arg(long, default_value = "10000")]
    pub(crate) workers: NonZeroUsize,
    /// How long the links are idle while their processes are looked at: heartbeats come every 15 s.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Measure only this.
    #[arg(long)]
    pub(crate) only: Option<Part>,
    /// Count the instructions of a choice too, with valgrind: some minutes more.
    #[arg(long)]
    pub(crate) instructions: bool,
    /// Folder for table.md and the plots.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// What this process is, if it is not the one that leads.
    #[arg(long, hide = true, requires = "identity")]
    pub(crate) end: Option<ends::End>,
    /// Make choices of so many commands for so many peers, and nothing else.
    #[arg(long, hide = true, num_args = 2)]
    pub(crate) choices_of: Option<Vec<usize>>,
    /// The folder by which the ends know each other.
    #[arg(long, hide = true)]
    pub(crate) identity: Option<PathBuf>,
}

/// A part of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The choice of the next command.
    Scheduler,
    /// Idle links.
    Links,
}

type Done = Result<(), Box<dyn Error + Send + Sync>>;

pub(crate) fn main() -> ExitCode {
    let options = Options::parse();
    if let Some([queued, peers]) = options.choices_of.as_deref() {
        choices::make(*queued, *peers);
        return ExitCode::SUCCESS;
    }
    let done = match (options.end, &options.identity) {
        (Some(end), Some(identity)) => {
            ends::run(end, identity, options.workers.get());
            Ok(())
        }
        _ => measure(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&mut String::new(), &error.to_string());
            if error.is::<links::TooFewFiles>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

fn measure(options: &Options) -> Done {
    let mut table = String::new();
    let (mut chosen, mut costs) = (Vec::new(), Vec::new());
    if options.only != Some(Part::Links) {
        say(&mut table, ChoiceCost::HEAD);
        for (queued, peers) in POINTS {
            let cost = choices::measure(queued, peers, options.instructions)?;
            say(&mut table, &cost.row());
            chosen.push(cost);
        }
        say(&mut table, "");
    }
    if options.only != Some(Part::Scheduler) {
        say(&mut table, LinkCost::HEAD);
        for workers in [options.workers.get() / 100, options.workers.get() / 10, options.workers.get()] {
            if workers > 0 {
                let cost = links::measure(workers, Duration::from_secs(options.seconds))?;
                say(&mut table, &cost.row());
                costs.push(cost);
            }
        }
        say(&mut table, &format!("\n{}", LinkCost::LEGEND));
    }
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("table.md"), &table)?;
        plot::write(&chosen, &costs, folder)?;
    }
    Ok(())
}

/// Shows a line at once, and keeps it for the file. A reader that has gone away wants no more.
fn say(table: &mut String, line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
    table.push_str(line);
    table.push('\n');
}

/// Commands and peers: the first by their number for a hundred peers, then by the number of peers.
const POINTS: [(usize, usize); 11] = [
    (10, 10),
    (100, 100),
    (1000, 100),
    (10_000, 100),
    (100_000, 100),
    (1_000_000, 100),
    (100_000, 1),
    (100_000, 10),
    (100_000, 1000),
    (100_000, 10_000),
    (1_000_000, 10_000),
];

/// That of a wrong configuration, as sysexits has it.
const EXIT_CONFIG: u8 = 78;
