//! A worker in front of an unmodified Buildbot master, which runs builds with ordinary steps on it.
//!
//! The worker runs nothing: it has files in memory, and says of a program what the test wants. What is tested is that
//! it and the master understand each other. The master is installed below the target folder; where there is no Python
//! 3, or no package registry, the test is skipped and says so.

#[path = "../twisted/connection.rs"]
mod connection;
#[path = "../twisted/environment.rs"]
mod environment;
mod master;
mod worker;

use std::time::Duration;

use runnel_buildbot::worker::{Argument, Command, EnvChange, LogFile, Program, Shell};

use self::master::{Build, Master};
use self::worker::Worker;

const SUCCESS: i64 = 0;
const FAILURE: i64 = 2;
const EXCEPTION: i64 = 4;
const RETRY: i64 = 5;
const CANCELLED: i64 = 6;

/// A build of each builder of `tests/peer/master.cfg`, and a second one of that whose worker vanishes.
const BUILDS: usize = 7;

#[test]
fn a_master_runs_builds_with_every_command() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The time is far more than it takes: it ends a test that hangs.
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(300), run()).await.expect("the test hangs");
    });
}

async fn run() {
    let Some(mut master) = Master::start().await else {
        return;
    };
    let mut worker = Worker::connect(master.port).await;
    let builds = tokio::select! {
        builds = master.builds(BUILDS) => builds,
        end = worker.run() => panic!("the connection has ended: {end:?}"),
    };
    let build = |name: &str| builds.iter().find(|build| build.builder == name).expect("each builder has run");
    check_programs(build("shell"), &worker);
    check_endings(build("failure"), build("stop"));
    let retried = builds.iter().filter(|build| build.builder == "retry").map(|build| build.result);
    assert_eq!(retried.collect::<Vec<_>>(), [RETRY, SUCCESS]);
    check_files(build("files"), &worker);
    check_transfers(build("transfer"), &worker, &master);
    master.stop().await;
}

fn check_programs(build: &Build, worker: &Worker) {
    let say = build.step("say", SUCCESS);
    assert!(say.log("stdio").contains("ohäß one\n"), "{say:?}");
    assert!(say.log("stdio").contains("eoops\n"), "{say:?}");
    assert!(say.log("test").contains("logged\n"), "{say:?}");
    build.step("secret", SUCCESS);
    assert!(build.step("fail", FAILURE).log("stdio").contains("hprogram finished with exit code 3\n"));
    let odd = build.step("odd", EXCEPTION);
    let why = "the argument interruptSignal has to be the name of a signal";
    assert!(odd.logs.values().any(|text| text.contains(why)), "{odd:?}");

    let words = |shell: &Shell| match &shell.program {
        Program::Words(words) => words.clone(),
        Program::Line(_) => vec![],
    };
    let programs: Vec<_> = worker
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::Shell(shell) if !words(shell).is_empty() => Some(&**shell),
            _ => None,
        })
        .collect();
    let [say, secret] = programs[..] else { panic!("{programs:?}") };
    let word = |text: &str| Argument { text: text.to_owned(), shown: None };
    let hidden = Argument { text: "hunter2".to_owned(), shown: Some("XXXX".to_owned()) };
    assert_eq!(words(secret), [word("say"), hidden]);
    let variable = |name: &str, change| (name.to_owned(), change);
    let path = EnvChange::Join(vec!["/opt/bin".to_owned(), "${PATH}".to_owned()]);
    let expected = Shell {
        folder: "build".to_owned(),
        program: Program::Words(vec![word("say"), word("4")]),
        env: vec![
            variable("LANG", EnvChange::Set("C".to_owned())),
            variable("PATH", path),
            variable("DISPLAY", EnvChange::Remove),
        ],
        silence_timeout: Some(Duration::from_secs(60)),
        time_max: Some(Duration::from_secs(3600)),
        lines_max: Some(1000),
        terminate_grace: Some(Duration::from_secs(5)),
        wants_stdout: true,
        wants_stderr: true,
        stdin: Some("pätch".into()),
        log_files: vec![LogFile { name: "test".to_owned(), path: "test.log".to_owned(), from_end: true }],
        uses_terminal: false,
        tells_environment: true,
        interrupt_signal: "KILL".to_owned(),
    };
    assert_eq!(*say, expected);
}

fn check_endings(failure: &Build, stop: &Build) {
    let broken = failure.step("broken", EXCEPTION);
    assert!(broken.logs.values().any(|text| text.contains("no space left")), "{broken:?}");
    assert_eq!(failure.result, EXCEPTION);
    let wait = stop.step("wait", CANCELLED);
    assert!(wait.log("stdio").contains("ostarted\n"), "{wait:?}");
    assert_eq!(stop.result, CANCELLED);
}

fn check_files(build: &Build, worker: &Worker) {
    for step in ["make", "copy", "remove", "exists"] {
        build.step(step, SUCCESS);
    }
    build.step("missing", FAILURE);
    let has = |expected: &Command| assert!(worker.commands.contains(expected), "{:?}", worker.commands);
    has(&Command::MakeFolders { paths: vec!["build/new".to_owned()] });
    let copied = |command: &Command| match command {
        Command::CopyFolder(copy) => {
            copy.from == "build/new"
                && copy.to == "build/copy"
                && copy.silence_timeout == Some(Duration::from_secs(9))
        }
        _ => false,
    };
    assert!(worker.commands.iter().any(copied), "{:?}", worker.commands);
    let removed = |command: &Command| match command {
        Command::RemoveFolders(remove) => remove.paths == ["build/new"],
        _ => false,
    };
    assert!(worker.commands.iter().any(removed), "{:?}", worker.commands);
}

fn check_transfers(build: &Build, worker: &Worker, master: &Master) {
    for step in ["string", "download", "upload", "folder", "several"] {
        build.step(step, SUCCESS);
    }
    let string = "häß\n".repeat(20_000);
    assert_eq!(worker.file("build/string.txt"), string.as_bytes());
    assert_eq!(master.file("several/string.txt"), string.as_bytes());
    assert_eq!(worker.file("build/source"), master::source());
    assert_eq!(master.file("uploaded"), master::source());
    let uploaded = master.folder().join("uploaded").metadata().expect("it is there");
    let modified_at = uploaded.modified().expect("it has a time");
    let since = modified_at.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert_eq!(since, Duration::from_millis(worker::MODIFIED_AT_MS));
    assert_eq!(master.file("folder/inner/file"), worker::ARCHIVED);
    let modes = worker.commands.iter().filter_map(|command| match command {
        Command::Download(download) => Some(download.mode),
        _ => None,
    });
    assert_eq!(modes.collect::<Vec<_>>(), [Some(0o640), None]);
}
