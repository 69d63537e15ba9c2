//! Real programs, and what is told of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::*;

mod log_files;
mod terminal;

/// Beyond the limits of time in those tests whose reader comes late.
const LATE: Duration = Duration::from_millis(3);

/// All that a process told.
#[derive(Debug)]
struct Told {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    logs: BTreeMap<String, Vec<u8>>,
    environment: BTreeMap<String, String>,
    reason: ExitReason,
}

fn sh(script: &str) -> ProcessSpec {
    ProcessSpec { args: vec!["-c".to_owned(), script.to_owned()], ..ProcessSpec::new("sh") }
}

/// Bounds a wait that ends at once when all is well.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(30), future).await.expect("what was waited for has not happened")
}

async fn read_to_exit(process: &mut Process) -> Told {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (mut logs, mut environment) = (BTreeMap::<String, Vec<u8>>::new(), BTreeMap::new());
    loop {
        match soon(process.next()).await.expect("an exit comes before the end") {
            ProcessEvent::Output(Piece::Stream { stream: OutputStream::Stdout, bytes }) => {
                stdout.extend(bytes)
            }
            ProcessEvent::Output(Piece::Stream { stream: OutputStream::Stderr, bytes }) => {
                stderr.extend(bytes)
            }
            ProcessEvent::Output(Piece::Log { name, bytes }) => logs.entry(name).or_default().extend(bytes),
            ProcessEvent::Output(Piece::Environment(piece)) => {
                assert!(stdout.is_empty() && stderr.is_empty() && logs.is_empty(), "it comes first");
                environment.extend(piece);
            }
            ProcessEvent::Exited(reason) => return Told { stdout, stderr, logs, environment, reason },
        }
    }
}

async fn run(spec: &ProcessSpec) -> Told {
    read_to_exit(&mut Process::spawn(spec).unwrap()).await
}

#[track_caller]
fn check(reason: ExitReason, status: ExitStatus, cause: ExitCause) {
    assert_eq!(reason, ExitReason { status, cause });
}

/// Reads until the process has said `word`, alone on its first line.
async fn wait_for(process: &mut Process, word: &str) {
    let line = format!("{word}\n");
    let mut said = Vec::new();
    while said.len() < line.len() {
        let event = soon(process.next()).await;
        let Some(ProcessEvent::Output(Piece::Stream { bytes, .. })) = event else { panic!("{event:?}") };
        said.extend_from_slice(&bytes);
    }
    assert_eq!(said, line.as_bytes());
}

/// Keeps the thread, so that nothing is noticed, until `happened`; then lets the runtime notice all of it
/// at once.
async fn come_late(mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < Duration::from_secs(30), "what was waited for has not happened");
        std::thread::yield_now();
    }
    tokio::task::yield_now().await;
}

/// Starts `script` with a named pipe in descriptor 3, which all its children inherit, and waits for
/// "ready".
///
/// The end of the returned pipe shows that none of them is left, whoever their parent is by then.
async fn spawn_with_witness(
    directory: &Path,
    script: &str,
    limits: ProcessSpec,
) -> (Process, pipe::Receiver) {
    let script = format!("mkfifo witness; exec 3<>witness; {script}");
    let spec = ProcessSpec { args: sh(&script).args, cwd: Some(directory.to_owned()), ..limits };
    let mut process = Process::spawn(&spec).unwrap();
    wait_for(&mut process, "ready").await;
    let witness = pipe::OpenOptions::new().open_receiver(directory.join("witness")).unwrap();
    (process, witness)
}

