//! `runnel run`: runs a program on a node, as if it ran here.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use runnel::codec::{Class, NodeId};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::exit::{Exit, Failure};
use super::outcome::ExitFrom;
use super::patience::Patience;
use super::session::{Session, SessionArgs, print};
use super::signals::Signals;
use super::stdin;
use super::watch::{OnInterrupt, OnOverdue, Watch};
use super::words::duration;
use runnel_client::api::{LocalNode, NodeList, Stored};
use runnel_client::{Presence, Until};

/// Arguments of `runnel run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// The node that is to run it.
    #[arg(value_name = "NODE")]
    node: NodeId,
    /// The program and its arguments, behind `--`. No shell is between: use `sh -c` for pipes and variables.
    #[arg(last = true, required = true, value_name = "CMD ARGS")]
    program: Vec<String>,
    #[command(flatten)]
    order: OrderArgs,
    /// Set a variable for the program; without a value it gets the one from here. May be repeated.
    #[arg(long, short, value_name = "KEY[=VALUE]", value_parser = parse_variable)]
    env: Vec<(String, String)>,
    /// Run it in this folder of the node.
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Stop it after this time of running.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Stop it after this time without output.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    no_output_timeout: Option<Duration>,
    /// Time between asking it to stop (SIGTERM) and killing it [default: 5s].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    kill_grace: Option<Duration>,
    /// Give it a terminal: all that it writes comes as standard output, and input is not echoed.
    #[arg(long)]
    terminal: bool,
    /// Print the command's id and leave once it is stored.
    #[arg(long, short)]
    detach: bool,
    /// Exit with the program's own code (128 + the signal that ended it) if it ran to its end.
    #[arg(long, conflicts_with = "detach")]
    propagate_exit: bool,
    /// Pass on standard input even if it is a terminal.
    #[arg(long, short, conflicts_with = "detach")]
    interactive: bool,
    /// Pass on no standard input, although it is redirected: in a loop that reads lines, say.
    #[arg(long, short, conflicts_with = "interactive")]
    no_stdin: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    session: SessionArgs,
}

/// How a command is to be treated on its way.
#[derive(Debug, Args)]
pub(super) struct OrderArgs {
    /// How urgent it is.
    #[arg(long, default_value = "normal", value_parser = parse_class())]
    class: Class,
    /// When it is no longer wanted: it then never starts, or is stopped.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// A name of your own for it: repeating the request with the same key stores it once.
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Fail at once if the node has no link, instead of waiting for one.
    #[arg(long)]
    no_wait: bool,
    /// Do not store it on disk: it is quicker and does not outlive a restart of either node. What has
    /// redirected input is never stored.
    #[arg(long)]
    memory: bool,
}

/// What goes with a command besides its arguments.
#[derive(Debug)]
pub(super) enum OrderBody {
    /// Nothing.
    None,
    /// A body that is streamed once it is wanted.
    Follows,
    /// A body that was left at the node.
    Left(String),
}

/// Who follows a command from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Nobody, or somebody later.
    None,
    /// Whoever submits it.
    Comes,
}

impl RunArgs {
    pub(super) fn session(&self) -> SessionArgs {
        self.session.clone()
    }

    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut signals = Signals::catch().map_err(anyhow::Error::from)?;
        let takes_stdin = !self.detach && !self.no_stdin && (self.interactive || stdin::is_redirected());
        let body = if takes_stdin { OrderBody::Follows } else { OrderBody::None };
        let reader = if self.detach { Reader::None } else { Reader::Comes };
        let stored = self.order.submit(session, &self.node, "exec/1", self.arguments(), body, reader);
        let id = signals.unless_caught(stored).await?;
        if session.json {
            print(&format!("{}\n", json!({ "id": id })))?;
        } else if self.detach {
            print(&format!("{id}\n"))?;
        }
        if self.detach {
            return Ok(Exit::Success);
        }
        let watch = Watch {
            session,
            id: &id,
            until: Until::Outcome,
            patience: self.patience,
            presence: Presence::Seen,
            on_interrupt: OnInterrupt::Cancel,
            on_overdue: OnOverdue::Leave,
            exit_from: if self.propagate_exit { ExitFrom::Program } else { ExitFrom::Table },
            found: None,
        };
        let input = async {
            if takes_stdin {
                stdin::forward(session, &id).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            ending = watch.run(&mut signals) => ending,
            ending = input => ending,
        }
    }

    fn arguments(&self) -> Value {
        let (program, args) = self.program.split_first().expect("the parser requires a program");
        let mut fields = Map::new();
        fields.insert("program".to_owned(), json!(program));
        fields.insert("args".to_owned(), json!(args));
        let env: Map<String, Value> =
            self.env.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        fields.insert("env".to_owned(), env.into());
        insert(&mut fields, "cwd", self.cwd.as_ref());
        insert(&mut fields, "terminal", self.terminal.then_some(true));
        insert(&mut fields, "timeout_ms", self.timeout.map(millis));
        insert(&mut fields, "no_output_timeout_ms", self.no_output_timeout.map(millis));
        insert(&mut fields, "kill_grace_ms", self.kill_grace.map(millis));
        fields.into()
    }
}

