//! All builders, with each worker, on each network.

use std::time::Duration;

use crate::arguments::Arguments;
use crate::builders::{ADDED, GIT, builders};
use crate::expected::Builder;
use crate::judge::{Verdict, judge};
use crate::network::Network;
use crate::scene::{Kind, Scene, SceneError, Stage};
use crate::show::progress;

/// Builders with what differs over msgpack.
const MSGPACK_QUICK: [&str; 4] = ["shell", "uploads", "downloads", "interrupt"];

/// One worker on one network.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) kind: Kind,
    pub(crate) network_name: &'static str,
    pub(crate) network: Network,
}

/// What has come of a builder in a column: a verdict for each step, then one for the build.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) builder: &'static str,
    pub(crate) column: String,
    pub(crate) steps: Vec<(&'static str, Verdict)>,
}

impl Column {
    /// The columns of a run.
    pub(crate) fn all(is_quick: bool) -> Vec<Self> {
        let column = |kind, network_name, network| Self { kind, network_name, network };
        let direct = column(Kind::Runnel, "direct", Network::Direct);
        let msgpack = column(Kind::Msgpack, "direct", Network::Direct);
        if is_quick {
            return vec![direct, msgpack];
        }
        vec![
            column(Kind::Reference, "direct", Network::Direct),
            direct,
            msgpack,
            column(Kind::Reference, "bad", Network::bad_for_tcp()),
            column(Kind::Runnel, "bad", Network::bad()),
        ]
    }

    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.kind, self.network_name)
    }

    /// Runs what is asked for. Says where the files are of which something is wrong.
    pub(crate) async fn run(&self, stage: &Stage, arguments: &Arguments) -> Vec<Cell> {
        let wanted = |builder: &Builder| {
            (self.is_quick(builder) || !arguments.is_quick)
                && arguments.wants(&format!("{}/{}", self.name(), builder.name))
        };
        let builders: Vec<_> = builders().into_iter().filter(wanted).collect();
        let (mut cells, mut scene, mut is_wrong) = (Vec::new(), None, false);
        for builder in &builders {
            let verdicts = match self.skipped(builder, stage) {
                Some(why) => vec![Verdict::Skipped(why); builder.steps.len() + 1],
                None => self.run_in(&mut scene, builder, stage).await,
            };
            is_wrong |= verdicts.iter().any(|verdict| matches!(verdict, Verdict::Wrong { .. }));
            cells.push(self.cell(builder, verdicts));
            if scene.is_none() && is_wrong {
                is_wrong = false;
            }
        }
        if let Some(scene) = scene {
            end(scene, arguments.keeps || is_wrong).await;
        }
        cells
    }

    /// Whether a builder belongs to a short run. What both protocols share is seen over the first.
    fn is_quick(&self, builder: &Builder) -> bool {
        builder.is_quick && (self.kind != Kind::Msgpack || MSGPACK_QUICK.contains(&builder.name))
    }

    /// Runs a builder in a scene, which is started if there is none, and given up if it hangs.
    async fn run_in(&self, scene: &mut Option<Scene>, builder: &Builder, stage: &Stage) -> Vec<Verdict> {
        progress(&format!("{}: {}", self.name(), builder.name));
        let mut current = match scene.take() {
            Some(current) => current,
            None => match Scene::start(stage, self.kind, &self.network).await {
                Ok(started) => started,
                Err(SceneError::Link(error)) => return all(builder, &Verdict::Skipped(error.to_string())),
                Err(error) => return all(builder, &hung(error.to_string())),
            },
        };
        match build(&mut current, builder).await {
            Some(build) => {
                let verdicts = judge(builder, self.kind, &build, &current);
                *scene = Some(current);
                verdicts
            }
            None => {
                end(current, true).await;
                all(builder, &hung(format!("it has not ended within {} s", BUILD_WITHIN.as_secs())))
            }
        }
    }

    fn skipped(&self, builder: &Builder, stage: &Stage) -> Option<String> {
        if builder.name == GIT && stage.repository.is_none() {
            return Some("there is no git".to_owned());
        }
        builder.not_for_reference.filter(|_| self.kind == Kind::Reference).map(str::to_owned)
    }

    fn cell(&self, builder: &Builder, verdicts: Vec<Verdict>) -> Cell {
        let names = builder.steps.iter().map(|expected| expected.step).chain(["(build)"]);
        Cell { builder: builder.name, column: self.name(), steps: names.zip(verdicts).collect() }
    }
}

/// Orders a build, and what runs beside it, and waits for its end.
async fn build(scene: &mut Scene, builder: &Builder) -> Option<crate::told::Build> {
    let master = &mut scene.master;
    if builder.name == ADDED {
        std::fs::write(master.path(ADDED), "").expect("the master's folder is there");
        master.configure_anew().await.ok()?;
    }
    master.order(builder.name).await;
    if let Some(other) = builder.beside {
        master.order(other).await;
    }
    let builds = master.builds(1 + usize::from(builder.beside.is_some()), BUILD_WITHIN).await.ok()?;
    builds.into_iter().find(|build| build.builder == builder.name)
}

pub(crate) async fn end(scene: Scene, keeps: bool) {
    if let Some(folder) = scene.end(keeps).await {
        progress(&format!("files are kept in {}", folder.display()));
    }
}

fn all(builder: &Builder, verdict: &Verdict) -> Vec<Verdict> {
    vec![verdict.clone(); builder.steps.len() + 1]
}

fn hung(why: String) -> Verdict {
    Verdict::Wrong { result: "none".to_owned(), why }
}

/// Longer than any builder takes on any of the networks.
const BUILD_WITHIN: Duration = Duration::from_secs(300);
