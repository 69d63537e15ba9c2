//! `runnel new-epoch`: the operator's way out when peers refuse a store that was restored from an older backup.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use runnel::codec::CommandId;
use runnel::{NewEpoch, OpenStoreError, StoreError, StoreRenewal, SystemEnv, open_existing_store};
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::session::{SpeechArgs, print};
use crate::daemon::DaemonConfig;

/// Arguments of `runnel new-epoch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewEpochArgs {
    /// The node's configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Do it even if commands without an outcome end as unknown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) speech: SpeechArgs,
}

pub(super) fn run(args: &NewEpochArgs) -> Result<Exit, Failure> {
    let bad_config = |error: anyhow::Error| Failure::new(Exit::BadConfig, format!("{error:#}"));
    let config = DaemonConfig::load(&args.config).map_err(bad_config)?;
    let Some(folder) = config.store_folder() else {
        return Err(bad_config(anyhow::anyhow!("{} names no store (state_dir)", args.config.display())));
    };
    let name = runnel::certs::Identity::load(&config.identity).map_err(|error| bad_config(error.into()))?;
    let renewal = plan(&folder, &config)?;
    let given_up = renewal.new_epoch().given_up.len();
    if given_up > 0 && !args.yes {
        let text = format!(
            "{given_up} commands without an outcome would end as unknown; nothing was changed, say --yes to go on"
        );
        return Err(Failure::new(Exit::Failed, text));
    }
    let done =
        renewal.apply().map_err(|error| Failure::new(Exit::StoreFailed, in_folder(&folder, &error)))?;
    let id = |key, receiver| CommandId { sender: name.node().clone(), receiver, key };
    let ids = done.given_up.iter().map(|one| (id(one.key, one.receiver.clone()), one.was_bound)).collect();
    if args.speech.json {
        print(&format!("{}\n", to_json(&done, ids)))
    } else {
        print(&to_text(&done, ids))
    }?;
    Ok(Exit::Success)
}

/// Opens the store, which is locked from then on, and sees what is to be done.
fn plan(folder: &Path, config: &DaemonConfig) -> Result<StoreRenewal, Failure> {
    let store = open_existing_store(folder, &config.store.database).map_err(|error| match error {
        OpenStoreError::InUse { .. } => {
            Failure::new(Exit::StoreFailed, format!("{error}: stop the node first"))
        }
        error => Failure::new(Exit::StoreFailed, format!("{:#}", anyhow::Error::from(error))),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(anyhow::Error::from)?;
    let env = SystemEnv::new(runtime.handle().clone());
    let renewal = StoreRenewal::plan(store, &env)
        .map_err(|error| Failure::new(Exit::StoreFailed, in_folder(folder, &error)))?;
    let is_empty = || format!("the store in {} is empty: it needs no new epoch", folder.display());
    renewal.ok_or_else(|| Failure::new(Exit::Failed, is_empty()))
}

fn in_folder(folder: &Path, error: &StoreError) -> String {
    format!("the store in {}: {error}", folder.display())
}

fn to_json(done: &NewEpoch, ids: Vec<(CommandId, bool)>) -> Value {
    let unknown: Vec<_> = ids
        .into_iter()
        .map(|(id, was_bound)| json!({ "id": id.to_string(), "was_bound": was_bound }))
        .collect();
    json!({
        "older_epoch": done.older.to_string(), "epoch": done.epoch.to_string(), "unknown": unknown,
        "outcomes_kept": done.outcomes, "runs_lost": done.runs,
    })
}

fn to_text(done: &NewEpoch, ids: Vec<(CommandId, bool)>) -> String {
    let mut text = format!(
        "epoch {} instead of {}\n{} outcomes are kept, {} commands of other nodes that ran are given up\n",
        done.epoch, done.older, done.outcomes, done.runs
    );
    for (id, was_bound) in ids {
        let had_left = if was_bound { "it may have run" } else { "it may have been sent since the backup" };
        writeln!(text, "{id} is unknown: {had_left}").expect("a String takes everything");
    }
    text.push_str("next: start the node\n");
    text
}

const EXAMPLES: &str = "\
Examples:
  runnel new-epoch --config /etc/runnel/node.toml
  runnel new-epoch --config /etc/runnel/node.toml --yes --json

With the node stopped, and only when its peers refuse it with store-regressed because its state was
restored from an older backup. They take its store for a new one from then on. What the backup has of
outcomes is kept. A command without one ends as unknown, whether or not it had left: what became of it
since the backup nobody can say, so nothing is run a second time. What peers had sent here and not
heard of ends as unknown there.";
