//! A controller of the tests that can be killed like any process. It submits what its standard input orders, and says on
//! its standard output what becomes of it.
//!
//! Its endpoint's keys are in the folder of its identity, so that its peers learn of its death with their next packet.
//!
//! Usage: `test-controller IDENTITY-FOLDER ADDRESS`, then lines `mark NODE` and `hold NODE`. It says `listening ADDRESS`
//! first, then `stored ID` for each order in turn, and meanwhile `accepted ID`, `started ID` and `done ID` or
//! `ended ID: WHY`.

use std::io::Write;
use std::path::Path;

use runnel::certs::Identity;
use runnel::codec::{Command, Never, NodeId};
use runnel::{Node, NodeBuilder, Progress, Submission, SubmitOptions, load_or_create_endpoint_keys};
use runnel_tests::commands::{Hold, Mark};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, address] = &args[..] else { panic!("two arguments are needed, not {args:?}") };
    let folder = Path::new(folder);
    let node = NodeBuilder::new(Identity::load(folder).expect("an identity"))
        .endpoint_keys(load_or_create_endpoint_keys(folder).expect("keys to keep"))
        .listen(address.parse().expect("an address"));
    let node = node.start().await.expect("the controller starts");
    say(&format!("listening {}", node.handle().listening()[0]));
    let mut following = JoinSet::new();
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    // It ends by being killed, or with whoever gives the orders.
    while let Some(order) = orders.next_line().await.expect("the orders can be read") {
        let (kind, to) = order.split_once(' ').expect("an order has two words");
        let to = to.parse().expect("a name");
        match kind {
            "mark" => drop(following.spawn(follow(submit::<Mark>(&node, &to, 7).await))),
            "hold" => drop(following.spawn(follow(submit::<Hold>(&node, &to, ()).await))),
            other => panic!("there is no order {other}"),
        }
    }
}

async fn submit<C: Command>(node: &Node, to: &NodeId, args: C::Args) -> Submission<C> {
    let options = SubmitOptions { steps: true, ..SubmitOptions::default() };
    let submission = node.handle().submit::<C>(to, &args, options).await.expect("the queue has room");
    say(&format!("stored {}", submission.id()));
    submission
}

async fn follow<C: Command<Update = Never>>(mut submission: Submission<C>) {
    let id = submission.id().clone();
    while let Some(progress) = submission.progress().await {
        match progress {
            Ok(Progress::Accepted) => say(&format!("accepted {id}")),
            Ok(Progress::Started) => say(&format!("started {id}")),
            _ => {}
        }
    }
    match submission.outcome().await {
        Ok(_) => say(&format!("done {id}")),
        Err(error) => say(&format!("ended {id}: {error}")),
    }
}

/// Whoever reads has the whole line at once.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).expect("somebody reads");
}
