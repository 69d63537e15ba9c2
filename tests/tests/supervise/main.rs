//! Supervised programs outlive whoever started them, with real processes that are really killed.

mod pieces;

use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use runnel::process::{ExitCause, ExitReason, ExitStatus, LogFile, Piece, ProcessSpec, StdinMode};
use runnel::supervise::{
    SuperviseError, Supervised, SupervisedEvent, Supervision, SupervisionConfig, Trimmed,
};
use runnel_tests::patience::patient;
use runnel_tests::supervised::{Follower, to_hex};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

const PROGRAM: &str = env!("CARGO_BIN_EXE_test-supervised");

fn sh(script: &str) -> ProcessSpec {
    ProcessSpec { args: vec!["-c".to_owned(), script.to_owned()], ..ProcessSpec::new("sh") }
}

fn supervision(folder: &Path) -> Supervision {
    with_config(folder, SupervisionConfig::default())
}

fn with_config(folder: &Path, config: SupervisionConfig) -> Supervision {
    Supervision::new(folder.join("exec"), PROGRAM, config)
}

/// Plans a script under the name `a`, to be followed by another process.
fn plan(folder: &Path, spec: &ProcessSpec) -> (Supervision, Follower) {
    let supervision = supervision(folder);
    supervision.plan("a", spec).expect("the folder can be written");
    let follower = Follower::start(PROGRAM, &folder.join("exec"), "a");
    (supervision, follower)
}

async fn run(supervision: &Supervision, spec: &ProcessSpec) -> Supervised {
    supervision.plan("a", spec).expect("the folder can be written");
    follow(supervision).await
}

async fn follow(supervision: &Supervision) -> Supervised {
    patient("a supervisor to answer", supervision.follow("a")).await.expect("there is a program")
}

async fn next(supervised: &mut Supervised) -> Result<SupervisedEvent, SuperviseError> {
    patient("an event", supervised.next()).await
}

/// Reads to the end. Returns all output and the end.
async fn read_to_end(supervised: &mut Supervised) -> (Vec<u8>, Result<ExitReason, SuperviseError>) {
    let mut output = Vec::new();
    loop {
        match next(supervised).await {
            Ok(SupervisedEvent::Output { piece: Piece::Stream { bytes, .. }, .. }) => {
                output.extend_from_slice(&bytes)
            }
            Ok(SupervisedEvent::Output { piece, .. }) => panic!("nobody has asked for {piece:?}"),
            Ok(SupervisedEvent::Exited(reason)) => return (output, Ok(reason)),
            Err(error) => return (output, Err(error)),
        }
    }
}

/// A script whose processes, all of them, hold a pipe as long as they live; it begins by saying its supervisor's number.
fn with_witness(folder: &Path, script: &str) -> ProcessSpec {
    let spec = sh(&format!("mkfifo witness; exec 3<>witness; echo $PPID; {script}"));
    ProcessSpec { cwd: Some(folder.to_owned()), ..spec }
}

fn open_witness(folder: &Path) -> pipe::Receiver {
    pipe::OpenOptions::new().open_receiver(folder.join("witness")).expect("the script has made it")
}

async fn expect_nobody_left(mut witness: pipe::Receiver) {
    let mut rest = Vec::new();
    patient("everybody to be gone", witness.read_to_end(&mut rest)).await.expect("a pipe can be read");
    assert_eq!(rest, b"");
}

fn kill(pid: &[u8]) {
    let pid = std::str::from_utf8(pid).expect("digits").trim().parse().expect("a number");
    kill_process(Pid::from_raw(pid).expect("not 0"), Signal::KILL)
        .expect("a supervisor of ours can be killed");
}

fn has_line(output: &[u8]) -> bool {
    output.contains(&b'\n')
}

fn natural(code: i32) -> ExitReason {
    ExitReason { status: ExitStatus::Code(code), cause: ExitCause::Natural }
}

