//! How actors are kept, restored and ended.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_executor::Reached;
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{ActorCall, ActorCancel, Order, ShutdownExecutor};
use bireme_proto::pb::executor_report::actor_reply::Outcome;
use bireme_proto::pb::executor_report::{ActorState, Report};
use serde_json::json;

use super::LeftOut;
use super::actors::still_counts;
use super::attempts::class_is;
use crate::conformance::executor::hosted::{Hosted, failure, returned};
use crate::conformance::executor::program::Program;
use crate::conformance::executor::subject::Subject;
use crate::conformance::executor::values::{data_of, given, plain};

/// Longer than anybody waits, in seconds.
const FOR_EVER_S: f64 = 600.0;
/// How long a call runs that something waits behind, in seconds.
const WHILE_S: f64 = 0.5;
/// How long a cancelled call may go on, in microseconds.
const GRACE_US: u64 = 1_000_000;
/// Number of a record in a log.
const LSN: u64 = 7;

pub(super) async fn restored(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let left = leaves_41(&mut actor, &mut subject).await?;
    actor.drop(&mut subject, GRACE_US).await?;
    actor.restore(&mut subject, left).await?;
    let sum = actor.value(&mut subject, "add", vec![given(plain(1))]).await?;
    ensure!(sum == json!(42), "it goes on with {sum} instead of 42");
    Ok(())
}

/// Has an actor counted to 41 and further, and returns what it left in between.
async fn leaves_41(actor: &mut Hosted, subject: &mut Subject) -> Result<ActorState> {
    let adds =
        |actor: &mut Hosted, n: i32| Order::ActorCall(actor.call("add", vec![given(plain(n))]));
    let before = adds(actor, 41);
    let keep = actor.checkpoint(LSN);
    let behind = adds(actor, 1_000);
    subject.order_all([before, keep, behind]).await?;
    let left = actor.state(subject, LSN).await?;
    for (call, expected) in [(1, 41), (2, 1_041)] {
        let sum = returned(actor.reply(subject, call).await?)?;
        let sum = data_of(&sum, &subject.host.pool())?;
        ensure!(sum == json!(expected), "call {call} counts {sum} instead of {expected}");
    }
    Ok(left)
}

pub(super) async fn replayed(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let left = leaves_41(&mut actor, &mut subject).await?;
    let calls = [("add", plain(1)), ("echo", plain(json!({"b": [1], "a": null})))];
    let mut first = Vec::new();
    actor.drop(&mut subject, GRACE_US).await?;
    for replay in [false, true] {
        actor.restore(&mut subject, left.clone()).await?;
        for (n, (method, arg)) in calls.iter().enumerate() {
            let call = actor.call(method, vec![given(arg.clone())]);
            subject.order(Order::ActorCall(ActorCall { replay, lsn: LSN, ..call })).await?;
            let value = returned(actor.reply(&mut subject, actor.calls).await?)?;
            match first.get(n) {
                Some(first) if replay => ensure!(
                    *first == value,
                    "{method} gave {first:?} first, and {value:?} when it was played again"
                ),
                _ => first.push(value),
            }
        }
        actor.drop(&mut subject, GRACE_US).await?;
    }
    Ok(())
}

pub(super) async fn cancelled(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let runs = actor.give(&mut subject, "sleep", vec![given(plain(FOR_EVER_S))]).await?;
    if subject.mark()?.is_some() {
        subject.until_marked(Reached { started: runs, runs: true }).await?;
    }
    let waits = actor.give(&mut subject, "add", vec![given(plain(100))]).await?;
    subject.order(cancel(&actor, waits)).await?;
    let error = failure(actor.reply(&mut subject, waits).await?).context("a call that waited")?;
    class_is(&error, pb::ErrorClass::Cancelled)?;
    subject.order(cancel(&actor, runs)).await?;
    let ended = subject.wait_for(GRACE_US, |report| actor.ended(report, Some(runs))).await;
    let Some(ended) = ended else {
        // A worker kills the process now.
        return Err(LeftOut("code that runs cannot be told, and is killed").into());
    };
    match ended?.1 {
        Some(Outcome::Error(error)) => class_is(&error, pb::ErrorClass::Cancelled)?,
        Some(Outcome::Value(_)) => {} // It has returned early.
        other => bail!("a call that was cancelled ended as {other:?}"),
    }
    still_counts(&mut actor, &mut subject).await
}

fn cancel(actor: &Hosted, call: u64) -> Order {
    let actor = Some(actor.id.clone());
    Order::ActorCancel(ActorCancel { actor, call, grace_us: GRACE_US })
}

