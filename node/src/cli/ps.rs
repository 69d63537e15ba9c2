//! `runnel ps`: the commands submitted here, and how far each has come.

use clap::Args;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::outcome::{ExitFrom, brief, exit_of};
use super::session::{Session, SessionArgs, paint, print};
use super::table::{Cell, Colour, Table};
use super::words::duration;
use runnel_client::api::CommandInfo;
use runnel_client::{Which, list_commands};

/// Arguments of `runnel ps`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PsArgs {
    /// Also those that have ended, as long as the node keeps them.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    session: SessionArgs,
}

impl PsArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let which = if self.all { Which::All } else { Which::Open };
        if session.json {
            let commands: Vec<Value> = list_commands(&session.client, which).await?;
            print(&format!("{}\n", json!({ "commands": commands })))?;
        } else {
            print(&table(&list_commands(&session.client, which).await?).render(paint()))?;
        }
        Ok(Exit::Success)
    }
}

fn table(commands: &[CommandInfo]) -> Table {
    let mut table = Table::new(&["ID", "NODE", "CLASS", "STAGE", "AGE", "DEADLINE", "COMMAND"]);
    for command in commands {
        table.row([
            Cell::new(&command.id),
            Cell::new(&command.to),
            Cell::new(&command.class),
            stage(command),
            Cell::new(duration(command.age_ms)),
            deadline(command),
            summary(command),
        ]);
    }
    table
}

fn stage(command: &CommandInfo) -> Cell {
    let Some(outcome) = &command.outcome else { return Cell::new(&command.stage) };
    let colour = match exit_of(outcome, ExitFrom::Table) {
        Exit::Success => Colour::Green,
        Exit::Unknown | Exit::Cancelled => Colour::Yellow,
        _ => Colour::Red,
    };
    Cell::coloured(brief(outcome), colour)
}

/// Programs are known by themselves, other commands by their name.
fn summary(command: &CommandInfo) -> Cell {
    match command.command.as_str() {
        "exec/1" => Cell::new(&command.summary),
        other => Cell::new(format!("{other} {}", command.summary)),
    }
}

fn deadline(command: &CommandInfo) -> Cell {
    match command.deadline_ms {
        _ if command.is_overdue && command.outcome.is_none() => Cell::coloured("overdue", Colour::Red),
        Some(ms) => Cell::new(format!("in {}", duration(ms))),
        None => Cell::new("-"),
    }
}

const EXAMPLES: &str = "\
Examples:
  runnel ps
  runnel ps --all
  runnel ps --json | jq -r '.commands[] | select(.stage == \"stored\").id'

STAGE is how far a command has come: stored (here), sent, accepted (in the node's queue),
started, and then its outcome. `runnel why ID` says what it waits for.";

#[cfg(test)]
mod tests {
    use super::super::table::Paint;
    use super::*;

    #[test]
    fn a_list_of_commands_is_aligned() {
        let command = |id: &str, stage: &str| {
            json!({ "id": id, "to": "w1", "command": "exec/1", "class": "normal", "stage": stage, "outcome": null,
                "is_overdue": false, "age_ms": 5120, "ended_ms": null, "deadline_ms": null, "summary": "make -j8" })
        };
        let mut ended = command("ctl.w1.9f86d081884c7d65.1", "ended");
        ended["outcome"] =
            json!({ "kind": "done", "exit_code": 2, "signal": null, "result": { "cause": "natural" } });
        let mut late = command("ctl.w1.9f86d081884c7d65.42", "sent");
        late["is_overdue"] = json!(true);
        late["deadline_ms"] = json!(0);
        late["command"] = json!("fs.put/1");
        late["summary"] = json!("/tmp/x");
        let commands: Vec<CommandInfo> = serde_json::from_value(json!([ended, late])).expect("a list");
        assert_eq!(
            table(&commands).render(Paint::Plain),
            "\
ID                          NODE  CLASS   STAGE   AGE   DEADLINE  COMMAND
ctl.w1.9f86d081884c7d65.1   w1    normal  exit 2  5.1s  -         make -j8
ctl.w1.9f86d081884c7d65.42  w1    normal  sent    5.1s  overdue   fs.put/1 /tmp/x
"
        );
    }
}
