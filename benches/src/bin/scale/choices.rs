//! What choosing the next command costs: in time here, in instructions under valgrind.

use std::error::Error;
use std::process::Command;

use runnel_benches::QueuedCommands;

use super::figures::ChoiceCost;

/// Measures one size of the queue. Instructions are counted if `counts` says so, which takes minutes for the largest.
///
/// # Errors
///
/// Those of valgrind.
pub(crate) fn measure(
    queued: usize,
    peers: usize,
    counts: bool,
) -> Result<ChoiceCost, Box<dyn Error + Send + Sync>> {
    let instructions = counts.then(|| count(queued, peers)).transpose()?;
    let mut commands = QueuedCommands::new(queued, peers);
    let mut looks: Vec<_> = (0..LOOKS).map(|_| commands.choose(CHOICES)).collect();
    looks.sort_unstable();
    // In most looks nothing else has the processor.
    let nanoseconds = looks[looks.len() / 2].as_secs_f64() * 1e9 / CHOICES as f64;
    Ok(ChoiceCost { queued, peers, nanoseconds, instructions })
}

/// Makes the choices that are counted: what the process under valgrind does.
pub(crate) fn make(queued: usize, peers: usize) {
    QueuedCommands::new(queued, peers).choose(COUNTED);
}

/// Returns the instructions of a choice, counted by valgrind in a process of its own: in the queue alone, without what
/// fills it again.
fn count(queued: usize, peers: usize) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*poll_transmit*"])
        .arg(std::env::current_exe()?)
        .args(["--choices-of", &queued.to_string(), &peers.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&counted.stderr);
    let collected =
        said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    Ok(collected.ok_or("valgrind has counted nothing")? / COUNTED)
}

const LOOKS: usize = 5000;

/// Choices of one look.
const CHOICES: u64 = 10;

/// Choices whose instructions are counted.
const COUNTED: u64 = 20_000;
