//! What a supervised program brings beside its output, and what it reads in a terminal.

use super::*;

/// Reads to the end, record by record.
async fn pieces(supervised: &mut Supervised) -> Vec<(u64, Piece)> {
    let mut pieces = Vec::new();
    loop {
        match next(supervised).await.expect("it runs") {
            SupervisedEvent::Output { number, piece } => pieces.push((number, piece)),
            SupervisedEvent::Exited(reason) => {
                assert_eq!(reason, natural(0));
                return pieces;
            }
        }
    }
}

#[tokio::test]
async fn output_log_files_and_the_environment_are_one_row_for_every_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = LogFile { name: "test".to_owned(), path: "log".to_owned(), follow: false };
    let spec = ProcessSpec {
        cwd: Some(folder.path().join("made")),
        make_cwd: true,
        env: vec![("GREETING".to_owned(), Some("hello".to_owned()))],
        report_env: true,
        log_files: vec![log],
        stdin: StdinMode::Piped,
        ..sh("for part in 0 1 2; do echo out $part; seq $part 10000 >> log; read go; done")
    };
    let supervision = supervision(folder.path());
    let mut supervised = run(&supervision, &spec).await;
    let (mut first, mut log_bytes) = (Vec::new(), 0);
    // Each part is told before the next one begins, and the node is another then.
    for part in 1..=3 {
        while log_bytes < 40_000 * part {
            match next(&mut supervised).await.expect("it runs") {
                SupervisedEvent::Output { number, piece } => {
                    if let Piece::Log { bytes, .. } = &piece {
                        log_bytes += bytes.len();
                    }
                    first.push((number, piece));
                }
                SupervisedEvent::Exited(reason) => panic!("it waits for input: {reason:?}"),
            }
        }
        supervised = follow(&supervision).await;
        for expected in &first {
            let event = next(&mut supervised).await.expect("it is kept");
            let SupervisedEvent::Output { number, piece } = event else { panic!("{event:?}") };
            assert_eq!((number, &piece), (expected.0, &expected.1));
        }
        let input = "go\n".repeat(part);
        patient("input to be taken", supervised.stdin().write(&mut input.into())).await.expect("it reads");
    }
    first.extend(pieces(&mut supervised).await);
    assert!(first.iter().map(|(number, _)| *number).eq(1..=first.len() as u64));
    let (_, Piece::Environment(variables)) = &first[0] else { panic!("{:?}", first[0]) };
    assert!(variables.contains(&("GREETING".to_owned(), "hello".to_owned())));
    let of = |wanted: &str| -> String {
        let bytes = first.iter().filter_map(|(_, piece)| match piece {
            Piece::Stream { bytes, .. } if wanted == "output" => Some(&bytes[..]),
            Piece::Log { name, bytes } if wanted == name => Some(&bytes[..]),
            _ => None,
        });
        String::from_utf8(bytes.collect::<Vec<_>>().concat()).expect("digits")
    };
    assert_eq!(of("output"), "out 0\nout 1\nout 2\n");
    let logged: String = (0..3).flat_map(|part| part..=10_000).map(|line| format!("{line}\n")).collect();
    assert!(of("test") == logged, "{} of {} bytes", of("test").len(), logged.len());
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_long_log_file_waits_until_what_is_told_is_let_go_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes_max = 256 << 10;
    let config = SupervisionConfig {
        spool_bytes_max: NonZeroU64::new(bytes_max).expect("not 0"),
        ..SupervisionConfig::default()
    };
    let log = LogFile { name: "test".to_owned(), path: "log".to_owned(), follow: false };
    let cwd = Some(folder.path().to_owned());
    let spec = ProcessSpec { cwd, log_files: vec![log], ..sh("seq 1 500000 > log") };
    let mut supervised = run(&with_config(folder.path(), config), &spec).await;
    let (mut logged, mut most) = (Vec::new(), 0);
    while let SupervisedEvent::Output { number, piece } = next(&mut supervised).await.expect("it runs") {
        let Piece::Log { bytes, .. } = piece else { panic!("{piece:?}") };
        logged.extend(bytes);
        supervised.trim(Trimmed { number, mark: 0 });
        most = most.max(spooled_bytes(&folder.path().join("exec/a")));
    }
    let expected: String = (1..=500_000).map(|line| format!("{line}\n")).collect();
    assert!(logged == expected.as_bytes(), "{} of {} bytes", logged.len(), expected.len());
    assert!(most <= bytes_max + (64 << 10), "{most} bytes were on the disk");
    supervised.settle().await.expect("it can be settled");
}

#[tokio::test]
async fn a_terminal_outlives_killed_nodes_and_takes_input_from_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "test -t 0 && stty -onlcr; while read go; do echo got $go; done; exit 7";
    let spec = ProcessSpec { stdin: StdinMode::Piped, has_terminal: true, ..sh(script) };
    let (_, mut follower) = plan(folder.path(), &spec);
    let mut expected = String::new();
    for turn in 1..=3 {
        let input: String = (1..=turn).map(|line| format!("{line}\n")).collect();
        follower.order(&format!("input {}", to_hex(input.as_bytes()))).await;
        expected.push_str(&format!("got {turn}\n"));
        follower.read_until(|output| output.len() >= expected.len()).await;
        follower.kill_and_restart().await;
    }
    follower.order(&format!("input {}", to_hex(b"1\n2\n3\n"))).await;
    follower.order("end").await;
    assert_eq!(follower.read_to_end().await, format!("exited {:?}", natural(7)));
    assert_eq!(String::from_utf8_lossy(&follower.output), expected);
    follower.settle().await;
}

#[tokio::test]
async fn a_killed_supervisor_leaves_nobody_behind_in_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "trap '' HUP TERM PIPE; sleep 600 & echo more; wait; wait";
    let spec = ProcessSpec { has_terminal: true, ..with_witness(folder.path(), script) };
    let mut supervised = run(&supervision(folder.path()), &spec).await;
    let mut output = Vec::new();
    while !output.ends_with(b"more\r\n") {
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
    supervised.settle().await.expect("it can be settled");
}
