//! A whole run, from what is asked for to the exit code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use runnel_tests::daemon::build_program;
use tempfile::TempDir;
use tokio::process::Command;

use crate::arguments::{Arguments, USAGE};
use crate::builders::{REPOSITORY_FILE, builders};
use crate::environment::Environment;
use crate::faults::{Endured, Trial};
use crate::judge::Verdict;
use crate::matrix::{Cell, Column};
use crate::measure::measure;
use crate::scene::Stage;
use crate::show::{progress, say};
use crate::table::{print_cells, print_faults, print_json};

pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(fault) => {
            say(&format!("{fault}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    if arguments.is_list {
        list(&arguments);
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("the system has room for a runtime").block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> ExitCode {
    progress("making the virtual environment");
    let environment = match Environment::make().await {
        Ok(environment) => environment,
        Err(why) => {
            say(&format!("skipped: {why}"));
            return ExitCode::SUCCESS;
        }
    };
    progress("building the program runnel");
    let runnel = build_program().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let repository = make_repository(&folder).await;
    let stage = Stage { environment, runnel, repository };
    if arguments.is_measuring {
        let is_right = measure(&stage, arguments).await;
        return if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let columns = Column::all(arguments.is_quick);
    let mut cells = Vec::new();
    for column in &columns {
        cells.extend(column.run(&stage, arguments).await);
    }
    let endured = Trial::run_all(&stage, arguments).await;
    if arguments.is_json {
        print_json(&cells, &endured);
    } else {
        print_cells(&columns, &cells);
        print_faults(&endured);
    }
    if is_right(&cells, &endured) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_right(cells: &[Cell], endured: &[Endured]) -> bool {
    let steps = cells.iter().flat_map(|cell| cell.steps.iter().map(|(_, verdict)| verdict));
    let mut verdicts = steps.chain(endured.iter().map(|endured| &endured.verdict));
    !verdicts.any(|verdict| matches!(verdict, Verdict::Wrong { .. }))
}

/// Prints the names that `--only` picks from.
fn list(arguments: &Arguments) {
    for column in Column::all(arguments.is_quick) {
        for builder in builders().iter().filter(|builder| builder.is_quick || !arguments.is_quick) {
            say(&format!("{}/{}", column.name(), builder.name));
        }
    }
    for trial in Trial::all(arguments.is_quick) {
        say(&trial.to_string());
    }
}

/// Makes a repository with one commit, if there is Git.
async fn make_repository(folder: &TempDir) -> Option<PathBuf> {
    let path = folder.path().join("repository");
    fs::create_dir(&path).expect("the folder is new");
    fs::write(path.join(REPOSITORY_FILE.0), REPOSITORY_FILE.1).expect("the folder can be written");
    let author = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
    for words in [&["init", "--quiet"][..], &["add", "."], &["commit", "--quiet", "--message", "all of it"]] {
        git(&path, &[&author, words].concat()).await?;
    }
    Some(path)
}

async fn git(folder: &Path, words: &[&str]) -> Option<()> {
    let ran = Command::new("git").args(words).current_dir(folder).stdin(Stdio::null()).status().await;
    ran.is_ok_and(|status| status.success()).then_some(())
}
