//! Both ends of a supervised program in processes of their own, to be killed like any process.
//!
//! Usage: `test-supervised supervise FOLDER`, the supervisor; `test-supervised follow FOLDER NAME`, a node that
//! follows the program NAME of the supervision in FOLDER. It says one line an event, `output NUMBER SOURCE HEX`,
//! `exited REASON` or `failed ERROR`, and does what the lines on its standard input say: `input HEX`, `end`, `stop`,
//! `trim NUMBER`, `settle`.

use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use runnel::process::Piece;
use runnel::supervise::{
    SuperviseError, Supervised, SupervisedEvent, SupervisedStdin, Supervision, SupervisionConfig, Trimmed,
    run,
};
use runnel_tests::supervised::{from_hex, to_hex};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["supervise", folder] => run(Path::new(folder)).await.expect("the supervisor ends in order"),
        ["follow", folder, name] => follow(folder, name).await,
        _ => panic!("what is to be done is not understood: {args:?}"),
    }
}

async fn follow(folder: &str, name: &str) {
    let program = std::env::current_exe().expect("a program has a path");
    let supervision = Supervision::new(folder, program, SupervisionConfig::default());
    let mut supervised = supervision.follow(name).await.expect("it can be followed");
    let Trimmed { number, mark } = supervised.trimmed();
    assert_eq!(mark, 2 * number, "what was kept beside it comes back");
    let mut stdin = Some(supervised.stdin());
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut has_ended = false;
    loop {
        tokio::select! {
            event = supervised.next(), if !has_ended => has_ended = tell(event),
            order = orders.next_line() => {
                let order = order.expect("standard input can be read").expect("it ends by being killed, or settles");
                if order == "settle" {
                    return supervised.settle().await.expect("it can be settled");
                }
                obey(&order, &supervised, &mut stdin).await;
            }
        }
    }
}

/// Says what happened. Returns whether it was the last.
fn tell(event: Result<SupervisedEvent, SuperviseError>) -> bool {
    let (line, is_last) = match event {
        Ok(SupervisedEvent::Output { number, piece }) => (format!("output {number} {}", words(piece)), false),
        Ok(SupervisedEvent::Exited(reason)) => (format!("exited {reason:?}"), true),
        Err(error) => (format!("failed {error}"), true),
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("the test reads standard output");
    is_last
}

/// Says what a piece is, and what is in it.
fn words(piece: Piece) -> String {
    match piece {
        Piece::Stream { stream, bytes } => format!("{stream:?} {}", to_hex(&bytes)),
        Piece::Log { name, bytes } => format!("{name} {}", to_hex(&bytes)),
        Piece::Environment(variables) => {
            let lines: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            format!("environment {}", to_hex(lines.as_bytes()))
        }
    }
}

async fn obey(order: &str, supervised: &Supervised, stdin: &mut Option<SupervisedStdin>) {
    match order.split_once(' ').unwrap_or((order, "")) {
        ("input", hex) => {
            let stdin = stdin.as_mut().expect("input comes before its end");
            stdin.write(&mut Bytes::from(from_hex(hex))).await.expect("the program reads");
        }
        ("end", _) => stdin.take().expect("input ends once").close(),
        ("stop", _) => supervised.stop(),
        ("trim", number) => {
            let number = number.parse().expect("a number");
            supervised.trim(Trimmed { number, mark: 2 * number });
        }
        _ => panic!("an order that is not understood: {order}"),
    }
}