async fn expect_nobody_left(mut witness: pipe::Receiver) {
    let mut rest = Vec::new();
    soon(witness.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn exit_code_is_told_once_and_last() {
    let mut process = Process::spawn(&sh("exit 7")).unwrap();
    let told = read_to_exit(&mut process).await;
    check(told.reason, ExitStatus::Code(7), ExitCause::Natural);
    assert_eq!(soon(process.next()).await, None);
    assert_eq!(process.id(), None);
}

#[tokio::test]
async fn signal_from_elsewhere_is_a_natural_end() {
    check(run(&sh("kill -KILL $$")).await.reason, ExitStatus::Signal(9), ExitCause::Natural);
}

#[tokio::test]
async fn outputs_are_kept_apart() {
    let told = run(&sh("echo out; echo err >&2; echo out again")).await;
    assert_eq!(told.stdout, b"out\nout again\n");
    assert_eq!(told.stderr, b"err\n");
}

#[tokio::test]
async fn large_output_arrives_whole_in_bounded_pieces() {
    let expected: String = (1..=170_000).map(|line| format!("{line}\n")).collect();
    assert!(expected.len() > 1024 * 1024);
    let mut process = Process::spawn(&sh("seq 1 170000")).unwrap();
    let mut stdout = Vec::new();
    while let Some(ProcessEvent::Output(Piece::Stream { bytes, .. })) = soon(process.next()).await {
        assert!((1..=32 * 1024).contains(&bytes.len()), "{} bytes", bytes.len());
        stdout.extend_from_slice(&bytes);
    }
    assert!(stdout == expected.as_bytes(), "{} of {} bytes", stdout.len(), expected.len());
}

#[tokio::test]
async fn a_dropped_wait_loses_no_output() {
    let mut process = Process::spawn(&sh("seq 1 20000")).unwrap();
    let mut stdout = Vec::new();
    loop {
        let event = tokio::select! {
            biased;
            event = process.next() => event,
            () = tokio::task::yield_now() => continue,
        };
        let Some(ProcessEvent::Output(Piece::Stream { bytes, .. })) = event else { break };
        stdout.extend_from_slice(&bytes);
    }
    let expected: String = (1..=20_000).map(|line| format!("{line}\n")).collect();
    assert!(stdout == expected.as_bytes(), "{} of {} bytes", stdout.len(), expected.len());
}

#[tokio::test]
async fn input_is_passed_on_until_it_is_closed() {
    let spec = ProcessSpec { stdin: StdinMode::Piped, ..ProcessSpec::new("cat") };
    let mut process = Process::spawn(&spec).unwrap();
    let mut stdin = process.take_stdin().unwrap();
    assert!(process.take_stdin().is_none());
    let input = Bytes::from(vec![b'x'; 300_000]);
    let mut rest = input.clone();
    let write = async {
        stdin.write(&mut rest).await.unwrap();
        stdin.close().await.unwrap();
    };
    let (told, ()) = tokio::join!(read_to_exit(&mut process), write);
    assert!(told.stdout == input, "{} bytes", told.stdout.len());
    check(told.reason, ExitStatus::Code(0), ExitCause::Natural);
}

#[tokio::test]
async fn input_that_is_not_read_does_not_fail_the_process() {
    let spec = ProcessSpec { stdin: StdinMode::Piped, ..sh("exec <&-; echo closed; read x; exit 0") };
    let mut process = Process::spawn(&spec).unwrap();
    let mut stdin = process.take_stdin().unwrap();
    wait_for(&mut process, "closed").await;
    // A program being started elsewhere shares all our pipes for a moment, so the first writes may still
    // succeed.
    let refusal = loop {
        let mut unwanted = Bytes::from_static(b"unwanted");
        if let Err(refusal) = soon(stdin.write(&mut unwanted)).await {
            assert_eq!(unwanted, "unwanted");
            break refusal;
        }
    };
    assert!(matches!(refusal, StdinError::Closed), "{refusal}");
    check(read_to_exit(&mut process).await.reason, ExitStatus::Code(0), ExitCause::Natural);
}

#[tokio::test]
async fn no_input_is_the_end_of_file() {
    let mut process = Process::spawn(&ProcessSpec::new("cat")).unwrap();
    assert!(process.take_stdin().is_none());
    check(read_to_exit(&mut process).await.reason, ExitStatus::Code(0), ExitCause::Natural);
}

#[tokio::test]
async fn environment_is_added_to_or_replaced() {
    let env = vec![("GREETING".to_owned(), Some("hello".to_owned()))];
    let added = run(&ProcessSpec { env: env.clone(), ..ProcessSpec::new("env") }).await;
    let added = String::from_utf8_lossy(&added.stdout).into_owned();
    let own = format!("PATH={}", std::env::var("PATH").unwrap());
    assert!(added.lines().any(|line| line == "GREETING=hello"), "{added}");
    assert!(added.lines().any(|line| line == own), "{added}");

    let replaced = run(&ProcessSpec { env, env_clear: true, ..ProcessSpec::new("/usr/bin/env") }).await;
    assert_eq!(String::from_utf8_lossy(&replaced.stdout), "GREETING=hello\n");
}

#[tokio::test]
async fn directory_is_as_described() {
    let directory = tempfile::tempdir().unwrap();
    let cwd = directory.path().canonicalize().unwrap();
    let told = run(&ProcessSpec { cwd: Some(cwd.clone()), ..sh("pwd -P") }).await;
    assert_eq!(String::from_utf8_lossy(&told.stdout), format!("{}\n", cwd.display()));
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    File::create(&file).unwrap();
    let failure = |spec: &ProcessSpec| Process::spawn(spec).unwrap_err();

    let missing = failure(&ProcessSpec::new("no-such-program"));
    assert!(matches!(missing, SpawnError::NotFound { .. }), "{missing}");
    let forbidden = failure(&ProcessSpec::new(file.to_str().unwrap()));
    assert!(matches!(forbidden, SpawnError::PermissionDenied { .. }), "{forbidden}");
    for cwd in [directory.path().join("nowhere"), file] {
        let lost = failure(&ProcessSpec { cwd: Some(cwd), ..ProcessSpec::new("true") });
        assert!(matches!(lost, SpawnError::CwdMissing { .. }), "{lost}");
    }
    let broken = failure(&ProcessSpec { args: vec!["\0".to_owned()], ..ProcessSpec::new("true") });
    assert!(matches!(broken, SpawnError::Io { .. }), "{broken}");
}

#[tokio::test]
async fn timeout_ends_a_process_that_goes_on() {
    let spec = ProcessSpec { timeout: Some(Duration::from_millis(200)), ..sh("exec sleep 60") };
    check(run(&spec).await.reason, ExitStatus::Signal(15), ExitCause::TimedOut);
}

#[tokio::test]
async fn silence_ends_a_process_that_has_spoken() {
    let limit = Some(Duration::from_millis(500));
    let spec = ProcessSpec { no_output_timeout: limit, ..sh("echo last words; exec sleep 60") };
    let told = run(&spec).await;
    assert_eq!(told.stdout, b"last words\n");
    check(told.reason, ExitStatus::Signal(15), ExitCause::NoOutput);
}

#[tokio::test]
async fn a_reader_that_comes_late_finds_all_output_and_a_natural_end() {
    let spec = ProcessSpec {
        timeout: Some(Duration::from_millis(1)),
        no_output_timeout: Some(Duration::from_millis(1)),
        drain_timeout: Duration::ZERO,
        ..sh("seq 1 500; seq 1 500 >&2; exit 4")
    };
    let mut process = Process::spawn(&spec).unwrap();
    let started = Instant::now();
    come_late(|| process.group.leader_status().is_some() && started.elapsed() > LATE).await;
    let told = read_to_exit(&mut process).await;
    let expected: String = (1..=500).map(|line| format!("{line}\n")).collect();
    assert!(told.stdout == expected.as_bytes(), "{} of {} bytes", told.stdout.len(), expected.len());
    assert!(told.stderr == expected.as_bytes(), "{} of {} bytes", told.stderr.len(), expected.len());
    check(told.reason, ExitStatus::Code(4), ExitCause::Natural);
}

#[tokio::test]
async fn output_that_nobody_reads_is_not_silence() {
    let spec =
        ProcessSpec { no_output_timeout: Some(Duration::from_millis(1)), ..sh("echo unread; exec sleep 60") };
    let mut process = Process::spawn(&spec).unwrap();
    let started = Instant::now();
    come_late(|| process.output.is_waiting() && started.elapsed() > LATE).await;
    let event = soon(process.next()).await;
    assert!(matches!(event, Some(ProcessEvent::Output(Piece::Stream { .. }))), "{event:?}");
    assert_eq!(process.lifetime.cause(), ExitCause::Natural);
}

#[tokio::test]
async fn stop_is_a_request_first() {
    let mut process = Process::spawn(&sh(
        "trap 'echo bye; exit 3' TERM; sleep 600 >/dev/null 2>&1 & echo ready; wait; wait",
    ))
    .unwrap();
    wait_for(&mut process, "ready").await;
    process.stop();
    let told = read_to_exit(&mut process).await;
    assert!(told.stdout.ends_with(b"bye\n"), "{told:?}");
    check(told.reason, ExitStatus::Code(3), ExitCause::Stopped);
}

#[tokio::test]
async fn stop_is_made_to_happen_after_the_grace() {
    let spec =
        ProcessSpec { kill_grace: Duration::from_millis(100), ..sh("trap '' TERM; echo ready; sleep 60") };
    let mut process = Process::spawn(&spec).unwrap();
    wait_for(&mut process, "ready").await;
    process.stop();
    process.stop();
    check(read_to_exit(&mut process).await.reason, ExitStatus::Signal(9), ExitCause::Stopped);
    process.stop();
    assert_eq!(soon(process.next()).await, None);
}

#[tokio::test]
async fn a_process_is_stopped_while_its_output_has_to_wait() {
    let limits = ProcessSpec {
        kill_grace: Duration::from_millis(50),
        drain_timeout: Duration::from_millis(50),
        ..sh("trap '' TERM; yes")
    };
    let mut process = Process::spawn(&limits).unwrap();
    come_late(|| process.output.is_waiting()).await;
    process.stop();
    soon(process.hold()).await;
    let told = read_to_exit(&mut process).await;
    check(told.reason, ExitStatus::Signal(9), ExitCause::Stopped);
    assert!(!told.stdout.is_empty(), "what is in the pipes is still delivered");
}

#[tokio::test]
async fn one_left_behind_with_the_pipes_delays_the_exit_no_longer_than_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ProcessSpec { drain_timeout: Duration::from_millis(200), ..ProcessSpec::new("sh") };
    let script = "sleep 60 & echo ready; exit 5";
    let (mut process, witness) = spawn_with_witness(directory.path(), script, limits).await;
    let told = read_to_exit(&mut process).await;
    check(told.reason, ExitStatus::Code(5), ExitCause::Natural);
    expect_nobody_left(witness).await;
}

#[tokio::test]
async fn one_left_behind_without_the_pipes_does_not_outlive_the_exit() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ProcessSpec { drain_timeout: Duration::MAX, ..ProcessSpec::new("sh") };
    let script = "sleep 60 >/dev/null 2>&1 & echo ready; exit 0";
    let (mut process, witness) = spawn_with_witness(directory.path(), script, limits).await;
    check(read_to_exit(&mut process).await.reason, ExitStatus::Code(0), ExitCause::Natural);
    expect_nobody_left(witness).await;
}