#[tokio::test]
async fn output_and_exit_code_outlive_any_number_of_killed_nodes() {
    let folder = tempfile::tempdir().expect("a folder");
    // Each line waits for its turn, so that nodes die in the middle of it and not behind its end.
    let script = "i=0; while read go; do seq $i $((i + 999)); i=$((i + 1000)); done; exit 7";
    let (_, mut follower) = plan(folder.path(), &ProcessSpec { stdin: StdinMode::Piped, ..sh(script) });
    let expected: String = (0..10_000).map(|line| format!("{line}\n")).collect();
    for turn in 1..=10 {
        follower.order(&format!("input {}", to_hex("go\n".repeat(turn).as_bytes()))).await;
        let so_far = expected.find(&format!("\n{}\n", turn * 1000 - 500)).expect("it is a line");
        follower.read_until(|output| output.len() >= so_far).await;
        let trimmed = follower.number / 2;
        follower.order(&format!("trim {trimmed}")).await;
        follower.kill_and_restart().await;
    }
    follower.order(&format!("input {}", to_hex("go\n".repeat(10).as_bytes()))).await;
    follower.order("end").await;
    let end = follower.read_to_end().await;
    assert_eq!(end, format!("exited {:?}", natural(7)));
    assert!(follower.output == expected.as_bytes(), "{} of {} bytes", follower.output.len(), expected.len());
    follower.settle().await;
    assert_eq!(fs::read_dir(folder.path().join("exec")).expect("it is there").count(), 0, "nothing is left");
}

#[tokio::test]
async fn a_program_that_ended_while_nobody_followed_is_told_of_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let go = folder.path().join("go");
    assert!(std::process::Command::new("mkfifo").arg(&go).status().expect("it is installed").success());
    let (_, mut follower) =
        plan(folder.path(), &with_witness(folder.path(), "read x < go; echo late; exit 3"));
    follower.read_until(has_line).await;
    let witness = open_witness(folder.path());
    let mut killed = Follower::start(PROGRAM, &folder.path().join("exec"), "a");
    killed.read_until(has_line).await;
    drop((killed, follower));
    fs::write(&go, "go\n").expect("the script reads it");
    expect_nobody_left(witness).await;
    let mut supervised = follow(&supervision(folder.path())).await;
    let (output, end) = read_to_end(&mut supervised).await;
    assert!(output.ends_with(b"\nlate\n"), "{output:?}");
    assert_eq!(end.ok(), Some(natural(3)));
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_killed_supervisor_leaves_nobody_behind_and_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "trap '' HUP TERM PIPE; sleep 600 & setsid -f true; echo more; wait";
    let supervision = supervision(folder.path());
    let mut supervised = run(&supervision, &with_witness(folder.path(), script)).await;
    let mut output = Vec::new();
    while !output.ends_with(b"more\n") {
        let event = next(&mut supervised).await;
        let Ok(SupervisedEvent::Output { piece: Piece::Stream { bytes, .. }, .. }) = event else {
            panic!("{event:?}")
        };
        output.extend_from_slice(&bytes);
    }
    let witness = open_witness(folder.path());
    kill(output.split(|byte| *byte == b'\n').next().expect("a line"));
    let end = next(&mut supervised).await;
    assert!(matches!(end, Err(SuperviseError::Lost)), "{end:?}");
    expect_nobody_left(witness).await;
    let again = next(&mut follow(&supervision).await).await;
    assert!(
        matches!(again, Ok(SupervisedEvent::Output { number: 1, .. })),
        "what was said is kept: {again:?}"
    );
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn the_next_node_finds_what_a_killed_supervisor_and_a_killed_node_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let (supervision, mut follower) = plan(folder.path(), &with_witness(folder.path(), "sleep 600 & wait"));
    follower.read_until(has_line).await;
    let witness = open_witness(folder.path());
    let pid = follower.output.clone();
    drop(follower);
    kill(&pid);
    let mut supervised = follow(&supervision).await;
    let (output, end) = read_to_end(&mut supervised).await;
    assert_eq!(output, pid);
    assert!(matches!(end, Err(SuperviseError::Lost)), "{end:?}");
    expect_nobody_left(witness).await;
    supervised.settle().await.expect("it can be settled");
    let gone = supervision.follow("a").await;
    assert!(matches!(gone, Err(SuperviseError::Gone)), "{gone:?}");
}

