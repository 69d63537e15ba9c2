//! Many idle links, seen from outside: two processes, what they hold and what they use.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::ends::End;
use super::figures::{LinkCost, ProcessCost};

/// One of the two processes. It ends with its standard input.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What is seen of a process at one moment.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    resident_bytes: u64,
    processor_ticks: u64,
}

/// Brings up so many links and looks at both ends while they are idle.
///
/// # Errors
///
/// [`TooFewFiles`], and those of the processes.
pub(crate) fn measure(links: usize, idle: Duration) -> Result<LinkCost, Box<dyn Error + Send + Sync>> {
    allow_files(links)?;
    let folder = tempfile::tempdir()?;
    let mut workers = Process::start(End::Workers, folder.path(), links)?;
    workers.hear()?;
    let mut controller = Process::start(End::Controller, folder.path(), links)?;
    let address = controller.hear()?;
    let before = (controller.look()?, workers.look()?);
    workers.say(&address)?;
    workers.hear()?;
    let up = before.1.at.elapsed();
    // What bringing them up has left to do is done.
    std::thread::sleep(SETTLING);
    let from = (controller.look()?, workers.look()?);
    std::thread::sleep(idle);
    let to = (controller.look()?, workers.look()?);
    controller.say("still up?")?;
    let still_up = controller.hear()?;
    if still_up != links.to_string() {
        return Err(format!("{still_up} of {links} links are still up").into());
    }
    // Who dials ends first, so that nobody dials again.
    workers.end()?;
    controller.end()?;
    Ok(LinkCost {
        links,
        up,
        controller: cost(before.0, from.0, to.0),
        workers: cost(before.1, from.1, to.1),
    })
}

/// The system allows too few open files for so many workers.
#[derive(Debug, thiserror::Error)]
#[error(
    "{nodes} workers in one process need {wanted} open files, {allowed} are allowed: raise the hard limit (ulimit -Hn) or \
     take at most {most} --workers"
)]
pub(crate) struct TooFewFiles {
    nodes: usize,
    wanted: u64,
    allowed: u64,
    most: u64,
}

/// Lets the processes open as many files as the sockets of so many nodes are: they inherit the limit.
fn allow_files(nodes: usize) -> Result<(), TooFewFiles> {
    let wanted = (nodes * FILES_OF_A_NODE) as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit { current: Some(limit.current.unwrap_or(wanted).max(wanted)), maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| {
        let allowed = limit.maximum.unwrap_or(u64::MAX);
        let most = allowed.saturating_sub(OTHER_FILES) / FILES_OF_A_NODE as u64;
        TooFewFiles { nodes, wanted, allowed, most }
    })
}

fn cost(before: Seen, from: Seen, to: Seen) -> ProcessCost {
    let seconds = (to.processor_ticks - from.processor_ticks) as f64 / TICKS_PER_SECOND;
    ProcessCost {
        before_bytes: before.resident_bytes,
        resident_bytes: to.resident_bytes,
        processor: seconds / (to.at - from.at).as_secs_f64(),
    }
}

impl Process {
    fn start(end: End, folder: &Path, links: usize) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--end", end.name(), "--workers", &links.to_string(), "--identity"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.ok_or(io::ErrorKind::BrokenPipe)?);
        Ok(Self { child, input, output })
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{line}")?;
        input.flush()
    }

    /// Waits for the next line.
    fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(io::Error::other("a process ended early")),
            _ => Ok(line.trim().to_owned()),
        }
    }

    fn look(&self) -> io::Result<Seen> {
        let folder = Path::new("/proc").join(self.child.id().to_string());
        let status = std::fs::read_to_string(folder.join("status"))?;
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        let unreadable = || io::Error::other("the system tells of processes in another way");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: u64 = resident
            .and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok())
            .ok_or_else(unreadable)?;
        // Behind the name, which may have spaces: state, then 10 fields, then user and system time.
        let fields = stat.rsplit_once(')').ok_or_else(unreadable)?.1;
        let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let processor_ticks = times.sum::<Result<u64, _>>().map_err(|_| unreadable())?;
        Ok(Seen { at: Instant::now(), resident_bytes: kibibytes << 10, processor_ticks })
    }

    fn end(mut self) -> io::Result<()> {
        self.input = None;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is not there to be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// How long the last handshakes may still be worked on.
const SETTLING: Duration = Duration::from_secs(5);

/// Of the times in /proc, on every platform that Linux has today.
const TICKS_PER_SECOND: f64 = 100.0;

/// The socket that dials.
const FILES_OF_A_NODE: usize = 1;

/// Of a process beside those of its nodes.
const OTHER_FILES: u64 = 100;
