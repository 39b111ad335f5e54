//! `bireme run JOB.toml`: submits a job, shows how it comes along, prints what it made.

mod progress;
mod report;

use bireme_client::{Admin, Client, Graph, Summary};

use self::progress::Bar;
use self::report::{Report, Stopwatch};
use super::connect_options;
use crate::args::{Format, Global, Run};
use crate::exit::{Exit, Failure};
use crate::{job, output};

/// Failed tasks that are told of one by one.
const FAILURES_SHOWN: usize = 5;

/// A job and the cluster it runs on.
pub(super) struct Job {
    pub(super) client: Client,
    pub(super) admin: Admin,
    pub(super) plan: job::Plan,
}

pub(super) async fn run(global: &Global, args: Run) -> Result<Exit, Failure> {
    let params = args.params.into_iter().map(|param| (param.name, param.value)).collect();
    let plan = job::load(&args.job, params)?;
    let options = connect_options(global);
    let admin = Admin::connect(&options).await?;
    let client = Client::connect(options).await?;
    follow(Job { client, admin, plan }, global.output).await
}

/// Runs a job to its end, or until somebody interrupts, and closes the session.
pub(super) async fn follow(job: Job, format: Format) -> Result<Exit, Failure> {
    let client = job.client.clone();
    let ended = tokio::select! {
        ended = to_the_end(job, format) => ended,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            output::say("interrupted: the job is cancelled");
            Ok(Exit::Interrupted)
        }
    };
    // Closing the session cancels what still runs.
    if let Err(error) = client.close().await {
        output::say(&format!("warning: cannot close the session: {error}"));
    }
    ended
}

async fn to_the_end(job: Job, format: Format) -> Result<Exit, Failure> {
    let Job { client, admin, plan } = job;
    let watch = Stopwatch::start();
    let tables = plan.tables;
    let graph = client.submit(plan.graph).await?;
    let summary = watch_progress(&graph, &plan.name).await;
    for (task, error) in graph.failures(FAILURES_SHOWN) {
        tell_failure(&tables, task, &error);
    }
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
    }
    report.finish(format)?;
    Ok(if summary.is_ok() { Exit::Done } else { Exit::WorkFailed })
}

/// Shows how the graph comes along until it is over.
async fn watch_progress(graph: &Graph, name: &str) -> Result<Summary, Failure> {
    let mut progress = graph.progress();
    let mut bar = Bar::new(name);
    let mut warned = 0;
    loop {
        let now = progress.borrow_and_update().clone();
        for warning in now.warnings.iter().skip(warned) {
            bar.say(&format!("warning: {warning}"));
        }
        warned = now.warnings.len();
        bar.show(&now.counts);
        if now.is_over() || progress.changed().await.is_err() {
            break;
        }
    }
    bar.finish();
    Ok(graph.wait().await?)
}

fn tell_failure(tables: &[(String, u32)], task: u32, error: &bireme_core::TaskError) {
    let (name, row) = place(tables, task);
    output::say(&format!("task {name}[{row}] failed: {error}"));
    for line in &error.last_lines {
        output::say(&format!("  | {line}"));
    }
}

/// The table that a task is of, and which of its tasks it is.
fn place(tables: &[(String, u32)], task: u32) -> (&str, u32) {
    let mut first = 0;
    for (name, count) in tables {
        if task < first + count {
            return (name, task - first);
        }
        first += count;
    }
    ("task", task)
}
