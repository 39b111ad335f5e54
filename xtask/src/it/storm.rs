//! A worker that is killed again and again, at random and where it hurts, and callers whose connections are broken.
//!
//! Nobody starts the daemon again but the check, at once: a supervisor would pause for longer each time. Where the daemon is
//! to die at a named place, a file of that name is put where it looks when it comes by, and is gone with it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bireme_client::Admin;
use bireme_core::actor::Selector;
use bireme_core::id::ActorId;
use tokio::sync::watch;
use tokio::time::interval;

use super::dice::Dice;
use super::links::Links;
use crate::cluster::{Cluster, LOOK, Shape, family, guarded};

/// Longest that a check may take with [`CALLS`] calls, on a machine that has other things to do.
pub(super) const LIMIT: Duration = Duration::from_mins(5);
/// Where the daemon dies on purpose.
const PLACES: [&str; 4] = [
    "after-log-before-run",
    "after-run-before-reply",
    "after-reply-before-ack",
    "inside-checkpoint",
];
/// How often it dies in each place, for as many calls as [`CALLS`].
const DEATHS_IN_PLACE: u64 = 20;
/// How many times something is killed at random, for as many calls.
const KILLS: u64 = 50;
/// How many calls there are, unless more are asked for.
const CALLS: u64 = 10_000;
/// Fewer calls are over before all has happened that is to happen while they are made.
const FEWEST_CALLS: u64 = 200;
/// The variable that asks for another number of calls, and for as many more deaths.
const CALLS_VARIABLE: &str = "BIREME_STORM_CALLS";
/// The variable that asks for another seed.
const SEED_VARIABLE: &str = "BIREME_STORM_SEED";
/// The seed otherwise.
const SEED: u64 = 4;

/// Something that is done to the worker or its callers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Strike {
    /// The daemon is killed.
    Daemon,
    /// The process of an actor is killed.
    Executor,
    /// A caller's connection breaks.
    Link,
    /// The daemon dies in this place.
    Place(&'static str),
}

impl Strike {
    fn name(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Executor => "executor",
            Self::Link => "link",
            Self::Place(place) => place,
        }
    }
}

/// Which strikes there are to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Daemon, executors and links, at random.
    Anywhere,
    /// The daemon, in the named places.
    InPlaces,
}

/// A cluster of one worker, and what is done to it.
#[derive(Debug)]
pub(super) struct Storm {
    pub(super) cluster: Cluster,
    /// How many calls are to be made.
    pub(super) calls: u64,
    pub(super) seed: u64,
    admin: Admin,
    links: Links,
    faults: PathBuf,
    dice: Dice,
    /// By how many answered calls each comes.
    plan: Vec<(u64, Strike)>,
    struck: BTreeMap<Strike, u64>,
}

impl Storm {
    /// Starts the cluster and decides what is to happen when.
    pub(super) async fn gather(kind: Kind) -> Result<Self> {
        let calls = variable(CALLS_VARIABLE, CALLS)?;
        ensure!(
            calls >= FEWEST_CALLS,
            "{CALLS_VARIABLE} is {calls}, too few for all that is to happen meanwhile: ask for {FEWEST_CALLS} or more"
        );
        let seed = variable(SEED_VARIABLE, SEED)?;
        let mut dice = Dice::new(seed);
        let plan = plan(kind, calls, &mut dice);
        let cluster = Cluster::start(Shape::new(0, 0)).await?;
        let admin = cluster.site().admin().await?;
        let faults = cluster.site().dir().join("faults");
        fs::create_dir(&faults)?;
        let links = Links::listen().await?;
        let struck = BTreeMap::new();
        let mut storm = Self { cluster, calls, seed, admin, links, faults, dice, plan, struck };
        storm.start_worker().await?;
        Ok(storm)
    }

    async fn start_worker(&mut self) -> Result<()> {
        let site = self.cluster.site();
        let mut command = site.worker("w1", 2);
        command.arg("--no-restart").args(["--advertise", &self.links.address().to_string()]);
        command.arg("--state-dir").arg(site.dir().join("worker")).env("BIREME_FAULT", &self.faults);
        let mut worker = site.start(command, "w1", None)?;
        self.links.lead_to(Some(worker.ready().await?.grpc));
        self.cluster.workers.push(worker);
        Ok(())
    }

