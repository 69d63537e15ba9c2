//! Daemons for one test, and a client of their API.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use runnel::certs::{Authority, Identity, NodeKey, Role, Validity};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::supervisors::end_supervisors;

/// A folder and an authority for the nodes of one test.
pub(crate) struct Fleet {
    folder: TempDir,
    authority: Authority,
}

/// A daemon in a process of its own; it ends with the test.
pub(crate) struct Daemon {
    pub(crate) process: Child,
    pub(crate) ready: Value,
    pub(crate) api: Client,
}

/// A client of one API. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) socket: PathBuf,
}

/// The lines of a stream, as they come.
pub(crate) struct Lines {
    content: Incoming,
    buffer: Vec<u8>,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let validity =
            Validity::starting(SystemTime::now(), LIFETIME * 2).expect("a lifetime within the calendar");
        let authority = Authority::create("test".parse().expect("a valid name"), validity);
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            authority: authority.expect("the system has randomness"),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the command that starts a node. `config` is what its file says beside the socket.
    pub(crate) fn command(&self, name: &str, role: Role, config: &str) -> Command {
        let folder = self.folder().join(name);
        if !folder.exists() {
            std::fs::create_dir(&folder).expect("the folder is new");
            self.issue(name, role).save(&folder).expect("the folder can be written");
        }
        let file = folder.join("node.toml");
        std::fs::write(&file, config).expect("the folder can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_runnel"));
        command
            .args(["node", "--config"])
            .arg(file)
            .env("RUNNEL_SOCKET", self.socket(name))
            .env("RUST_LOG", "error")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts a node and waits until it is ready.
    pub(crate) async fn start(&self, name: &str, role: Role, config: &str) -> Daemon {
        self.wait_for(name, self.command(name, role, config)).await
    }

    /// Starts a node that is refused to write beyond its limits, instead of being killed for it.
    #[cfg(target_os = "linux")]
    pub(crate) async fn start_with_long_files_refused(&self, name: &str, role: Role, config: &str) -> Daemon {
        let node = self.command(name, role, config);
        let node = node.as_std();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(node.get_program()).args(node.get_args());
        for (variable, value) in node.get_envs() {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        self.wait_for(name, command).await
    }

    async fn wait_for(&self, name: &str, mut command: Command) -> Daemon {
        let mut process = command.spawn().expect("the program starts");
        let stdout = process.stdout.take().expect("it is piped");
        let line = BufReader::new(stdout).lines().next_line().await.expect("it can be read");
        let ready = serde_json::from_str(&line.expect("the node says that it is ready")).expect("JSON");
        Daemon { process, ready, api: Client { socket: self.socket(name) } }
    }

    /// Starts a controller that knows `w1` and `gone`, and the worker `w1`. `gone` never comes.
    pub(crate) async fn start_pair(&self, controller: &str, worker: &str) -> (Daemon, Daemon) {
        let config = format!("listen = [\"127.0.0.1:0\"]\n{controller}\n[peers]\nw1 = []\ngone = []\n");
        let controller = self.start("ctl", Role::Controller, &config).await;
        let address = controller.ready["listening"][0].as_str().expect("it listens");
        let config = format!("{worker}\n[peers]\nctl = [{address:?}]\n");
        let worker = self.start("w1", Role::Worker, &config).await;
        (controller, worker)
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.folder().join(name).join("api.sock")
    }

    pub(crate) fn issue(&self, name: &str, role: Role) -> Identity {
        let key = NodeKey::generate().expect("the system has randomness");
        let validity =
            Validity::starting(SystemTime::now(), LIFETIME).expect("a lifetime within the calendar");
        let csr = key.csr().expect("a fresh key signs its request");
        let leaf = self.authority.issue(&csr, &name.parse().expect("a valid name"), role, validity);
        let leaf = leaf.expect("the request is our own");
        Identity::from_pem(&key, &leaf.pem(), &self.authority.certificate().pem())
            .expect("they belong together")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Its nodes have ended: they are made after it.
        end_supervisors(&self.folder().join("w1/state"));
    }
}

impl Daemon {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), signal).expect("it is ours");
    }

    /// Stops it in order.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.process.wait().await.expect("it is our child");
        assert!(status.success(), "{status}");
    }
}

impl Client {
    /// Sends a request and returns the answer before its content.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let stream = UnixStream::connect(&self.socket).await.expect("the API listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
        // It ends with the answer, or with the test's runtime.
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "runnel");
        let request = request.body(Full::new(content.into())).expect("a valid request");
        sender.send_request(request).await.expect("the API answers")
    }

    /// Returns status and content of the answer; `null` if it has none.
    pub(crate) async fn ask(&self, method: Method, path: &str, content: impl Into<Bytes>) -> (u16, Value) {
        let answer = self.send(method, path, content).await;
        let status = answer.status().as_u16();
        let content = answer.into_body().collect().await.expect("the answer is whole").to_bytes();
        let value =
            if content.is_empty() { Value::Null } else { serde_json::from_slice(&content).expect("JSON") };
        (status, value)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask(Method::GET, path, "").await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// Submits a command and returns its id.
    pub(crate) async fn submit(&self, command: Value) -> String {
        let (status, answer) = self.ask(Method::POST, "/v1/commands", command.to_string()).await;
        assert_eq!(status, 201, "{command}: {answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// Submits a shell script to `w1` and returns its id.
    pub(crate) async fn submit_script(&self, script: &str) -> String {
        self.submit(shell("w1", script)).await
    }

    /// Opens a stream of events.
    pub(crate) async fn events(&self, id: &str, query: &str) -> Lines {
        self.lines(&format!("/v1/commands/{id}/events{query}")).await
    }

    /// Opens a stream.
    pub(crate) async fn lines(&self, path: &str) -> Lines {
        let answer = self.send(Method::GET, path, "").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
        Lines { content: answer.into_body(), buffer: Vec::new() }
    }

    /// Waits for a command's outcome, without holding its output back.
    pub(crate) async fn outcome(&self, id: &str) -> Value {
        let mut lines = self.events(id, "?from=1000000000&follow=true").await;
        assert_eq!(lines.next().await, None, "nothing comes from so far ahead");
        self.get(&format!("/v1/commands/{id}")).await["outcome"].clone()
    }
}

impl Lines {
    /// Returns the next line; `None` at the end of the stream, or when it is cut off.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("each line is JSON"));
            }
            match self.content.frame().await {
                Some(Ok(frame)) => self.buffer.extend_from_slice(frame.data_ref()?),
                Some(Err(_)) | None => {
                    assert!(self.buffer.is_empty(), "the last line is whole");
                    return None;
                }
            }
        }
    }

    /// Returns all lines up to the end.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await {
            lines.push(line);
        }
        lines
    }

    /// Reads until an event of this kind, and returns it.
    pub(crate) async fn until(&mut self, event: &str) -> Value {
        loop {
            let line = self.next().await.unwrap_or_else(|| panic!("the stream ends before {event}"));
            if line["event"] == event {
                return line;
            }
        }
    }
}

/// Describes a shell script as a command.
pub(crate) fn shell(to: &str, script: &str) -> Value {
    json!({ "to": to, "command": "exec/1", "args": { "program": "/bin/sh", "args": ["-c", script] } })
}

const LIFETIME: Duration = Duration::from_secs(24 * 3600);
