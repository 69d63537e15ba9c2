//! A worker that has files in memory and says of programs what the test wants.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use runnel_buildbot::jelly::{Failure, Value};
use runnel_buildbot::worker::{
    BuilderCall, Command, Download, FileStatus, MasterCall, MasterCommandId, MindCall, Program, Start,
    Update, Upload, WorkerInfo, block_of,
};
use runnel_buildbot::{CallFailure, CallId, Called, CloseReason, Event, Limits, ObjectId, RemoteId};

use crate::connection::Connection;

/// What the worker says of the time of every file, in milliseconds since 1970.
pub(crate) const MODIFIED_AT_MS: u64 = 1_700_000_000_500;

/// The content of the one file of every folder.
pub(crate) const ARCHIVED: &[u8] = b"archived";

pub(crate) struct Worker {
    port: u16,
    connection: Connection,
    builders: HashMap<String, ObjectId>,
    /// Commands that were started and are not yet carried out.
    started: VecDeque<Start>,
    interrupted: HashSet<MasterCommandId>,
    outcomes: HashMap<CallId, Result<Value, CallFailure>>,
    files: HashMap<String, Vec<u8>>,
    /// Every command that was started.
    pub(crate) commands: Vec<Command>,
    ended: Option<CloseReason>,
    has_vanished: bool,
}

impl Worker {
    pub(crate) async fn connect(port: u16) -> Self {
        Self {
            port,
            connection: open(port).await,
            builders: HashMap::new(),
            started: VecDeque::new(),
            interrupted: HashSet::new(),
            outcomes: HashMap::new(),
            files: HashMap::from([("build/there".to_owned(), Vec::new())]),
            commands: Vec::new(),
            ended: None,
            has_vanished: false,
        }
    }

    pub(crate) fn file(&self, path: &str) -> &[u8] {
        self.files.get(path).unwrap_or_else(|| panic!("there is no {path}"))
    }

    /// Serves the master until the connection ends.
    pub(crate) async fn run(&mut self) -> CloseReason {
        loop {
            if let Some(reason) = self.ended.take() {
                return reason;
            }
            match self.started.pop_front() {
                Some(start) if self.has_to_vanish(&start.command) => self.vanish().await,
                Some(start) => self.carry_out(start).await,
                None => self.next_event().await,
            }
        }
    }

    fn has_to_vanish(&self, command: &Command) -> bool {
        let Command::Shell(shell) = command else {
            return false;
        };
        !self.has_vanished && shell.program == Program::Line("vanish".to_owned())
    }

    /// Closes the connection in the midst of a command, and comes again.
    async fn vanish(&mut self) {
        self.has_vanished = true;
        self.connection = open(self.port).await;
        self.builders.clear();
        self.outcomes.clear();
    }

    async fn next_event(&mut self) {
        match self.connection.next_event().await {
            Event::Called(called) => self.serve(called),
            Event::Answered { call, outcome } => {
                self.outcomes.insert(call, outcome);
            }
            Event::Closed(reason) => self.ended = Some(reason),
            Event::LoggedIn { .. } | Event::Unreferenced { .. } => {}
        }
    }

    fn serve(&mut self, called: Called) {
        let answer = if called.object == self.connection.broker.mind() {
            MindCall::of(&called).map(|call| self.serve_mind(call))
        } else {
            BuilderCall::of(&called).map(|call| self.serve_builder(call))
        };
        let request = called.request.expect("a master wants answers");
        let broker = &mut self.connection.broker;
        let answered = match answer {
            Ok(value) => broker.answer(request, value),
            Err(refusal) => {
                broker.release_arguments(&called);
                broker.fail(request, refusal.into())
            }
        };
        answered.expect("it can be sent");
    }

    fn serve_mind(&mut self, call: MindCall) -> Value {
        match call {
            MindCall::WorkerInfo => info().into_value(),
            MindCall::SetBuilders { builders } => {
                let pairs = builders.into_iter().map(|builder| {
                    let broker = &mut self.connection.broker;
                    let new = || broker.add_object().expect("there is room");
                    let object = *self.builders.entry(builder.name.clone()).or_insert_with(new);
                    (builder.name.into(), Value::Object(object))
                });
                Value::Dict(pairs.collect())
            }
            MindCall::Print { .. } => Value::None,
            other => panic!("{other:?}"),
        }
    }

    fn serve_builder(&mut self, call: BuilderCall) -> Value {
        match call {
            BuilderCall::StartCommand(start) => {
                self.commands.push(start.command.clone());
                self.started.push_back(*start);
            }
            BuilderCall::InterruptCommand { command, .. } => {
                self.interrupted.insert(command);
            }
            _ => {}
        }
        Value::None
    }

    async fn carry_out(&mut self, start: Start) {
        let sink = start.sink;
        let end = match &start.command {
            Command::Shell(shell) => self.run_program(&start, &shell.program).await,
            Command::Upload(upload) => self.upload(sink, upload).await,
            Command::UploadFolder(upload) => {
                self.ask(upload.writer, MasterCall::Write(archive())).await;
                self.ask(upload.writer, MasterCall::Unpack).await;
                self.connection.broker.release(upload.writer);
                Ok(0)
            }
            Command::Download(download) => self.download(download).await,
            Command::Stat { folder, path } => self.stat(sink, &join(folder, path)).await,
            Command::Glob { pattern } => {
                assert_eq!(pattern, "build/*.txt");
                let mut files: Vec<_> =
                    self.files.keys().filter(|path| path.ends_with(".txt")).cloned().collect();
                files.iter_mut().for_each(|path| *path = format!("{BUILDER_FOLDER}{path}"));
                self.tell(sink, Update::Files(files)).await;
                Ok(0)
            }
            _ => Ok(0),
        };
        let failure = match end {
            Ok(code) => {
                self.tell(sink, Update::ReturnCode(code)).await;
                self.tell(sink, Update::Elapsed(Duration::from_millis(1500))).await;
                None
            }
            Err(failure) => Some(failure),
        };
        self.ask(sink, MasterCall::Complete(failure)).await;
        self.connection.broker.release(sink);
    }

