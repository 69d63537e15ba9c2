//! Sends a typed command: `cargo run --example send_command -- IDENTITY LISTEN WORKER`.
#![allow(clippy::print_stdout)]
use anyhow::Context;
use runnel::{NodeBuilder, Progress, SubmitOptions, certs::Identity, codec::Command};

enum Count {}

impl Command for Count {
    const NAME: &'static str = "example.count/1";
    type Args = u32;
    type Update = u32;
    type Result = String;
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arg = |at| std::env::args().nth(at).context("the arguments are IDENTITY LISTEN WORKER");
    let builder = NodeBuilder::new(Identity::load(arg(1)?.as_ref())?);
    let node = builder.listen(arg(2)?.parse()?).start().await?;
    let mut count = node.handle().submit::<Count>(&arg(3)?.parse()?, &3, SubmitOptions::default()).await?;
    while let Some(progress) = count.progress().await {
        if let Progress::Update(number) = progress? {
            println!("{number}");
        }
    }
    println!("{}", count.outcome().await?);
    node.shutdown().await;
    Ok(())
}
