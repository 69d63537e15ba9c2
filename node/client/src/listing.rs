//! All commands of the local node, which lists them page by page.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::ClientError;

/// Which commands are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that have not ended.
    Open,
    /// Also those that have ended, as long as the node keeps them.
    All,
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    commands: Vec<T>,
    next: Option<u64>,
}

/// Asks for the commands that have not ended and whose key begins with `key_prefix`.
///
/// # Errors
///
/// See [`ClientError`].
pub async fn list_commands_of<T: DeserializeOwned>(
    client: &Client,
    key_prefix: &str,
) -> Result<Vec<T>, ClientError> {
    list(client, &format!("key_prefix={key_prefix}")).await
}

/// Asks for commands, oldest first. One that ends meanwhile may be missing, or be there with its end.
///
/// # Errors
///
/// See [`ClientError`].
///
/// # Cancel safety
///
/// Dropping the future loses nothing but the answers.
pub async fn list_commands<T: DeserializeOwned>(
    client: &Client,
    which: Which,
) -> Result<Vec<T>, ClientError> {
    list(client, &format!("all={}", which == Which::All)).await
}

async fn list<T: DeserializeOwned>(client: &Client, query: &str) -> Result<Vec<T>, ClientError> {
    let (mut commands, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/v1/commands?{query}&after={after}");
        let page: Page<T> = client.get(&path).await?;
        commands.extend(page.commands);
        match page.next {
            Some(next) if next > after => after = next,
            _ => return Ok(commands),
        }
    }
}
