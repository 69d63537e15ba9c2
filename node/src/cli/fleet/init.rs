//! `runnel fleet init`: makes a fleet's authority.

use std::time::SystemTime;

use anyhow::Context;
use clap::Args;
use runnel::certs::{AUTHORITY_LIFETIME, Authority, Validity};
use runnel::codec::FleetId;
use serde_json::json;

use super::{AuthorityArgs, at_ms, until};
use crate::cli::exit::Failure;
use crate::cli::session::{SpeechArgs, print};

/// Arguments of `runnel fleet init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InitArgs {
    /// The fleet's name: small letters, digits and dashes.
    #[arg(value_name = "NAME")]
    name: FleetId,
    #[command(flatten)]
    authority: AuthorityArgs,
    #[command(flatten)]
    pub(super) speech: SpeechArgs,
}

pub(super) fn run(args: &InitArgs) -> Result<(), Failure> {
    let now = SystemTime::now();
    let validity = Validity::starting(now, AUTHORITY_LIFETIME).context("cannot date the authority")?;
    let authority = Authority::create(args.name.clone(), validity).context("cannot make the authority")?;
    let dir = &args.authority.dir;
    authority.save(dir).with_context(|| format!("cannot keep the authority in {}", dir.display()))?;
    if args.speech.json {
        let fleet =
            json!({ "fleet": args.name.as_str(), "dir": dir, "not_after_ms": at_ms(authority.not_after()) });
        return print(&format!("{fleet}\n"));
    }
    let (dir, end) = (dir.display(), until(authority.not_after(), now));
    print(&format!(
        "fleet {} is in {dir}, until {end}\n\
         keep {dir}/ca.key secret and safe: whoever has it can make nodes of this fleet\n\
         next: runnel fleet issue NODE --role controller\n",
        args.name
    ))
}

const EXAMPLES: &str = "\
Examples:
  runnel fleet init lab
  runnel fleet init lab --dir /secure/lab

Makes ca.key (readable by you alone) and ca.crt in the folder. An existing authority is never
replaced. Nodes do not need ca.key, and the machine that has it need not be a node.";