/// The writer has left the group, so only the end of the pipe can end it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_that_got_away_and_never_stops_writing_is_cut_off() {
    let spec = ProcessSpec { drain_timeout: Duration::from_millis(50), ..sh("setsid yes & read x; exit 0") };
    let mut process = Process::spawn(&ProcessSpec { stdin: StdinMode::Piped, ..spec }).unwrap();
    let first = soon(process.next()).await;
    assert!(matches!(first, Some(ProcessEvent::Output(Piece::Stream { .. }))), "{first:?}");
    process.take_stdin().unwrap().close().await.unwrap();
    let drain = async {
        loop {
            if let Some(ProcessEvent::Exited(reason)) = process.next().await {
                return reason;
            }
        }
    };
    check(soon(drain).await, ExitStatus::Code(0), ExitCause::Natural);
}

#[tokio::test]
async fn neither_output_keeps_the_other_waiting() {
    let mut process = Process::spawn(&sh("yes >&2 & exec yes")).unwrap();
    come_late(|| process.output.is_waiting_on_both()).await;
    for expected in [OutputStream::Stdout, OutputStream::Stderr] {
        let event = soon(process.next()).await;
        assert!(
            matches!(event, Some(ProcessEvent::Output(Piece::Stream { stream, .. })) if stream == expected),
            "{event:?}"
        );
    }
}

