//! A broker in front of the real Twisted, over loopback: the login, and calls in both directions.
//!
//! The tests make themselves a virtual environment with Twisted below the target folder. Where there is no Python 3, or
//! no package registry, they are skipped and say so.

mod connection;
mod environment;
mod server;
mod worker;

use std::time::Duration;

use bytes::Bytes;
use runnel_buildbot::jelly::{Failure, JellyError, Value};
use runnel_buildbot::{CallFailure, CloseReason, Event, Limits};

use self::connection::Connection;
use self::server::Server;
use self::worker::Worker;

/// Runs a test against a server of its own. The time is far more than it takes: it ends a test that hangs.
fn with_server<F: Future<Output = ()>>(test: impl FnOnce(Server) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let Some(server) = Server::start().await else {
            return;
        };
        tokio::time::timeout(Duration::from_secs(120), test(server)).await.expect("the test hangs");
    });
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn bytes(bytes: &'static [u8]) -> Value {
    Value::Bytes(Bytes::from_static(bytes))
}

/// Returns the exception that a call has ended in.
#[track_caller]
fn raised(outcome: Result<Value, CallFailure>) -> Failure {
    match outcome {
        Err(CallFailure::Raised(failure)) => failure,
        other => panic!("{other:?} instead of an exception"),
    }
}

#[test]
fn a_worker_logs_in_and_is_attached() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let served = ["print", "getWorkerInfo", "setBuilderList", "print", "print"];
        assert_eq!(worker.served, served, "before the login was answered");
        let attached = worker.call_master("attached", vec![]).await;
        let names = Value::List(vec![text("docs"), text("linux")]);
        assert_eq!(attached, Ok(Value::Tuple(vec![worker::info(), names])));
    });
}

#[test]
fn a_wrong_password_or_name_is_refused() {
    with_server(async |server| {
        for (username, password) in [("worker1", "wrong"), ("worker2", "secret"), ("", "")] {
            let mut connection = Connection::open(server.port, username, password, Limits::default()).await;
            // What it knows of the mind it gives back first.
            let mut event = connection.next_event().await;
            if matches!(event, Event::Unreferenced { .. }) {
                event = connection.next_event().await;
            }
            let Event::Closed(CloseReason::LoginRefused(failure)) = event else {
                panic!("{event:?} instead of a refusal");
            };
            assert!(failure.is("twisted.cred.error.UnauthorizedLogin"), "{failure}");
        }
    });
}

#[test]
fn values_come_back_as_they_went() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let pair = |key: Value, value: Value| (key, value);
        let values = vec![
            Value::None,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::from(i128::from(u64::MAX)),
            Value::from(-i128::from(u64::MAX)),
            Value::Float(-0.125),
            bytes(b"message"),
            Value::Bytes(vec![0xff; 640 << 10].into()),
            text("message"),
            text("häß € \u{1f600}"),
            Value::List(vec![Value::Tuple(vec![]), Value::List(vec![])]),
            Value::Dict(vec![pair(text("a"), Value::Dict(vec![pair(Value::Int(1), bytes(b""))]))]),
            Value::Set(vec![text("one")]),
            Value::Object(worker.mind()),
        ];
        for value in values {
            let expected = Ok(Value::Tuple(vec![value.clone()]));
            assert_eq!(worker.call_master("echo", vec![value]).await, expected);
        }
        let seen = |value, expected: &str| (value, Ok(text(expected)));
        for (value, expected) in [
            seen(Value::Int(-5), "-5"),
            seen(Value::Tuple(vec![Value::Bool(false), Value::None]), "(False, None)"),
            seen(Value::Dict(vec![pair(text("ä"), bytes(b"\xff"))]), r"{'ä': b'\xff'}"),
            seen(Value::Set(vec![Value::Float(1.5)]), "{1.5}"),
            seen(Value::from(1_i128 << 100), "1267650600228229401496703205376"),
        ] {
            assert_eq!(worker.call_master("repr", vec![value]).await, expected);
        }
    });
}

#[test]
fn exceptions_of_the_master_come_with_their_class_and_text() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let failure = raised(worker.call_master("raise", vec![]).await);
        assert_eq!(failure.class, "builtins.FileNotFoundError");
        assert_eq!(failure.value, "[Errno 2] No such file or directory: 'päth'");
        assert!(failure.is("builtins.OSError"));
        let failure = raised(worker.call_master("refuse", vec![]).await);
        assert_eq!((failure.class.as_str(), failure.value.as_str()), ("twisted.spread.pb.Error", "not this"));
        let failure = raised(worker.call_master("there_is_none", vec![]).await);
        assert_eq!(failure.class, "builtins.AttributeError");
    });
}

#[test]
fn a_file_is_read_from_the_master_and_its_reader_given_back() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let before = worker.call_master("objects", vec![]).await;
        let content = Value::Bytes((0..=255).cycle().take(300_000).collect());
        let Ok(Value::Remote(reader)) = worker.call_master("reader", vec![content.clone()]).await else {
            panic!("a reader");
        };
        let mut read = Vec::new();
        loop {
            let Ok(Value::Bytes(block)) = worker.call(reader, "read", vec![Value::Int(65536)]).await else {
                panic!("a block");
            };
            if block.is_empty() {
                break;
            }
            read.extend_from_slice(&block);
        }
        assert_eq!(Value::Bytes(read.into()), content);
        assert!(raised(worker.call(reader, "close", vec![]).await).is("builtins.OSError"));
        assert_ne!(worker.call_master("objects", vec![]).await, before);
        worker.connection.broker.release(reader);
        assert_eq!(worker.call_master("objects", vec![]).await, before);
    });
}