    /// Does all that is planned, while calls to these actors are answered.
    pub(super) async fn rage(
        &mut self,
        actors: &[ActorId],
        mut answered: watch::Receiver<u64>,
    ) -> Result<()> {
        for (when, strike) in std::mem::take(&mut self.plan) {
            let due = answered.wait_for(|calls| *calls >= when);
            guarded("calls that are answered", due).await?.context("nobody calls")?;
            let struck = self.strike(strike, actors).await;
            struck.with_context(|| format!("a strike at {} after {when} calls", strike.name()))?;
            *self.struck.entry(strike).or_default() += 1;
        }
        Ok(())
    }

    async fn strike(&mut self, strike: Strike, actors: &[ActorId]) -> Result<()> {
        match strike {
            Strike::Daemon => {
                let daemon = self.cluster.workers.first().context("there is a worker")?.daemon();
                family::kill(daemon);
                self.revive().await
            }
            Strike::Executor => {
                let actor = actors.get(self.dice.below(actors.len())).context("there is one")?;
                let pid = guarded("a process of the actor", self.process_of(*actor)).await?;
                family::kill(pid);
                Ok(())
            }
            Strike::Link => {
                let mut looks = interval(LOOK);
                let broken = async {
                    while !self.links.break_one(&mut self.dice) {
                        looks.tick().await;
                    }
                };
                guarded("a connection to break", broken).await
            }
            Strike::Place(place) => {
                let file = self.faults.join(place);
                fs::write(&file, "")?;
                self.revive().await?;
                ensure!(!file.exists(), "the daemon died elsewhere");
                Ok(())
            }
        }
    }

    /// Waits for the end of the worker, and starts it again.
    async fn revive(&mut self) -> Result<()> {
        let mut worker = self.cluster.workers.pop().context("there is a worker")?;
        let status = worker.exit().await?;
        ensure!(!status.success(), "a worker without its daemon ended with {status}");
        self.links.lead_to(None);
        self.start_worker().await
    }

    /// The process that an actor lives in, as soon as it has one.
    async fn process_of(&self, actor: ActorId) -> u32 {
        let mut looks = interval(LOOK);
        loop {
            let seen = self.admin.look_into(&Selector::Actor(actor), false).await;
            if let Some(pid) = seen.ok().map(|seen| seen.pid).filter(|pid| family::is_alive(*pid)) {
                return pid;
            }
            looks.tick().await;
        }
    }

    /// How often an actor was lost.
    pub(super) async fn restarts(&self, actor: ActorId) -> Result<u32> {
        let actor = Selector::Actor(actor);
        Ok(guarded("the actor", self.admin.actor(&actor)).await??.restarts)
    }

    /// What was done, in one line.
    pub(super) fn told(&self) -> String {
        let struck = self.struck.iter().map(|(strike, times)| format!("{} {times}", strike.name()));
        format!("seed {}: {}", self.seed, struck.collect::<Vec<_>>().join(", "))
    }
}

/// What happens, by the number of calls that are answered by then. It is over before the last calls are made, so that those
/// that must come by a place do.
fn plan(kind: Kind, calls: u64, dice: &mut Dice) -> Vec<(u64, Strike)> {
    let times = calls.div_ceil(CALLS);
    let mut strikes = Vec::new();
    match kind {
        Kind::Anywhere => {
            for _ in 0..KILLS * times {
                let kinds = [Strike::Daemon, Strike::Executor, Strike::Link];
                strikes.extend(kinds.get(dice.below(kinds.len())));
            }
        }
        Kind::InPlaces => {
            for place in PLACES {
                strikes.extend((0..DEATHS_IN_PLACE * times).map(|_| Strike::Place(place)));
            }
        }
    }
    dice.shuffle(&mut strikes);
    let end = usize::try_from(calls - calls / 20).unwrap_or_default();
    let mut when: Vec<usize> = strikes.iter().map(|_| dice.below(end)).collect();
    when.sort_unstable();
    when.into_iter().map(|when| when as u64).zip(strikes).collect()
}

fn variable(name: &str, otherwise: u64) -> Result<u64> {
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number: {text:?}")),
        Err(_) => Ok(otherwise),
    }
}
