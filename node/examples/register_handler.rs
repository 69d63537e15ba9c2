//! Handles a typed command: `cargo run --example register_handler -- IDENTITY CONTROLLER ADDRESS`.
use anyhow::Context;
use runnel::certs::Identity;
use runnel::codec::Command;
use runnel::{Handlers, NodeBuilder};

enum Count {}

impl Command for Count {
    const NAME: &'static str = "example.count/1";
    type Args = u32;
    type Update = u32;
    type Result = String;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arg = |at| std::env::args().nth(at).context("the arguments are IDENTITY CONTROLLER ADDRESS");
    let mut handlers = Handlers::new();
    handlers.on::<Count, _, _>(|mut context, to| async move {
        context.update(&(to / 2)).await?;
        Ok(format!("counted to {to}"))
    });
    let builder = NodeBuilder::new(Identity::load(arg(1)?.as_ref())?).handlers(handlers);
    let node = builder.peer(arg(2)?.parse()?, [arg(3)?]).start().await?;
    tokio::signal::ctrl_c().await?;
    node.shutdown().await;
    Ok(())
}
