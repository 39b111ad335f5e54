//! The commands.

mod completions;
mod graph;
mod local;
mod run;
mod status;
mod workers;

use bireme_client::ConnectOptions;
use bireme_core::graph::{GraphCounts, TaskState};
use bireme_daemon::logging;
use serde_json::Value as Json;

use crate::args::{Cli, Command, Global, Graph, Local};
use crate::exit::{Exit, Failure};
use crate::output;

/// Does what was asked for.
pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    if let Err(error) = logging::start(&global.log, logging::Format::Text) {
        output::say(&format!("warning: nothing is logged: {error}"));
    }
    match command {
        Command::Completions { shell } => completions::run(shell),
        Command::Graph(Graph::List) => graph::list(&global).await,
        Command::Local(Local::Run(args)) => local::run(&global, args).await,
        Command::Run(args) => run::run(&global, args).await,
        Command::Status => status::run(&global).await,
        Command::Workers => workers::run(&global).await,
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
