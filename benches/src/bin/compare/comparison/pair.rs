//! One measurement: two processes, led by lines of text.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use runnel_benches::emulated::{Link, Side};
use runnel_workload::{Line, Role, Setup};

use super::plan::Cell;
use super::results::Sample;

/// What one needs.
pub(crate) struct Measurement<'a> {
    pub(crate) cell: Cell,
    pub(crate) repetition: u32,
    pub(crate) peers: &'a Path,
    pub(crate) identities: &'a Path,
}

impl Measurement<'_> {
    /// Makes it.
    pub(crate) fn run(&self) -> io::Result<Sample> {
        let config = self.cell.path.link(u64::from(self.repetition) + 1);
        let link = config.map(|config| Link::start(&config)).transpose().map_err(io::Error::other)?;
        let (left, right) = (link.as_ref().map(Link::left), link.as_ref().map(Link::right));
        let host = right.map_or(Ipv4Addr::LOCALHOST, Side::address);
        let mut server = self.start(Role::Serve, SocketAddr::from((host, 0)), right)?;
        let Line::Listening(address) = server.next(PATIENCE)? else { return Err(unexpected("the server")) };
        let mut driver = self.start(Role::Drive, address, left)?;
        let Line::Ready = driver.next(PATIENCE)? else { return Err(unexpected("the driver")) };
        driver.say(&self.cell.workload)?;
        let time = self.cell.workload.warm_up() + self.cell.workload.time() + PATIENCE;
        let Line::Measured(measured) = driver.next(time)? else { return Err(unexpected("the driver")) };
        server.say(&(measured.from_nanos, measured.to_nanos))?;
        let Line::Served(served) = server.next(PATIENCE)? else { return Err(unexpected("the server")) };
        Ok(Sample::new(&self.cell, self.repetition, &measured, &served))
    }

    fn start(&self, role: Role, address: SocketAddr, side: Option<&Side>) -> io::Result<Process> {
        let system = self.cell.system;
        let setup = Setup {
            role,
            system: system.process_name().to_owned(),
            identities: self.identities.to_owned(),
            address,
            core: side.is_none().then(|| core(role)).flatten(),
            congestion: system.congestion(),
        };
        let program = if system.is_peer() { self.peers.to_owned() } else { std::env::current_exe()? };
        let mut command = Command::new(program);
        command.arg(setup.to_argument()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = match side {
            Some(side) => side.start(&mut command)?,
            None => command.spawn()?,
        };
        Ok(Process::new(child))
    }
}

/// Each end has a processor of its own, where there are two.
fn core(role: Role) -> Option<usize> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores > 1).then_some(match role {
        Role::Serve => 0,
        Role::Drive => 1,
    })
}

/// An end, until it is dropped.
struct Process {
    child: Child,
    input: ChildStdin,
    lines: Receiver<io::Result<String>>,
}

impl Process {
    fn new(mut child: Child) -> Self {
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (line, lines) = mpsc::channel();
        // It ends with the process.
        std::thread::spawn(move || output.lines().try_for_each(|text| line.send(text)));
        Self { child, input, lines }
    }

    fn say(&mut self, what: &impl serde::Serialize) -> io::Result<()> {
        writeln!(self.input, "{}", serde_json::to_string(what)?)?;
        self.input.flush()
    }

    fn next(&mut self, patience: Duration) -> io::Result<Line> {
        let text = self.lines.recv_timeout(patience);
        let text = text.map_err(|error| io::Error::other(format!("no word from a process: {error}")))??;
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is gone needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unexpected(who: impl Display) -> io::Error {
    io::Error::other(format!("{who} says what was not asked"))
}

/// For what takes no time worth speaking of, and for the answers that are late at the end: a lossy handshake is the
/// slowest of these.
const PATIENCE: Duration = Duration::from_secs(30);