#[tokio::test]
async fn a_full_spool_presses_back_and_the_program_can_still_be_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes_max = 256 << 10;
    let config = SupervisionConfig {
        spool_bytes_max: NonZeroU64::new(bytes_max).expect("not 0"),
        ..SupervisionConfig::default()
    };
    let spec = ProcessSpec { kill_grace: Duration::from_millis(50), ..sh("seq 1 1000000") };
    let mut supervised = run(&with_config(folder.path(), config), &spec).await;
    let (mut read, mut has_stopped) = (0, false);
    let end = loop {
        match next(&mut supervised).await {
            Ok(SupervisedEvent::Output { piece: Piece::Stream { bytes, .. }, .. }) => {
                read += bytes.len() as u64
            }
            end => break end,
        }
        // What has been read is all that there is room for: nothing more comes of itself.
        if read >= bytes_max - (64 << 10) && !has_stopped {
            supervised.stop();
            has_stopped = true;
        }
    };
    let Ok(SupervisedEvent::Exited(reason)) = end else { panic!("{end:?}") };
    assert_eq!(reason.cause, ExitCause::Stopped);
    // The last piece, and what two pipes hold.
    assert!(read <= bytes_max + (32 << 10) + 2 * (64 << 10), "{read} bytes");
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn output_that_is_let_go_of_makes_room_for_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes_max = 256 << 10;
    let config = SupervisionConfig {
        spool_bytes_max: NonZeroU64::new(bytes_max).expect("not 0"),
        ..SupervisionConfig::default()
    };
    let mut supervised = run(&with_config(folder.path(), config), &sh("seq 1 500000")).await;
    let expected: String = (1..=500_000).map(|line| format!("{line}\n")).collect();
    let (mut output, mut most) = (Vec::new(), 0);
    loop {
        match next(&mut supervised).await.expect("it runs") {
            SupervisedEvent::Output { number, piece: Piece::Stream { bytes, .. } } => {
                output.extend_from_slice(&bytes);
                supervised.trim(Trimmed { number, mark: 0 });
                most = most.max(spooled_bytes(&folder.path().join("exec/a")));
            }
            SupervisedEvent::Output { piece, .. } => panic!("nobody has asked for {piece:?}"),
            SupervisedEvent::Exited(reason) => {
                assert_eq!(reason, natural(0));
                break;
            }
        }
    }
    assert!(output == expected.as_bytes(), "{} of {} bytes", output.len(), expected.len());
    assert!(most <= bytes_max + (64 << 10), "{most} bytes were on the disk");
    supervised.settle().await.expect("it can be settled");
}

fn spooled_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("it is there").flatten();
    let spool = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"output."));
    // A file may have gone meanwhile.
    spool.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[tokio::test]
async fn input_from_the_beginning_reaches_the_program_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, mut follower) =
        plan(folder.path(), &ProcessSpec { stdin: StdinMode::Piped, ..ProcessSpec::new("cat") });
    let input: String = (0..60_000).map(|line| format!("{line}\n")).collect();
    let pieces: Vec<&str> =
        input.as_bytes().chunks(10_000).map(|piece| std::str::from_utf8(piece).expect("digits")).collect();
    for given in [5, 20, 35] {
        for (index, piece) in pieces[..given].iter().enumerate() {
            follower.order(&format!("input {}", to_hex(piece.as_bytes()))).await;
            // Some of it may be on its way when the node is killed.
            follower.read_until(|output| output.len() >= index * 10_000).await;
        }
        follower.kill_and_restart().await;
    }
    for (index, piece) in pieces.iter().enumerate() {
        follower.order(&format!("input {}", to_hex(piece.as_bytes()))).await;
        follower.read_until(|output| output.len() >= index * 10_000).await;
    }
    follower.order("end").await;
    assert_eq!(follower.read_to_end().await, format!("exited {:?}", natural(0)));
    assert!(follower.output == input.as_bytes(), "{} of {} bytes", follower.output.len(), input.len());
    follower.settle().await;
}

