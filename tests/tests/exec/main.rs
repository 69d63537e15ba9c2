//! `exec` under a supervisor: programs outlive the worker that runs them, whether it crashes or is restarted.

mod arguments;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use runnel::codec::{FailureKind, NodeId};
use runnel::commands::{
    EnvValue, Exec, ExecArgs, ExecCause, ExecConfig, ExecResult, ExecStatus, ExecUpdate, LogFile,
    register_built_ins, register_supervised_exec,
};
use runnel::process::Confinement;
use runnel::supervise::{Supervision, SupervisionConfig};
use runnel::{Body, Delivery, Handlers, Node, NodeBuilder, NotDone, Progress, Submission, SubmitOptions};
use runnel_tests::crashing::{CrashingNode, Site};
use runnel_tests::follow::{failure_of, outcome};
use runnel_tests::patience::patient;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// A controller that stays, and a worker with a disk and a folder.
struct World(Site);

impl World {
    async fn new() -> Self {
        Self(Site::new().await)
    }

    /// The worker, with a store on its disk.
    fn worker(&self) -> NodeBuilder {
        let mut handlers = Handlers::new();
        register_built_ins(&mut handlers, Confinement::default());
        register_supervised_exec(
            &mut handlers,
            Confinement::default(),
            self.supervision(),
            ExecConfig::default(),
        );
        self.0.worker(handlers)
    }

    async fn crashing_worker(&self) -> CrashingNode {
        CrashingNode::start(self.worker()).await
    }

    /// A worker whose programs are under supervisors, or one whose programs end with it.
    async fn start(&self, kind: Kind) -> Node {
        let worker = match kind {
            Kind::Supervised => self.worker(),
            Kind::Plain => {
                let mut handlers = Handlers::new();
                register_built_ins(&mut handlers, Confinement::default());
                self.0.worker(handlers)
            }
        };
        worker.start().await.expect("the worker starts")
    }

    /// Runs a script to its end, with the other arguments as they are.
    async fn run(&self, script: &str, args: ExecArgs) -> Told {
        let mut command = self.send(script, args, SubmitOptions::default()).await;
        let mut told = Told::default();
        while let Some(progress) = patient("progress", command.progress()).await {
            if let Progress::Update(update) = progress.expect("updates are of their type") {
                told.take(update);
            }
        }
        told.end = Some(outcome(command).await);
        told
    }

    fn supervision(&self) -> Supervision {
        let program = env!("CARGO_BIN_EXE_test-supervised");
        // Less than the programs here write: they end only if output is let go of on the way.
        let spool_bytes_max = NonZeroU64::new(1 << 20).expect("not 0");
        let config = SupervisionConfig { spool_bytes_max, ..SupervisionConfig::default() };
        Supervision::new(self.0.folder.path().join("exec"), program, config)
    }

    /// Sends the worker a script, which runs in the world's folder.
    async fn submit(&self, script: &str, options: SubmitOptions) -> Submission<Exec> {
        self.send(script, ExecArgs::default(), options).await
    }

    /// The same, with other arguments.
    async fn send(&self, script: &str, args: ExecArgs, options: SubmitOptions) -> Submission<Exec> {
        let folder = self.0.folder.path().display().to_string();
        let args = ExecArgs {
            program: "sh".to_owned(),
            args: vec!["-c".to_owned(), script.to_owned()],
            cwd: Some(args.cwd.map_or_else(|| folder.clone(), |cwd| format!("{folder}/{cwd}"))),
            ..args
        };
        self.0.controller.handle().submit::<Exec>(&w1(), &args, options).await.expect("there is room")
    }

    /// Makes a pipe on which scripts can wait for [`let_go`](Self::let_go).
    fn make_gate(&self) {
        let status = Command::new("mkfifo").arg(self.0.folder.path().join("gate")).status();
        assert!(status.expect("mkfifo is installed").success());
    }

    /// Lets a script go on that waits by `read go < gate`.
    async fn let_go(&self) {
        let gate = self.0.folder.path().join("gate");
        let (written, has_written) = oneshot::channel();
        // It blocks until the script listens: for ever, if the script is gone.
        std::thread::spawn(move || written.send(fs::write(gate, "go\n")));
        patient("a script to listen", has_written).await.expect("it does not panic").expect("it is a pipe");
    }

    /// Ends the world. Nothing is left of any program.
    async fn end(self, worker: Node) {
        patient("the worker to stop", worker.shutdown()).await;
        assert_eq!(self.supervision().names().expect("the folder can be read"), [""; 0]);
        patient("the controller to stop", self.0.controller.shutdown()).await;
    }
}

/// How a worker runs programs. What they are asked must not depend on it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Supervised,
}