    async fn run_program(&mut self, start: &Start, program: &Program) -> Result<i64, Failure> {
        let sink = start.sink;
        let line = match program {
            Program::Line(line) => line.as_str(),
            Program::Words(_) => "say",
        };
        match line {
            "say" => {
                let header = Update::Header(format!("{program:?}\n"));
                let said = [Update::Stdout("häß".to_owned()), Update::Stdout(" one\n".to_owned())];
                let logged = Update::Log { name: "test".to_owned(), text: "logged\n".to_owned() };
                let updates = [header].into_iter().chain(said).chain([logged]).collect();
                self.ask(sink, MasterCall::Update(updates)).await;
                self.tell(sink, Update::Stderr("oops\n".to_owned())).await;
                Ok(0)
            }
            "vanish" => Ok(0),
            "exit 3" => Ok(3),
            "broken" => Err(Failure::new("builtins.OSError", "no space left")),
            "wait" => {
                self.tell(sink, Update::Stdout("started\n".to_owned())).await;
                while !self.interrupted.contains(&start.id) && self.ended.is_none() {
                    self.next_event().await;
                }
                Ok(-1)
            }
            other => panic!("{other}"),
        }
    }

    async fn upload(&mut self, sink: RemoteId, upload: &Upload) -> Result<i64, Failure> {
        let path = join(&upload.folder, &upload.path);
        self.tell(sink, Update::Header(format!("sending {path}\n"))).await;
        let content = Bytes::copy_from_slice(self.file(&path));
        let block_bytes = upload.block_bytes.get();
        for at in (0..content.len()).step_by(block_bytes) {
            let block = content.slice(at..content.len().min(at + block_bytes));
            self.ask(upload.writer, MasterCall::Write(block)).await;
        }
        self.ask(upload.writer, MasterCall::Close).await;
        if upload.keep_times {
            let time = Duration::from_millis(MODIFIED_AT_MS).as_secs_f64();
            let times = MasterCall::SetTimes { accessed_at: time, modified_at: time };
            self.ask(upload.writer, times).await;
        }
        self.connection.broker.release(upload.writer);
        Ok(0)
    }

    async fn download(&mut self, download: &Download) -> Result<i64, Failure> {
        let mut content = Vec::new();
        let bytes_max = download.block_bytes.get();
        let read = || MasterCall::Read { bytes_max };
        loop {
            let block = block_of(self.ask(download.reader, read()).await, bytes_max).expect("a block");
            if block.is_empty() {
                break;
            }
            content.extend_from_slice(&block);
        }
        self.ask(download.reader, MasterCall::Close).await;
        let late = self.ask(download.reader, read()).await;
        assert_eq!(block_of(late, bytes_max), Ok(Bytes::new()), "a closed reader is at its end");
        self.connection.broker.release(download.reader);
        self.files.insert(join(&download.folder, &download.path), content);
        Ok(0)
    }

    async fn stat(&mut self, sink: RemoteId, path: &str) -> Result<i64, Failure> {
        let Some(file) = self.files.get(path) else {
            self.tell(sink, Update::Header(format!("stat: {path}\n"))).await;
            return Ok(2);
        };
        let len = u64::try_from(file.len()).expect("a length");
        let status = FileStatus { mode: 0o100_644, inode: u64::MAX, len, ..FileStatus::default() };
        self.tell(sink, Update::Status(status)).await;
        Ok(0)
    }

    async fn tell(&mut self, sink: RemoteId, update: Update) {
        self.ask(sink, MasterCall::Update(vec![update])).await;
    }

    /// Asks the master for something and waits until it has answered.
    async fn ask(&mut self, target: RemoteId, call: MasterCall) -> Value {
        let (method, args) = call.into_method();
        let call = self.connection.broker.call(target, method, args, vec![]).expect("it can be sent");
        loop {
            if let Some(outcome) = self.outcomes.remove(&call) {
                return outcome.unwrap_or_else(|error| panic!("{method}: {error}"));
            }
            self.next_event().await;
        }
    }
}

async fn open(port: u16) -> Connection {
    Connection::open(port, "worker1", "secret", Limits::default()).await
}

/// An archive with one file, the name of which is `inner/file`.
fn archive() -> Bytes {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(ARCHIVED.len()).expect("a length"));
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "inner/file", ARCHIVED).expect("a Vec takes everything");
    archive.into_inner().expect("a Vec takes everything").into()
}

fn info() -> WorkerInfo {
    WorkerInfo {
        environment: vec![("HOME".to_owned(), "/home/w".to_owned())],
        folder: "/srv/w".to_owned(),
        processors: 2,
        version: "1".to_owned(),
        texts: vec![("admin".to_owned(), "someone".to_owned())],
    }
}

/// Returns the name that a file has here: relative to the folder of the one builder whose files are found by a pattern.
fn join(folder: &str, path: &str) -> String {
    match path.strip_prefix(BUILDER_FOLDER) {
        Some(found) => found.to_owned(),
        None if folder.is_empty() => path.to_owned(),
        None => format!("{folder}/{path}"),
    }
}

const BUILDER_FOLDER: &str = "/srv/w/transfer/";
