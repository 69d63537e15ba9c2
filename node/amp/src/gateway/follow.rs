//! Following a command: what happens to it becomes follow-up commands to the program, in order, to its end.

use bytes::Bytes;
use runnel_client::{Client, FollowError, Follower, Presence, Sign, Until};
use tracing::{debug, warn};

use super::config::GatewayConfig;
use super::download::download;
use super::jobs::Place;
use super::line::Line;
use super::outcome::Outcome;
use super::refusal::Refusal;
use super::request::Wanted;
use super::speaker::Speaker;
use super::window::{Need, Window};
use crate::amp_box::AmpBox;
use crate::session::AskFailure;
use crate::value::integer;

/// A command that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) client: Client,
    pub(super) speaker: Speaker,
    pub(super) config: GatewayConfig,
    pub(super) id: String,
    pub(super) after_update: u64,
    pub(super) wanted: Wanted,
    /// Its place among those that the connection follows.
    pub(super) place: Place,
}

/// Why a command is not followed to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The program will not hear of it, or is gone.
    Program(AskFailure),
    /// The node does not tell.
    Node(Refusal),
}

impl From<AskFailure> for Stop {
    fn from(failure: AskFailure) -> Self {
        Self::Program(failure)
    }
}

impl From<FollowError> for Stop {
    fn from(error: FollowError) -> Self {
        Self::Node(error.into())
    }
}

impl Followed {
    /// Tells the program all that happens, and then how the command ended. Whoever drops it lets the command go on.
    pub(super) async fn run(self) {
        let (command, last) = match self.tell().await {
            Ok(end) => ("Ended", end),
            Err(Stop::Node(refusal)) => ("Lost", lost_box(&self.id, refusal)),
            Err(Stop::Program(failure)) => return report(&self.id, &failure),
        };
        let Self { speaker, id, place, .. } = self;
        // Whoever hears the last of a command may follow it again.
        drop(place);
        let told = match speaker.ask(command, last).await {
            Ok(reply) => reply.answer().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = told {
            report(&id, &failure);
        }
    }

    /// Tells everything but the end, which it returns once the program has answered all of it.
    async fn tell(&self) -> Result<AmpBox, Stop> {
        let (outcome, ()) = tokio::try_join!(self.tell_events(), self.tell_body())?;
        let mut window = self.window();
        let mut end = outcome.to_box(&self.id);
        match outcome.result() {
            Some(result) if result.len() <= self.config.piece_bytes() => end = end.with("result", result),
            Some(result) => {
                let of = AmpBox::new().with("id", self.id.clone());
                window.ask_in_pieces("Result", &of, result, Need::Needed).await?;
            }
            None => {}
        }
        window.drain().await?;
        Ok(end)
    }

    /// Tells all events up to the outcome.
    async fn tell_events(&self) -> Result<Outcome, Stop> {
        let mut window = self.window();
        // What the program does not answer holds the command back, for as long as it takes.
        let follower = follower(&self.client, &self.id, &self.config);
        let mut follower = follower.after(self.after_update).holding();
        loop {
            let Some(sign) = follower.next().await? else {
                return Err(Stop::Node(Refusal::new("bad-answer", "the node told no outcome")));
            };
            let Sign::Event(event) = sign else { continue };
            match Line::read(&event.raw) {
                Line::Output { update, stream, name, content } => {
                    let of = self.of_update(update).with("stream", stream).with_some("name", name);
                    window.ask_in_pieces("Output", &of, content, Need::Needed).await?;
                }
                Line::Update { update, content } => {
                    window.ask_in_pieces("Update", &self.of_update(update), content, Need::Needed).await?;
                }
                Line::Outcome(outcome) => {
                    window.drain().await?;
                    return Ok(outcome);
                }
                Line::Step if !self.wanted.steps => {}
                Line::Step | Line::Other => {
                    let of = AmpBox::new().with("id", self.id.clone());
                    window.ask_in_pieces("Event", &of, Bytes::from(event.raw), Need::Optional).await?;
                }
            }
        }
    }

    async fn tell_body(&self) -> Result<(), Stop> {
        if self.wanted.body {
            download(&self.client, &self.id, self.window()).await?;
        }
        Ok(())
    }

    fn of_update(&self, update: u64) -> AmpBox {
        AmpBox::new().with("id", self.id.clone()).with("update", integer(update))
    }

    fn window(&self) -> Window {
        Window::new(self.speaker.clone(), &self.config)
    }
}

fn lost_box(id: &str, refusal: Refusal) -> AmpBox {
    AmpBox::new()
        .with("id", id.to_owned())
        .with("code", refusal.code.into_owned())
        .with("description", refusal.description)
}

fn report(id: &str, failure: &AskFailure) {
    match failure {
        AskFailure::ConnectionLost => debug!(id, "followed no more: the program is gone"),
        failure => warn!(id, %failure, "followed no more: the program will not hear of it"),
    }
}

/// Waits for the end of a command, and tells nobody of the way there.
pub(super) async fn wait_for_outcome(
    client: &Client,
    id: &str,
    config: &GatewayConfig,
) -> Result<Outcome, Refusal> {
    let mut follower = follower(client, id, config);
    while let Some(sign) = follower.next().await? {
        let Sign::Event(event) = sign else { continue };
        if let Line::Outcome(outcome) = Line::read(&event.raw) {
            return Ok(outcome);
        }
    }
    Err(Refusal::new("bad-answer", "the node told no outcome"))
}

/// The command was there a moment ago: it was submitted, or asked for.
fn follower(client: &Client, id: &str, config: &GatewayConfig) -> Follower {
    Follower::new(client.clone(), id.to_owned(), Until::Outcome, config.node_patience, Presence::Seen)
}
