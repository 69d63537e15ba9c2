//! What is asked of the controller's HTTP API itself: the command line has no verb for it, or adds nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A client of the API. Each request has a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) socket: PathBuf,
}

impl Api {
    /// Returns status and answer; `None` if the node does not answer, or not whole.
    pub(super) async fn ask(&self, method: &str, path: &str, content: &str) -> Option<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket).await.ok()?;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nhost: runnel\r\ncontent-length: {}\r\n\r\n{content}",
            content.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (head, content) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, content.to_owned()))
    }

    /// Stores a ping. Returns its id once the node says so.
    pub(super) async fn ping(&self, key: &str, number: u64) -> Option<String> {
        let command =
            json!({ "to": "w1", "command": "sys.ping/1", "args": { "number": number }, "key": key });
        let (status, answer) = self.ask("POST", "/v1/commands", &command.to_string()).await?;
        let id = serde_json::from_str::<Value>(&answer).ok()?["id"].as_str()?.to_owned();
        matches!(status, 200 | 201).then_some(id)
    }

    /// Returns a command's outcome, if it has ended.
    pub(super) async fn outcome(&self, id: &str) -> Option<Value> {
        let (_, answer) = self.ask("GET", &format!("/v1/commands/{id}"), "").await?;
        let command: Value = serde_json::from_str(&answer).ok()?;
        (!command["outcome"].is_null()).then(|| command["outcome"].clone())
    }

    /// Returns the outcomes of all commands that are kept, by id; those that have not ended have `null`.
    pub(super) async fn commands(&self) -> BTreeMap<String, Value> {
        let (mut all, mut after) = (BTreeMap::new(), String::new());
        loop {
            let path = format!("/v1/commands?all=true{after}");
            let (_, answer) = self.ask("GET", &path, "").await.expect("the controller runs");
            let page: Value = serde_json::from_str(&answer).expect("the API speaks JSON");
            for command in page["commands"].as_array().expect("a list") {
                let id = command["id"].as_str().expect("each has an id").to_owned();
                all.insert(id, command["outcome"].clone());
            }
            match &page["next"] {
                Value::Null => return all,
                next => after = format!("&after={next}"),
            }
        }
    }
}
