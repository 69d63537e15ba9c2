//! What a master asks of folders and files, and what comes of it.

use std::time::Duration;

use runnel_client::api::Outcome;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Order;
use crate::gateway::fault::Fault;
use crate::gateway::node::Work;
use crate::gateway::paths::{join, name};
use crate::gateway::report::Report;
use crate::worker::{CopyFolder, FileStatus, RemoveFolders, Update};

/// `mkdir`.
pub(super) async fn make(order: &Order, report: &mut Report, paths: &[String]) -> Result<i64, Fault> {
    let outcome = order.call(&Work::small("fs.mkdir/1", json!({ "paths": absolute(order, paths) }))).await?;
    Ok(code_of(report, "mkdir", &outcome))
}

/// `rmdir`. What is missing is fine.
pub(super) async fn remove(order: &Order, report: &mut Report, remove: &RemoveFolders) -> Result<i64, Fault> {
    let paths = absolute(order, &remove.paths);
    report.push(Update::Header(format!("removing {}\n", paths.join(", "))));
    let args = json!({ "paths": paths, "folders": true, "force": true });
    let outcome = within(order, report, remove.time_max, &Work::small("fs.remove/1", args)).await?;
    Ok(outcome.map_or(-1, |outcome| code_of(report, "rmdir", &outcome)))
}

/// `cpdir`. As `cp` does it, a copy goes into a folder that is there, and there into one of the same name.
pub(super) async fn copy(order: &Order, report: &mut Report, copy: &CopyFolder) -> Result<i64, Fault> {
    let (from, mut to) = (order.place.path("", &copy.from), order.place.path("", &copy.to));
    if status_of(order, &to, true).await?.is_ok_and(|status| status["kind"] == "folder") {
        to = join(&to, name(&from));
    }
    report.push(Update::Header(format!("copying {from} to {to}\n")));
    let args = json!({ "from": from, "to": to, "merge": true, "make_parents": true });
    let outcome = within(order, report, copy.time_max, &Work::small("fs.copy/1", args)).await?;
    Ok(outcome.map_or(-1, |outcome| code_of(report, "cpdir", &outcome)))
}

/// `stat`.
pub(super) async fn stat(order: &Order, report: &mut Report, folder: &str, path: &str) -> Result<i64, Fault> {
    let path = order.place.path(folder, path);
    match status_of(order, &path, true).await? {
        Ok(Value::Null) => {
            report.push(Update::Header(format!("stat: there is no such file: {path}\n")));
            Ok(ENOENT)
        }
        Ok(status) => {
            report.push(Update::Status(file_status(&status)));
            Ok(0)
        }
        Err(outcome) => Ok(code_of(report, "stat", &outcome)),
    }
}

/// `glob`.
pub(super) async fn glob(order: &Order, report: &mut Report, pattern: &str) -> Result<i64, Fault> {
    let pattern = order.place.path("", pattern);
    match pages(order, "fs.glob/1", &json!({ "pattern": pattern }), "paths").await? {
        Ok(paths) => {
            let paths = paths.iter().filter_map(Value::as_str).map(str::to_owned);
            report.push(Update::Files(paths.collect()));
            Ok(0)
        }
        Err(outcome) => Ok(code_of(report, "glob", &outcome)),
    }
}

/// `listdir`.
pub(super) async fn list(order: &Order, report: &mut Report, path: &str) -> Result<i64, Fault> {
    let path = order.place.path("", path);
    match pages(order, "fs.list/1", &json!({ "path": path }), "entries").await? {
        Ok(entries) => {
            let names = entries.iter().filter_map(|entry| entry["name"].as_str()).map(str::to_owned);
            report.push(Update::Files(names.collect()));
            Ok(0)
        }
        Err(outcome) => Ok(code_of(report, "listdir", &outcome)),
    }
}

/// `rmfile`. Here what is missing is an error.
pub(super) async fn remove_file(order: &Order, report: &mut Report, path: &str) -> Result<i64, Fault> {
    let path = order.place.path("", path);
    let outcome = order.call(&Work::small("fs.remove/1", json!({ "paths": [path] }))).await?;
    let found_nothing = outcome.kind == "done" && outcome.result["entries"] == 0;
    if found_nothing {
        report.push(Update::Header(format!("rmfile: there is no such file: {path}\n")));
        return Ok(ENOENT);
    }
    Ok(code_of(report, "rmfile", &outcome))
}

