//! A worker of the tests that can be killed like any process: it understands the commands of the tests and notes its
//! calls in a file.
//!
//! Usage: `test-worker IDENTITY-FOLDER CONTROLLER ADDRESS TALLY-FILE COMMANDS-MAX`

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use runnel::certs::Identity;
use runnel::{Config, Context, Handlers, NodeBuilder};
use runnel_tests::commands::{Echo, Gate, Hold, Mark, hold};
use runnel_tests::tally::TallyFile;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [identity, controller, address, tally, commands_max] = &args[..] else {
        panic!("five arguments are needed, not {args:?}");
    };
    let identity = Identity::load(Path::new(identity)).expect("an identity");
    let node = NodeBuilder::new(identity)
        .config(config(commands_max.parse().expect("a number")))
        .handlers(handlers(TallyFile::new(tally)))
        .peer(controller.parse().expect("a name"), [address.clone()]);
    let _node = node.start().await.expect("the worker starts");
    // It ends by being killed.
    std::future::pending().await
}

/// Takes few commands at once, and then asks its senders to come again soon.
fn config(commands_max: usize) -> Config {
    let mut config = Config::default();
    config.receive_queue.commands_max = commands_max;
    config.receive_queue.sender_commands_max = commands_max;
    config.receive_queue.sender_commands_min = 2;
    config.receive_queue.busy_retry_after = Duration::from_millis(500);
    config.receive_queue.free_places = NonZeroUsize::new(256).expect("256 is not 0");
    config
}

fn handlers(tally: TallyFile) -> Handlers {
    let mut handlers = Handlers::new();
    handlers.on_inline::<Echo, _>(Ok);
    let noted = tally.clone();
    handlers.on::<Mark, _, _>(move |context: Context<Mark>, number| {
        let result = noted.note(context.id());
        std::future::ready(result.map(|()| number).map_err(Into::into))
    });
    handlers.on::<Hold, _, _>(move |context: Context<Hold>, ()| {
        let result = tally.note(context.id());
        async move {
            result?;
            hold(context, Gate::closed()).await
        }
    });
    handlers
}
