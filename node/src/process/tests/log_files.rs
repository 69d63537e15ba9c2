//! Processes whose files are followed.

use super::*;

/// Follows the file `log` in a directory as `test`.
fn following(directory: &Path, follow: bool, script: &str) -> ProcessSpec {
    let file = LogFile { name: "test".to_owned(), path: "log".to_owned(), follow };
    ProcessSpec { cwd: Some(directory.to_owned()), log_files: vec![file], ..sh(script) }
}

#[tokio::test]
async fn a_log_file_is_told_while_the_process_runs_and_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let spec = following(directory.path(), false, "echo first > log; read go; echo last >> log; exit 6");
    let mut process = Process::spawn(&ProcessSpec { stdin: StdinMode::Piped, ..spec }).unwrap();
    let mut stdin = process.take_stdin().unwrap();
    let mut log = Vec::new();
    while log != b"first\n" {
        let event = soon(process.next()).await;
        let Some(ProcessEvent::Output(Piece::Log { name, bytes })) = event else { panic!("{event:?}") };
        assert_eq!(name, "test");
        log.extend(bytes);
    }
    stdin.write(&mut Bytes::from_static(b"go\n")).await.unwrap();
    let told = read_to_exit(&mut process).await;
    assert_eq!(told.logs["test"], b"last\n");
    check(told.reason, ExitStatus::Code(6), ExitCause::Natural);
}

#[tokio::test]
async fn a_log_file_that_was_there_is_told_from_its_beginning_or_from_its_end() {
    for (follow, expected) in [(false, "before\nadded\n"), (true, "added\n")] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("log"), "before\n").unwrap();
        let told = run(&following(directory.path(), follow, "echo added >> log")).await;
        assert_eq!(String::from_utf8_lossy(&told.logs["test"]), expected);
        let told = run(&following(directory.path(), follow, "true")).await;
        assert_eq!(told.logs, BTreeMap::new(), "a file that stays as it was tells nothing");
    }
}

#[tokio::test]
async fn a_long_log_file_comes_whole_and_with_the_output() {
    let directory = tempfile::tempdir().unwrap();
    let told = run(&following(directory.path(), false, "seq 1 170000 | tee log")).await;
    assert!(told.stdout.len() > 1024 * 1024);
    assert!(told.logs["test"] == told.stdout, "{} of {}", told.logs["test"].len(), told.stdout.len());
}

#[tokio::test]
async fn what_is_logged_is_no_silence() {
    let directory = tempfile::tempdir().unwrap();
    let limit = Some(Duration::from_millis(1));
    let spec = following(directory.path(), false, "echo unread > log; exec sleep 60");
    let mut process = Process::spawn(&ProcessSpec { no_output_timeout: limit, ..spec }).unwrap();
    let started = Instant::now();
    come_late(|| process.logs.is_waiting() && started.elapsed() > LATE).await;
    let event = soon(process.next()).await;
    assert!(matches!(event, Some(ProcessEvent::Output(Piece::Log { .. }))), "{event:?}");
    assert_eq!(process.lifetime.cause(), ExitCause::Natural);
}

#[tokio::test]
async fn a_log_file_that_has_to_wait_is_not_read_and_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::spawn(&following(directory.path(), false, "seq 1 20000 > log")).unwrap();
    come_late(|| process.group.leader_status().is_some()).await;
    let held = timeout(Duration::from_millis(300), process.hold()).await;
    assert!(held.is_err(), "what the file holds is not bounded, so it waits for room");
    let told = read_to_exit(&mut process).await;
    let expected: String = (1..=20_000).map(|line| format!("{line}\n")).collect();
    assert!(told.logs["test"] == expected.as_bytes());
}
