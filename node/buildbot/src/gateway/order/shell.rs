//! A program on the node: its output, its log files and its end, as they come.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use futures_util::stream;
use runnel_client::api::{Happening, Left, Outcome, Output, Stream};
use runnel_client::streamed;
use serde_json::{Map, Value, json};

use super::{Order, headers};
use crate::gateway::fault::Fault;
use crate::gateway::node::{Body, Class, Events, Halt, Next, Work, known};
use crate::gateway::report::Report;
use crate::gateway::text::TextPieces;
use crate::worker::{EnvChange, FailureReason, Program, Shell, Update};

/// `shell`.
pub(super) async fn run(order: &Order, report: &mut Report, shell: &Shell) -> Result<i64, Fault> {
    let folder = order.place.path(&shell.folder, "");
    report.push(Update::Header(headers::beginning(shell, &folder)));
    report.push(Update::Header(headers::input(shell)));
    let body = leave_input(order, shell).await?;
    let sends_input = body == Body::Follows;
    let work = Work {
        command: "exec/1",
        args: args_of(shell, &folder),
        class: Class::Normal,
        body,
        summary: Some(headers::shown(&shell.program)),
    };
    let id = order.node.submit(&work).await?;
    let events = order.node.events(id.clone(), &order.halt);
    let events = events.ending_within(shell.terminate_grace.unwrap_or_default());
    let mut running = Running::new(shell, &order.halt, events);
    let input = async {
        if sends_input {
            let place = format!("/v1/commands/{id}/body");
            // A program that does not read all of it ends as it likes.
            order.node.client.put(&place, content(shell)).await.ok();
        }
    };
    let (end, ()) = tokio::join!(running.follow(report), input);
    let end = match end {
        Err(fault) => {
            running.events.cancel().await.ok();
            return Err(fault);
        }
        Ok(end) => end,
    };
    running.finish(report);
    Ok(conclude(report, shell, end))
}

/// How a program ended.
#[derive(Debug)]
enum End {
    Outcome(Outcome),
    /// It was interrupted, and does not end as long as its node is away.
    GivenUp,
}

/// A program that runs.
struct Running<'a> {
    shell: &'a Shell,
    halt: &'a Halt,
    events: Events<'a>,
    stdout: TextPieces,
    stderr: TextPieces,
    logs: HashMap<String, TextPieces>,
    /// Bytes of output that were left out.
    left_out: usize,
}

impl<'a> Running<'a> {
    fn new(shell: &'a Shell, halt: &'a Halt, events: Events<'a>) -> Self {
        Self {
            shell,
            halt,
            events,
            stdout: TextPieces::default(),
            stderr: TextPieces::default(),
            logs: HashMap::new(),
            left_out: 0,
        }
    }

    /// Reports what it says until it has ended. What the master does not take holds the program back, until it is
    /// interrupted: its end must not wait for all that was said before and is still on its way.
    async fn follow(&mut self, report: &mut Report) -> Result<End, Fault> {
        loop {
            let is_interrupted = self.events.is_interrupted();
            let next = tokio::select! {
                progress = report.progress() => {
                    progress?;
                    continue;
                }
                next = self.events.next(), if report.has_room() || is_interrupted => next?,
                // An interrupt must not wait for the master to take what was said before.
                () = self.halt.wait(), if !is_interrupted => self.events.next().await?,
            };
            match next {
                Next::Event(Happening::Outcome { outcome }) => return known(outcome).map(End::Outcome),
                Next::Event(happening) => self.report(report, happening),
                Next::Interrupted => {
                    report.push(Update::Header("\ncommand interrupted, attempting to kill\n".to_owned()));
                    self.events.cancel().await?;
                }
                Next::GivenUp => return Ok(End::GivenUp),
            }
        }
    }

    fn report(&mut self, report: &mut Report, happening: Happening) {
        if !report.has_room()
            && let Happening::Output(_) | Happening::Log(_) = happening
        {
            self.left_out += octets_of(happening).len();
            return;
        }
        match happening {
            Happening::Output(output) => self.report_output(report, output),
            Happening::Log(log) => {
                let name = log.name.clone();
                let pieces = self.logs.entry(name.clone()).or_default();
                say(report, pieces.push(&log.into_octets().unwrap_or_default()), |text| Update::Log {
                    name,
                    text,
                });
            }
            Happening::Environment { environment } if self.shell.tells_environment => {
                report.push(Update::Header(headers::environment(environment.iter())));
            }
            Happening::Gap(gap) => {
                report.push(Update::Header(format!("\nsome of the output is lost: {gap:?}\n")));
            }
            _ => {}
        }
    }

    fn report_output(&mut self, report: &mut Report, output: Output) {
        let stream = output.stream;
        let octets = output.into_octets().unwrap_or_default();
        match stream {
            Stream::Stdout if self.shell.wants_stdout => {
                say(report, self.stdout.push(&octets), Update::Stdout)
            }
            Stream::Stderr if self.shell.wants_stderr => {
                say(report, self.stderr.push(&octets), Update::Stderr)
            }
            Stream::Stdout | Stream::Stderr => {}
        }
    }

    /// Reports characters that were never whole.
    fn finish(&mut self, report: &mut Report) {
        say(report, self.stdout.finish(), Update::Stdout);
        say(report, self.stderr.finish(), Update::Stderr);
        for (name, mut pieces) in std::mem::take(&mut self.logs) {
            say(report, pieces.finish(), |text| Update::Log { name, text });
        }
        if self.left_out > 0 {
            let text =
                format!("\n{} bytes of output that waited for the master are left out\n", self.left_out);
            report.push(Update::Header(text));
        }
    }
}

