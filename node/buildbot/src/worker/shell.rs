//! The command that runs a program.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::Refusal;
use super::arguments::{Arguments, list_of, path_of, text_of};
use crate::jelly::Value;

/// `shell`: a program that is to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Shell {
    /// The folder in which it runs, which is made if it is missing.
    pub folder: String,
    /// What is run.
    pub program: Program,
    /// What is different in its environment, in the master's order. `${NAME}` in a value stands for what the worker's
    /// own environment has.
    pub env: Vec<(String, EnvChange)>,
    /// How long it may say nothing.
    pub silence_timeout: Option<Duration>,
    /// How long it may run.
    pub time_max: Option<Duration>,
    /// How many lines it may say.
    pub lines_max: Option<u64>,
    /// How long it may go on after SIGTERM, before the signal below. Without it that signal is the first.
    pub terminate_grace: Option<Duration>,
    /// Whether the master wants its standard output.
    pub wants_stdout: bool,
    /// Whether the master wants its standard error.
    pub wants_stderr: bool,
    /// What it reads, and then the end. Without it there is the end at once.
    pub stdin: Option<Bytes>,
    /// Files that it writes and whose content the master wants.
    pub log_files: Vec<LogFile>,
    /// Whether it runs on a terminal.
    pub uses_terminal: bool,
    /// Whether its environment is to be told to the master.
    pub tells_environment: bool,
    /// The name of the signal that ends it, without `SIG`. Default: `KILL`.
    pub interrupt_signal: String,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A line for `/bin/sh`.
    Line(String),
    /// A program, found by `PATH`, and its arguments: at least one word.
    Words(Vec<Argument>),
}

/// A word of a program's command line. Its debug form is what may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Argument {
    /// What the program gets.
    pub text: String,
    /// What people see in its place, if that is something else: `text` is a secret then.
    pub shown: Option<String>,
}

/// What becomes of a variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvChange {
    /// It is not there.
    Remove,
    /// It has this value.
    Set(String),
    /// It has these values with the separator of paths between them.
    Join(Vec<String>),
}

/// A file that a program writes and that is followed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The name that the master has given it.
    pub name: String,
    /// The file, relative to the program's folder.
    pub path: String,
    /// Whether only what is added is wanted, and not what the file has at first.
    pub from_end: bool,
}

impl Shell {
    pub(super) fn of(args: Arguments<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            folder: args.path("workdir")?,
            program: Program::of(args.required("command")?)?,
            env: env_of(args)?,
            silence_timeout: args.time_limit("timeout")?,
            time_max: args.time_limit("maxTime")?,
            lines_max: args.count("max_lines")?,
            terminate_grace: args.seconds("sigtermTime")?,
            wants_stdout: args.flag("want_stdout", true)?,
            wants_stderr: args.flag("want_stderr", true)?,
            stdin: stdin_of(args)?,
            log_files: log_files_of(args)?,
            uses_terminal: args.flag("usePTY", false)?,
            tells_environment: args.flag("logEnviron", true)?,
            interrupt_signal: signal_of(args)?,
        })
    }
}

impl Program {
    fn of(command: &Value) -> Result<Self, Refusal> {
        let argument = "command";
        match list_of(command) {
            None => Ok(Self::Line(text_of(command, argument)?)),
            Some([]) => Err(Refusal::Wrong { argument, expected: "at least one word" }),
            Some(words) => words.iter().map(Argument::of).collect::<Result<_, _>>().map(Self::Words),
        }
    }
}

impl Argument {
    /// Reads a word: a text, a number, or a secret with what is shown in its place.
    fn of(word: &Value) -> Result<Self, Refusal> {
        let argument = "command";
        match word {
            Value::Int(number) => Ok(Self { text: number.to_string(), shown: None }),
            // A tuple, which the other protocol cannot say, is a list there.
            Value::Tuple(parts) | Value::List(parts) => match &parts[..] {
                [kind, real, shown] if kind.as_text() == Some("obfuscated") => {
                    Ok(Self { text: text_of(real, argument)?, shown: Some(text_of(shown, argument)?) })
                }
                _ => Err(Refusal::Wrong { argument, expected: "words" }),
            },
            word => Ok(Self { text: text_of(word, argument)?, shown: None }),
        }
    }

