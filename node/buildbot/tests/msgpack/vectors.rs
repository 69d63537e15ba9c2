//! The bytes that Python's msgpack writes: read as what they are, and written alike. `vectors/make_msgpack.py` makes them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use runnel_buildbot::jelly::{Failure, Value};
use runnel_buildbot::msgpack::{Ask, Commands, Event, Exchange, read, write};
use runnel_buildbot::worker::{Argument, Command, EnvChange, MasterCall, Program, Start, Update};
use runnel_buildbot::{CallFailure, Limits};

fn vectors() -> BTreeMap<String, Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/msgpack.txt");
    let text = std::fs::read_to_string(path).expect("the vectors are committed");
    let line = |line: &str| {
        let (name, hex) = line.rsplit_once(' ').expect("a name and bytes");
        let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits");
        (name.to_owned(), (0..hex.len()).step_by(2).map(octet).collect())
    };
    text.lines().map(line).collect()
}

fn value_of(name: &str) -> Value {
    let count = |count: &str| count.parse::<i64>().expect("a number");
    match name.split_once('.').unwrap_or((name, "")) {
        ("none", _) => Value::None,
        ("true", _) => Value::Bool(true),
        ("false", _) => Value::Bool(false),
        ("int", number) => Value::from(number.parse::<i128>().expect("a number")),
        ("float", "") => Value::Float(1.5),
        ("float", "negative") => Value::Float(-0.1),
        ("float", _) => Value::Float(f64::INFINITY),
        ("text", "3") => "hä€".into(),
        ("text", len) => "x".repeat(len.parse().expect("a length")).into(),
        ("bytes", "2") => Value::Bytes(Bytes::from_static(b"\0\xff")),
        ("bytes", len) => Value::Bytes((0..=255).take(len.parse().expect("a length")).collect()),
        ("list", len) => Value::List((0..count(len)).map(Value::Int).collect()),
        ("dict", len) => {
            Value::Dict((0..count(len)).map(|key| (key.to_string().into(), Value::Int(key))).collect())
        }
        ("nested", _) => {
            let inner = Value::Dict(vec![("b".into(), Value::None)]);
            let dict = Value::Dict(vec![("a".into(), Value::List(vec![Value::Int(1), inner]))]);
            Value::List(vec![dict, Value::List(vec![Value::Int(2), "3".into()])])
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_are_read_and_written_as_python_writes_them() {
    let vectors = vectors();
    let is_value = |name: &str| !name.starts_with("master.") && !name.starts_with("worker.");
    let values: Vec<_> = vectors.iter().filter(|(name, _)| is_value(name)).collect();
    assert_eq!(values.len(), 44);
    for (name, bytes) in values {
        let value = value_of(name);
        assert_eq!(read(bytes, &Limits::default()).as_ref(), Ok(&value), "{name}");
        assert_eq!(write(&value).as_ref(), Ok(bytes), "{name}");
    }
}

/// What a worker hears of the one message of a master.
fn heard(name: &str) -> (Exchange, Event) {
    let mut exchange = Exchange::new(Limits::default());
    exchange.handle_message(&vectors()[&format!("master.{name}")]);
    let event = exchange.poll_event().expect("something was said");
    assert_eq!(exchange.poll_event(), None);
    (exchange, event)
}

fn asked(name: &str) -> Ask {
    let (_, Event::Asked { op, fields, .. }) = heard(name) else { panic!("{name}") };
    Ask::of(&op, fields, &mut Commands::default()).expect("a master's words are right")
}

fn command(name: &str) -> (Option<String>, Start) {
    let Ask::Start { builder, start } = asked(name) else { panic!("{name}") };
    (builder, *start)
}

#[test]
fn what_a_master_asks_is_read() {
    assert_eq!(asked("print"), Ask::Print { message: "attached".to_owned() });
    assert_eq!(asked("info"), Ask::WorkerInfo);
    assert!(matches!(asked("settings"), Ask::Settings { newline_re } if newline_re.starts_with(r"(\r\n|")));
    assert_eq!(asked("keepalive"), Ask::KeepAlive);
    assert_eq!(asked("shutdown"), Ask::Shutdown);
    let Ask::Interrupt { command: id, why } = asked("interrupt") else { panic!("an interrupt") };
    assert_eq!((id.to_string().as_str(), why.as_str()), ("7", "enough"));
    let (none, start) = command("list");
    assert_eq!((none, start.command), (None, Command::List { path: "/srv/w".to_owned() }));
    let (_, start) = command("upload");
    let Command::Upload(upload) = start.command else { panic!("an upload") };
    assert_eq!((upload.path.as_str(), upload.writer), ("/srv/w/b/build/a", start.sink));
    assert_eq!((upload.block_bytes.get(), upload.bytes_max, upload.keep_times), (262_144, None, true));
}

#[test]
fn a_program_is_read() {
    let (builder, start) = command("shell");
    assert_eq!(builder.as_deref(), Some("b"));
    let Command::Shell(shell) = start.command else { panic!("a program") };
    let word = |text: &str, shown: Option<&str>| Argument { text: text.into(), shown: shown.map(Into::into) };
    let words = vec![word("say", None), word("hunter2", Some("XXXX")), word("ä", None)];
    assert_eq!(shell.program, Program::Words(words));
    assert_eq!(shell.folder, "/srv/w/b/build");
    assert_eq!(shell.env[1].1, EnvChange::Join(vec!["/opt/bin".to_owned(), "${PATH}".to_owned()]));
    assert_eq!(shell.silence_timeout, Some(Duration::from_secs(1200)));
    assert_eq!(shell.stdin.as_deref(), Some("pätch".as_bytes()));
    assert!(shell.log_files[0].from_end && shell.wants_stdout && !shell.uses_terminal);
}

#[test]
fn what_a_worker_says_is_what_python_writes() {
    let mut commands = Commands::default();
    let (_, Event::Asked { op, fields, .. }) = heard("upload") else { panic!("a command") };
    let ask = Ask::of(&op, fields, &mut commands).expect("it is right");
    let Ask::Start { start, .. } = ask else { panic!("a command") };
    let mut said = |call: MasterCall| {
        let outgoing = commands.say(start.sink, call, 1.5).expect("there is such a call");
        let mut exchange = Exchange::new(Limits::default());
        exchange.call(outgoing).expect("there is room").expect("there is something to say");
        exchange.poll_transmit().expect("it was said")
    };
    let updates = vec![
        Update::Stdout("häß\nb".to_owned()),
        Update::Log { name: "test".to_owned(), text: "l\n".to_owned() },
        Update::ReturnCode(0),
        Update::Elapsed(Duration::from_millis(1500)),
    ];
    let failure = Failure::new("builtins.OSError", "disk full");
    let vectors = vectors();
    for (name, call) in [
        ("complete", MasterCall::Complete(None)),
        ("failed", MasterCall::Complete(Some(failure))),
        ("write", MasterCall::Write(Bytes::from_static(b"block"))),
        ("close", MasterCall::Close),
        ("times", MasterCall::SetTimes { accessed_at: 1.5, modified_at: 2.5 }),
    ] {
        assert_eq!(said(call), vectors[&format!("worker.{name}")], "{name}");
    }
    // The line that is not whole comes with the end, behind what came meanwhile.
    let update = said(MasterCall::Update(updates));
    let args = read(&update, &Limits::default()).expect("it was written").get("args").cloned();
    let Some(Value::List(pairs)) = args else { panic!("pairs") };
    let key = |pair: &Value| match pair {
        Value::List(parts) => parts[0].as_text().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    assert_eq!(pairs.iter().map(key).collect::<Vec<_>>(), ["stdout", "log", "stdout", "rc", "elapsed"]);
    let whole = vec![
        Update::Stdout("häß\nb\n".to_owned()),
        Update::Log { name: "test".to_owned(), text: "l\n".to_owned() },
        Update::ReturnCode(0),
        Update::Elapsed(Duration::from_millis(1500)),
    ];
    assert_eq!(said(MasterCall::Update(whole)), vectors["worker.update"]);
}

#[test]
fn answers_are_read_and_written_as_python_writes_them() {
    let vectors = vectors();
    for (name, expected) in [("answer", Ok(Value::None)), ("exception", Err("no space left"))] {
        let mut exchange = Exchange::new(Limits::default());
        let mut commands = Commands::default();
        let (_, Event::Asked { op, fields, .. }) = heard("list") else { panic!("a command") };
        let Ok(Ask::Start { start, .. }) = Ask::of(&op, fields, &mut commands) else { panic!("a command") };
        let end = commands.say(start.sink, MasterCall::Complete(None), 0.0).expect("there is such a call");
        let call = exchange.call(end).expect("there is room").expect("it is said");
        exchange.handle_message(&vectors[&format!("master.{name}")]);
        let raised = |text: &str| CallFailure::Raised(Failure::new("builtins.Exception", text));
        let outcome = expected.map_err(raised);
        assert_eq!(exchange.poll_event(), Some(Event::Answered { call, outcome }));
    }
    for (name, text) in [("result", None), ("raised", Some("there is no method dance"))] {
        let (mut exchange, Event::Asked { request, .. }) = heard("unknown") else { panic!("a request") };
        let answered = match text {
            None => exchange.answer(request, Value::None),
            Some(text) => exchange.fail(request, text.to_owned()),
        };
        assert_eq!(answered, Ok(()));
        assert_eq!(exchange.poll_transmit().as_deref(), Some(&vectors[&format!("worker.{name}")][..]));
    }
}
