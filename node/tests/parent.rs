//! Nodes that end with the process that started them, however that ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use runnel::NodeBuilder;
use runnel::certs::{Authority, Identity, NodeKey, Role, Validity};

fn issue(authority: &Authority, name: &str, role: Role) -> Identity {
    let key = NodeKey::generate().expect("a key");
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(3600)).expect("a lifetime");
    let csr = key.csr().expect("a request");
    let leaf = authority.issue(&csr, &name.parse().expect("a name"), role, validity).expect("a leaf");
    Identity::from_pem(&key, &leaf.pem(), &authority.certificate().pem()).expect("they belong together")
}

fn write_config(folder: &Path, worker: &Identity, controller: SocketAddr) -> std::path::PathBuf {
    worker.save(folder).expect("the folder is writable");
    let config = folder.join("node.toml");
    let state = folder.join("state");
    let text = format!(
        "identity = {folder:?}\nstate_dir = {state:?}\n[peers]\nc1 = [\"{controller}\"]\n[api]\nenabled = false\n"
    );
    std::fs::write(&config, text).expect("the folder is writable");
    config
}

#[tokio::test]
async fn a_node_stops_in_order_when_its_parent_is_gone() {
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(7200)).expect("a lifetime");
    let authority = Authority::create("lab".parse().expect("a name"), validity).expect("an authority");
    let controller = NodeBuilder::new(issue(&authority, "c1", Role::Controller))
        .listen((Ipv4Addr::LOCALHOST, 0).into())
        .start()
        .await
        .expect("the controller starts");
    let folder = tempfile::tempdir().expect("a folder");
    let worker = issue(&authority, "w1", Role::Worker);
    let config = write_config(folder.path(), &worker, controller.handle().listening()[0]);
    let mut node = tokio::process::Command::new(env!("CARGO_BIN_EXE_runnel"))
        .args(["node", "--exit-with-parent", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    controller.handle().wait_for_link(worker.node()).await.expect("the controller runs");

    drop(node.stdin.take());
    let status = tokio::time::timeout(PATIENCE, node.wait()).await.expect("the node ends");
    assert!(status.expect("it was started here").success());
    let keys = std::fs::metadata(folder.path().join("state").join(runnel::ENDPOINT_KEYS_FILE));
    assert_eq!(keys.expect("the node made them").len(), runnel::EndpointKeys::BYTES as u64);
    controller.shutdown().await;
}

#[test]
fn a_node_that_is_to_end_with_its_parent_needs_a_pipe() {
    let validity = Validity::starting(SystemTime::now(), Duration::from_secs(7200)).expect("a lifetime");
    let authority = Authority::create("lab".parse().expect("a name"), validity).expect("an authority");
    let folder = tempfile::tempdir().expect("a folder");
    let worker = issue(&authority, "w1", Role::Worker);
    let config = write_config(folder.path(), &worker, (Ipv4Addr::LOCALHOST, 9).into());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_runnel"))
        .args(["node", "--exit-with-parent", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("--exit-with-parent needs a pipe as standard input"), "{stderr}");
}

#[test]
fn a_killed_demo_leaves_no_process_behind_and_the_next_one_takes_its_folder_away() {
    let temporary = tempfile::tempdir().expect("a folder");
    let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_runnel"))
        .args(["demo", "--commands", "100000"])
        .env("TMPDIR", temporary.path())
        .env("RUST_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stderr = BufReader::new(demo.stderr.take().expect("it is a pipe"));
    let mut said = String::new();
    while !["w1", "w2", "w3"].iter().all(|worker| said.contains(&format!("link up peer={worker}"))) {
        let len = stderr.read_line(&mut said).expect("the log is text");
        assert!(len > 0, "the demo ended early:\n{said}");
    }

    demo.kill().expect("it runs");
    demo.wait().expect("it was started here");
    // The demo and its nodes log to one pipe: it ends with the last of them.
    let (ended, has_ended) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        stderr.read_to_string(&mut said).expect("the log is text");
        ended.send(()).ok();
    });
    has_ended.recv_timeout(PATIENCE).expect("every process ends");
    reader.join().expect("it does not panic");

    let folders = || std::fs::read_dir(temporary.path()).expect("it is there").count();
    assert_eq!(folders(), 1, "nobody could take its folder away");
    let next = std::process::Command::new(env!("CARGO_BIN_EXE_runnel"))
        .args(["demo", "--commands", "5", "--over", "0s", "--upload", "0", "--failover", "0s"])
        .args(["--rebind", "0s", "--blackout", "0s+0s"])
        .env("TMPDIR", temporary.path())
        .output()
        .expect("the program starts");
    assert!(next.status.success(), "{}", String::from_utf8_lossy(&next.stderr));
    assert_eq!(folders(), 0, "the next demo takes it away, and its own");
}

/// A test in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