    /// Returns what people may see.
    pub fn shown(&self) -> &str {
        self.shown.as_ref().unwrap_or(&self.text)
    }
}

impl fmt::Debug for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

fn env_of(args: Arguments<'_>) -> Result<Vec<(String, EnvChange)>, Refusal> {
    let argument = "env";
    let changes = match args.given(argument) {
        None => return Ok(Vec::new()),
        Some(Value::Dict(changes)) => changes,
        Some(_) => return Err(Refusal::Wrong { argument, expected: "a dictionary" }),
    };
    let change = |(name, value): &(Value, Value)| {
        let name = text_of(name, argument)?;
        if name.is_empty() || name.contains('=') {
            return Err(Refusal::Wrong { argument, expected: "names of variables" });
        }
        let change = match (value, list_of(value)) {
            (Value::None, _) => EnvChange::Remove,
            (_, Some(values)) => {
                let values = values.iter().map(|value| text_of(value, argument));
                EnvChange::Join(values.collect::<Result<_, _>>()?)
            }
            (value, None) => EnvChange::Set(text_of(value, argument)?),
        };
        Ok((name, change))
    };
    changes.iter().map(change).collect()
}

fn stdin_of(args: Arguments<'_>) -> Result<Option<Bytes>, Refusal> {
    let argument = "initial_stdin";
    match args.given(argument) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        Some(Value::Bytes(bytes)) => Ok(Some(bytes.clone())),
        Some(_) => Err(Refusal::Wrong { argument, expected: "a text" }),
    }
}

fn log_files_of(args: Arguments<'_>) -> Result<Vec<LogFile>, Refusal> {
    let argument = "logfiles";
    let files = match args.given(argument) {
        None => return Ok(Vec::new()),
        Some(Value::Dict(files)) => files,
        Some(_) => return Err(Refusal::Wrong { argument, expected: "a dictionary" }),
    };
    if files.len() > LOG_FILES_MAX {
        return Err(Refusal::Wrong { argument, expected: "64 files at most" });
    }
    let file = |(name, file): &(Value, Value)| {
        let name = text_of(name, argument)?;
        let options = Arguments(file);
        let (path, from_end) = match file {
            Value::Dict(_) => {
                (path_of(options.required("filename")?, argument)?, options.flag("follow", false)?)
            }
            path => (path_of(path, argument)?, false),
        };
        Ok(LogFile { name, path, from_end })
    };
    files.iter().map(file).collect()
}