#[tokio::test]
async fn input_that_is_not_read_does_not_hold_up_its_writer_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = ProcessSpec { stdin: StdinMode::Piped, ..sh("exec <&-; echo closed") };
    let mut supervised = run(&supervision(folder.path()), &spec).await;
    let mut stdin = supervised.stdin();
    let mut input = Bytes::from(vec![0; 1 << 20]);
    patient("the input to be refused", stdin.write(&mut input)).await.expect_err("nobody reads it");
    let (output, end) = read_to_end(&mut supervised).await;
    assert_eq!((output, end.ok()), (b"closed\n".to_vec(), Some(natural(0))));
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_program_is_stopped_by_a_later_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, mut follower) = plan(folder.path(), &sh("echo ready; exec sleep 600"));
    follower.read_until(has_line).await;
    follower.kill_and_restart().await;
    follower.order("stop").await;
    let stopped = ExitReason { status: ExitStatus::Signal(15), cause: ExitCause::Stopped };
    assert_eq!(follower.read_to_end().await, format!("exited {stopped:?}"));
    follower.settle().await;
}

#[tokio::test]
async fn a_program_is_started_once_however_many_follow_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let supervision = supervision(folder.path());
    let spec = ProcessSpec { cwd: Some(folder.path().to_owned()), ..sh("echo run >> runs; cat; exit 0") };
    supervision
        .plan("a", &ProcessSpec { stdin: StdinMode::Piped, ..spec })
        .expect("the folder can be written");
    let mut followers =
        patient("all to follow", futures_util::future::join_all((0..5).map(|_| follow(&supervision)))).await;
    let mut last = follow(&supervision).await;
    last.stdin().close();
    assert_eq!(read_to_end(&mut last).await.1.ok(), Some(natural(0)));
    for follower in &mut followers {
        let end = next(follower).await;
        assert!(matches!(end, Err(SuperviseError::Replaced)), "{end:?}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("runs")).expect("it ran"), "run\n");
    last.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut supervised = run(&supervision(folder.path()), &ProcessSpec::new("no-such-program")).await;
    let end = next(&mut supervised).await.expect_err("there is no such program");
    assert_eq!(end.to_string(), "the program was not started: program no-such-program not found");
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_supervisor_that_cannot_be_started_says_why_and_the_program_may_start_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken =
        Supervision::new(folder.path().join("exec"), "/no/such/supervisor", SupervisionConfig::default());
    broken.plan("a", &sh("echo later")).expect("the folder can be written");
    let refusal = broken.follow("a").await;
    assert!(matches!(refusal, Err(SuperviseError::Launch { .. })), "{refusal:?}");
    let mut supervised = follow(&supervision(folder.path())).await;
    assert_eq!(read_to_end(&mut supervised).await.0, b"later\n");
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_supervisor_that_leaves_before_the_start_is_launched_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("supervisor");
    let once = folder.path().join("once");
    fs::write(
        &script,
        format!("#!/bin/sh\nmkdir {} 2>/dev/null && exit\nexec {PROGRAM} \"$@\"\n", once.display()),
    )
    .expect("the folder can be written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let supervision = Supervision::new(folder.path().join("exec"), script, SupervisionConfig::default());
    let mut supervised = run(&supervision, &sh("echo later")).await;
    assert_eq!(read_to_end(&mut supervised).await.0, b"later\n");
    assert!(once.exists(), "one has left");
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_program_that_no_node_asks_for_ends_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let config =
        SupervisionConfig { absence_timeout: Duration::from_millis(20), ..SupervisionConfig::default() };
    let supervision = with_config(folder.path(), config);
    let mut supervised = run(&supervision, &with_witness(folder.path(), "exec sleep 600")).await;
    next(&mut supervised).await.expect("it runs as long as somebody is there");
    let witness = open_witness(folder.path());
    drop(supervised);
    expect_nobody_left(witness).await;
    supervision.settle("a").await.expect("it is gone, or about to");
}

#[tokio::test]
async fn a_program_whose_folder_is_removed_ends_and_so_does_its_supervisor() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = SupervisionConfig {
        folder_check_interval: Duration::from_millis(20),
        ..SupervisionConfig::default()
    };
    let supervision = with_config(folder.path(), config);
    let script = with_witness(folder.path(), "trap '' HUP TERM PIPE; sleep 600 & wait");
    let mut supervised = run(&supervision, &script).await;
    next(&mut supervised).await.expect("it runs");
    let witness = open_witness(folder.path());
    let lock = fs::File::open(folder.path().join("exec/a/lock")).expect("it is the supervisor's");
    fs::remove_dir_all(folder.path().join("exec")).expect("it can be removed");
    expect_nobody_left(witness).await;
    let unlocked = patient("the supervisor to end", tokio::task::spawn_blocking(move || lock.lock())).await;
    unlocked.expect("it does not panic").expect("nobody holds it");
    let end = next(&mut supervised).await;
    assert!(matches!(end, Err(SuperviseError::Gone)), "{end:?}");
}

#[tokio::test]
async fn a_folder_that_is_moved_is_not_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let config =
        SupervisionConfig { folder_check_interval: Duration::from_millis(1), ..SupervisionConfig::default() };
    let spec = ProcessSpec { stdin: StdinMode::Piped, ..sh("cat > /dev/null; exit 5") };
    let mut supervised = run(&with_config(folder.path(), config), &spec).await;
    let moved = folder.path().join("moved");
    fs::create_dir(&moved).expect("it is new");
    fs::rename(folder.path().join("exec"), moved.join("exec")).expect("it can be moved");
    // Each piece is taken by the supervisor's loop, which looks at the folder on its way.
    let (mut stdin, moved_at) = (supervised.stdin(), Instant::now());
    while moved_at.elapsed() < Duration::from_millis(20) {
        patient("input to be taken", stdin.write(&mut Bytes::from_static(b"x")))
            .await
            .expect("somebody reads");
    }
    fs::rename(moved.join("exec"), folder.path().join("exec")).expect("it can be moved");
    stdin.close();
    assert_eq!(read_to_end(&mut supervised).await.1.ok(), Some(natural(5)));
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_program_is_settled_by_its_name_whether_it_runs_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let supervision = supervision(folder.path());
    let mut running = run(&supervision, &with_witness(folder.path(), "exec sleep 600")).await;
    next(&mut running).await.expect("it runs");
    let witness = open_witness(folder.path());
    supervision.plan("b", &sh("true")).expect("the folder can be written");
    let mut names = supervision.names().expect("the folder can be read");
    names.sort();
    assert_eq!(names, ["a", "b"]);
    for name in names {
        supervision.settle(&name).await.expect("it can be settled");
        supervision.settle(&name).await.expect("it is settled");
    }
    expect_nobody_left(witness).await;
    assert_eq!(supervision.names().expect("the folder can be read"), [""; 0]);
}

