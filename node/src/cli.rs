//! The command line: one file a verb.

mod node;
mod relay;

pub(crate) use self::relay::PathArgs;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Carries commands to machines across networks that lose packets, change addresses and go dark.
#[derive(Debug, Parser)]
#[command(name = "runnel", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Watch real commands run on real workers over a bad network.
    Demo(crate::demo::DemoArgs),
    /// Run a node until it is told to stop (SIGTERM or Ctrl-C).
    Node(node::NodeArgs),
    /// Forward UDP packets, badly: with loss, delay, a rate, rebinds and blackouts.
    Relay(relay::RelayArgs),
}

impl Cli {
    /// Runs the verb. Exit status 0: all is well; 1: it failed; 2: the command line is wrong.
    pub(crate) fn run(self) -> ExitCode {
        let filter =
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(self.verb.log_level()));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .init();
        let result = match self.verb {
            Verb::Demo(args) => crate::demo::run(args),
            Verb::Node(args) => node::run(&args).map(|()| ExitCode::SUCCESS),
            Verb::Relay(args) => relay::run(args).map(|()| ExitCode::SUCCESS),
        };
        result.unwrap_or_else(|error| {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        })
    }
}

impl Verb {
    fn log_level(&self) -> &'static str {
        match self {
            Self::Demo(_) => "error",
            Self::Node(_) | Self::Relay(_) => "info",
        }
    }
}
