//! `runnel completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::exit::{Exit, Failure};
use super::session::print;

/// Arguments of `runnel completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "runnel", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

const EXAMPLES: &str = "\
Examples:
  runnel completions bash > ~/.local/share/bash-completion/completions/runnel
  runnel completions zsh > \"${fpath[1]}/_runnel\"
  runnel completions fish > ~/.config/fish/completions/runnel.fish";
