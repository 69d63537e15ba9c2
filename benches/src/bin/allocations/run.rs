//! What is asked for, who is measured when, and how it is told.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};
use runnel_workload::write_identities;
use serde_json::json;

use super::cost::{EndCost, HEAD, Owners};
use super::ends::{self, IN_FLIGHT, System};

/// Counts the heap blocks of a small command at each end.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Commands over which is counted, after as many as it takes for tables to grow.
    #[arg(long, default_value_t = 64_000, value_parser = clap::value_parser!(u32).range(64..))]
    commands: u32,
    /// Folder for allocations.md.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print the figures as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// What this process measures, if it is not the one that leads.
    #[arg(long, hide = true, requires = "identities")]
    end: Option<System>,
    /// The folder by which the ends know each other.
    #[arg(long, hide = true)]
    identities: Option<PathBuf>,
    /// Where the other end listens, if there is one.
    #[arg(long, hide = true)]
    server: Option<SocketAddr>,
}

/// What commands cost both ends.
#[derive(Clone, Copy, Debug)]
struct Cost {
    controller: Owners,
    worker: Owners,
}

/// A process, which says one line for each line it is told.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

type Done<T> = Result<T, Box<dyn Error>>;

pub(crate) fn main() -> ExitCode {
    let options = Options::parse();
    let done = match (options.end, &options.identities) {
        (Some(system), Some(identities)) => be_an_end(&options, system, identities),
        _ => measure(&options),
    };
    if let Err(error) = done {
        // Nobody is left to be told if that fails.
        writeln!(io::stderr(), "{error}").ok();
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn be_an_end(options: &Options, system: System, identities: &Path) -> Done<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match options.server {
            None => ends::serve(identities).await,
            Some(server) => ends::drive(system, identities, server, options.commands).await,
        }
    })?;
    Ok(())
}

fn measure(options: &Options) -> Done<()> {
    // Each of the callers sends as many.
    let commands = options.commands / IN_FLIGHT * IN_FLIGHT;
    let folder = tempfile::tempdir()?;
    write_identities(folder.path());
    let cost = |system| cost(system, folder.path(), commands);
    let (runnel, fixed) = (cost(System::Runnel)?, cost(System::RunnelFixed)?);
    let controller = EndCost::new(runnel.controller, fixed.controller, commands);
    let worker = EndCost::new(runnel.worker, fixed.worker, commands);
    let mut out = io::stdout();
    if options.json {
        writeln!(out, "{}", json!({ "controller": controller, "worker": worker }))?;
        return Ok(());
    }
    let table = format!("{HEAD}\n{}\n{}\n", controller.row("controller"), worker.row("worker"));
    write!(out, "{table}")?;
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("allocations.md"), page(&table, commands))?;
    }
    Ok(())
}

/// Measures one system in two processes of its own.
fn cost(system: System, identities: &Path, commands: u32) -> Done<Cost> {
    let mut worker = Process::start(system, identities, &[])?;
    let address = worker.hear()?;
    let commands_text = commands.to_string();
    let mut controller =
        Process::start(system, identities, &["--server", &address, "--commands", &commands_text])?;
    controller.hear()?;
    worker.ask("count")?;
    let of_controller = controller.ask("count")?.parse()?;
    Ok(Cost { controller: of_controller, worker: worker.ask("enough")?.parse()? })
}

fn page(table: &str, commands: u32) -> String {
    format!(
        "`cargo run --release -p runnel-benches --bin allocations`, echoes of 64 B through an inline handler, {IN_FLIGHT} \
         in flight, over {commands} commands in steady state; counted by dhat.\n\n{table}"
    )
}

impl Process {
    fn start(system: System, identities: &Path, arguments: &[&str]) -> Done<Self> {
        let system = system.to_possible_value().ok_or("every system has a name")?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--end", system.get_name(), "--identities"])
            .arg(identities)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // dhat says there that it is done; what else is said shows if the process ends.
            .stderr(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("its input is a pipe")?;
        let output = BufReader::new(child.stdout.take().ok_or("its output is a pipe")?);
        Ok(Self { child, input, output })
    }

    /// Tells it something, and waits for what it says to that.
    fn ask(&mut self, what: &str) -> Done<String> {
        writeln!(self.input, "{what}")?;
        self.input.flush()?;
        self.hear()
    }

    /// Waits for the next line.
    fn hear(&mut self) -> Done<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => {
                let mut said = String::new();
                self.child.stderr.take().ok_or("it is read once")?.read_to_string(&mut said)?;
                Err(format!("a process ended early: {said}").into())
            }
            _ => Ok(line.trim().to_owned()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is not there to be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
