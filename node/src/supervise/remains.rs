//! What a supervisor that was killed leaves running, and its end.
//!
//! A supervisor leads a session of its own, so whatever it started is found by the session's number, whichever groups it
//! formed. As long as one of them lives the system gives that number to nobody else. A program with a terminal leads
//! another session, which is known by its leader's start.

use std::fs;

use runnel_codec::{Decode, Encode};
use rustix::process::{Pid, Signal, kill_process, setsid};

/// The session that a supervisor or its program leads, in a way that says later whether it can still be there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub(super) struct Session {
    leader: i32,
    /// Which run of the machine's system it belongs to; empty where the system does not say.
    boot: String,
    /// When the leader was started, in the system's ticks, if it may outlive whoever looks for it.
    started: Option<u64>,
}

impl Session {
    /// Makes this process the leader of a session of its own. Where the system refuses, the session has no members.
    pub(super) fn lead() -> Self {
        let leader = setsid().map_or_else(
            |error| {
                tracing::warn!(%error, "no session of its own: what a killed supervisor leaves behind goes on");
                0
            },
            Pid::as_raw_pid,
        );
        Self { leader, boot: boot(), started: None }
    }

    /// Names the session that a child leads which has not been reaped; `None` where the system does not say.
    pub(super) fn of(leader: i32) -> Option<Self> {
        let started = Stat::of(Pid::from_raw(leader)?)?.started;
        Some(Self { leader, boot: boot(), started: Some(started) })
    }

    /// Kills everything in the session. Where its leader's start is not known, the leader must be dead. Returns how many
    /// processes that were.
    ///
    /// Looks through all processes, and so may block for a moment.
    pub(super) fn kill(&self) -> usize {
        let Some(leader) = Pid::from_raw(self.leader) else { return 0 };
        // Another that has its number now, and leads this session, is a stranger.
        let is_other =
            Stat::of(leader).is_some_and(|stat| stat.is_alive && Some(stat.started) != self.started);
        if self.boot != boot() || is_other {
            return 0;
        }
        let mut killed = 0;
        // One that is being killed may have started another just before.
        for _ in 0..ROUNDS_MAX {
            let members = members(leader);
            if members.is_empty() {
                break;
            }
            killed +=
                members.into_iter().filter(|member| kill_process(*member, Signal::KILL).is_ok()).count();
        }
        killed
    }
}

/// Returns the living processes of a session.
fn members(leader: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse().ok()).filter_map(Pid::from_raw);
    pids.filter(|pid| session_of(*pid) == Some(leader.as_raw_pid())).collect()
}

/// Returns the session of a process; `None` if there is no such process, or it is dead and waits for its parent.
fn session_of(pid: Pid) -> Option<i32> {
    Stat::of(pid).filter(|stat| stat.is_alive).map(|stat| stat.session)
}

/// What the system says of a process.
struct Stat {
    /// Whether it is not dead and waiting for its parent.
    is_alive: bool,
    session: i32,
    /// When it was started, in ticks.
    started: u64,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
        // The name, in brackets, may itself contain brackets and blanks. Behind it: state, parent, group, session, ...
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let is_alive = !matches!(fields.next()?, "Z" | "X");
        let session = fields.nth(2)?.parse().ok()?;
        let started = fields.nth(15)?.parse().ok()?;
        Some(Self { is_alive, session, started })
    }
}

/// Returns the number of this run of the machine's system.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// A session that starts processes faster than this many looks find them is left alone.
const ROUNDS_MAX: usize = 1000;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    use super::*;

    /// A session whose leader is dead, with members that hold a pipe.
    fn orphaned() -> (Session, impl Read) {
        let script = "trap '' HUP; sleep 600 & sleep 600 & echo $$; exit";
        let mut leader = Command::new("setsid")
            .args(["--wait", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("setsid is installed");
        let mut stdout = BufReader::new(leader.stdout.take().expect("it is a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it says its number");
        leader.wait().expect("it was started here");
        (Session { leader: line.trim().parse().expect("a number"), boot: boot(), started: None }, stdout)
    }

    #[test]
    fn everything_in_a_dead_leaders_session_is_killed() {
        let (session, mut witness) = orphaned();
        assert!(session.kill() >= 2);
        // The pipe ends with the last that holds it.
        let mut rest = Vec::new();
        witness.read_to_end(&mut rest).expect("it can be read");
        assert_eq!(session.kill(), 0);
    }

    #[test]
    fn a_session_is_killed_with_its_leader_if_that_is_the_same() {
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", "trap '' HUP; sleep 600 & echo $$; wait"]).stdout(Stdio::piped());
        let mut leader = command.spawn().expect("setsid is installed");
        let mut witness = BufReader::new(leader.stdout.take().expect("it is a pipe"));
        let mut line = String::new();
        witness.read_line(&mut line).expect("it says its number");
        let session = Session::of(line.trim().parse().expect("a number")).expect("it runs");
        assert!(session.kill() >= 2);
        witness.read_to_end(&mut Vec::new()).expect("it can be read");
        leader.wait().expect("it was started here");
    }

    #[test]
    fn a_session_of_an_earlier_boot_or_with_a_living_leader_is_left_alone() {
        let (session, mut witness) = orphaned();
        let earlier = Session { boot: "earlier".to_owned(), ..session.clone() };
        assert_eq!(earlier.kill(), 0);
        let led = Session { leader: rustix::process::getpid().as_raw_pid(), boot: boot(), started: None };
        assert_eq!(led.kill(), 0);
        assert_eq!(Session { started: Some(1), ..led }.kill(), 0);
        assert!(session.kill() >= 2, "they were left alone before");
        witness.read_to_end(&mut Vec::new()).expect("it can be read");
    }
}
