//! `/v1/commands/{id}/body`: the bytes that a command carries.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures_util::StreamExt;
use runnel::{BodyError, BodyWriter};

use super::Api;
use super::request::read_id;
use crate::daemon::error::ApiError;

/// Streams the request into the body of a command. If it breaks off, so does the body: its writer is dropped.
pub(super) async fn put(
    State(api): State<Api>,
    Path(id): Path<String>,
    content: Body,
) -> Result<StatusCode, ApiError> {
    let writer = api.commands.take_body(&read_id(&id)?)?;
    tokio::select! {
        () = api.stop.cancelled() => Err(ApiError::stopping()),
        written = copy(content, writer) => written.map(|()| StatusCode::NO_CONTENT),
    }
}

async fn copy(content: Body, mut writer: BodyWriter) -> Result<(), ApiError> {
    let mut pieces = content.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece =
            piece.map_err(|error| ApiError::bad_request(format!("the request broke off: {error}")))?;
        writer.write(piece).await.map_err(no_reader)?;
    }
    writer.finish().await.map_err(no_reader)
}

fn no_reader(_: BodyError) -> ApiError {
    ApiError::ended()
}
