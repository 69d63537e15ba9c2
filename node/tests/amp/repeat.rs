//! A worker of the library, with a command of its own.

use std::path::Path;

use runnel::certs::Identity;
use runnel::codec::Command;
use runnel::{Context, HandlerError, Handlers, Node, NodeBuilder};

/// Says a word and how often.
enum Repeat {}

impl Command for Repeat {
    const NAME: &'static str = "test.repeat/1";
    type Args = (String, u32);
    type Update = String;
    type Result = (u32, String);
}

/// Starts a worker of this identity that dials a controller `ctl`.
pub(crate) async fn start_worker(identity: &Path, controller: &str) -> Node {
    let identity = Identity::load(identity).expect("an identity");
    let mut handlers = Handlers::new();
    handlers.on::<Repeat, _, _>(repeat);
    let worker = NodeBuilder::new(identity).handlers(handlers);
    let worker = worker.peer("ctl".parse().expect("a name"), [controller.to_owned()]);
    worker.start().await.expect("the worker starts")
}

async fn repeat(
    mut context: Context<Repeat>,
    (word, times): (String, u32),
) -> Result<(u32, String), HandlerError> {
    for _ in 0..times {
        context.update(&word).await?;
    }
    Ok((times, word))
}
