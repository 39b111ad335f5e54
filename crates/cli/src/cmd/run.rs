//! `bireme run JOB.toml`: submits a job, shows how it comes along, prints what it made.

mod report;
mod save;

use bireme_client::{Admin, Client};
use serde_json::json;

use self::report::Report;
use super::admin;
use super::follow::{Stopwatch, detach, tell_failures, tell_if_nobody_works, watch_progress};
use super::interrupt::{interrupted, unless_interrupted};
use super::session::Workplace;
use crate::args::{self, Format, Global, Run};
use crate::exit::{Exit, Failure};
use crate::{job, output};

/// A job and the cluster it runs on.
pub(super) struct Job {
    pub(super) workplace: Workplace,
    pub(super) admin: Admin,
    pub(super) plan: job::Plan,
}

pub(super) async fn run(global: &Global, args: Run) -> Result<Exit, Failure> {
    let Run { job, detach, session } = args;
    let plan = plan(job)?;
    let admin = admin(global).await?;
    tell_if_nobody_works(&admin).await;
    if detach {
        return leave(global, Workplace::enter(global, session).await?, plan).await;
    }
    let workplace = Workplace::enter(global, session).await?;
    follow(Job { workplace, admin, plan }, global.output).await
}

/// Reads a job file, and judges all of it.
pub(super) fn plan(args: args::Job) -> Result<job::Plan, Failure> {
    let params = args.params.into_iter().map(|param| (param.name, param.value)).collect();
    Ok(job::load(&args.job, params)?)
}

/// Submits a job that goes on without this process, and prints the number of its graph.
async fn leave(global: &Global, workplace: Workplace, plan: job::Plan) -> Result<Exit, Failure> {
    let job::Plan { name, mut graph, saved, .. } = plan;
    let tasks = graph.len();
    graph.detach();
    let graph = detach(workplace, graph).await?;
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

/// Runs a job to its end, or until somebody interrupts, and leaves the session.
pub(super) async fn follow(job: Job, format: Format) -> Result<Exit, Failure> {
    let Job { workplace, admin, plan } = job;
    let work = to_the_end(&workplace.client, &admin, plan, format);
    let ended = unless_interrupted(work, &workplace.if_interrupted()).await;
    let ended = ended.map(|ended| ended.unwrap_or(Exit::Interrupted));
    // Closing a session cancels what still runs. Whoever interrupts again does not wait for that.
    tokio::select! {
        left = workplace.leave() => {
            if let Err(error) = left {
                output::say(&format!("warning: cannot end the session in order: {error}"));
            }
        }
        _ = interrupted() => {
            output::say("interrupted again: the end of what runs is not waited for");
        }
    }
    ended
}

async fn to_the_end(
    client: &Client,
    admin: &Admin,
    plan: job::Plan,
    format: Format,
) -> Result<Exit, Failure> {
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