pub(super) async fn dropped(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let runs = actor.give(&mut subject, "sleep", vec![given(plain(WHILE_S))]).await?;
    if subject.mark()?.is_some() {
        subject.until_marked(Reached { started: runs, runs: true }).await?;
    }
    let waits = actor.give(&mut subject, "add", vec![given(plain(1))]).await?;
    actor.drop(&mut subject, GRACE_US).await?;
    let ran = subject.heard.iter().any(|report| actor.ended(report, Some(runs)).is_some());
    ensure!(ran, "the call that ran has no reply");
    not_begun(&actor, &subject, waits)?;
    // One was on its way meanwhile. Whatever is said of it, it does not run, and the process goes on.
    let late = actor.give(&mut subject, "add", vec![given(plain(1))]).await?;
    subject.order(Order::Ping(1)).await?;
    let pong = |report: &Report| matches!(report, Report::Pong(1)).then_some(());
    subject.hear("a pong", pong).await?;
    let ran = subject.heard.iter().find_map(|report| match actor.ended(report, Some(late)) {
        Some((_, Some(Outcome::Value(value)))) => Some(value),
        _ => None,
    });
    ensure!(ran.is_none(), "a call ran on an actor that is gone, and gave {ran:?}");
    Ok(())
}

pub(super) async fn ends_itself(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let leaves = actor.call("leave", Vec::new());
    let behind = actor.call("add", vec![given(plain(1))]);
    subject.order_all([Order::ActorCall(leaves), Order::ActorCall(behind)]).await?;
    match actor.reply(&mut subject, 1).await? {
        Outcome::NoSuchMethod(_) => return Err(LeftOut("it has no method `leave`").into()),
        outcome => returned(outcome)?,
    };
    actor.dropped(&mut subject).await?;
    not_begun(&actor, &subject, 2)
}

/// Checks that a call which waited when its actor ended is told not to have begun, before the actor is told to be gone.
fn not_begun(actor: &Hosted, subject: &Subject, number: u64) -> Result<()> {
    let mut heard = subject.heard.iter();
    let end = heard.find_map(|report| actor.ended(report, Some(number)));
    match end {
        Some((_, Some(Outcome::NotBegun(true)))) => Ok(()),
        other => bail!("a call that waited is told to have ended as {other:?}"),
    }
}

pub(super) async fn shut_down(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    still_counts(&mut actor, &mut subject).await?;
    subject.order(Order::Shutdown(ShutdownExecutor::default())).await?;
    let status = subject.leaves("it was shut down").await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

pub(super) async fn hung_up(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    actor.give(&mut subject, "sleep", vec![given(plain(FOR_EVER_S))]).await?;
    subject.hang_up().end("the worker hung up while an actor's call ran").await.map(drop)
}

pub(super) async fn shared(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actors = [Hosted::new(1), Hosted::new(2)];
    for (n, actor) in [0, 100].into_iter().zip(&actors) {
        let mut create = actor.creation(&subject, "Counter", vec![given(plain(n))]);
        if let Some(spec) = &mut create.spec {
            spec.isolation = pb::Isolation::Shared.into();
        }
        actor.make(&mut subject, Order::ActorCreate(Box::new(create))).await?.ready()?;
    }
    for expected in 1..=3 {
        for (n, actor) in [0, 100].into_iter().zip(&mut actors) {
            let sum = actor.value(&mut subject, "add", vec![given(plain(1))]).await?;
            ensure!(sum == json!(n + expected), "the actor of {n} counts {sum}");
        }
    }
    let mark = subject.mark()?;
    ensure!(mark.is_none(), "the mark is {mark:?}, though nobody can tell whose calls it counts");
    let [first, second] = actors;
    first.drop(&mut subject, GRACE_US).await?;
    let mut second = second;
    let sum = second.value(&mut subject, "add", vec![given(plain(1))]).await?;
    ensure!(sum == json!(104), "without the other the second counts {sum}");
    Ok(())
}

pub(super) async fn marks(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    if subject.mark()?.is_none() {
        return Err(LeftOut("it marks nothing").into());
    }
    // The worker numbers calls, with gaps.
    actor.calls = 40;
    let runs = actor.give(&mut subject, "sleep", vec![given(plain(WHILE_S))]).await?;
    subject.until_marked(Reached { started: runs, runs: true }).await?;
    returned(actor.reply(&mut subject, runs).await?)?;
    subject.until_marked(Reached { started: runs, runs: false }).await
}
