//! What a program is asked for must not depend on how its worker runs it.

use std::time::Duration;

use runnel::Config;
use runnel_tests::sim::{Pair, PathConfig};

use super::*;

fn log_file(name: &str, path: &str) -> LogFile {
    LogFile { name: name.to_owned(), path: path.to_owned(), follow: false }
}

#[tokio::test]
async fn a_program_gets_and_tells_the_environment_that_was_asked_for() {
    for kind in [Kind::Plain, Kind::Supervised] {
        let world = World::new().await;
        let worker = world.start(kind).await;
        let list = |parts: &[&str]| EnvValue::List(parts.iter().map(|&part| part.to_owned()).collect());
        let args = ExecArgs {
            env: vec![
                ("A".to_owned(), "${PATH}${NOT_THERE}!".into()),
                ("B".to_owned(), list(&["/opt", "${NOT_THERE}", "${PATH}"])),
                ("C".to_owned(), list(&["${NOT_THERE}"])),
                ("HOME".to_owned(), EnvValue::Removed),
            ],
            expand_env: true,
            report_env: true,
            cwd: Some("made/here".to_owned()),
            make_cwd: true,
            ..ExecArgs::default()
        };
        let told = world.run("env", args).await;
        let told_by_env: BTreeMap<String, String> = told
            .stdout()
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let path = std::env::var("PATH").expect("tests have one");
        let folder = world.0.folder.path().join("made/here").display().to_string();
        let expected = [("A", format!("{path}!")), ("B", format!("/opt:{path}")), ("PWD", folder)];
        for (name, value) in expected {
            assert_eq!(told.environment.get(name), Some(&value), "{kind:?}");
            assert_eq!(told_by_env.get(name), Some(&value), "{kind:?}");
        }
        for name in ["HOME", "C"] {
            assert!(
                !told.environment.contains_key(name) && !told_by_env.contains_key(name),
                "{kind:?}: {name}"
            );
        }
        assert!(told.environment.contains_key("RUNNEL_ID"));
        world.end(worker).await;
    }
}

#[tokio::test]
async fn a_program_in_a_terminal_reads_its_input_there() {
    for kind in [Kind::Plain, Kind::Supervised] {
        let world = World::new().await;
        let worker = world.start(kind).await;
        let args = ExecArgs { terminal: true, ..ExecArgs::default() };
        let body = Some(Body::bytes("one\ntwo\n"));
        let options = SubmitOptions { body, ..SubmitOptions::default() };
        let mut command = world.send("test -t 0 && test -t 1 && cat; exit 3", args, options).await;
        let mut output = Vec::new();
        read(&mut command, &mut output, usize::MAX).await;
        assert_eq!(String::from_utf8_lossy(&output), "one\r\ntwo\r\n", "{kind:?}");
        assert_eq!(outcome(command).await, Ok(exited(3)));
        let args = ExecArgs { terminal: true, ..ExecArgs::default() };
        let told = world.run("cat; echo end >&2", args).await;
        assert_eq!((told.stdout(), told.result()), ("end\r\n", exited(0)), "{kind:?}");
        world.end(worker).await;
    }
}

#[tokio::test]
async fn log_files_come_beside_the_output_and_too_many_are_refused() {
    for kind in [Kind::Plain, Kind::Supervised] {
        let world = World::new().await;
        let worker = world.start(kind).await;
        fs::write(world.0.folder.path().join("grown"), "before\n").expect("the folder can be written");
        let log_files = vec![
            log_file("test", "test.log"),
            LogFile { follow: true, ..log_file("more", "grown") },
            log_file("none", "never"),
        ];
        let script = "seq 1 20000 > test.log; echo added >> grown; echo out; echo err >&2";
        let told = world.run(script, ExecArgs { log_files, ..ExecArgs::default() }).await;
        let expected: String = (1..=20_000).map(|line| format!("{line}\n")).collect();
        assert!(told.logs["test"] == expected.as_bytes(), "{kind:?}: {} bytes", told.logs["test"].len());
        assert_eq!(told.logs["more"], b"added\n");
        assert_eq!(told.logs.len(), 2, "{kind:?}: a file that is not there tells nothing");
        assert_eq!((told.stdout(), &told.stderr[..], told.result()), ("out\n", &b"err\n"[..], exited(0)));

        let log_files = vec![log_file("test", "test.log"); 33];
        let told = world.run("true", ExecArgs { log_files, ..ExecArgs::default() }).await;
        assert_eq!(told.failure(), "33 log files are more than the 32 that this worker follows");
        world.end(worker).await;
    }
}

