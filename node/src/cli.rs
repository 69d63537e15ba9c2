//! The command line: one file a verb.
//!
//! The verbs that ask the local node share a [`session`] and know it by its HTTP API alone (node/API.md). How the program
//! ends is one table, in [`exit`].

mod abandon;
mod asking;
mod attach;
mod cancel;
mod completions;
mod exit;
mod fleet;
mod forget;
mod gateway;
mod get;
mod ids;
mod logs;
mod new_epoch;
mod node;
mod nodes;
mod outcome;
mod patience;
mod ps;
mod put;
mod relay;
mod release;
mod run;
mod session;
mod signals;
mod stdin;
mod supervise;
mod table;
mod transfer;
mod watch;
mod why;
mod words;

pub(crate) use self::relay::PathArgs;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use self::exit::{Exit, Failure};
use self::session::{Session, SessionArgs};

/// Carries commands to machines across networks that lose packets, change addresses and go dark.
#[derive(Debug, Parser)]
#[command(name = "runnel", version, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::table()))]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a program on a node, as if it ran here.
    Run(Box<run::RunArgs>),
    /// Come back to a command: its output so far, then live to its end.
    Attach(attach::AttachArgs),
    /// Show a command's output without touching the command.
    Logs(logs::LogsArgs),
    /// Bring a file or folder to a node.
    Put(Box<put::PutArgs>),
    /// Bring a file or folder from a node.
    Get(Box<get::GetArgs>),
    /// List the commands submitted here, and how far each has come.
    Ps(ps::PsArgs),
    /// Ask for commands to be cancelled.
    Cancel(cancel::CancelArgs),
    /// Give commands up without waiting for their node.
    Abandon(abandon::AbandonArgs),
    /// Let commands that are held back go again.
    Release(release::ReleaseArgs),
    /// Say what a command waits for.
    Why(why::WhyArgs),
    /// List the other nodes, and how well they can be reached.
    Nodes(nodes::NodesArgs),
    /// Let go of what nodes that sent commands here have left.
    Forget(forget::ForgetArgs),
    /// Make a fleet and certify its nodes.
    Fleet(fleet::FleetArgs),
    /// Run a node until it is told to stop (SIGTERM or Ctrl-C).
    Node(node::NodeArgs),
    /// Let other systems drive the fleet: a Buildbot master, Twisted programs.
    Gateway(gateway::GatewayArgs),
    /// Let a node whose store was restored from an older backup go on, at the price of what it cannot know.
    NewEpoch(new_epoch::NewEpochArgs),
    /// Watch real commands run on real workers over a bad network.
    Demo(crate::demo::DemoArgs),
    /// Forward UDP packets, badly: with loss, delay, a rate, rebinds and blackouts.
    Relay(relay::RelayArgs),
    /// Run one program that outlives its node, for that node.
    #[command(hide = true)]
    Supervise(supervise::SuperviseArgs),
    /// Print a shell's completions.
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Runs the verb and says how it ended; the codes are in [`exit`].
    pub(crate) fn run(self) -> ExitCode {
        self.verb.init_log();
        let is_json = self.verb.is_json();
        let ending = self.verb.run();
        ending.unwrap_or_else(|failure| {
            if let Some(line) = failure.line(is_json) {
                // Nobody listens to complaints about standard error.
                writeln!(std::io::stderr(), "{line}").ok();
            }
            failure.exit().into()
        })
    }
}

impl Verb {
    fn run(self) -> Result<ExitCode, Failure> {
        let exit = match self {
            Self::Demo(args) => return Ok(crate::demo::run(args)?),
            Self::Node(args) => node::run(&args).map(|()| Exit::Success)?,
            Self::Gateway(args) => gateway::run(args)?,
            Self::NewEpoch(args) => new_epoch::run(&args)?,
            Self::Relay(args) => relay::run(args).map(|()| Exit::Success)?,
            Self::Supervise(args) => supervise::run(&args).map(|()| Exit::Success)?,
            Self::Completions(args) => completions::run(&args)?,
            Self::Fleet(args) => fleet::run(args)?,
            Self::Run(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Attach(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Logs(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Put(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Get(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Ps(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Cancel(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Abandon(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Release(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Why(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Nodes(args) => converse(args.session(), async |session| args.run(session).await)?,
            Self::Forget(args) => converse(args.session(), async |session| args.run(session).await)?,
        };
        Ok(exit.into())
    }

    fn is_json(&self) -> bool {
        match self {
            Self::Run(args) => args.session().is_json(),
            Self::Attach(args) => args.session().is_json(),
            Self::Logs(args) => args.session().is_json(),
            Self::Put(args) => args.session().is_json(),
            Self::Get(args) => args.session().is_json(),
            Self::Ps(args) => args.session().is_json(),
            Self::Cancel(args) => args.session().is_json(),
            Self::Abandon(args) => args.session().is_json(),
            Self::Release(args) => args.session().is_json(),
            Self::Why(args) => args.session().is_json(),
            Self::Nodes(args) => args.session().is_json(),
            Self::Forget(args) => args.session().is_json(),
            Self::Fleet(args) => args.is_json(),
            Self::Demo(args) => args.is_json(),
            Self::NewEpoch(args) => args.speech.json,
            Self::Node(_) | Self::Gateway(_) | Self::Relay(_) | Self::Supervise(_) | Self::Completions(_) => {
                false
            }
        }
    }

    fn init_log(&self) {
        let level = match self {
            Self::Node(_) | Self::Gateway(_) | Self::Relay(_) | Self::Supervise(_) => "info",
            _ => "error",
        };
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level)))
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .init();
    }
}

/// Talks with the local node.
fn converse(
    args: SessionArgs,
    talk: impl AsyncFnOnce(&Session) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let session = args.open()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let ending = runtime.block_on(talk(&session));
    // A thread may still wait for standard input, or for the reader of our output: it must not hold us up.
    runtime.shutdown_background();
    ending
}

const EXAMPLES: &str = "\
Examples:
  runnel demo                                       # see it work, on this machine alone
  runnel fleet init lab                             # a fleet of your own
  runnel fleet issue desk --role controller
  runnel node --config desk.toml                    # run a node; the verbs below ask it
  runnel run w1 -- uname -a
  runnel ps; runnel nodes

`runnel VERB --help` has examples of each; `runnel --help` ends with the exit codes.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_teaches_by_examples() {
        let silent = ["demo", "fleet", "gateway", "supervise"];
        let command = Cli::command();
        let fleet = command.find_subcommand("fleet").expect("it is there");
        let gateway = command.find_subcommand("gateway").expect("it is there");
        let below = fleet.get_subcommands().chain(gateway.get_subcommands());
        for verb in command.get_subcommands().chain(below) {
            let help = verb.clone().render_help().to_string();
            let has_examples = help.contains("Examples:\n  runnel ");
            assert!(has_examples || silent.contains(&verb.get_name()), "{} has no examples", verb.get_name());
        }
    }

    #[test]
    fn the_long_help_ends_with_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains(&exit::table()));
    }
}
