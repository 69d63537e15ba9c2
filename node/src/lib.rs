//! A Runnel node: what people embed.
//!
//! A node carries **commands** from controllers to workers over QUIC links that may lose packets, change addresses and go
//! dark. A [`NodeBuilder`] makes a node of an identity, handlers and peers; a [`NodeHandle`] submits commands, follows
//! their updates and waits for their outcomes.
//!
//! Start with [`NodeBuilder`]. The life of a command goes through `node` (the caller's door), `engine` (the one task that
//! moves everything), `handler` (the receiver's door) and back through `submission`.

mod body;
mod caller_events;
mod clock;
pub mod commands;
mod config;
mod endpoint_keys;
mod engine;
mod env;
mod handler;
mod link_changes;
mod new_epoch;
mod node;
mod path;
mod policy;
pub mod process;
mod raw;
mod recovered;
pub mod relay;
mod room;
mod status;
mod store;
mod store_folder;
mod submission;
pub mod supervise;
mod updates;
mod wakes;

pub use body::{Body, BodyError, BodyReader, BodyWriter};
pub use config::{Config, NodeConfig};
pub use endpoint_keys::{ENDPOINT_KEYS_FILE, EndpointKeysError, load_or_create_endpoint_keys};
pub use env::{Env, NetworkChanges, SystemEnv, Task};
pub use handler::{Context, HandlerError, Handlers, Recoverable, Run, StopSignal, TokenError};
pub use link_changes::{LinkChange, LinkChanges, LinkChangesError};
pub use new_epoch::StoreRenewal;
pub use node::{
    CallError, Delivery, Node, NodeBuilder, NodeHandle, NotFound, StartError, SubmitError, SubmitOptions,
};
pub use policy::{Action, Policy, Rule};
pub use raw::{Raw, RawCommand};
pub use recovered::Recovered;
pub use runnel_certs as certs;
pub use runnel_codec as codec;
pub use runnel_queue::{
    Bound, ClockReading, GivenUp, Idempotency, KeyConflict, NewEpoch, Stage, StopReason, Store, StoreConfig,
    StoreError, SubmitError as QueueError, Waiting, WaitsFor,
};
pub use runnel_transport::{CloseReason, EndpointKeys, LinkStats, SocketStats};
pub use status::{Explanation, LinkEnd, LinkStatus, PeerReach, PeerState, PeerStatus, Status, StoreStatus};
pub use store::{StoreBatch, StoreDriver};
pub use store_folder::{OpenStoreError, open_existing_store, open_store};
pub use submission::{NotDone, Progress, Submission, UpdateMark};
pub use updates::{Acknowledged, Acknowledgements, UpdateError};