#[tokio::test]
async fn too_many_lines_and_named_signals_end_a_program() {
    for kind in [Kind::Plain, Kind::Supervised] {
        let world = World::new().await;
        let worker = world.start(kind).await;
        let args = ExecArgs {
            lines_max: Some(10),
            kill_grace_ms: Some(0),
            kill_signal: Some("USR2".to_owned()),
            ..ExecArgs::default()
        };
        let told = world.run("trap 'echo ended >&2; exit 4' USR2; trap 'echo asked >&2' TERM; seq 1 5 >&2; while :; do echo 1; done", args).await;
        let ExecResult { status, cause: ExecCause::TooManyLines { lines } } = told.result() else {
            panic!("{:?}", told.result())
        };
        assert_eq!(status, ExecStatus::Code(4), "{kind:?}");
        assert!(lines > 10 && told.stdout.len() > 10, "{lines}");
        assert!(told.stderr.ends_with(b"5\nended\n"), "{:?}", String::from_utf8_lossy(&told.stderr));

        let args = ExecArgs { stop_signal: Some("NONE".to_owned()), ..ExecArgs::default() };
        assert_eq!(world.run("true", args).await.failure(), "signal NONE is not known");
        world.end(worker).await;
    }
}

#[tokio::test]
async fn a_cancelled_program_is_ended_by_the_signal_that_was_named() {
    for kind in [Kind::Plain, Kind::Supervised] {
        let world = World::new().await;
        let worker = world.start(kind).await;
        let args =
            ExecArgs { kill_grace_ms: Some(0), kill_signal: Some("USR1".to_owned()), ..ExecArgs::default() };
        let script = "trap 'echo ended; exit 4' USR1; trap 'echo asked' TERM; sleep 600 >/dev/null 2>&1 & echo ready; wait; wait";
        let mut program = world.send(script, args, SubmitOptions::default()).await;
        let mut output = read_line(&mut program).await;
        world.0.controller.handle().cancel(program.id()).await.expect("it is known");
        read(&mut program, &mut output, usize::MAX).await;
        // The shell may tell of its killed `sleep` too.
        let output = String::from_utf8_lossy(&output);
        assert!(output.ends_with("ended\n") && !output.contains("asked"), "{kind:?}: {output}");
        assert_eq!(failure_of(outcome(program).await), FailureKind::Cancelled);
        world.end(worker).await;
    }
}

#[tokio::test]
async fn log_files_and_a_terminal_outlive_crashes_of_their_worker_and_no_byte_is_missing() {
    let world = World::new().await;
    world.make_gate();
    let mut worker = world.crashing_worker().await;
    let script = "stty -onlcr; for part in 0 1 2 3; do seq $((part * 1000)) $((part * 1000 + 999)) | tee -a log; \
                  until read go < gate; do :; done; done; exit 7";
    let args = ExecArgs {
        terminal: true,
        report_env: true,
        log_files: vec![log_file("test", "log")],
        ..ExecArgs::default()
    };
    let mut build = world.send(script, args, SubmitOptions::default()).await;
    let mut told = Told::default();
    let expected: String = (0..4000).map(|line| format!("{line}\n")).collect();
    for part in 0..4 {
        let some = expected.find(&format!("\n{}\n", part * 1000 + 500)).expect("it is a line");
        while told.stdout.len() < some || told.logs.get("test").is_none_or(|log| log.len() < some) {
            let progress = patient("progress", build.progress()).await.expect("it goes on");
            if let Progress::Update(update) = progress.expect("updates are of their type") {
                told.take(update);
            }
        }
        worker.crash();
        world.let_go().await;
        worker = world.crashing_worker().await;
    }
    while let Some(progress) = patient("progress", build.progress()).await {
        if let Progress::Update(update) = progress.expect("updates are of their type") {
            told.take(update);
        }
    }
    assert!(told.stdout == expected.as_bytes(), "{} of {} bytes", told.stdout.len(), expected.len());
    assert!(
        told.logs["test"] == expected.as_bytes(),
        "{} of {} bytes",
        told.logs["test"].len(),
        expected.len()
    );
    assert!(told.environment.contains_key("RUNNEL_ID"));
    assert_eq!(outcome(build).await, Ok(exited(7)));
    worker.crash();
    let worker = world.worker().start().await.expect("the worker starts");
    world.end(worker).await;
}

/// However short the time is that other handlers have.
#[tokio::test]
async fn a_cancelled_program_has_the_time_to_end_that_it_was_promised() {
    let mut handlers = Handlers::new();
    register_built_ins(&mut handlers, Confinement::default());
    let mut config = Config::default();
    config.receive_queue.stop_grace = Duration::from_millis(1);
    let pair = Pair::start_configured(
        1,
        PathConfig::lossy(Duration::from_millis(5), Duration::from_millis(1), 0.02),
        handlers,
        &config,
    )
    .await;
    let script =
        "trap 'sleep 0.3; echo cleaned; exit 4' TERM; sleep 600 >/dev/null 2>&1 & echo ready; wait; wait";
    let args = ExecArgs {
        program: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        kill_grace_ms: Some(60_000),
        ..ExecArgs::default()
    };
    let mut program = pair.submit::<Exec>(args, SubmitOptions::default()).await;
    let mut output = read_line(&mut program).await;
    pair.controller.cancel(program.id()).await.expect("it runs");
    read(&mut program, &mut output, usize::MAX).await;
    assert!(output.ends_with(b"cleaned\n"), "{:?}", String::from_utf8_lossy(&output));
    match program.outcome().await {
        Err(NotDone::Failed(failure)) => assert_eq!(failure.message, "the program was stopped"),
        other => panic!("{other:?}"),
    }
    pair.stop().await;
}
