//! The examples, run as a reader would, against each other and against the program.

use std::io::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use runnel::certs::{Authority, Identity, NodeKey, Role, Validity};

/// A fleet in a folder: a controller `c1` and a worker `w1`.
struct Fleet {
    folder: tempfile::TempDir,
    /// Where the controller will listen.
    address: String,
}

/// A process that is ended with the test.
struct Running(Child);

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let validity = Validity::starting(SystemTime::now(), Duration::from_secs(7200)).expect("a lifetime");
        let authority = Authority::create("lab".parse().expect("a name"), validity).expect("an authority");
        for (name, role) in [("c1", Role::Controller), ("w1", Role::Worker)] {
            let key = NodeKey::generate().expect("a key");
            let validity =
                Validity::starting(SystemTime::now(), Duration::from_secs(3600)).expect("a lifetime");
            let csr = key.csr().expect("a request");
            let leaf = authority.issue(&csr, &name.parse().expect("a name"), role, validity).expect("a leaf");
            let path = folder.path().join(name);
            std::fs::create_dir(&path).expect("the folder is writable");
            let identity = Identity::from_pem(&key, &leaf.pem(), &authority.certificate().pem());
            identity.expect("they belong together").save(&path).expect("the folder is writable");
        }
        // Freed again for the controller; nobody else takes it in between but by bad luck.
        let address =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        Self { folder, address: address.to_string() }
    }

    fn identity(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Returns an example's program. Cargo builds the examples with all tests of the package, but not with this one alone.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("this program has a path");
    let profile = test.parent().and_then(Path::parent).expect("it is in a folder of the profile");
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "{} is missing: cargo build -p runnel-node --examples", program.display());
    Command::new(program)
}

#[test]
fn a_typed_command_is_sent_by_one_and_handled_by_the_other() {
    let fleet = Fleet::new();
    let worker = example("register_handler").arg(fleet.identity("w1")).args(["c1", &fleet.address]).spawn();
    let _worker = Running(worker.expect("the worker starts"));
    let sent = example("send_command").arg(fleet.identity("c1")).args([&fleet.address, "w1"]).output();
    let output = sent.expect("the controller starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\ncounted to 3\n");
}

#[test]
fn standard_input_becomes_a_file_on_the_worker() {
    let fleet = Fleet::new();
    let config = fleet.identity("w1").join("node.toml");
    let text = format!(
        "[peers]\nc1 = [\"{}\"]\n[api]\nenabled = false\n[confinement]\nroot = \".\"\n",
        fleet.address
    );
    std::fs::write(&config, text).expect("the folder is writable");
    let mut node = Command::new(env!("CARGO_BIN_EXE_runnel"));
    let node = node.arg("node").arg("--config").arg(&config).stdout(Stdio::null()).spawn();
    let _worker = Running(node.expect("the worker starts"));
    let mut controller = example("stream_body");
    controller.arg(fleet.identity("c1")).args([&fleet.address, "w1", "copy"]);
    let mut controller =
        controller.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the controller starts");
    let content = vec![42; 300_000];
    let mut stdin = controller.stdin.take().expect("it is piped");
    stdin.write_all(&content).expect("it is read");
    drop(stdin);
    let output = controller.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "300000 bytes\n", "{output:?}");
    assert_eq!(std::fs::read(fleet.identity("w1").join("copy")).expect("it is there"), content);
}
