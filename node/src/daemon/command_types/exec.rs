//! `exec` in JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use runnel::commands::{EnvValue, Exec, ExecArgs, ExecCause, ExecResult, ExecStatus, ExecUpdate, LogFile};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ApiCommand, fields};
use crate::daemon::event::{Event, Log, Output};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecFields {
    program: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, EnvField>,
    #[serde(default)]
    expand_env: bool,
    #[serde(default)]
    report_env: bool,
    cwd: Option<String>,
    #[serde(default)]
    make_cwd: bool,
    #[serde(default)]
    terminal: bool,
    #[serde(default)]
    log_files: Vec<LogFileFields>,
    lines_max: Option<u64>,
    timeout_ms: Option<u64>,
    no_output_timeout_ms: Option<u64>,
    kill_grace_ms: Option<u64>,
    stop_signal: Option<String>,
    kill_signal: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a variable is a text, an array of texts, or null")]
enum EnvField {
    Text(String),
    List(Vec<String>),
    Removed(()),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogFileFields {
    name: String,
    path: String,
    #[serde(default)]
    follow: bool,
}

impl From<ExecFields> for ExecArgs {
    fn from(fields: ExecFields) -> Self {
        Self {
            program: fields.program,
            args: fields.args,
            env: fields.env.into_iter().map(|(name, value)| (name, value.into())).collect(),
            expand_env: fields.expand_env,
            report_env: fields.report_env,
            cwd: fields.cwd,
            make_cwd: fields.make_cwd,
            terminal: fields.terminal,
            log_files: fields.log_files.into_iter().map(LogFile::from).collect(),
            lines_max: fields.lines_max,
            timeout_ms: fields.timeout_ms,
            no_output_timeout_ms: fields.no_output_timeout_ms,
            kill_grace_ms: fields.kill_grace_ms,
            stop_signal: fields.stop_signal,
            kill_signal: fields.kill_signal,
        }
    }
}

impl From<EnvField> for EnvValue {
    fn from(field: EnvField) -> Self {
        match field {
            EnvField::Text(text) => Self::Text(text),
            EnvField::List(parts) => Self::List(parts),
            EnvField::Removed(()) => Self::Removed,
        }
    }
}

impl From<LogFileFields> for LogFile {
    fn from(LogFileFields { name, path, follow }: LogFileFields) -> Self {
        Self { name, path, follow }
    }
}

impl ApiCommand for Exec {
    fn event(update: ExecUpdate) -> Event {
        let output = |stream, content| Event::Output(Output { stream, content: Bytes::from(content) });
        match update {
            ExecUpdate::Stdout(content) => output("stdout", content),
            ExecUpdate::Stderr(content) => output("stderr", content),
            ExecUpdate::Environment(variables) => Event::Environment(variables.into_iter().collect()),
            ExecUpdate::Log { name, content } => Event::Log(Log { name, content: Bytes::from(content) }),
        }
    }

    fn done(result: ExecResult) -> Map<String, Value> {
        let (exit_code, signal) = match result.status {
            ExecStatus::Code(code) => (Some(code), None),
            ExecStatus::Signal(signal) => (None, Some(signal)),
            ExecStatus::Lost => (None, None),
        };
        let result = match result.cause {
            ExecCause::Natural => json!({ "cause": "natural" }),
            ExecCause::TimedOut => json!({ "cause": "timed-out" }),
            ExecCause::NoOutput => json!({ "cause": "no-output" }),
            ExecCause::TooManyLines { lines } => json!({ "cause": "too-many-lines", "lines": lines }),
        };
        fields(json!({ "exit_code": exit_code, "signal": signal, "result": result }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ApiArgs, ArgsError};
    use super::*;

    #[test]
    fn the_arguments_of_exec_are_read_field_by_field() {
        let args = ApiArgs::read(
            "exec/1",
            json!({ "program": "make", "args": ["all"], "env": { "A": "1", "B": ["2", "3"], "C": null },
                    "expand_env": true, "report_env": true, "cwd": "/src", "make_cwd": true, "terminal": true,
                    "log_files": [{ "name": "test", "path": "test.log", "follow": true },
                                  { "name": "other", "path": "other.log" }],
                    "lines_max": 4, "timeout_ms": 5, "no_output_timeout_ms": 6, "kill_grace_ms": 7,
                    "stop_signal": "INT", "kill_signal": "QUIT" }),
        );
        let log_file =
            |name: &str, path: &str, follow| LogFile { name: name.to_owned(), path: path.to_owned(), follow };
        let expected = ExecArgs {
            program: "make".to_owned(),
            args: vec!["all".to_owned()],
            env: vec![
                ("A".to_owned(), "1".into()),
                ("B".to_owned(), EnvValue::List(vec!["2".to_owned(), "3".to_owned()])),
                ("C".to_owned(), EnvValue::Removed),
            ],
            expand_env: true,
            report_env: true,
            cwd: Some("/src".to_owned()),
            make_cwd: true,
            terminal: true,
            log_files: vec![log_file("test", "test.log", true), log_file("other", "other.log", false)],
            lines_max: Some(4),
            timeout_ms: Some(5),
            no_output_timeout_ms: Some(6),
            kill_grace_ms: Some(7),
            stop_signal: Some("INT".to_owned()),
            kill_signal: Some("QUIT".to_owned()),
        };
        assert_eq!(args, Ok(ApiArgs::Exec(expected)));
    }

    #[test]
    fn what_may_be_left_out_of_exec_is_left_out() {
        let args = ApiArgs::read("exec/1", json!({ "program": "true" }));
        assert_eq!(args, Ok(ApiArgs::Exec(ExecArgs { program: "true".to_owned(), ..ExecArgs::default() })));
    }

    #[test]
    fn a_variable_that_is_neither_text_nor_texts_is_refused() {
        for value in [json!(1), json!([1]), json!({}), json!(true)] {
            let args = json!({ "program": "a", "env": { "A": value } });
            let Err(ArgsError::Wrong(message)) = ApiArgs::read("exec/1", args) else { panic!("{value}") };
            assert!(message.contains("a text, an array of texts, or null"), "{message}");
        }
    }

    #[test]
    fn an_exit_has_a_code_or_a_signal() {
        let done = |status| Exec::done(ExecResult { status, cause: ExecCause::TimedOut });
        let expected = json!({ "exit_code": 3, "signal": null, "result": { "cause": "timed-out" } });
        assert_eq!(Value::Object(done(ExecStatus::Code(3))), expected);
        assert_eq!(done(ExecStatus::Signal(9))["signal"], 9);
        assert_eq!(done(ExecStatus::Lost)["exit_code"], Value::Null);
    }

    #[test]
    fn too_many_lines_are_counted() {
        let result =
            ExecResult { status: ExecStatus::Signal(15), cause: ExecCause::TooManyLines { lines: 7 } };
        assert_eq!(Exec::done(result)["result"], json!({ "cause": "too-many-lines", "lines": 7 }));
    }
}
