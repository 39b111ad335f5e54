//! `bireme worker`

use bireme_client::{Admin, Drain, Refused};
use bireme_core::{Reason, Span, limits};
use serde_json::json;

use super::interrupt::unless_interrupted;
use super::{admin, workers};
use crate::args::{Global, Worker, WorkerArg};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, command: Worker) -> Result<Exit, Failure> {
    let admin = admin(global).await?;
    match command {
        Worker::Show { worker } => show(global, &admin, worker).await,
        Worker::Drain { worker, deadline, reason, no_wait } => {
            let drain = Leave { worker, deadline, reason };
            self::drain(global, &admin, drain, !no_wait).await
        }
        Worker::Stop { worker, grace, reason } => {
            stop(global, &admin, worker, grace, &reason).await
        }
    }
}

/// A refusal of something about a worker: names the one that is not there.
pub(super) fn refused(worker: &WorkerArg) -> impl Fn(Refused) -> Failure {
    move |refused| {
        Failure::named(refused, Reason::WorkerUnknown, || {
            format!("there is no worker {worker}: `bireme workers` lists those there are")
        })
    }
}

async fn show(global: &Global, admin: &Admin, worker: WorkerArg) -> Result<Exit, Failure> {
    let found = admin.worker(worker.name.clone()).await.map_err(refused(&worker))?;
    output::show(global.output, &workers::json(&found), &workers::details(&found))?;
    Ok(Exit::Done)
}

/// Which worker leaves, until when, and why.
struct Leave {
    worker: WorkerArg,
    deadline: Option<Span>,
    reason: String,
}

async fn drain(global: &Global, admin: &Admin, leave: Leave, wait: bool) -> Result<Exit, Failure> {
    let goes_on = format!("interrupted: worker {} goes on leaving", leave.worker);
    let Some(drain) = unless_interrupted(until_left(admin, &leave, wait), &goes_on).await? else {
        return Ok(Exit::Interrupted);
    };
    let Drain { pending, running, objects, blockers } = drain;
    let worker = leave.worker.to_string();
    let json = json!({
        "worker": worker,
        "left": !pending,
        "running": running,
        "objects": objects,
        "blockers": blockers,
    });
    let mut table = Table::new(&[]);
    table.row([if pending {
        format!(
            "worker {worker} is leaving: {running} attempts run, {objects} values are only there"
        )
    } else {
        format!("worker {worker} has left")
    }]);
    output::show(global.output, &json, &table)?;
    Ok(Exit::Done)
}

/// Asks for the drain, again and again until the worker has left if that is waited for, and tells what holds it up.
async fn until_left(admin: &Admin, leave: &Leave, wait: bool) -> Result<Drain, Failure> {
    let Leave { worker, deadline, reason } = leave;
    let submission = Admin::fresh_submission();
    // The first answer comes at once, so that what holds it up is told.
    let (mut max_wait, mut told) = (Span::ZERO, Vec::new());
    loop {
        let name = worker.name.clone();
        let drain = admin.drain_worker(name, submission, *deadline, max_wait, reason).await;
        let drain = drain.map_err(refused(worker))?;
        if !drain.pending || !wait {
            return Ok(drain);
        }
        if drain.blockers != told {
            drain.blockers.iter().for_each(|blocker| output::say(blocker));
            told = drain.blockers;
        }
        max_wait = limits::MAX_WAIT;
    }
}

async fn stop(
    global: &Global,
    admin: &Admin,
    worker: WorkerArg,
    grace: Span,
    reason: &str,
) -> Result<Exit, Failure> {
    let stopped = admin.stop_worker(worker.name.clone(), grace, reason).await;
    let (running, objects) = stopped.map_err(refused(&worker))?;
    let json = json!({ "worker": worker.to_string(), "running": running, "objects": objects });
    let mut table = Table::new(&[]);
    table.row([format!(
        "worker {worker} is told to end: {running} attempts ran, {objects} values were only there"
    )]);
    output::show(global.output, &json, &table)?;
    Ok(Exit::Done)
}
