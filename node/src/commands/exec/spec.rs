//! From the arguments of a command to what is run for it.

use std::path::PathBuf;
use std::time::Duration;

use runnel_codec::CommandId;

use super::{ExecArgs, ExecConfig};
use crate::process::{EndSignal, LogFile, ProcessSpec, UnknownSignal};

/// Why arguments cannot be followed. Asking again is of no use before they, or the worker's configuration, have changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ArgsError {
    /// A signal is not known on this worker.
    #[error(transparent)]
    UnknownSignal(#[from] UnknownSignal),
    /// A few names can stand for very much.
    #[error("the variables, expanded, take more than {max} bytes")]
    EnvironmentTooLong { max: usize },
    /// More log files than the worker follows.
    #[error("{count} log files are more than the {max} that this worker follows")]
    TooManyLogFiles { count: usize, max: usize },
    /// Pieces are told under their file's name, which has to fit in beside them.
    #[error("the name of a log file is longer than {max} bytes")]
    LogNameTooLong { max: usize },
}

/// Returns what is to be run for the command `id`. Variables are expanded from this process's own.
pub(super) fn spec_of(id: &CommandId, args: ExecArgs, config: &ExecConfig) -> Result<ProcessSpec, ArgsError> {
    check(&args.log_files, config.log_files_max)?;
    let mut spec = ProcessSpec::new(args.program);
    spec.args = args.args;
    let max = config.expanded_env_bytes_max;
    let mut room = max;
    for (name, value) in args.env {
        let expanded = if args.expand_env { value.expand(own_variable, &mut room) } else { Some(value) };
        let value = expanded.ok_or(ArgsError::EnvironmentTooLong { max })?;
        spec.env.push((name, value.into_value()));
    }
    spec.env.push(("RUNNEL_ID".to_owned(), Some(id.to_string())));
    spec.report_env = args.report_env;
    spec.cwd = args.cwd.map(PathBuf::from);
    spec.make_cwd = args.make_cwd;
    spec.has_terminal = args.terminal;
    spec.log_files = args.log_files;
    spec.log_poll_interval = config.log_poll_interval;
    spec.timeout = args.timeout_ms.map(Duration::from_millis);
    spec.no_output_timeout = args.no_output_timeout_ms.map(Duration::from_millis);
    spec.lines_max = args.lines_max;
    if let Some(grace) = args.kill_grace_ms {
        spec.kill_grace = Duration::from_millis(grace);
    }
    spec.stop_signal = signal_of(args.stop_signal, EndSignal::TERM)?;
    spec.kill_signal = signal_of(args.kill_signal, EndSignal::KILL)?;
    spec.kill_timeout = config.kill_timeout;
    Ok(spec)
}

fn check(files: &[LogFile], max: usize) -> Result<(), ArgsError> {
    if files.len() > max {
        return Err(ArgsError::TooManyLogFiles { count: files.len(), max });
    }
    if files.iter().any(|file| file.name.len() > LOG_NAME_BYTES_MAX) {
        return Err(ArgsError::LogNameTooLong { max: LOG_NAME_BYTES_MAX });
    }
    Ok(())
}

fn signal_of(name: Option<String>, default: EndSignal) -> Result<EndSignal, UnknownSignal> {
    name.map_or(Ok(default), |name| name.parse())
}

fn own_variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Longest name of a log file, in bytes.
const LOG_NAME_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(args: ExecArgs) -> Result<ProcessSpec, ArgsError> {
        let id = "c1.w1.0000000000000001.1".parse().unwrap();
        spec_of(&id, args, &ExecConfig { log_files_max: 2, ..ExecConfig::default() })
    }

    fn log_file(name: String) -> LogFile {
        LogFile { name, path: "log".to_owned(), follow: false }
    }

    #[test]
    fn variables_are_expanded_only_if_that_is_asked_for() {
        let path = std::env::var("PATH").unwrap();
        for (expand_env, expected) in [(false, "${PATH}"), (true, &path)] {
            let env = vec![("A".to_owned(), "${PATH}".into())];
            let spec = spec(ExecArgs { env, expand_env, ..ExecArgs::default() }).unwrap();
            assert_eq!(spec.env[0], ("A".to_owned(), Some(expected.to_owned())));
            assert_eq!(spec.env[1].0, "RUNNEL_ID");
        }
    }

    #[test]
    fn a_few_bytes_that_stand_for_too_many_are_refused() {
        let env = vec![("A".to_owned(), "${PATH}".repeat(2 << 20).into())];
        let refusal = spec(ExecArgs { env, expand_env: true, ..ExecArgs::default() }).unwrap_err();
        assert_eq!(refusal.to_string(), "the variables, expanded, take more than 2097152 bytes");
    }

    #[test]
    fn signals_are_those_that_were_named() {
        let spec = |stop: Option<&str>, kill: Option<&str>| {
            let (stop_signal, kill_signal) = (stop.map(str::to_owned), kill.map(str::to_owned));
            spec(ExecArgs { stop_signal, kill_signal, ..ExecArgs::default() })
        };
        let signals = |spec: ProcessSpec| (spec.stop_signal.name(), spec.kill_signal.name());
        assert_eq!(spec(None, None).map(signals), Ok(("TERM", "KILL")));
        assert_eq!(spec(Some("INT"), Some("SIGQUIT")).map(signals), Ok(("INT", "QUIT")));
        let refusal = spec(None, Some("NONE")).unwrap_err();
        assert_eq!(refusal.to_string(), "signal NONE is not known");
    }

    #[test]
    fn more_log_files_than_allowed_are_refused_with_both_numbers() {
        let files =
            |count| ExecArgs { log_files: vec![log_file("a".to_owned()); count], ..ExecArgs::default() };
        assert!(spec(files(2)).is_ok());
        let refusal = spec(files(3)).unwrap_err();
        assert_eq!(refusal.to_string(), "3 log files are more than the 2 that this worker follows");
        let long = ExecArgs { log_files: vec![log_file("a".repeat(1025))], ..ExecArgs::default() };
        assert_eq!(spec(long), Err(ArgsError::LogNameTooLong { max: 1024 }));
    }
}