#[tokio::test]
async fn dropping_a_process_kills_its_whole_group() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; sleep 60 & echo ready; wait";
    let (process, witness) = spawn_with_witness(directory.path(), script, ProcessSpec::new("sh")).await;
    drop(process);
    expect_nobody_left(witness).await;
}

#[tokio::test]
async fn a_variable_is_removed_and_the_whole_environment_is_told_before_any_output() {
    let env = vec![("GREETING".to_owned(), Some("hello".to_owned())), ("HOME".to_owned(), None)];
    let spec = ProcessSpec { env, report_env: true, ..ProcessSpec::new("env") };
    let told = run(&spec).await;
    let text = String::from_utf8(told.stdout).unwrap();
    let got: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(told.environment, got);
    assert_eq!(got.get("GREETING").map(String::as_str), Some("hello"));
    assert!(!got.contains_key("HOME") && got.contains_key("PATH"));
}

#[tokio::test]
async fn a_missing_directory_is_made_if_that_is_asked_for_and_named_to_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let cwd = directory.path().canonicalize().unwrap().join("not/yet");
    let spec = ProcessSpec { cwd: Some(cwd.clone()), make_cwd: true, ..sh("printenv PWD; /bin/pwd -P") };
    for _ in 0..2 {
        let told = run(&spec).await;
        let line = format!("{}\n", cwd.display());
        assert_eq!(String::from_utf8(told.stdout).unwrap(), [&line[..], &line[..]].concat());
    }
    File::create(directory.path().join("file")).unwrap();
    let cwd = Some(directory.path().join("file/below"));
    let refusal =
        Process::spawn(&ProcessSpec { cwd, make_cwd: true, ..ProcessSpec::new("true") }).unwrap_err();
    assert!(matches!(refusal, SpawnError::CwdNotMade { .. }), "{refusal}");
}

