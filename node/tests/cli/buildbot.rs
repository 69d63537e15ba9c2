//! The way in `docs/buildbot.md`, gone as it stands there, as far as it needs no master.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

/// A shell and all that it has started. Dropping it ends them.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        // A shell that has ended has said why.
        group.map(|group| kill_process_group(group, Signal::TERM));
        self.0.wait().ok();
    }
}

/// Returns the shell lines of the page: those for the master's machine, and those for the worker's.
fn lines() -> (&'static str, &'static str) {
    let page = include_str!("../../../docs/buildbot.md");
    let mut blocks = page.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let both = (blocks.next().expect("lines"), blocks.next().expect("lines"));
    assert_eq!(blocks.next(), None);
    both
}

#[test]
fn ten_lines_make_a_node_a_worker_of_a_master() {
    let (master, worker) = lines();
    assert_eq!(master.lines().count() + worker.lines().count(), 10);
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Freed again for the controller; nobody else takes it in between but by bad luck.
    let address = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let master = master
        .replace("0.0.0.0:4433", &address.to_string())
        .replace("desk:4433", &address.to_string())
        .replace("scp -pr w1 w1:runnel", "cp -pr w1 runnel");
    // Two nodes on one machine need two sockets.
    let script = format!("set -e\n{master}\nexport RUNNEL_SOCKET=$PWD/w1.sock\n{worker}\nwait\n");
    let programs = Path::new(env!("CARGO_BIN_EXE_runnel")).parent().expect("it is in a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("there is a path"));
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(&folder).env("PATH", &path);
    shell
        .env("RUNNEL_SOCKET", folder.path().join("api.sock"))
        .env("RUST_LOG", "error")
        .env_remove("NOTIFY_SOCKET");
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut shell = Shell(shell.spawn().expect("there is a shell"));

    let said = BufReader::new(shell.0.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let ready = said.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let mut ready = ready.filter(|line| line["ready"] == true);
    let mut gateway = None;
    for _ in 0..3 {
        let line = ready.next().expect("two nodes and the gateway say that they are ready");
        gateway = gateway.or((line["gateway"] == "buildbot").then_some(line));
    }
    let run = Command::new(env!("CARGO_BIN_EXE_runnel"))
        .args(["run", "w1", "--", "true"])
        .env("RUNNEL_SOCKET", folder.path().join("api.sock"))
        .status();
    drop(shell);
    // They all have its other end.
    assert_eq!(ready.next(), None);
    assert!(run.expect("the program starts").success());
    assert_eq!(gateway.expect("it is ready")["workers"], json!(["w1"]));
}
