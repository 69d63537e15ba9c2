//! Streams standard input into a file on a worker: `cargo run --example stream_body -- IDENTITY LISTEN WORKER PATH`.
#![allow(clippy::print_stdout)]
use anyhow::Context;
use runnel::certs::Identity;
use runnel::commands::{FileKind, FsPut, FsPutArgs};
use runnel::{Body, NodeBuilder, SubmitOptions};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arg = |at| std::env::args().nth(at).context("the arguments are IDENTITY LISTEN WORKER PATH");
    let identity = Identity::load(arg(1)?.as_ref())?;
    let node = NodeBuilder::new(identity).listen(arg(2)?.parse()?).start().await?;
    let (mut writer, body) = Body::live();
    let options = SubmitOptions { body: Some(body), ..SubmitOptions::default() };
    let (path, kind) = (arg(4)?, FileKind::File);
    let args = FsPutArgs { path, kind, mode: None, replace: true, make_parents: false };
    let put = node.handle().submit::<FsPut>(&arg(3)?.parse()?, &args, options).await?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match tokio::io::stdin().read(&mut buffer).await? {
            0 => break writer.finish().await?,
            length => writer.write(buffer[..length].to_vec().into()).await?,
        }
    }
    println!("{} bytes", put.outcome().await?.bytes);
    node.shutdown().await;
    Ok(())
}
