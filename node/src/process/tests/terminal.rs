//! Processes in terminals.

use super::*;

fn in_terminal(script: &str) -> ProcessSpec {
    ProcessSpec { has_terminal: true, ..sh(script) }
}

#[tokio::test]
async fn a_terminal_is_all_three_streams_and_controls_a_session_of_its_own() {
    let script = "test -t 0 && test -t 1 && test -t 2 && echo three; echo err >&2; stty size; echo mine > /dev/tty; \
                  read pid comm state parent group session rest < /proc/$$/stat; test $$ = $session && echo leads; exit 3";
    let told = run(&in_terminal(script)).await;
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(text, "three\r\nerr\r\n24 80\r\nmine\r\nleads\r\n");
    assert_eq!(told.stderr, b"");
    check(told.reason, ExitStatus::Code(3), ExitCause::Natural);
}

#[tokio::test]
async fn all_that_is_written_to_a_terminal_comes_whole() {
    let told = run(&in_terminal("seq 1 50000")).await;
    let expected: String = (1..=50_000).map(|line| format!("{line}\r\n")).collect();
    assert!(told.stdout == expected.as_bytes(), "{} of {} bytes", told.stdout.len(), expected.len());
    check(told.reason, ExitStatus::Code(0), ExitCause::Natural);
}

#[tokio::test]
async fn a_terminal_that_is_read_late_has_kept_what_was_written() {
    let mut process = Process::spawn(&in_terminal("seq 1 500; exit 4")).unwrap();
    come_late(|| process.group.leader_status().is_some()).await;
    let told = read_to_exit(&mut process).await;
    let expected: String = (1..=500).map(|line| format!("{line}\r\n")).collect();
    assert!(told.stdout == expected.as_bytes(), "{} of {} bytes", told.stdout.len(), expected.len());
    check(told.reason, ExitStatus::Code(4), ExitCause::Natural);
}

#[tokio::test]
async fn a_terminal_without_input_gives_its_end() {
    let told = run(&in_terminal("cat; echo end")).await;
    assert_eq!(String::from_utf8_lossy(&told.stdout), "end\r\n");
}

#[tokio::test]
async fn input_reaches_a_terminal_and_ends_and_is_not_echoed() {
    for (input, expected) in [("a\nb\n", "a\r\nb\r\nend\r\n"), ("a\nb", "a\r\nbend\r\n"), ("", "end\r\n")] {
        let mut process =
            Process::spawn(&ProcessSpec { stdin: StdinMode::Piped, ..in_terminal("cat; echo end") }).unwrap();
        let mut stdin = process.take_stdin().unwrap();
        let write = async {
            stdin.write(&mut Bytes::from_static(input.as_bytes())).await.unwrap();
            stdin.close().await.unwrap();
        };
        let (told, ()) = tokio::join!(read_to_exit(&mut process), write);
        assert_eq!(String::from_utf8_lossy(&told.stdout), expected);
    }
}

#[tokio::test]
async fn long_input_passes_through_a_terminal() {
    let input: String = (1..=20_000).map(|line| format!("{line}\n")).collect();
    let spec = ProcessSpec { stdin: StdinMode::Piped, ..in_terminal("stty -onlcr; cat") };
    let mut process = Process::spawn(&spec).unwrap();
    let mut stdin = process.take_stdin().unwrap();
    let mut bytes = Bytes::from(input.clone());
    let write = async {
        stdin.write(&mut bytes).await.unwrap();
        stdin.close().await.unwrap();
    };
    let (told, ()) = tokio::join!(read_to_exit(&mut process), write);
    assert!(told.stdout == input.as_bytes(), "{} of {} bytes", told.stdout.len(), input.len());
}

#[tokio::test]
async fn a_process_in_a_terminal_is_stopped_with_its_group() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap '' HUP; sleep 60 & stty -onlcr; echo ready; wait";
    let limits = ProcessSpec { has_terminal: true, ..ProcessSpec::new("sh") };
    let (mut process, witness) = spawn_with_witness(directory.path(), script, limits).await;
    process.stop();
    check(read_to_exit(&mut process).await.reason, ExitStatus::Signal(15), ExitCause::Stopped);
    expect_nobody_left(witness).await;
}

#[tokio::test]
async fn what_cannot_be_started_in_a_terminal_says_why() {
    let missing = ProcessSpec { has_terminal: true, ..ProcessSpec::new("no-such-program") };
    let missing = Process::spawn(&missing).unwrap_err();
    assert!(matches!(missing, SpawnError::NotFound { .. }), "{missing}");
}
