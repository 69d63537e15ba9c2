//! `runnel fleet show`: whose files are in a folder.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::Args;
use runnel::certs::{AUTHORITY_KEY_FILE, Authority, Identity, NODE_KEY_FILE};
use serde_json::{Value, json};

use super::{at_ms, until};
use crate::cli::exit::Failure;
use crate::cli::session::{SpeechArgs, print};

/// Arguments of `runnel fleet show`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// An authority's or a node's folder.
    #[arg(long, value_name = "DIR", default_value = "fleet")]
    dir: PathBuf,
    #[command(flatten)]
    pub(super) speech: SpeechArgs,
}

pub(super) fn run(args: &ShowArgs) -> Result<(), Failure> {
    let (text, value) = describe(&args.dir, SystemTime::now())?;
    if args.speech.json { print(&format!("{value}\n")) } else { print(&text) }
}

/// Checks what is in the folder as a node would, and describes it for people and for programs.
fn describe(dir: &Path, now: SystemTime) -> anyhow::Result<(String, Value)> {
    if dir.join(AUTHORITY_KEY_FILE).exists() {
        let authority = Authority::load(dir).context("the authority is not usable")?;
        let (fleet, end) = (authority.fleet(), authority.not_after());
        let print = fingerprint(authority.certificate().der());
        let text = format!("authority of fleet {fleet}, until {}\nfingerprint {print}\n", until(end, now));
        let value = json!({
            "authority": true, "fleet": fleet.as_str(), "not_after_ms": at_ms(end), "authority_fingerprint": print,
        });
        return Ok((text, value));
    }
    if dir.join(NODE_KEY_FILE).exists() {
        let identity = Identity::load(dir).context(
            "the identity is not complete; node.key, node.crt and ca.crt must come from one `runnel fleet issue`",
        )?;
        let (node, role, fleet) = (identity.node(), identity.role(), identity.fleet());
        let prints: Vec<String> = identity.roots().iter().map(|root| fingerprint(root)).collect();
        let end = identity.not_after();
        let text = format!(
            "{role} {node} of fleet {fleet}, until {}\nauthority's fingerprint {}\n",
            until(end, now),
            prints.join(", ")
        );
        let value = json!({
            "authority": false, "fleet": fleet.as_str(), "node": node.as_str(), "role": role.as_str(),
            "not_after_ms": at_ms(end), "authority_fingerprint": prints.join(","),
        });
        return Ok((text, value));
    }
    bail!(
        "{} holds neither an authority's {AUTHORITY_KEY_FILE} nor a node's {NODE_KEY_FILE}; name the folder with --dir",
        dir.display()
    )
}

/// Tells certificates of the same name apart.
fn fingerprint(der: &[u8]) -> String {
    let hash = blake3::hash(der).to_hex();
    format!("blake3:{}", &hash[..FINGERPRINT_DIGITS])
}

/// Hexadecimal digits of a fingerprint: 128 bits.
const FINGERPRINT_DIGITS: usize = 32;

const EXAMPLES: &str = "\
Examples:
  runnel fleet show
  runnel fleet show --dir w1

Reads the files as a node does, so what it shows works: key and certificate belong together, and
the authority's certificate is the right one. Two nodes of one fleet show the same fingerprint.";
