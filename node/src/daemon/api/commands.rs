//! `/v1/commands`: submitting, listing, following, cancelling, explaining.

use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use serde_json::json;

use super::request::{EventsQuery, ListQuery, bad_query, read_content, read_id, read_submit};
use super::{Api, id_response, lines_response, ok};
use crate::daemon::commands::{LogReader, Stored};
use crate::daemon::error::ApiError;
use crate::daemon::registry::Page;
use crate::daemon::why::{ended_json, why_json};

pub(super) async fn submit(State(api): State<Api>, content: Body) -> Result<Response, ApiError> {
    let content = read_content(content, api.request_bytes_max).await?;
    Ok(match api.commands.submit(read_submit(&content)?).await? {
        Stored::New(id) => id_response(StatusCode::CREATED, &id),
        Stored::Known(id) => id_response(StatusCode::OK, &id),
    })
}

pub(super) async fn list(
    State(api): State<Api>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(bad_query)?;
    let Page { commands, next } = api.commands.list(&query.wanted(), query.after, query.limit()?);
    Ok(ok(&json!({ "commands": commands, "next": next })))
}

pub(super) async fn describe(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    Ok(ok(&api.commands.describe(&read_id(&id)?)?))
}

pub(super) async fn events(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(bad_query)?;
    let (from, patience) = (query.read_from()?, query.patience()?);
    let reader = api.commands.read(&read_id(&id)?, from, patience, query.follow)?;
    Ok(lines_response(stream::unfold(reader, async |mut reader: LogReader| {
        let lines = reader.next().await?;
        Some((lines, reader))
    })))
}

pub(super) async fn cancel(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    api.commands.cancel(&read_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn abandon(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    api.commands.abandon(&read_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn release(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    api.commands.release(&read_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn why(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = read_id(&id)?;
    let command = api.commands.describe(&id)?;
    let class = command["class"].as_str().unwrap_or_default();
    match api.handle.explain(&id).await {
        Ok(explanation) => Ok(ok(&why_json(Instant::now(), &id, class, &explanation))),
        Err(_) if api.stop.is_cancelled() => Err(ApiError::stopping()),
        // Its outcome may be on the way into the log.
        Err(_) => Ok(ok(&ended_json(&id, &command["outcome"]))),
    }
}