#[tokio::test]
async fn the_process_leads_its_own_group() {
    let told = run(&sh("read pid comm state parent group rest < /proc/$$/stat; echo $$ $group")).await;
    let told = String::from_utf8(told.stdout).unwrap();
    let (pid, group) = told.trim().split_once(' ').unwrap();
    assert_eq!(pid, group);
}

#[tokio::test]
async fn too_many_lines_end_a_process_and_all_that_crossed_the_limit_is_told() {
    let spec = ProcessSpec { lines_max: Some(1000), ..ProcessSpec::new("yes") };
    let told = run(&spec).await;
    assert_eq!(told.reason.status, ExitStatus::Signal(15));
    let ExitCause::TooManyLines { lines } = told.reason.cause else { panic!("{:?}", told.reason) };
    assert!(lines > 1000 && told.stdout.len() as u64 >= 2 * lines, "{lines}");
}

#[tokio::test]
async fn as_many_lines_as_allowed_are_no_reason_and_one_more_is_one_even_at_the_end() {
    let told = run(&ProcessSpec { lines_max: Some(4), ..sh("printf 'a\\r\\nb\\rc\\n'; echo d >&2") }).await;
    check(told.reason, ExitStatus::Code(0), ExitCause::Natural);
    let mut process = Process::spawn(&ProcessSpec { lines_max: Some(3), ..sh("seq 1 4; exit 5") }).unwrap();
    come_late(|| process.group.leader_status().is_some()).await;
    let told = read_to_exit(&mut process).await;
    check(told.reason, ExitStatus::Code(5), ExitCause::TooManyLines { lines: 4 });
}

#[tokio::test]
async fn a_stop_without_grace_sends_the_signal_that_ends_and_no_request() {
    let script = "trap 'echo asked' TERM; trap 'echo ended; exit 3' USR2; sleep 600 >/dev/null 2>&1 & echo ready; wait; wait";
    let kill_signal = "USR2".parse().unwrap();
    let mut process =
        Process::spawn(&ProcessSpec { kill_grace: Duration::ZERO, kill_signal, ..sh(script) }).unwrap();
    wait_for(&mut process, "ready").await;
    process.stop();
    let told = read_to_exit(&mut process).await;
    assert_eq!(told.stdout, b"ended\n");
    check(told.reason, ExitStatus::Code(3), ExitCause::Stopped);
}

#[tokio::test]
async fn the_request_is_the_signal_that_was_named() {
    let script = "trap 'echo asked; exit 4' USR1; sleep 600 >/dev/null 2>&1 & echo ready; wait; wait";
    let mut process =
        Process::spawn(&ProcessSpec { stop_signal: "USR1".parse().unwrap(), ..sh(script) }).unwrap();
    wait_for(&mut process, "ready").await;
    process.stop();
    let told = read_to_exit(&mut process).await;
    assert_eq!(told.stdout, b"asked\n");
    check(told.reason, ExitStatus::Code(4), ExitCause::Stopped);
}

#[tokio::test]
async fn a_signal_that_is_ignored_is_followed_by_one_that_is_not() {
    let spec = ProcessSpec {
        kill_grace: Duration::ZERO,
        kill_signal: "INT".parse().unwrap(),
        kill_timeout: Duration::from_millis(50),
        ..sh("trap '' INT; echo ready; exec sleep 60")
    };
    let mut process = Process::spawn(&spec).unwrap();
    wait_for(&mut process, "ready").await;
    process.stop();
    check(read_to_exit(&mut process).await.reason, ExitStatus::Signal(9), ExitCause::Stopped);
}
