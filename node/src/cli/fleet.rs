//! `runnel fleet`: who belongs to a fleet. Needs no running node.

mod init;
mod issue;
mod request;
mod show;

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};

/// Arguments of `runnel fleet`.
#[derive(Debug, Args)]
pub(super) struct FleetArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a new fleet: its authority, whose key certifies nodes.
    Init(init::InitArgs),
    /// Certify a node: from a request made on it, or key and certificate together.
    Issue(issue::IssueArgs),
    /// Make this node's key and a request to certify it. Run on the node; the key stays there.
    Request(request::RequestArgs),
    /// Say whose files are in a folder, and until when they count.
    Show(show::ShowArgs),
}

/// Where the authority's files are.
#[derive(Debug, Args)]
struct AuthorityArgs {
    /// The authority's folder.
    #[arg(long, value_name = "DIR", default_value = "fleet")]
    dir: PathBuf,
}

impl FleetArgs {
    pub(super) fn is_json(&self) -> bool {
        match &self.verb {
            Verb::Init(args) => args.speech.json,
            Verb::Issue(args) => args.speech.json,
            Verb::Request(args) => args.speech.json,
            Verb::Show(args) => args.speech.json,
        }
    }
}

pub(super) fn run(args: FleetArgs) -> Result<Exit, Failure> {
    match args.verb {
        Verb::Init(args) => init::run(&args)?,
        Verb::Issue(args) => issue::run(&args)?,
        Verb::Request(args) => request::run(&args)?,
        Verb::Show(args) => show::run(&args)?,
    }
    Ok(Exit::Success)
}

/// Says until when something counts, such as `2027-11-24 (in 365 days)`.
fn until(end: SystemTime, now: SystemTime) -> String {
    let day = humantime::format_rfc3339_seconds(end).to_string();
    let day = day.split('T').next().unwrap_or_default();
    match end.duration_since(now) {
        Ok(left) => format!("{day} (in {} days)", left.as_secs().div_ceil(DAY_SECS)),
        Err(_) => format!("{day} (EXPIRED)"),
    }
}

/// Milliseconds since 1970, for programs.
fn at_ms(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

const DAY_SECS: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_end_is_a_day_and_how_far_away_it_is() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(365 * DAY_SECS);
        assert_eq!(until(now + Duration::from_secs(10 * DAY_SECS), now), "1971-01-11 (in 10 days)");
        assert_eq!(until(now - Duration::from_secs(1), now), "1970-12-31 (EXPIRED)");
    }
}
