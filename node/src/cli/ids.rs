//! Abbreviated ids: whatever names one command and no other.

use runnel::codec::CommandId;

use super::exit::{Exit, Failure};
use runnel_client::Client;
use runnel_client::api::CommandInfo;
use runnel_client::{Which, list_commands};

/// Returns the id that `text` stands for.
pub(super) async fn resolve(client: &Client, text: &str) -> Result<String, Failure> {
    if let Ok(id) = text.parse::<CommandId>() {
        return Ok(id.to_string());
    }
    let commands: Vec<CommandInfo> = list_commands(client, Which::All).await?;
    let ids: Vec<&str> = commands.iter().map(|command| command.id.as_str()).collect();
    let id = choose(text, &ids)?;
    // What goes into a path is an id and nothing else, whatever the node says.
    id.parse::<CommandId>()
        .map(|id| id.to_string())
        .map_err(|error| Failure::new(Exit::Failed, format!("the node names a command {id:?}: {error}")))
}

/// Chooses among `ids`: the number, or `NODE.NUMBER`, or else a beginning.
fn choose<'a>(text: &str, ids: &[&'a str]) -> Result<&'a str, Failure> {
    let pick =
        |is_meant: &dyn Fn(&str) -> bool| ids.iter().copied().filter(|id| is_meant(id)).collect::<Vec<_>>();
    let mut meant = pick(&|id| is_numbered(id, text));
    if meant.is_empty() && !text.is_empty() {
        meant = pick(&|id| id.starts_with(text));
    }
    match meant[..] {
        [id] => Ok(id),
        [] => {
            let text =
                format!("no command here is named {text:?}; runnel ps --all lists those that are known");
            Err(Failure::new(Exit::Failed, text).with_word("unknown-command"))
        }
        [..] => {
            let some = meant.iter().take(CANDIDATES_SHOWN).copied().collect::<Vec<_>>().join(", ");
            let more = if meant.len() > CANDIDATES_SHOWN { ", ..." } else { "" };
            let text =
                format!("{text:?} may be any of {} commands: {some}{more}; write more of it", meant.len());
            Err(Failure::new(Exit::Usage, text).with_word("ambiguous-id"))
        }
    }
}

/// Whether `text` is the number of `id`, alone or behind the name of its receiver.
fn is_numbered(id: &str, text: &str) -> bool {
    let mut parts = id.split('.').skip(1);
    let (Some(receiver), Some(_epoch), Some(number)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    match text.split_once('.') {
        Some((node, rest)) => node == receiver && rest == number,
        None => text == number,
    }
}

/// Candidates that are listed before "...".
const CANDIDATES_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 4] = [
        "ctl.w1.9f86d081884c7d65.1",
        "ctl.w1.9f86d081884c7d65.42",
        "ctl.w2.9f86d081884c7d65.1",
        "ctl.w3.9f86d081884c7d65.7",
    ];

    #[track_caller]
    fn check(text: &str, expected: Result<&str, Exit>) {
        assert_eq!(choose(text, &IDS).map_err(|failure| failure.exit()), expected, "{text:?}");
    }

    #[test]
    fn a_number_is_enough_if_only_one_command_has_it() {
        check("42", Ok(IDS[1]));
        check("1", Err(Exit::Usage));
        check("w1.1", Ok(IDS[0]));
        check("w2.1", Ok(IDS[2]));
        check("2", Err(Exit::Failed));
    }

    #[test]
    fn a_beginning_is_enough_if_only_one_command_has_it() {
        check("ctl.w3", Ok(IDS[3]));
        check("ctl.w1", Err(Exit::Usage));
        check("ctl.w1.9f86d081884c7d65.4", Ok(IDS[1]));
        check("", Err(Exit::Failed));
        check("other", Err(Exit::Failed));
    }
}
