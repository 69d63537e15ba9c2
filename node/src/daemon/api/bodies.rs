//! `/v1/bodies`, `/v1/commands/{id}/body`: the bytes that a command carries.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use runnel::{BodyError, BodyReader, BodyWriter};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::json_response;
use super::request::read_id;
use crate::daemon::error::ApiError;

/// Keeps the request as the body of a durable command that is submitted next.
pub(super) async fn leave(State(api): State<Api>, content: Body) -> Result<Response, ApiError> {
    let spool = api.commands.spool.as_ref().ok_or_else(ApiError::no_store)?;
    let (id, bytes) = tokio::select! {
        () = api.stop.cancelled() => return Err(ApiError::stopping()),
        left = spool.receive(content) => left?,
    };
    Ok(json_response(StatusCode::CREATED, &json!({ "body": id.as_str(), "bytes": bytes })))
}

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

/// Streams the body of a command's result, once its first piece is there. Where the body breaks off, so does the answer.
pub(super) async fn get(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let mut reader = api.commands.take_result_body(&read_id(&id)?)?;
    let first = next_piece(&mut reader, &api.stop).await.map_err(|_| ApiError::body_broken())?;
    let rest = stream::try_unfold((reader, api.stop), async |(mut reader, stop): Reading| {
        let piece = next_piece(&mut reader, &stop).await?;
        Ok::<_, BodyError>(piece.map(|piece| (piece, (reader, stop))))
    });
    let pieces = stream::iter(first.map(Ok)).chain(rest);
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(pieces)).into_response())
}

type Reading = (BodyReader, CancellationToken);

async fn next_piece(reader: &mut BodyReader, stop: &CancellationToken) -> Result<Option<Bytes>, BodyError> {
    tokio::select! {
        () = stop.cancelled() => Err(BodyError::Ended),
        piece = reader.next() => piece,
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
