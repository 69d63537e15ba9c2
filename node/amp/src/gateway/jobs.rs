//! What takes time, beside the task that has the connection: asking the node, and following commands.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runnel_client::api::{NodeList, Stored};
use runnel_client::{Client, ClientError};
use serde_json::{Value, json};

use super::config::GatewayConfig;
use super::follow::{Followed, wait_for_outcome};
use super::listing;
use super::refusal::Refusal;
use super::request::{Request, Then, Wanted};
use super::speaker::Speaker;
use crate::amp_box::AmpBox;
use crate::session::RequestId;

/// Does what one program asks. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) speaker: Speaker,
    pub(super) config: GatewayConfig,
    pub(super) followed: FollowedIds,
}

/// The commands that one connection follows, and places that are taken for those that have no id yet.
#[derive(Clone, Debug, Default)]
pub(super) struct FollowedIds(Arc<Mutex<Ids>>);

#[derive(Debug, Default)]
struct Ids {
    ids: BTreeSet<String>,
    reserved: usize,
}

/// A place among the followed commands; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    all: FollowedIds,
    id: Option<String>,
}

impl Worker {
    /// Does what is asked, and answers. If something is to be followed, it goes on to its end.
    pub(super) async fn run(self, request: RequestId, asked: Request) {
        match asked {
            Request::Submit { content, then } => self.submit(request, content, then).await,
            Request::Follow { id, after_update, wanted } => {
                self.follow(request, id, after_update, wanted).await
            }
            other => {
                let answer = self.ask_node(other).await;
                self.speaker.answer(request, answer).await;
            }
        }
    }

    async fn submit(self, request: RequestId, mut content: Value, then: Then) {
        // What is followed from its beginning misses nothing until then.
        content["hold"] = json!(then != Then::Answer);
        let content = &content;
        let submit = async || self.client.post::<Stored>("/v1/commands", content).await;
        match then {
            Then::Answer => {
                let answer = submit().await.map(|stored| id_box(stored.id)).map_err(Refusal::from);
                self.speaker.answer(request, answer).await;
            }
            Then::Wait => {
                let answer = async {
                    let Stored { id } = submit().await?;
                    wait_for_outcome(&self.client, &id, &self.config).await?.answer(&id)
                };
                self.speaker.answer(request, answer.await).await;
            }
            Then::Follow(wanted) => {
                // The place comes first: what cannot be followed is not to be run.
                let submitted = match self.followed.reserve(self.config.followed_max) {
                    Ok(place) => submit().await.map(|stored| (place, stored.id)).map_err(Refusal::from),
                    Err(refusal) => Err(refusal),
                };
                match submitted {
                    Err(refusal) => self.speaker.answer(request, Err(refusal)).await,
                    Ok((mut place, id)) => {
                        self.speaker.answer(request, Ok(id_box(id.clone()))).await;
                        // One that was submitted before, under the same key, may be followed already.
                        if place.take(&id) {
                            self.followed(id, 0, wanted, place).run().await;
                        }
                    }
                }
            }
        }
    }

    async fn follow(self, request: RequestId, id: String, after_update: u64, wanted: Wanted) {
        let place = async {
            let mut place = self.followed.reserve(self.config.followed_max)?;
            let _described: Value = self.client.get(&format!("/v1/commands/{id}")).await?;
            if !place.take(&id) {
                return Err(Refusal::new("followed", "this connection follows the command already"));
            }
            Ok(place)
        };
        match place.await {
            Err(refusal) => self.speaker.answer(request, Err(refusal)).await,
            Ok(place) => {
                self.speaker.answer(request, Ok(AmpBox::new())).await;
                self.followed(id, after_update, wanted, place).run().await;
            }
        }
    }

    async fn ask_node(&self, asked: Request) -> Result<AmpBox, Refusal> {
        let tell = async |id: &str, what: &str| -> Result<AmpBox, ClientError> {
            self.client.tell(&format!("/v1/commands/{id}/{what}")).await.map(|()| AmpBox::new())
        };
        Ok(match asked {
            Request::Cancel { id } => tell(&id, "cancel").await?,
            Request::Abandon { id } => tell(&id, "abandon").await?,
            Request::Describe { id } => {
                let described: Value = self.client.get(&format!("/v1/commands/{id}")).await?;
                AmpBox::new().with("command", described.to_string())
            }
            Request::Nodes { after } => {
                let list: NodeList = self.client.get("/v1/nodes").await?;
                listing::page(list.nodes, &after, self.config.piece_bytes())?
            }
            Request::Submit { .. }
            | Request::Follow { .. }
            | Request::Open
            | Request::Write { .. }
            | Request::Close { .. } => unreachable!("the connection and `run` do these themselves"),
        })
    }

    fn followed(&self, id: String, after_update: u64, wanted: Wanted, place: Place) -> Followed {
        let Self { client, speaker, config, .. } = self.clone();
        Followed { client, speaker, config, id, after_update, wanted, place }
    }
}

impl FollowedIds {
    /// Takes a place for a command whose id is not known yet.
    fn reserve(&self, max: usize) -> Result<Place, Refusal> {
        let mut all = self.lock();
        if all.ids.len() + all.reserved >= max {
            return Err(Refusal::busy("followed commands", max));
        }
        all.reserved += 1;
        Ok(Place { all: self.clone(), id: None })
    }

    fn lock(&self) -> MutexGuard<'_, Ids> {
        // Each change is whole before anything in it can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Takes the id; false if somebody has it.
    fn take(&mut self, id: &str) -> bool {
        let mut all = self.all.lock();
        let is_new = all.ids.insert(id.to_owned());
        if is_new {
            all.reserved -= 1;
            self.id = Some(id.to_owned());
        }
        is_new
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        match &self.id {
            Some(id) => drop(all.ids.remove(id)),
            None => all.reserved -= 1,
        }
    }
}

fn id_box(id: String) -> AmpBox {
    AmpBox::new().with("id", id)
}
