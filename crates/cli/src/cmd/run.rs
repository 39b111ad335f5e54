//! `bireme run JOB.toml`: submits a job, shows how it comes along, prints what it made.

mod report;
mod save;

use bireme_client::{Admin, Client};
use serde_json::json;

use self::report::{Report, Stopwatch};
use super::connect_options;
use super::follow::{detach, tell_failures, watch_progress};
use super::interrupt::unless_interrupted;
use crate::args::{self, Format, Global, Run};
use crate::exit::{Exit, Failure};
use crate::{job, output};

/// A job and the cluster it runs on.
pub(super) struct Job {
    pub(super) client: Client,
    pub(super) admin: Admin,
    pub(super) plan: job::Plan,
}

pub(super) async fn run(global: &Global, args: Run) -> Result<Exit, Failure> {
    let Run { job, detach } = args;
    let plan = plan(job)?;
    let options = connect_options(global);
    if detach {
        return leave(global, &Client::connect(options).await?, plan).await;
    }
    let admin = Admin::connect(&options).await?;
    let client = Client::connect(options).await?;
    follow(Job { client, admin, plan }, global.output).await
}

/// Reads a job file, and judges all of it.
pub(super) fn plan(args: args::Job) -> Result<job::Plan, Failure> {
    let params = args.params.into_iter().map(|param| (param.name, param.value)).collect();
    Ok(job::load(&args.job, params)?)
}

/// Submits a job that goes on without this process, and prints the number of its graph.
async fn leave(global: &Global, client: &Client, plan: job::Plan) -> Result<Exit, Failure> {
    let job::Plan { name, mut graph, saved, .. } = plan;
    let tasks = graph.len();
    graph.detach();
    let graph = detach(client, graph).await?;
    if !saved.is_empty() {
        output::say("what `save` names is not written: `bireme result get` reads it");
    }
    match global.output {
        Format::Json => {
            output::json(&json!({ "job": name, "graph": graph.to_string(), "tasks": tasks }))?;
        }
        Format::Text => output::bytes(format!("{graph}\n").as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Runs a job to its end, or until somebody interrupts, and closes the session.
pub(super) async fn follow(job: Job, format: Format) -> Result<Exit, Failure> {
    let client = job.client.clone();
    let ended = unless_interrupted(to_the_end(job, format), "interrupted: the job is cancelled");
    let ended = ended.await.map(|ended| ended.unwrap_or(Exit::Interrupted));
    // Closing the session cancels what still runs. Whoever interrupts again does not wait for that.
    tokio::select! {
        closed = client.close() => {
            if let Err(error) = closed {
                output::say(&format!("warning: cannot close the session: {error}"));
            }
        }
        _ = tokio::signal::ctrl_c() => {}
    }
    ended
}

async fn to_the_end(job: Job, format: Format) -> Result<Exit, Failure> {
    let Job { client, admin, plan } = job;
    let watch = Stopwatch::start();
    let tables = plan.tables;
    let graph = client.submit(plan.graph).await?;
    let summary = watch_progress(&graph, &plan.name).await;
    tell_failures(&graph, |task| {
        job::Table::key_of(&tables, task).unwrap_or_else(|| task.to_string())
    });
    let summary = summary?;
    let mut report = Report {
        name: plan.name,
        graph: graph.id(),
        counts: summary.counts,
        // Of interest to people; a scheduler that cannot tell does not spoil the job.
        effort: admin.effort(graph.id()).await.ok(),
        elapsed: watch.elapsed(),
        results: Vec::new(),
    };
    if summary.is_ok() {
        for shown in &plan.shown {
            report.add(&graph, shown, format).await?;
        }
        save::save(&graph, &plan.saved).await?;
    }
    report.finish(format)?;
    Ok(if summary.is_ok() { Exit::Done } else { Exit::WorkFailed })
}