fn signal_of(args: Arguments<'_>) -> Result<String, Refusal> {
    let argument = "interruptSignal";
    let Some(value) = args.given(argument) else {
        return Ok("KILL".to_owned());
    };
    let is_name = |name: &&str| {
        (1..=SIGNAL_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let name = value.as_text().map(|name| name.strip_prefix("SIG").unwrap_or(name)).filter(is_name);
    name.map(str::to_owned).ok_or(Refusal::Wrong { argument, expected: "the name of a signal" })
}

/// Most files that are followed for one program.
const LOG_FILES_MAX: usize = 64;

const SIGNAL_BYTES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(pairs: Vec<(&str, Value)>) -> Value {
        Value::Dict(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    fn shell(pairs: Vec<(&str, Value)>) -> Result<Shell, Refusal> {
        let mut all = vec![("workdir", "build".into()), ("command", "make".into())];
        all.extend(pairs);
        Shell::of(Arguments(&dict(all)))
    }

    #[track_caller]
    fn check_wrong(name: &'static str, value: Value) {
        let refused = shell(vec![(name, value)]);
        assert!(matches!(refused, Err(Refusal::Wrong { argument, .. }) if argument == name), "{refused:?}");
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let expected = Shell {
            folder: "build".to_owned(),
            program: Program::Line("make".to_owned()),
            env: vec![],
            silence_timeout: None,
            time_max: None,
            lines_max: None,
            terminate_grace: None,
            wants_stdout: true,
            wants_stderr: true,
            stdin: None,
            log_files: vec![],
            uses_terminal: false,
            tells_environment: true,
            interrupt_signal: "KILL".to_owned(),
        };
        assert_eq!(shell(vec![]), Ok(expected.clone()));
        let nothing = ["env", "timeout", "maxTime", "max_lines", "sigtermTime", "initial_stdin", "logfiles"];
        assert_eq!(shell(nothing.map(|name| (name, Value::None)).to_vec()), Ok(expected));
    }

    #[test]
    fn what_is_said_is_read() {
        let shell = shell(vec![
            ("timeout", Value::Int(1200)),
            ("maxTime", Value::Float(1.5)),
            ("max_lines", Value::Int(0)),
            ("sigtermTime", Value::Int(0)),
            ("want_stdout", Value::Int(0)),
            ("want_stderr", Value::Bool(false)),
            ("initial_stdin", "pätch".into()),
            ("usePTY", Value::Bool(true)),
            ("logEnviron", Value::Bool(false)),
            ("interruptSignal", "INT".into()),
        ])
        .expect("it is good");
        assert_eq!(shell.silence_timeout, Some(Duration::from_secs(1200)));
        assert_eq!(shell.time_max, Some(Duration::from_millis(1500)));
        assert_eq!((shell.lines_max, shell.terminate_grace), (Some(0), Some(Duration::ZERO)));
        assert!(
            !shell.wants_stdout && !shell.wants_stderr && shell.uses_terminal && !shell.tells_environment
        );
        assert_eq!(shell.stdin.as_deref(), Some("pätch".as_bytes()));
        assert_eq!(shell.interrupt_signal, "INT");
    }

    #[test]
    fn a_program_is_a_line_or_words_and_a_secret_is_not_shown() {
        let secret = Value::Tuple(vec!["obfuscated".into(), "hunter2".into(), "XXXX".into()]);
        let words = Value::List(vec!["curl".into(), Value::Int(4), secret]);
        let program = Program::of(&words).expect("it is good");
        let Program::Words(words) = &program else { panic!("words") };
        assert_eq!(words[2].text, "hunter2");
        assert_eq!(format!("{program:?}"), r#"Words(["curl", "4", "XXXX"])"#);
        for wrong in [
            Value::Int(1),
            Value::List(vec![]),
            Value::List(vec![Value::None]),
            Value::List(vec![Value::Tuple(vec!["a".into()])]),
            "a\0b".into(),
        ] {
            check_wrong("command", wrong);
        }
    }

    #[test]
    fn the_environment_is_changed_in_three_ways() {
        let path = Value::List(vec!["/opt/bin".into(), "${PATH}".into()]);
        let env = dict(vec![("LANG", "C".into()), ("PATH", path), ("DISPLAY", Value::None)]);
        let env = shell(vec![("env", env)]).expect("it is good").env;
        assert_eq!(
            env,
            [
                ("LANG".to_owned(), EnvChange::Set("C".to_owned())),
                ("PATH".to_owned(), EnvChange::Join(vec!["/opt/bin".to_owned(), "${PATH}".to_owned()])),
                ("DISPLAY".to_owned(), EnvChange::Remove),
            ]
        );
        check_wrong("env", dict(vec![("A", Value::Int(1))]));
        check_wrong("env", dict(vec![("A=B", "c".into())]));
        check_wrong("env", dict(vec![("", "c".into())]));
        check_wrong("env", Value::List(vec![]));
    }

    #[test]
    fn log_files_have_a_path_and_may_begin_at_their_end() {
        let follow = dict(vec![("filename", "b.log".into()), ("follow", Value::Bool(true))]);
        let files = dict(vec![("first", "a.log".into()), ("second", follow)]);
        let files = shell(vec![("logfiles", files)]).expect("it is good").log_files;
        let file = |name: &str, path: &str, from_end| LogFile {
            name: name.to_owned(),
            path: path.to_owned(),
            from_end,
        };
        assert_eq!(files, [file("first", "a.log", false), file("second", "b.log", true)]);
        check_wrong("logfiles", dict(vec![("first", Value::Int(1))]));
        let many = (0..65).map(|number| (Value::Int(number), "a".into())).collect();
        check_wrong("logfiles", Value::Dict(many));
    }

    #[test]
    fn a_signal_is_a_name() {
        let signal = |value| shell(vec![("interruptSignal", value)]).map(|shell| shell.interrupt_signal);
        assert_eq!(signal("SIGUSR1".into()), Ok("USR1".to_owned()));
        check_wrong("interruptSignal", "".into());
        check_wrong("interruptSignal", "kill -9".into());
        check_wrong("interruptSignal", Value::Int(9));
    }
}
