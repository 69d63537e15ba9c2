//! The local HTTP API: its paths, and how it is served and stopped.
//!
//! `node/API.md` specifies it. Start at [`router`].

mod bodies;
mod commands;
mod node;
mod request;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt};
use runnel::{Delivery, NodeHandle};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::commands::Commands;
use super::config::ApiConfig;
use super::error::ApiError;
use super::socket::ApiSocket;
use super::spool::BodySpool;

/// What all requests share.
#[derive(Clone, Debug)]
pub(super) struct Api {
    handle: NodeHandle,
    about: Arc<About>,
    commands: Arc<Commands>,
    request_bytes_max: usize,
    stop: CancellationToken,
}

/// What the API says of the node and never changes.
#[derive(Debug)]
pub(super) struct About {
    pub(super) fleet: String,
    pub(super) role: &'static str,
    pub(super) started_at: Instant,
    pub(super) certificate_ends_at: std::time::SystemTime,
}

/// The API while it is served.
#[derive(Debug)]
pub(super) struct ApiServer {
    commands: Arc<Commands>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
    /// Tells the queue what the registry has let go of.
    tidying: JoinHandle<()>,
}

impl ApiServer {
    /// Takes over the commands of an older process, and then serves the API of a node at a socket.
    pub(super) async fn start(
        socket: ApiSocket,
        handle: NodeHandle,
        about: About,
        config: &ApiConfig,
        delivery: Delivery,
        spool: Option<BodySpool>,
    ) -> Self {
        let stop = CancellationToken::new();
        let commands = Commands::new(handle.clone(), config.clone(), delivery, spool, stop.clone());
        let tidying = tokio::spawn(commands.clone().tidy());
        if commands.recover().await.is_err() {
            warn!("the node stopped before the commands of an older process were taken over");
        }
        let api = Api {
            handle,
            about: Arc::new(about),
            commands: commands.clone(),
            request_bytes_max: config.request_bytes_max,
            stop: stop.clone(),
        };
        let server = axum::serve(socket, router(api));
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move { server.with_graceful_shutdown(stopped).await });
        Self { commands, stop, task, tidying }
    }

    /// Takes no more requests and ends those that are open: streams at once, others when they are answered or the time is up.
    pub(super) async fn stop(&mut self, timeout: Duration) {
        self.stop.cancel();
        match tokio::time::timeout(timeout, &mut self.task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => warn!(%error, "the API ended with an error"),
            Ok(Err(error)) => warn!(%error, "the API's task failed"),
            Err(_) => {
                warn!("requests to the API are cut off");
                self.task.abort();
            }
        }
        if let Err(error) = (&mut self.tidying).await {
            warn!(%error, "what is no longer kept could not be told");
        }
    }

    /// Waits for the tasks that follow commands; they end once the node has stopped.
    pub(super) async fn wait_idle(self) {
        self.commands.wait_idle().await;
    }
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/node", get(node::node))
        .route("/v1/nodes", get(node::nodes))
        .route("/v1/nodes/{node}/forget", post(node::forget))
        .route("/v1/network-changed", post(node::network_changed))
        .route("/v1/commands", get(commands::list).post(commands::submit))
        .route("/v1/bodies", post(bodies::leave))
        .route("/v1/commands/{id}", get(commands::describe))
        .route("/v1/commands/{id}/events", get(commands::events))
        .route("/v1/commands/{id}/cancel", post(commands::cancel))
        .route("/v1/commands/{id}/abandon", post(commands::abandon))
        .route("/v1/commands/{id}/release", post(commands::release))
        .route("/v1/commands/{id}/why", get(commands::why))
        .route("/v1/commands/{id}/body", get(bodies::get).put(bodies::put))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(api)
}

async fn no_such_path() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no-such-path",
        "there is no such path; the API is described in API.md",
    )
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this path does not take this method")
}

/// Makes an answer of a JSON value.
pub(super) fn json_response(status: StatusCode, value: &Value) -> Response {
    let kind = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, kind)], Body::from(value.to_string())).into_response()
}

/// Makes a plain answer of a JSON value.
fn ok(value: &Value) -> Response {
    json_response(StatusCode::OK, value)
}

/// Makes an answer of lines, each sent as soon as it is there.
fn lines_response(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let kind = HeaderValue::from_static("application/x-ndjson");
    let lines = Body::from_stream(lines.map(Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, kind)], lines).into_response()
}

/// Makes the answer to a stored command.
fn id_response(status: StatusCode, id: &impl ToString) -> Response {
    json_response(status, &json!({ "id": id.to_string() }))
}
