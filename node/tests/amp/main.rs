//! `runnel gateway amp`, as a Twisted program uses it: real nodes, a real gateway and the real Twisted.
//!
//! The tests make themselves a virtual environment with Twisted below the target folder. Where there is no Python 3, or no
//! package registry, they are skipped and say so.

#[path = "../cli/house.rs"]
#[allow(dead_code, reason = "the tests of the command line use the rest of it")]
mod house;
mod repeat;
#[path = "../shared/supervisors.rs"]
mod supervisors;
mod twisted;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::house::{House, command, end, read_line, signal};

/// A gateway in front of a house's controller; it ends with the test.
struct Gateway {
    process: Child,
    /// Where it listens, as Twisted names it.
    endpoint: String,
}

impl Gateway {
    fn start(house: &House, listen: &str) -> Self {
        Self::start_with(house, listen, &[])
    }

    fn start_with(house: &House, listen: &str, more: &[&str]) -> Self {
        let args = [&["gateway", "amp", "--listen", listen], more].concat();
        let mut process = house.spawn(&args);
        let ready: Value = serde_json::from_str(&read_line(&mut process)).expect("it says that it is ready");
        assert_eq!((&ready["ready"], &ready["gateway"]), (&true.into(), &"amp".into()));
        let listening = ready["listening"].as_str().expect("it listens");
        let endpoint = match listening.strip_prefix("unix:") {
            Some(path) => format!("unix:{}", house.path(path).display()),
            None => format!("tcp:{listening}"),
        };
        Self { process, endpoint }
    }

    /// Runs scenarios of the Twisted program, each to its end.
    #[track_caller]
    fn check(&self, house: &House, scenarios: &[&str]) {
        let Some(mut program) = twisted::program() else { return };
        let ended = program.arg(&self.endpoint).arg(house.path("work")).args(scenarios).output();
        let ended = ended.expect("the environment's Python runs");
        let (stdout, stderr) =
            (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert!(ended.status.success(), "{stdout}{stderr}");
        assert_eq!(stdout.lines().collect::<Vec<_>>(), scenarios, "{stderr}");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn programs_files_and_folders_are_at_a_twisted_programs_hand() {
    let house = House::start();
    let gateway = Gateway::start(&house, "unix:amp.sock");
    gateway.check(&house, &["exec", "stdin", "failing", "files", "folders", "raw", "nodes"]);
}

#[test]
fn what_is_too_long_wrong_or_too_much_is_said() {
    let house = House::start();
    let gateway = Gateway::start(&house, "127.0.0.1:0");
    gateway.check(&house, &["too_long", "refusals", "hostile", "many"]);
}

#[test]
fn commands_are_cancelled_held_back_and_outlive_connections() {
    let house = House::start_durable();
    let gateway = Gateway::start(&house, "unix:amp.sock");
    gateway.check(&house, &["cancel", "held_back", "reconnect", "broken_body", "left_body"]);
}

#[test]
fn a_command_that_a_worker_has_registered_can_be_called() {
    let house = House::start();
    house.ok(&["fleet", "issue", "gone", "--role", "worker"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let worker = runtime.block_on(repeat::start_worker(&house.path("gone"), house.address()));
    let gateway = Gateway::start(&house, "unix:amp.sock");
    gateway.check(&house, &["registered"]);
    drop(worker);
}

#[test]
fn the_module_of_the_examples_runs_a_program_by_itself() {
    let Some(mut module) = twisted::module() else { return };
    let house = House::start();
    let gateway = Gateway::start(&house, "unix:amp.sock");
    let script = ["w1", "sh", "-c", "echo out; echo err >&2; exit 4"];
    let ended = module.arg(&gateway.endpoint).args(script).output().expect("the environment's Python runs");
    let said = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!((ended.status.code(), &*said.0, &*said.1), (Some(4), "out\n", "err\n"));
}

/// Runs a scenario, in whose middle `between` happens.
#[track_caller]
fn check_in_the_midst(gateway: &Gateway, mut house: House, scenario: &str, between: impl FnOnce(&mut House)) {
    let Some(mut program) = twisted::program() else { return };
    program.arg(&gateway.endpoint).arg(house.path("work")).arg(scenario);
    let pipes = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = pipes.spawn().expect("the environment's Python runs");
    assert_eq!(read_line(&mut program), "waiting");
    between(&mut house);
    program.stdin.take().expect("it is piped").write_all(b"go on\n").expect("it reads");
    let ended = end(program);
    assert_eq!((ended.code, ended.stdout.trim_end()), (Some(0), scenario), "{}", ended.stderr);
}

#[test]
fn a_node_that_is_restarted_is_waited_for() {
    let house = House::start_durable();
    let gateway = Gateway::start(&house, "unix:amp.sock");
    check_in_the_midst(&gateway, house, "restart", House::restart_controller);
}

#[test]
fn a_node_that_stays_away_is_given_up() {
    let house = House::start_durable();
    let gateway = Gateway::start_with(&house, "unix:amp.sock", &["--node-patience", "100ms"]);
    check_in_the_midst(&gateway, house, "lost", |house| {
        house.kill_controller();
        house.kill_worker();
    });
}

#[test]
fn a_gateway_without_a_node_says_so() {
    let house = House::start();
    let gateway = Gateway::start_with(&house, "unix:amp.sock", &["--socket", "nowhere.sock"]);
    gateway.check(&house, &["no_daemon"]);
}

#[test]
fn the_socket_is_for_its_user_alone_and_goes_with_the_gateway() {
    let house = House::start();
    let mut gateway = Gateway::start(&house, "unix:new/amp.sock");
    let path = house.path("new/amp.sock");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    house.check(&["gateway", "amp", "--listen", "unix:new/amp.sock"], 1, "another gateway listens");
    signal(&gateway.process, Signal::TERM);
    assert!(gateway.process.wait().expect("it is our child").success());
    assert!(!path.exists());
}

#[test]
fn others_are_let_in_only_if_somebody_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (listen, said) in [("0.0.0.0:0", "--allow-remote"), ("somewhere", "unix:PATH")] {
        let mut gateway = command(folder.path(), &["gateway", "amp", "--listen", listen]);
        gateway.stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = end(gateway.spawn().expect("the program starts"));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
}