#[test]
fn the_master_calls_objects_and_gets_answers_and_exceptions() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let builder = worker.builders[0];
        let mut call = async |method: &str, args, kwargs| {
            let call = vec![Value::Object(builder), text(method), Value::List(args), Value::Dict(kwargs)];
            worker.call_master("call", call).await.expect("the master tells what happened")
        };
        let pair = (text("why"), text("stop"));
        let answer = call("echo", vec![Value::Int(1)], vec![pair.clone()]).await;
        let echoed = Value::Tuple(vec![Value::List(vec![Value::Int(1)]), Value::Dict(vec![pair])]);
        assert_eq!(answer, Value::Tuple(vec![text("ok"), echoed]));
        let Value::Tuple(failed) = call("fail", vec![], vec![]).await else { panic!("a tuple") };
        assert_eq!((&failed[0], &failed[2]), (&text("error"), &text("no such file")));
        assert_eq!(failed[1].as_text(), Some("builtins.FileNotFoundError"));
        assert!(matches!(&failed[3], Value::List(parents) if parents.contains(&text("builtins.OSError"))));
        let Value::Tuple(failed) = call("there_is_none", vec![], vec![]).await else { panic!("a tuple") };
        assert_eq!(failed[1].as_text(), Some("twisted.spread.flavors.NoSuchMethod"));

        for (class, expected) in [("builtins.OSError", true), ("builtins.ValueError", false)] {
            let check = vec![Value::Object(builder), text("fail"), text(class)];
            assert_eq!(worker.call_master("check", check).await, Ok(Value::Bool(expected)));
        }
        let tell = vec![Value::Object(builder), text("told")];
        assert_eq!(worker.call_master("tell", tell).await, Ok(Value::None));
        assert!(worker.served.contains(&"told".to_owned()));
    });
}

#[test]
fn objects_are_one_and_the_same_until_they_are_dropped() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let object = worker.connection.broker.add_object().expect("there is room");
        let given = || vec![Value::Object(object)];
        for _ in 0..3 {
            assert_eq!(worker.call_master("keep", given()).await, Ok(Value::None));
        }
        assert_eq!(worker.unreferenced, []);
        assert_eq!(worker.call_master("drop", vec![]).await, Ok(Value::None));
        assert_eq!(worker.call_master("objects", vec![]).await.map(|_| ()), Ok(()));
        assert_eq!(worker.unreferenced, [object]);

        let Ok(Value::Remote(reader)) = worker.call_master("reader", vec![bytes(b"")]).await else {
            panic!("a reader");
        };
        assert_eq!(worker.call_master("keep", vec![Value::Remote(reader)]).await, Ok(Value::None));
        let is_kept = worker.call_master("is_kept", vec![Value::Remote(reader)]).await;
        assert_eq!(is_kept, Ok(Value::Bool(true)), "what comes home is what it was");
    });
}

#[test]
fn a_value_that_is_named_twice_comes_twice_and_its_reference_goes_back_once() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let before = worker.call_master("objects", vec![]).await;
        let Ok(Value::Tuple(values)) = worker.call_master("shared", vec![]).await else {
            panic!("values");
        };
        let shared = Value::List(vec![text("a"), Value::Int(1)]);
        assert_eq!(values[0], shared);
        assert_eq!(values[1].get("again"), Some(&shared));
        assert_eq!(values[2], values[3]);
        worker.connection.broker.release_all(&Value::Tuple(values));
        assert_eq!(worker.call_master("objects", vec![]).await, before);
    });
}

#[test]
fn what_is_not_read_fails_its_call_alone() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let unreadable = |error| Err(CallFailure::Unreadable(error));
        let refused = unreadable(JellyError::NotAllowed { kind: "datetime".to_owned() });
        assert_eq!(worker.call_master("datetime", vec![]).await, refused);
        assert_eq!(worker.call_master("cycle", vec![]).await, unreadable(JellyError::Unfinished));
        assert_eq!(worker.call_master("echo", vec![]).await, Ok(Value::Tuple(vec![])));
    });
}

#[test]
fn many_calls_go_both_ways_at_once() {
    with_server(async |server| {
        let mut worker = Worker::log_in(&server).await;
        let builder = Value::Object(worker.builders[0]);
        let many = vec![builder, text("number"), Value::Int(500)];
        let perspective = worker.perspective;
        let broker = &mut worker.connection.broker;
        let calls: Vec<_> = (0..500)
            .map(|number| {
                broker.call(perspective, "echo", vec![Value::Int(number)], vec![]).expect("there is room")
            })
            .collect();
        assert_eq!(worker.call_master("many", many).await, Ok(Value::Bool(true)));
        for (number, call) in (0..).zip(calls) {
            assert_eq!(worker.outcome(call).await, Ok(Value::Tuple(vec![Value::Int(number)])));
        }
    });
}

#[test]
fn a_block_above_the_limit_ends_the_connection_and_the_calls_on_it() {
    with_server(async |server| {
        let limits = Limits { string_bytes_max: 100 << 10, ..Limits::default() };
        let mut worker = Worker::log_in_within(&server, limits).await;
        let block = |len| vec![Value::Int(len)];
        assert!(worker.call_master("block", block(100 << 10)).await.is_ok());
        let outcome = worker.call_master("block", block((100 << 10) + 1)).await;
        assert_eq!(outcome, Err(CallFailure::ConnectionLost));
        let end = worker.connection.next_event().await;
        assert!(matches!(end, Event::Closed(CloseReason::Undecodable(_))), "{end:?}");
    });
}
