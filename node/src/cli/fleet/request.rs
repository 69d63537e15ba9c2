//! `runnel fleet request`: a node's key, and a request to have it certified.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use runnel::certs::{NODE_KEY_FILE, NodeKey};
use serde_json::json;

use crate::cli::exit::Failure;
use crate::cli::session::{SpeechArgs, print};

/// Arguments of `runnel fleet request`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RequestArgs {
    /// The node's identity folder: the key stays here, and the certificate comes here.
    #[arg(long, value_name = "DIR", default_value = "identity")]
    dir: PathBuf,
    /// Where to write the request [default: node.csr in the folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) speech: SpeechArgs,
}

pub(super) fn run(args: &RequestArgs) -> Result<(), Failure> {
    let key = load_or_make(&args.dir)?;
    let request = key.csr().context("cannot make the request")?;
    let out = args.out.clone().unwrap_or_else(|| args.dir.join(REQUEST_FILE));
    std::fs::write(&out, request).with_context(|| format!("cannot write {}", out.display()))?;
    if args.speech.json {
        return print(&format!("{}\n", json!({ "request": out, "key": args.dir.join(NODE_KEY_FILE) })));
    }
    let (dir, out) = (args.dir.display(), out.display());
    print(&format!(
        "the key is {dir}/{NODE_KEY_FILE} and stays here; the request is {out}\n\
         next: bring {out} to the authority and run there: runnel fleet issue NODE --role ROLE --request FILE\n\
         then bring node.crt and ca.crt from there to {dir}\n"
    ))
}

/// A second request is for the same key: the certificate for the first may be on its way, or be renewed.
fn load_or_make(dir: &Path) -> anyhow::Result<NodeKey> {
    if dir.join(NODE_KEY_FILE).exists() {
        return NodeKey::load(dir)
            .with_context(|| format!("the key in {} cannot be used again", dir.display()));
    }
    let key = NodeKey::generate().context("cannot make a key")?;
    key.save_new(dir).with_context(|| format!("cannot keep the key in {}", dir.display()))?;
    Ok(key)
}

const REQUEST_FILE: &str = "node.csr";

const EXAMPLES: &str = "\
Examples:
  runnel fleet request                                        # on the node
  scp identity/node.csr authority:                            # nothing secret in it
  runnel fleet issue w1 --role worker --request node.csr      # on the authority's machine
  scp 'authority:w1/*.crt' identity/                          # on the node

If there is a key already, the request is for that one: this is also how a certificate is
renewed. The request names nobody: the authority decides whose key it is.";
