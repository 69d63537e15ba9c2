//! `runnel fleet issue`: certifies a node.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use runnel::certs::{
    AUTHORITY_CERT_FILE, Authority, Certificate, Identity, LEAF_LIFETIME, NODE_CERT_FILE, NODE_KEY_FILE,
    NodeKey, Role, Validity,
};
use runnel::codec::NodeId;
use serde_json::json;

use super::{AuthorityArgs, DAY_SECS, at_ms, until};
use crate::cli::exit::Failure;
use crate::cli::session::{SpeechArgs, note, print};

/// Arguments of `runnel fleet issue`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct IssueArgs {
    /// The node's name: small letters, digits and dashes, unique in the fleet.
    #[arg(value_name = "NODE")]
    node: NodeId,
    /// What it is: controllers send commands, workers run them.
    #[arg(long, value_parser = parse_role())]
    role: Role,
    /// Certify the key of this request (`runnel fleet request`), instead of making a key here.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The folder for the node's files [default: the node's name].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How long the certificate counts, at most as long as the authority itself [default: 365].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    #[command(flatten)]
    authority: AuthorityArgs,
    #[command(flatten)]
    pub(super) speech: SpeechArgs,
}

pub(super) fn run(args: &IssueArgs) -> Result<(), Failure> {
    let now = SystemTime::now();
    let dir = &args.authority.dir;
    let authority = Authority::load(dir).with_context(|| {
        format!("there is no usable authority in {}; make one with: runnel fleet init NAME", dir.display())
    })?;
    let validity = validity(args, &authority, now)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(args.node.as_str()));
    match &args.request {
        Some(request) => certify(args, &authority, validity, request, &out)?,
        None => make(args, &authority, validity, &out)?,
    }
    say(args, validity, &out, now)
}

fn validity(args: &IssueArgs, authority: &Authority, now: SystemTime) -> anyhow::Result<Validity> {
    let left = authority.not_after().duration_since(now).unwrap_or_default();
    if left.is_zero() {
        bail!("the authority has expired; make a new one in another folder with: runnel fleet init NAME");
    }
    let lifetime = match args.days {
        Some(days) => Duration::from_secs(u64::from(days) * DAY_SECS),
        None => LEAF_LIFETIME.min(left),
    };
    Validity::starting(now, lifetime).context("cannot date the certificate")
}

fn issue(
    args: &IssueArgs,
    authority: &Authority,
    validity: Validity,
    request: &str,
) -> anyhow::Result<Certificate> {
    authority.issue(request, &args.node, args.role, validity).context("cannot certify the node")
}

/// Answers a request: the key stays where it is.
fn certify(
    args: &IssueArgs,
    authority: &Authority,
    validity: Validity,
    request: &Path,
    out: &Path,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(request)
        .with_context(|| format!("cannot read the request {}", request.display()))?;
    let leaf = issue(args, authority, validity, &text)?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    for (name, certificate) in [(NODE_CERT_FILE, &leaf), (AUTHORITY_CERT_FILE, authority.certificate())] {
        let path = out.join(name);
        std::fs::write(&path, certificate.pem())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Makes the key here too.
fn make(args: &IssueArgs, authority: &Authority, validity: Validity, out: &Path) -> anyhow::Result<()> {
    if out.join(NODE_KEY_FILE).exists() {
        bail!(
            "{} has a key already, and it is not replaced; choose another folder with --out, or renew its certificate: \
             runnel fleet request --dir {0} --out node.csr, then issue with --request node.csr",
            out.display()
        );
    }
    let key = NodeKey::generate().context("cannot make a key")?;
    let leaf = issue(args, authority, validity, &key.csr().context("cannot make a request")?)?;
    let identity = Identity::from_pem(&key, &leaf.pem(), &authority.certificate().pem())
        .context("the new certificate does not fit its key")?;
    identity.save(out).with_context(|| format!("cannot keep the identity in {}", out.display()))
}

fn say(args: &IssueArgs, validity: Validity, out: &Path, now: SystemTime) -> Result<(), Failure> {
    let is_key_made_here = args.request.is_none();
    if args.speech.json {
        let issued = json!({
            "node": args.node.as_str(), "role": args.role.as_str(), "dir": out,
            "not_after_ms": at_ms(validity.not_after()), "key_made_here": is_key_made_here,
        });
        return print(&format!("{issued}\n"));
    }
    let (out, end) = (out.display(), until(validity.not_after(), now));
    print(&format!("{} {} is in {out}, until {end}\n", args.role, args.node))?;
    if !is_key_made_here {
        return print(&format!(
            "next: bring {out}/node.crt and {out}/ca.crt to the node's identity folder\n"
        ));
    }
    note(
        "the node's key was made here too. Fine on one disk; for a node elsewhere, `runnel fleet request` keeps the key there",
    );
    print(&format!(
        "next: write {out}/node.toml (see node/config.example.toml); runnel node --config {out}/node.toml\n"
    ))
}

fn parse_role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(["controller", "worker"]).try_map(|word| word.parse::<Role>())
}

const EXAMPLES: &str = "\
Examples:
  runnel fleet issue desk --role controller                   # key and certificate, in ./desk
  runnel fleet issue w1 --role worker --request node.csr      # certificate only, in ./w1
  runnel fleet issue w1 --role worker --days 30 --out /tmp/w1

Without --request the node's private key is made here: good for a quick start on one disk. A key
that never leaves its node is better: see `runnel fleet request --help`.";