/// Returns what is known of a file, `null` if nothing is there, or the outcome that says why it is not known.
pub(super) async fn status_of(
    order: &Order,
    path: &str,
    follow: bool,
) -> Result<Result<Value, Outcome>, Fault> {
    let outcome = order.call(&Work::small("fs.stat/1", json!({ "path": path, "follow": follow }))).await?;
    Ok(if outcome.kind == "done" { Ok(outcome.result) } else { Err(outcome) })
}

/// Asks for a long answer, page by page.
async fn pages(
    order: &Order,
    command: &'static str,
    args: &Value,
    list: &str,
) -> Result<Result<Vec<Value>, Outcome>, Fault> {
    let (mut entries, mut args) = (Vec::new(), args.clone());
    loop {
        let mut outcome = order.call(&Work::small(command, args.clone())).await?;
        if outcome.kind != "done" {
            return Ok(Err(outcome));
        }
        if let Some(page) = outcome.result[list].as_array_mut() {
            entries.append(page);
        }
        if entries.len() > ENTRIES_MAX {
            return Err(Fault::failed(format!(
                "more than {ENTRIES_MAX} files: the master could not take them"
            )));
        }
        match outcome.result["next"].take() {
            Value::Null => return Ok(Ok(entries)),
            next => args["after"] = next,
        }
    }
}

/// Does something within a time. `None` if it took longer, which is said, and it is cancelled then.
async fn within(
    order: &Order,
    report: &mut Report,
    time_max: Option<Duration>,
    work: &Work,
) -> Result<Option<Outcome>, Fault> {
    let Some(time_max) = time_max else { return order.call(work).await.map(Some) };
    let id = order.node.submit(work).await?;
    let events = order.node.events(id.clone(), &order.halt);
    if let Ok(outcome) = timeout(time_max, events.outcome()).await {
        return outcome.map(Some);
    }
    report
        .push(Update::Header(format!("it takes more than {} seconds: cancelled\n", time_max.as_secs_f64())));
    report.push(Update::Failure(crate::worker::FailureReason::TimeMax));
    order.node.cancel(&id).await?;
    order.node.events(id, &order.halt).outcome().await?;
    Ok(None)
}

/// Returns the code of an outcome: 0, or the system's number of the error. What went wrong is said.
pub(super) fn code_of(report: &mut Report, command: &str, outcome: &Outcome) -> i64 {
    if outcome.kind == "done" {
        return 0;
    }
    let message = outcome.message.as_deref().unwrap_or(&outcome.kind);
    report.push(Update::Header(format!("{command}: {message}\n")));
    system_error(message).unwrap_or(1)
}

/// Finds the system's number of an error in a message.
fn system_error(message: &str) -> Option<i64> {
    let (_, rest) = message.rsplit_once("(os error ")?;
    rest.split_once(')')?.0.parse().ok()
}

fn file_status(status: &Value) -> FileStatus {
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    let short = |name: &str| u32::try_from(number(name)).unwrap_or_default();
    let seconds = |name: &str| status[name].as_i64().unwrap_or_default().div_euclid(1000);
    let kind = match status["kind"].as_str() {
        Some("file") => 0o100_000,
        Some("folder") => 0o040_000,
        Some("link") => 0o120_000,
        _ => 0,
    };
    FileStatus {
        mode: kind | (short("mode") & 0o7777),
        inode: number("inode"),
        device: number("device"),
        links: number("names"),
        uid: short("user"),
        gid: short("group"),
        len: number("bytes"),
        accessed_at: seconds("accessed_ms"),
        modified_at: seconds("modified_ms"),
        changed_at: seconds("changed_ms"),
    }
}

fn absolute(order: &Order, paths: &[String]) -> Vec<String> {
    paths.iter().map(|path| order.place.path("", path)).collect()
}

const ENOENT: i64 = 2;

/// More names than fit into a message to the master.
const ENTRIES_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_number_is_found_in_a_message() {
        assert_eq!(system_error("/a: No such file or directory (os error 2)"), Some(2));
        assert_eq!(system_error("a (os error 2) b (os error 17)"), Some(17));
        assert_eq!(system_error("it is not allowed"), None);
    }

    #[test]
    fn a_status_has_the_type_in_its_mode() {
        let status =
            json!({ "kind": "folder", "mode": 0o755, "bytes": 4096, "modified_ms": 1500, "names": 2 });
        let status = file_status(&status);
        assert_eq!((status.mode, status.len, status.modified_at, status.links), (0o040_755, 4096, 1, 2));
    }
}
