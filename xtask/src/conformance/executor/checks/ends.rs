//! How attempts are ended from outside, and how processes end.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{Cancel, DrainExecutor, Order, ShutdownExecutor};
use bireme_proto::pb::executor_report::Report;
use rustix::process::Signal;

use super::LeftOut;
use super::attempts::class_is;
use crate::conformance::executor::program::Program;
use crate::conformance::executor::subject::{End, Subject, end_of, failed};
use crate::conformance::executor::values::{given, plain};

/// Longer than anybody waits, in seconds.
const FOR_EVER_S: f64 = 600.0;
/// How long an attempt runs that is to end by itself, in seconds.
const WHILE_S: f64 = 1.0;
/// How long a cancelled attempt may go on, in microseconds.
const GRACE_US: u64 = 1_000_000;

pub(super) async fn cancelled(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let attempt = begin(&mut subject, FOR_EVER_S).await?;
    let reason = pb::ErrorClass::Cancelled.into();
    let cancel = Cancel { attempt: Some(attempt), grace_us: GRACE_US, reason };
    subject.order(Order::Cancel(cancel)).await?;
    let in_time = subject.wait_for(GRACE_US, |report| end_of(report, &attempt)).await;
    if let Some(end) = in_time {
        let error = failed(end?)?;
        class_is(&error, pb::ErrorClass::Cancelled)?;
        return subject.still_works().await;
    }
    // As a worker does when the grace is over; the process may leave, too.
    subject.process.signal(Signal::INT);
    let end = subject.end_or_leave(attempt).await?;
    end.map_or(Ok(()), |end| failed(end).map(drop))
}

pub(super) async fn taken_back(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    if !subject.runs_ahead()? {
        return Err(LeftOut("it has no feature `runs_ahead`, or marks nothing").into());
    }
    let runs = subject.call("sleep", vec![given(plain(WHILE_S))]);
    let waits = subject.call("echo", vec![given(plain(1))]);
    let (Some(running), Some(waiting)) = (runs.attempt, waits.attempt) else {
        bail!("an attempt has an id")
    };
    // In one message, so that the second cannot have started.
    subject
        .order_all([Order::Run(runs.into()), Order::Run(waits.into()), wanted_back(waiting)])
        .await?;
    let error = failed(subject.end(waiting).await?).context("an attempt that had not started")?;
    class_is(&error, pb::ErrorClass::Reschedule)?;
    ensure!(error.reason == "BUSY", "the reason is {:?} instead of BUSY", error.reason);
    subject.until(|mark| mark.runs).await?;
    subject.order(wanted_back(running)).await?;
    let End::Finished(_) = subject.end(running).await? else {
        bail!("an attempt that ran did not go on, though it was only wanted back")
    };
    subject.still_works().await
}

fn wanted_back(attempt: pb::AttemptId) -> Order {
    let reason = pb::ErrorClass::Reschedule.into();
    Order::Cancel(Cancel { attempt: Some(attempt), grace_us: 0, reason })
}

pub(super) async fn drained(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let attempt = begin(&mut subject, WHILE_S).await?;
    // The second was on its way when the worker had not heard yet.
    let late = subject.call("echo", vec![given(plain(1))]);
    let Some(late_id) = late.attempt else { bail!("an attempt has an id") };
    let drain = DrainExecutor { reason: "enough".to_owned() };
    subject.order_all([Order::Drain(drain), Order::Run(Box::new(late))]).await?;
    let leaving = |report: &Report| matches!(report, Report::Leaving(_)).then_some(());
    subject.hear("`leaving`", leaving).await?;
    let late = failed(subject.end(late_id).await?)?;
    class_is(&late, pb::ErrorClass::Reschedule)?;
    ensure!(late.reason == "SHUTTING_DOWN", "the reason is {:?}, not SHUTTING_DOWN", late.reason);
    let End::Finished(_) = subject.end(attempt).await? else { bail!("what ran was not finished") };
    let status = subject.leaves("it was drained").await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

pub(super) async fn shut_down(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    subject.still_works().await?;
    subject.order(Order::Shutdown(ShutdownExecutor::default())).await?;
    let status = subject.leaves("it was shut down").await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

pub(super) async fn hung_up(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    subject.still_works().await?;
    subject.hang_up().end("the worker hung up").await.map(drop)
}

pub(super) async fn hung_up_while_it_runs(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    begin(&mut subject, FOR_EVER_S).await?;
    subject.hang_up().end("the worker hung up while it ran something").await.map(drop)
}

/// Has an attempt run for so many seconds. It runs when this returns, as far as anybody can tell.
async fn begin(subject: &mut Subject, seconds: f64) -> Result<pb::AttemptId> {
    let run = subject.call("sleep", vec![given(plain(seconds))]);
    let attempt = subject.give(run).await?;
    if subject.mark()?.is_some() {
        subject.until(|mark| mark.runs).await?;
    } else {
        let started = |report: &Report| {
            matches!(report, Report::Started(started) if started.attempt == Some(attempt))
                .then_some(())
        };
        subject.hear("`started`", started).await?;
    }
    Ok(attempt)
}