/// Returns what a program has written, to an output or a file.
fn octets_of(happening: Happening) -> Vec<u8> {
    let octets = match happening {
        Happening::Output(output) => output.into_octets(),
        Happening::Log(log) => log.into_octets(),
        _ => None,
    };
    octets.unwrap_or_default()
}

fn say(report: &mut Report, text: String, update: impl FnOnce(String) -> Update) {
    if !text.is_empty() {
        report.push(update(text));
    }
}

/// Leaves the program's input at the local node, where it outlives restarts. Without a store there it is sent later.
async fn leave_input(order: &Order, shell: &Shell) -> Result<Body, Fault> {
    if shell.stdin.is_none() {
        return Ok(Body::None);
    }
    if !order.has_store {
        return Ok(Body::Follows);
    }
    let client = &order.node.client;
    let left: Left = order.node.patiently(|| client.post_stream("/v1/bodies", content(shell))).await?;
    Ok(Body::Left(left.body))
}

fn content(shell: &Shell) -> runnel_client::RequestBody {
    let stdin: Bytes = shell.stdin.clone().unwrap_or_default();
    streamed(stream::iter([Ok::<_, io::Error>(stdin)]))
}

fn args_of(shell: &Shell, folder: &str) -> Value {
    let (program, args) = match &shell.program {
        Program::Line(line) => ("/bin/sh", vec!["-c", line]),
        Program::Words(words) => {
            let mut words = words.iter().map(|word| word.text.as_str());
            (words.next().unwrap_or_default(), words.collect())
        }
    };
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let files = shell.log_files.iter();
    let files = files.map(|file| json!({ "name": file.name, "path": file.path, "follow": file.from_end }));
    let mut map = json!({
        "program": program,
        "args": args,
        "cwd": folder,
        "make_cwd": true,
        "env": env_of(&shell.env),
        "expand_env": true,
        "report_env": shell.tells_environment,
        "terminal": shell.uses_terminal,
        "log_files": files.collect::<Vec<_>>(),
        "kill_signal": shell.interrupt_signal,
        "kill_grace_ms": shell.terminate_grace.map_or(0, millis),
    });
    if let Some(time) = shell.time_max {
        map["timeout_ms"] = json!(millis(time));
    }
    if let Some(time) = shell.silence_timeout {
        map["no_output_timeout_ms"] = json!(millis(time));
    }
    if let Some(lines) = shell.lines_max {
        map["lines_max"] = json!(lines);
    }
    map
}

/// Returns the changes of the environment. The worker's own PYTHONPATH stays behind what the master puts before it.
fn env_of(changes: &[(String, EnvChange)]) -> Value {
    let change = |(name, change): &(String, EnvChange)| {
        let own = (name == "PYTHONPATH").then(|| "${PYTHONPATH}".to_owned());
        let value = match change {
            EnvChange::Remove => Value::Null,
            EnvChange::Set(value) if own.is_none() => json!(value),
            EnvChange::Set(value) => json!([value, own]),
            EnvChange::Join(values) => json!(values.iter().cloned().chain(own).collect::<Vec<_>>()),
        };
        (name.clone(), value)
    };
    Value::Object(changes.iter().map(change).collect::<Map<_, _>>())
}

/// Says how it ended and returns its code.
fn conclude(report: &mut Report, shell: &Shell, end: End) -> i64 {
    let outcome = match end {
        End::Outcome(outcome) => outcome,
        End::GivenUp => {
            let text = "it was interrupted, and will end when its node can be reached\n";
            report.push(Update::Header(text.to_owned()));
            return KILLED;
        }
    };
    match (outcome.kind.as_str(), outcome.reason.as_deref()) {
        ("done", _) => {}
        ("failed", Some("cancelled")) | ("cancelled", _) => return KILLED,
        _ => {
            let why = outcome.message.unwrap_or(outcome.kind);
            report.push(Update::Stderr(format!("{why}\n")));
            return NOT_RUN;
        }
    }
    let limit = match outcome.result["cause"].as_str() {
        Some("timed-out") => Some(FailureReason::TimeMax),
        Some("no-output") => Some(FailureReason::Silence),
        Some("too-many-lines") => Some(FailureReason::LinesMax),
        _ => None,
    };
    if let Some(reason) = limit {
        report.push(Update::Failure(reason));
        report.push(Update::Header(headers::limit(reason, shell)));
    }
    if let Some(signal) = outcome.signal {
        report.push(Update::Header(format!("process killed by signal {signal}\n")));
    }
    match outcome.exit_code {
        Some(code) if code != 0 || limit.is_none() => code.into(),
        _ => KILLED,
    }
}

/// The code of a program that was ended.
const KILLED: i64 = -1;

/// The code of a program that could not be run.
const NOT_RUN: i64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_own_pythonpath_stays_behind() {
        let pair = |name: &str, change: EnvChange| (name.to_owned(), change);
        let changes = [
            pair("PYTHONPATH", EnvChange::Set("/a".to_owned())),
            pair("PATH", EnvChange::Join(vec!["/b".to_owned(), "${PATH}".to_owned()])),
            pair("LANG", EnvChange::Set("C".to_owned())),
            pair("DISPLAY", EnvChange::Remove),
        ];
        let env = json!({
            "PYTHONPATH": ["/a", "${PYTHONPATH}"], "PATH": ["/b", "${PATH}"], "LANG": "C", "DISPLAY": null,
        });
        assert_eq!(env_of(&changes), env);
    }
}
