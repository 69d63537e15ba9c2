//! Whether what has come of a build is what has to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::expected::{Builder, Check, Expected, File};
use crate::scene::{Kind, Scene};
use crate::told::{Build, Step, result_name};

/// What is said of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it has to be.
    Right(String),
    /// As it is known to be with the reference worker.
    Known { result: String, known: &'static str },
    /// Otherwise.
    Wrong { result: String, why: String },
    /// It was not run.
    Skipped(String),
}

/// Judges a build, step by step, then as a whole.
pub(crate) fn judge(builder: &Builder, kind: Kind, build: &Build, scene: &Scene) -> Vec<Verdict> {
    let mut verdicts: Vec<_> =
        builder.steps.iter().map(|expected| judge_step(builder, expected, kind, build, scene)).collect();
    let result = result_name(Some(build.result));
    let whole = if build.result != builder.result {
        Verdict::Wrong { result, why: format!("the build should be {}", result_name(Some(builder.result))) }
    } else if let Some(pid) = build.pids().into_iter().find(|pid| is_alive(*pid)) {
        Verdict::Wrong { result, why: format!("process {pid} lives on") }
    } else {
        Verdict::Right(result)
    };
    verdicts.push(whole);
    verdicts
}

fn judge_step(builder: &Builder, expected: &Expected, kind: Kind, build: &Build, scene: &Scene) -> Verdict {
    let expected = match &expected.over_msgpack {
        Some(instead) if kind == Kind::Msgpack => instead,
        _ => expected,
    };
    let Some(step) = build.step(expected.step) else {
        return Verdict::Wrong { result: "none".to_owned(), why: "the step is missing".to_owned() };
    };
    let result = result_name(step.result);
    let has_result = step.result.is_some_and(|result| expected.results.contains(&result));
    let why = if has_result {
        expected.checks.iter().find_map(|check| fault(check, step, builder, scene))
    } else {
        let wanted: Vec<_> = expected.results.iter().map(|result| result_name(Some(*result))).collect();
        Some(format!("should be {}", wanted.join(" or ")))
    };
    match (why, expected.known) {
        (None, _) => Verdict::Right(result),
        (Some(_), Some(known)) if kind == Kind::Reference => Verdict::Known { result, known },
        (Some(why), _) => Verdict::Wrong { result, why },
    }
}

/// Returns what is wrong, if something is.
fn fault(check: &Check, step: &Step, builder: &Builder, scene: &Scene) -> Option<String> {
    let has = |log: &str, text: &str| step.log(log).is_some_and(|log| log.contains(text));
    match check {
        Check::Says(log, text) => (!has(log, text)).then(|| format!("the log {log} lacks {text:?}")),
        Check::Hides(text) => {
            let shown = step.logs.keys().find(|log| has(log, text));
            shown.map(|log| format!("the log {log} shows {text:?}"))
        }
        Check::Output(text) => difference("output", &step.output(), text),
        Check::Count(character, count) => {
            let counted = step.output().matches(*character).count();
            (counted != *count).then(|| format!("{counted} of {count} characters came"))
        }
        Check::Log(log, text) => difference(log, &step.log(log).unwrap_or_default(), text),
        Check::Answer(field, value) => {
            let answer: serde_json::Value = serde_json::from_str(&step.log("answer")?).ok()?;
            (answer[*field] != *value).then(|| format!("{field} is {}", answer[*field]))
        }
        Check::AtMaster(name, file) => fault_of_file(&scene.master.path(name), file),
        Check::AtWorker(name, file) => fault_of_file(&scene.worker_path(builder.name, name), file),
    }
}

fn difference(what: &str, is: &str, should: &str) -> Option<String> {
    if is == should {
        return None;
    }
    if is.len().max(should.len()) < SHOWN_MAX {
        return Some(format!("the {what} is {is:?}, not {should:?}"));
    }
    Some(format!("the {what} is {}, not {}", digest(is.as_bytes()), digest(should.as_bytes())))
}

fn fault_of_file(path: &Path, file: &File) -> Option<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let metadata = match (file, fs::symlink_metadata(path)) {
        (File::IsMissing, Err(_)) => return None,
        (File::IsMissing, Ok(_)) => return Some(format!("there is a file {name}")),
        (_, Err(error)) => return Some(format!("{name}: {error}")),
        (_, Ok(metadata)) => metadata,
    };
    match file {
        File::IsMissing => None,
        File::Holds(content) => {
            let is = fs::read(path).unwrap_or_default();
            (blake3::hash(&is) != blake3::hash(content))
                .then(|| format!("{name} is {}, not {}", digest(&is), digest(content)))
        }
        File::HasMode(mode) => {
            let is = metadata.permissions().mode() & 0o7777;
            (is != *mode).then(|| format!("{name} has mode {is:o}, not {mode:o}"))
        }
        File::WasModifiedAt(seconds) => {
            let should = UNIX_EPOCH + Duration::from_secs(*seconds);
            (metadata.modified().ok() != Some(should)).then(|| format!("{name} has another time"))
        }
        File::LinksTo(target) => {
            let is = fs::read_link(path).ok();
            (is.as_deref() != Some(Path::new(target))).then(|| format!("{name} is no link to {target}"))
        }
        File::HasField(pointer, value) => {
            let is: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).unwrap_or_default();
            (is.pointer(pointer) != Some(value))
                .then(|| format!("{pointer} of {name} is {:?}", is.pointer(pointer)))
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{} bytes with the hash {}", bytes.len(), &blake3::hash(bytes).to_hex()[..8])
}

/// Returns whether a process runs. One that has ended and was not waited for does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Longer texts are shown by their hash.
const SHOWN_MAX: usize = 200;
