//! The commands.

mod actor;
mod completions;
mod follow;
mod graph;
mod interrupt;
mod local;
mod progress;
mod result;
mod run;
mod session;
mod shutdown;
mod status;
mod submit;
mod task;
mod tasks;
mod token;
mod value;
mod worker;
mod workers;

use bireme_client::{Admin, ConnectOptions};
use bireme_core::graph::{GraphCounts, TaskState};
use bireme_core::resources::Resources;
use bireme_daemon::logging;
use serde_json::Value as Json;

use crate::args::{Cli, Command, Global};
use crate::exit::{Exit, Failure};
use crate::output;

/// Does what was asked for.
pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    if let Err(error) = logging::start(&global.log, logging::Format::Text) {
        output::say(&format!("warning: nothing is logged: {error}"));
    }
    match command {
        Command::Actor(command) => Box::pin(actor::run(&global, command)).await,
        Command::Completions { shell } => completions::run(shell),
        Command::Graph(command) => graph::run(&global, command).await,
        Command::Local(args) => Box::pin(local::run(&global, args)).await,
        Command::Result(command) => result::run(&global, command).await,
        Command::Run(args) => run::run(&global, args).await,
        Command::Session(command) => session::run(&global, command).await,
        Command::Shutdown(args) => shutdown::run(&global, args).await,
        Command::Status => status::run(&global).await,
        Command::Submit(args) => submit::run(&global, *args).await,
        Command::Task(command) => task::run(&global, command).await,
        Command::Tasks(args) => tasks::run(&global, args).await,
        Command::Token(command) => token::run(&global, command).await,
        Command::Worker(command) => worker::run(&global, command).await,
        Command::Workers(args) => workers::run(&global, args).await,
    }
}

/// How to reach the cluster that was named.
fn connect_options(global: &Global) -> ConnectOptions {
    ConnectOptions {
        scheduler: global.scheduler.clone(),
        access_file: global.access_file.clone(),
        name: "bireme".to_owned(),
        ..ConnectOptions::default()
    }
}

/// The way to look at the cluster that was named, and to run it.
async fn admin(global: &Global) -> Result<Admin, Failure> {
    Ok(Admin::connect(&connect_options(global)).await?)
}

/// A JSON object with the fields of another besides its own.
fn with(mut json: Json, more: Json) -> Json {
    if let (Json::Object(json), Json::Object(more)) = (&mut json, more) {
        json.extend(more);
    }
    json
}

/// Resources as people write them.
fn resources_text(resources: &Resources) -> String {
    let mut others = resources.clone();
    others.memory_bytes = 0;
    match resources.memory_bytes {
        0 => others.to_string(),
        memory => format!("{others} memory={}", output::size(memory)),
    }
}

/// The resources that there are, and what of them nobody holds.
fn resources_with_free(all: &Resources, free: &Resources) -> String {
    format!("{} (free: {})", resources_text(all), resources_text(free))
}

/// How many tasks are in which state, by name.
fn counts_json(counts: &GraphCounts) -> Json {
    let states = TaskState::ALL.into_iter();
    let mut json: serde_json::Map<_, _> =
        states.map(|state| (state.name().to_owned(), counts.of(state).into())).collect();
    json.insert("total".to_owned(), counts.total().into());
    json.into()
}

/// How many tasks are in which state, but for those in which none is.
fn counts_text(counts: &GraphCounts) -> String {
    let states = TaskState::ALL.into_iter().filter(|state| counts.of(*state) > 0);
    let parts: Vec<_> =
        states.map(|state| format!("{} {}", counts.of(state), state.name())).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}
