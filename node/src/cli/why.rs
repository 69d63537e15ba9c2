//! `runnel why`: what a command waits for.

use clap::Args;

use super::exit::{Exit, Failure};
use super::ids;
use super::session::{Session, SessionArgs, print};
use runnel_client::api::Why;

/// Arguments of `runnel why`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WhyArgs {
    /// The command: its id, its number, NODE.NUMBER or a beginning of its id that no other has.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    session: SessionArgs,
}

impl WhyArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let id = ids::resolve(&session.client, &self.id).await?;
        if let Some(why) = session.ask::<Why>(&format!("/v1/commands/{id}/why")).await? {
            print(&text(&why))?;
        }
        Ok(Exit::Success)
    }
}

fn text(why: &Why) -> String {
    let mut text = format!("{}: {} ({})\n{}\n", why.id, why.stage, why.reason, why.text);
    if let Some(advice) = advice(&why.reason) {
        text.push_str(advice);
        text.push('\n');
    }
    text
}

/// Returns what can be done about it, where anything can.
fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "unreachable" => {
            "next: is the node running, and does UDP pass? `runnel nodes` shows when it was last heard of"
        }
        "busy" => {
            "next: nothing; the node asked for a pause and is asked again by itself. --class urgent has a reserve"
        }
        "held" => {
            "next: see what its links died of (`runnel nodes`), then `runnel release ID` or `runnel abandon ID`"
        }
        "output-held" => {
            "next: take its output with `runnel logs -f ID`, or end the client that does not read"
        }
        "no-place" | "no-budget" => {
            "next: nothing, it goes as soon as others make room. --class urgent has a reserve"
        }
        "in-line" => "next: nothing, or submit it again with a higher --class",
        "running" => "next: `runnel logs -f ID` shows its output, `runnel cancel ID` stops it",
        _ => return None,
    })
}

const EXAMPLES: &str = "\
Examples:
  runnel why w1.42

Names what stands in the way: the commands that go first, since when the node has had no link,
the pause that it asked for, or the bound that is full.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reason_comes_with_what_can_be_done() {
        let why = json!({ "id": "ctl.w2.9f86d081884c7d65.7", "stage": "stored", "reason": "unreachable", "position": 4,
            "unreachable_ms": 61_000, "busy_for_ms": null, "bound": null, "text": "w2 has had no link for 61 s" });
        let text = text(&serde_json::from_value(why).expect("an answer"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..2],
            ["ctl.w2.9f86d081884c7d65.7: stored (unreachable)", "w2 has had no link for 61 s"]
        );
        assert!(lines[2].contains("runnel nodes"));
    }
}