/// All that a command told.
#[derive(Debug, Default)]
struct Told {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    logs: BTreeMap<String, Vec<u8>>,
    environment: BTreeMap<String, String>,
    end: Option<Result<ExecResult, NotDone>>,
}

impl Told {
    fn take(&mut self, update: ExecUpdate) {
        match update {
            ExecUpdate::Stdout(bytes) => self.stdout.extend(bytes),
            ExecUpdate::Stderr(bytes) => self.stderr.extend(bytes),
            ExecUpdate::Log { name, content } => self.logs.entry(name).or_default().extend(content),
            ExecUpdate::Environment(variables) => {
                assert!(self.stdout.is_empty() && self.stderr.is_empty(), "it comes before any output");
                self.environment.extend(variables);
            }
        }
    }

    fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text")
    }

    #[track_caller]
    fn result(&self) -> ExecResult {
        self.end.clone().expect("it has ended").expect("it was done")
    }

    #[track_caller]
    fn failure(&self) -> String {
        match self.end.clone() {
            Some(Err(NotDone::Failed(failure))) => failure.message,
            other => panic!("{other:?}"),
        }
    }
}

fn w1() -> NodeId {
    "w1".parse().expect("a name")
}

/// Reads updates until the output is this long, or the command has ended.
async fn read(command: &mut Submission<Exec>, output: &mut Vec<u8>, bytes: usize) {
    while output.len() < bytes {
        match patient("progress", command.progress()).await {
            Some(Ok(Progress::Update(ExecUpdate::Stdout(bytes) | ExecUpdate::Stderr(bytes)))) => {
                output.extend(bytes)
            }
            Some(other) => drop(other.expect("updates are of their type")),
            None => return,
        }
    }
}

async fn read_line(command: &mut Submission<Exec>) -> Vec<u8> {
    let mut output = Vec::new();
    while !output.contains(&b'\n') {
        let bytes = output.len() + 1;
        read(command, &mut output, bytes).await;
    }
    output
}

fn exited(code: i32) -> ExecResult {
    ExecResult { status: ExecStatus::Code(code), cause: ExecCause::Natural }
}

/// Begins a script whose processes hold a pipe as long as they live, and says its supervisor's number.
const WITNESS: &str = "mkfifo witness; exec 3<>witness; echo $PPID; ";

fn open_witness(folder: &Path) -> pipe::Receiver {
    pipe::OpenOptions::new().open_receiver(folder.join("witness")).expect("the script has made it")
}

async fn expect_nobody_left(mut witness: pipe::Receiver) {
    let mut rest = Vec::new();
    patient("everybody to be gone", witness.read_to_end(&mut rest)).await.expect("a pipe can be read");
}

/// Five times a thousand lines, some of them while no worker is there; each part waits for the gate, again if it found
/// no more than the end of whoever let the part before go on.
const BUILD: &str = "echo run >> runs; for part in 0 1 2 3 4; do seq $((part * 1000)) $((part * 1000 + 999)); until read go < gate; do :; done; \
                     done; exit 7";