impl OrderArgs {
    /// Stores a command and returns its id.
    pub(super) async fn submit(
        &self,
        session: &Session,
        node: &NodeId,
        command: &str,
        args: Value,
        body: OrderBody,
        reader: Reader,
    ) -> Result<String, Failure> {
        if self.no_wait {
            self.check_link(session, node).await?;
        }
        let mut fields = Map::new();
        fields.insert("to".to_owned(), json!(node.as_str()));
        fields.insert("command".to_owned(), json!(command));
        fields.insert("args".to_owned(), args);
        fields.insert("class".to_owned(), json!(self.class.as_str()));
        match body {
            OrderBody::None => {}
            OrderBody::Follows => insert(&mut fields, "has_body", Some(true)),
            OrderBody::Left(body) => insert(&mut fields, "body", Some(body)),
        }
        insert(&mut fields, "hold", (reader == Reader::Comes).then_some(true));
        insert(&mut fields, "deadline_ms", self.deadline.map(millis));
        insert(&mut fields, "key", self.key.as_ref());
        insert(&mut fields, "delivery", self.memory.then_some("memory"));
        let stored: Stored = session.client.post("/v1/commands", &fields.into()).await?;
        Ok(stored.id)
    }

    /// Returns whether a body may be left at the node: the command is to outlive it, and it has a store.
    pub(super) async fn may_leave_body(&self, session: &Session) -> Result<bool, Failure> {
        if self.memory {
            return Ok(false);
        }
        let node: LocalNode = session.client.get("/v1/node").await?;
        Ok(node.store != "none")
    }

    async fn check_link(&self, session: &Session, node: &NodeId) -> Result<(), Failure> {
        let list: NodeList = session.client.get("/v1/nodes").await?;
        let down = list.nodes.iter().find(|known| known.node == node.as_str() && known.link.is_none());
        let Some(down) = down else { return Ok(()) };
        let since = match down.unreachable_ms {
            Some(ms) => format!("has had no link for {}", duration(ms)),
            None => "has no link".to_owned(),
        };
        let text = format!("{node} {since}; without --no-wait the command waits until it has one");
        Err(Failure::new(Exit::Unreachable, text))
    }
}

fn insert(fields: &mut Map<String, Value>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), json!(value));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn parse_class() -> impl TypedValueParser<Value = Class> {
    PossibleValuesParser::new(Class::ALL.map(Class::as_str)).try_map(|word| word.parse::<Class>())
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, value.to_owned()),
        None => (text, std::env::var(text).map_err(|error| format!("${text} cannot be passed on: {error}"))?),
    };
    if key.is_empty() {
        return Err("a variable is written KEY=VALUE".to_owned());
    }
    Ok((key.to_owned(), value))
}

const EXAMPLES: &str = "\
Examples:
  runnel run w1 -- uname -a
  runnel run w1 --class urgent --deadline 30s -- systemctl restart sshd
  runnel run w1 --cwd /src -e CI=1 --timeout 1h --propagate-exit -- make -j8 test
  tar c src | runnel run w1 -- tar x -C /tmp
  ID=$(runnel run w1 --detach -- sh -c 'sleep 60; echo done'); runnel attach $ID

Standard output and standard error come apart and as they are written. Ctrl-C cancels the
program on the node, a second Ctrl-C leaves at once. A closed terminal cancels nothing:
the program goes on, its output is kept, and `runnel attach` comes back to it.
A node without a link is waited for; --deadline and --no-wait bound that. If the local node is
restarted it is waited for too, and the output goes on where it was.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn parse(line: &[&str]) -> Result<RunArgs, clap::Error> {
        Line::try_parse_from([&["run"], line].concat()).map(|line| line.run)
    }

    #[test]
    fn what_is_behind_the_dashes_is_the_programs_own() {
        let args =
            parse(&["w1", "--env", "A=b=c", "--timeout", "1m", "--", "make", "--detach", "-j8"]).unwrap();
        assert!(!args.detach);
        assert_eq!(
            args.arguments(),
            json!({ "program": "make", "args": ["--detach", "-j8"], "env": { "A": "b=c" }, "timeout_ms": 60_000 })
        );
    }

    #[test]
    fn a_program_is_required_and_names_are_checked() {
        assert!(parse(&["w1"]).is_err());
        assert!(parse(&["w1", "make"]).is_err(), "it stands behind --");
        assert!(parse(&["W 1", "--", "make"]).is_err());
        assert!(parse(&["w1", "--class", "asap", "--", "make"]).is_err());
        assert!(parse(&["w1", "--detach", "--propagate-exit", "--", "make"]).is_err());
    }

    #[test]
    fn a_variable_without_a_value_is_taken_from_here() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(parse_variable("PATH"), Ok(("PATH".to_owned(), path)));
        assert_eq!(parse_variable("A="), Ok(("A".to_owned(), String::new())));
        assert!(parse_variable("=b").is_err());
        assert!(parse_variable("RUNNEL_TEST_NO_SUCH_VARIABLE").is_err());
    }
}
