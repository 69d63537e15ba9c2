//! `runnel supervise`: one program that outlives its node. Nodes call it, people do not.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

/// Arguments of `runnel supervise`.
#[derive(Debug, Args)]
pub(crate) struct SuperviseArgs {
    /// The folder in which a node has planned the program.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(crate) fn run(args: &SuperviseArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = args.folder.display();
    runtime
        .block_on(runnel::supervise::run(&args.folder))
        .with_context(|| format!("cannot supervise {folder}"))
}