fn built() -> String {
    (0..5000).map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn a_build_outlives_crashes_of_its_worker_and_no_byte_of_its_output_is_missing() {
    let world = World::new().await;
    world.make_gate();
    let mut worker = world.crashing_worker().await;
    let mut build = world.submit(BUILD, SubmitOptions::default()).await;
    let mut output = Vec::new();
    for part in 0..4 {
        let some = built().find(&format!("\n{}\n", part * 1000 + 500)).expect("it is a line");
        read(&mut build, &mut output, some).await;
        worker.crash();
        world.let_go().await;
        worker = world.crashing_worker().await;
    }
    // Two that let go at once would be heard as one.
    let some = built().find("\n4500\n").expect("it is a line");
    read(&mut build, &mut output, some).await;
    world.let_go().await;
    read(&mut build, &mut output, usize::MAX).await;
    assert!(output == built().as_bytes(), "{} bytes are not those of an undisturbed run", output.len());
    assert_eq!(outcome(build).await, Ok(exited(7)));
    assert_eq!(fs::read_to_string(world.0.folder.path().join("runs")).expect("it ran"), "run\n");
    worker.crash();
    let worker = world.worker().start().await.expect("the worker starts");
    world.end(worker).await;
}

#[tokio::test]
async fn a_build_outlives_a_restart_of_its_worker_in_order() {
    let world = World::new().await;
    world.make_gate();
    let worker = world.worker().start().await.expect("the worker starts");
    let mut build = world.submit(BUILD, SubmitOptions::default()).await;
    let mut output = Vec::new();
    read(&mut build, &mut output, 1000).await;
    patient("the worker to stop", worker.shutdown()).await;
    world.let_go().await;
    let worker = world.worker().start().await.expect("the worker starts");
    for part in 1..5 {
        let some = built().find(&format!("\n{}\n", part * 1000 + 500)).expect("it is a line");
        read(&mut build, &mut output, some).await;
        world.let_go().await;
    }
    read(&mut build, &mut output, usize::MAX).await;
    assert!(output == built().as_bytes(), "{} bytes are not those of an undisturbed run", output.len());
    assert_eq!(outcome(build).await, Ok(exited(7)));
    world.end(worker).await;
}

#[tokio::test]
async fn a_program_is_cancelled_while_its_worker_is_away() {
    let world = World::new().await;
    let worker = world.crashing_worker().await;
    let mut program = world.submit(&format!("{WITNESS} exec sleep 600"), SubmitOptions::default()).await;
    read_line(&mut program).await;
    let witness = open_witness(world.0.folder.path());
    worker.crash();
    world.0.controller.handle().cancel(program.id()).await.expect("it is known");
    let worker = world.worker().start().await.expect("the worker starts");
    assert_eq!(failure_of(outcome(program).await), FailureKind::Cancelled);
    expect_nobody_left(witness).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_program_whose_supervisor_is_killed_fails_and_leaves_nobody_behind() {
    let world = World::new().await;
    let worker = world.worker().start().await.expect("the worker starts");
    let script = format!("trap '' HUP TERM PIPE; {WITNESS} sleep 600 & wait");
    let mut program = world.submit(&script, SubmitOptions::default()).await;
    let pid = String::from_utf8(read_line(&mut program).await).expect("digits");
    let witness = open_witness(world.0.folder.path());
    let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("not 0");
    kill_process(pid, Signal::KILL).expect("a supervisor of ours can be killed");
    let failure = outcome(program).await;
    let Err(NotDone::Failed(failure)) = failure else { panic!("{failure:?}") };
    assert_eq!(failure.message, "the supervisor of the program died, and the program was killed");
    expect_nobody_left(witness).await;
    world.end(worker).await;
}

#[tokio::test]
async fn a_program_that_no_command_goes_on_with_is_ended_by_the_next_worker() {
    let world = World::new().await;
    let worker = world.crashing_worker().await;
    let options = SubmitOptions { delivery: Some(Delivery::Memory), ..SubmitOptions::default() };
    let mut program = world.submit(&format!("{WITNESS} exec sleep 600"), options).await;
    read_line(&mut program).await;
    let witness = open_witness(world.0.folder.path());
    worker.crash();
    let worker = world.worker().start().await.expect("the worker starts");
    let lost = outcome(program).await;
    assert!(matches!(lost, Err(NotDone::Unknown(_))), "{lost:?}");
    expect_nobody_left(witness).await;
    world.end(worker).await;
}

#[tokio::test]
async fn input_output_and_errors_are_those_of_a_program_without_a_supervisor() {
    let world = World::new().await;
    let worker = world.worker().start().await.expect("the worker starts");
    let input = Bytes::from(vec![b'x'; 300_000]);
    let body = Some(Body::bytes(input.clone()));
    let mut copy = world.submit("cat; echo done", SubmitOptions { body, ..SubmitOptions::default() }).await;
    let mut output = Vec::new();
    read(&mut copy, &mut output, usize::MAX).await;
    assert!(output == [&input[..], b"done\n"].concat(), "{} bytes", output.len());
    assert_eq!(outcome(copy).await, Ok(exited(0)));

    let args = ExecArgs { program: "no-such-program".to_owned(), ..ExecArgs::default() };
    let missing = world.0.controller.handle().submit::<Exec>(&w1(), &args, SubmitOptions::default()).await;
    let missing = outcome(missing.expect("there is room")).await;
    let Err(NotDone::Failed(failure)) = missing else { panic!("{missing:?}") };
    assert_eq!(failure.message, "program no-such-program not found");
    world.end(worker).await;
}

/// Writes a file of so many lines, to be the input of a program, and returns what is in it.
fn write_input(world: &World, lines: usize) -> (Body, Vec<u8>) {
    let input: String = (0..lines).map(|line| format!("{line:07}\n")).collect();
    let path = world.0.folder.path().join("input");
    fs::write(&path, &input).expect("the folder can be written");
    (Body::file(path), input.into_bytes())
}

#[tokio::test]
async fn a_program_reads_every_byte_of_its_input_once_whatever_becomes_of_its_worker() {
    let world = World::new().await;
    world.make_gate();
    let mut worker = world.crashing_worker().await;
    let (body, input) = write_input(&world, 500_000);
    // It reads in the middle of its input whenever a worker ends.
    let script =
        "for part in 0 1 2 3; do head -c 500000; until read go < gate; do :; done; done; cat; exit 7";
    let mut copy = world.submit(script, SubmitOptions { body: Some(body), ..SubmitOptions::default() }).await;
    let mut output = Vec::new();
    for part in 1..=3 {
        read(&mut copy, &mut output, part * 500_000).await;
        worker.crash();
        world.let_go().await;
        worker = world.crashing_worker().await;
    }
    read(&mut copy, &mut output, 4 * 500_000).await;
    worker.crash();
    let worker = world.worker().start().await.expect("the worker starts");
    patient("the worker to stop", worker.shutdown()).await;
    world.let_go().await;
    let worker = world.worker().start().await.expect("the worker starts");
    read(&mut copy, &mut output, usize::MAX).await;
    assert!(output == input, "{} of {} bytes, or others", output.len(), input.len());
    assert_eq!(outcome(copy).await, Ok(exited(7)));
    world.end(worker).await;
}

#[tokio::test]
async fn a_program_whose_input_cannot_be_sent_again_fails_and_does_not_take_it_for_whole() {
    let world = World::new().await;
    let worker = world.crashing_worker().await;
    let (body, _) = write_input(&world, 100_000);
    let script = format!("{WITNESS} head -c 8; read go < never; cat; touch whole");
    assert!(
        Command::new("mkfifo")
            .arg(world.0.folder.path().join("never"))
            .status()
            .expect("it is there")
            .success()
    );
    let mut program =
        world.submit(&script, SubmitOptions { body: Some(body), ..SubmitOptions::default() }).await;
    let mut output = read_line(&mut program).await;
    // The first line of the input may have come with the one before it.
    let line = output.iter().position(|byte| *byte == b'\n').expect("it is a line") + 1;
    read(&mut program, &mut output, line + 8).await;
    let witness = open_witness(world.0.folder.path());
    worker.crash();
    fs::write(world.0.folder.path().join("input"), "another").expect("the folder can be written");
    let worker = world.worker().start().await.expect("the worker starts");
    assert_eq!(failure_of(outcome(program).await), FailureKind::BodyChanged);
    expect_nobody_left(witness).await;
    assert!(!world.0.folder.path().join("whole").exists());
    world.end(worker).await;
}

#[tokio::test]
async fn a_program_whose_file_is_gone_before_it_is_sent_fails_and_reads_no_end() {
    let world = World::new().await;
    let (body, _) = write_input(&world, 100);
    let mut program = world
        .submit("cat; touch whole", SubmitOptions { body: Some(body), ..SubmitOptions::default() })
        .await;
    fs::remove_file(world.0.folder.path().join("input")).expect("it is there");
    let worker = world.worker().start().await.expect("the worker starts");
    read(&mut program, &mut Vec::new(), usize::MAX).await;
    assert_eq!(failure_of(outcome(program).await), FailureKind::BodyChanged);
    assert!(!world.0.folder.path().join("whole").exists());
    world.end(worker).await;
}

#[tokio::test]
async fn a_program_with_live_input_is_unknown_and_ended_when_its_worker_crashes_in_the_middle() {
    let world = World::new().await;
    let worker = world.crashing_worker().await;
    let (mut writer, body) = Body::live();
    let script = format!("{WITNESS} cat; touch whole");
    let options = SubmitOptions { body: Some(body), ..SubmitOptions::default() };
    let mut program = world.submit(&script, options).await;
    writer.write("some of it\n".into()).await.expect("it is wanted");
    let mut output = Vec::new();
    while !output.ends_with(b"some of it\n") {
        let bytes = output.len() + 1;
        read(&mut program, &mut output, bytes).await;
    }
    let witness = open_witness(world.0.folder.path());
    worker.crash();
    let worker = world.worker().start().await.expect("the worker starts");
    let lost = outcome(program).await;
    assert!(matches!(lost, Err(NotDone::Unknown(_))), "{lost:?}");
    patient("the producer to hear of it", async { while writer.write("more\n".into()).await.is_ok() {} })
        .await;
    expect_nobody_left(witness).await;
    assert!(!world.0.folder.path().join("whole").exists());
    world.end(worker).await;
}

#[tokio::test]
async fn far_more_output_than_a_node_holds_comes_whole_and_is_let_go_of_on_the_way() {
    let world = World::new().await;
    let worker = world.worker().start().await.expect("the worker starts");
    let mut program =
        world.submit("seq 1 2000000; cat exec/*/trimmed.1 | wc -c", SubmitOptions::default()).await;
    let mut output = Vec::new();
    read(&mut program, &mut output, usize::MAX).await;
    let expected: String = (1..=2_000_000).map(|line| format!("{line}\n")).collect();
    let (numbers, kept) = output.split_at(expected.len());
    assert!(numbers == expected.as_bytes(), "{} bytes", output.len());
    let kept: usize = String::from_utf8_lossy(kept).trim().parse().expect("a number");
    assert!(kept > 0, "nothing was let go of while it ran");
    assert_eq!(outcome(program).await, Ok(exited(0)));
    world.end(worker).await;
}