#[tokio::test]
async fn what_was_let_go_of_is_known_when_the_supervisor_is_dead() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = SupervisionConfig {
        spool_bytes_max: NonZeroU64::new(256 << 10).expect("not 0"),
        ..SupervisionConfig::default()
    };
    let supervision = with_config(folder.path(), config);
    let mut supervised = run(&supervision, &sh("echo $PPID; seq 1 100000; read x; exit 4")).await;
    let (mut output, mut trimmed) = (Vec::new(), Trimmed::default());
    let end = loop {
        match next(&mut supervised).await {
            Ok(SupervisedEvent::Output { number, piece: Piece::Stream { bytes, .. } }) => {
                output.extend_from_slice(&bytes);
                trimmed = Trimmed { number, mark: output.len() as u64 };
                // The last of it is left for the next node.
                if output.len() < 500_000 {
                    supervised.trim(trimmed);
                }
            }
            end => break end,
        }
    };
    let Ok(SupervisedEvent::Exited(reason)) = end else { panic!("{end:?}") };
    assert_eq!(reason, natural(4), "its input has ended: it was not piped");
    kill(output.split(|byte| *byte == b'\n').next().expect("a line"));
    drop(supervised);
    let mut later = follow(&supervision).await;
    let kept = later.trimmed();
    assert!(kept.number > 0 && kept.number < trimmed.number, "{kept:?} of {trimmed:?}");
    let (rest, end) = read_to_end(&mut later).await;
    let mark = usize::try_from(kept.mark).expect("it fits");
    assert!(rest == output[mark..], "{} bytes from {mark}, of {}", rest.len(), output.len());
    assert_eq!(end.ok(), Some(natural(4)), "the end outlives the supervisor");
    later.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_folder_may_lie_deeper_than_a_socket_can_be_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep: PathBuf = folder.path().join("x".repeat(100)).join("y".repeat(100));
    let mut supervised = run(&supervision(&deep), &sh("echo deep")).await;
    assert_eq!(read_to_end(&mut supervised).await.0, b"deep\n");
    supervised.settle().await.expect("it can be settled");
}
