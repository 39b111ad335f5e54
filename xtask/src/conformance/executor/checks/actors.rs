//! What becomes of an actor's calls, one after the other.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_core::limits;
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{ActorCall, ActorCredit, Order};
use bireme_proto::pb::executor_report::Report;
use bireme_proto::pb::executor_report::actor_reply::Outcome;
use serde_json::json;

use super::LeftOut;
use super::attempts::{class_is, has_traceback};
use crate::conformance::executor::hosted::{CREDIT, Hosted, failure, returned};
use crate::conformance::executor::program::Program;
use crate::conformance::executor::subject::Subject;
use crate::conformance::executor::values::{
    bytes_of, data_of, given, in_pool, inline, input, pattern, plain,
};

/// Calls that are given at once.
const CALLS: u64 = 50;
/// Items that a call gives; more than it may send at first.
const ITEMS: u32 = CREDIT + 3;
/// How long a call runs that something waits behind, in seconds.
const WHILE_S: f64 = 0.5;
/// More than fits into a message.
const LARGE_BYTES: usize = 2 * limits::MESSAGE_BYTES;

pub(super) async fn is_made(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::new(1);
    let create = actor.creation(&subject, "Counter", vec![given(plain(40))]);
    let ready = actor.make(&mut subject, Order::ActorCreate(Box::new(create))).await?.ready()?;
    ensure!(ready.incarnation == 1, "incarnation {} was made", ready.incarnation);
    for method in ["add", "echo", "fail", "sleep"] {
        let known = ready.methods.iter().any(|known| known == method);
        ensure!(known, "its methods are {:?}, without `{method}`", ready.methods);
    }
    let sum = actor.value(&mut subject, "add", vec![given(plain(2))]).await?;
    ensure!(sum == json!(42), "40 and 2 are {sum}");
    Ok(())
}

pub(super) async fn in_order(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    // The first is slow: those behind it must wait though they were given.
    let mut calls = vec![Order::ActorCall(actor.call("sleep", vec![given(plain(WHILE_S))]))];
    calls.extend((0..CALLS).map(|_| Order::ActorCall(actor.call("add", vec![given(plain(1))]))));
    let orders = calls.into_iter().map(|order| pb::ExecutorOrder { order: Some(order) });
    subject.send(orders.collect()).await?;
    for number in 1..=CALLS + 1 {
        let (ended, outcome) = actor.next_reply(&mut subject).await?;
        ensure!(ended == number, "call {number} was given first, {ended} ends first");
        let value = returned(outcome.context("a reply has no outcome")?)?;
        let sum = data_of(&value, &subject.host.pool())?;
        ensure!(number == 1 || sum == json!(number - 1), "call {number} found {sum}");
    }
    Ok(())
}

pub(super) async fn raised(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let why = vec![given(plain("no luck today"))];
    let error = actor.failure(&mut subject, "fail", why).await?;
    class_is(&error, pb::ErrorClass::User)?;
    ensure!(error.message.contains("no luck today"), "the message is {:?}", error.message);
    ensure!(!error.reason.is_empty(), "the reason is empty: it should be the name of the error");
    let language = subject.first.attach.as_ref().map(|attach| attach.language.clone());
    ensure!(error.language == language.unwrap_or_default(), "the language is {}", error.language);
    ensure!(has_traceback(&error), "there is no traceback");
    still_counts(&mut actor, &mut subject).await
}

pub(super) async fn no_such_method(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    for name in ["nowhere", "constructor", "__init__", "toString"] {
        match actor.end(&mut subject, name, Vec::new()).await? {
            Outcome::NoSuchMethod(told) => {
                let knows = told.methods.iter().any(|method| method == "add");
                ensure!(knows, "it names the methods {:?}, without `add`", told.methods);
            }
            other => bail!("`{name}` was called, and ended as {other:?}"),
        }
    }
    still_counts(&mut actor, &mut subject).await
}

pub(super) async fn cannot_be_made(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let actor = Hosted::new(1);
    let cases = [
        ("Counter", -1, pb::ErrorClass::User, "-1"),
        ("Nowhere", 0, pb::ErrorClass::NotFound, "Nowhere"),
    ];
    for (class, n, kind, names) in cases {
        let create = actor.creation(&subject, class, vec![given(plain(n))]);
        let error =
            actor.make(&mut subject, Order::ActorCreate(Box::new(create))).await?.failed()?;
        class_is(&error, kind).with_context(|| format!("{class}({n}) was to be made"))?;
        ensure!(error.message.contains(names), "{:?} does not say {names}", error.message);
    }
    // What could not be made is not in the way of what can.
    let mut actor = Hosted::made(&mut subject).await?;
    still_counts(&mut actor, &mut subject).await
}

pub(super) async fn unreadable(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let broken = vec![given(inline(pb::Codec::Msgpack, &b"\x92\x01"[..]))];
    let error = actor.failure(&mut subject, "echo", broken).await?;
    class_is(&error, pb::ErrorClass::Deserialize).context("a list that is cut off")?;
    let call = ActorCall {
        arguments: b"\xff\xff\xff\xff".as_slice().into(),
        ..actor.call("echo", Vec::new())
    };
    subject.order(Order::ActorCall(call)).await?;
    let error = failure(actor.reply(&mut subject, actor.calls).await?)?;
    class_is(&error, pb::ErrorClass::Deserialize).context("arguments that are none")?;
    still_counts(&mut actor, &mut subject).await
}

pub(super) async fn large(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let (pool, bytes) = (subject.host.pool(), pattern(LARGE_BYTES));
    let mut call = actor.call("echo", vec![input(0)]);
    call.inputs = vec![in_pool(&pool, "input", pb::Codec::Raw, &bytes)?];
    subject.order(Order::ActorCall(call)).await?;
    let value = returned(actor.reply(&mut subject, actor.calls).await?)?;
    let back = bytes_of(&value, &pool)?;
    ensure!(back == bytes, "{LARGE_BYTES} bytes come back as {} others", back.len());
    Ok(())
}

pub(super) async fn wants_no_value(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let reply = pb::ReplyKind::None.into();
    let call = ActorCall { reply, ..actor.call("add", vec![given(plain(1))]) };
    subject.order(Order::ActorCall(call)).await?;
    let value = returned(actor.reply(&mut subject, actor.calls).await?)?;
    ensure!(value.size == 0, "{} bytes were sent to nobody", value.size);
    Ok(())
}

pub(super) async fn attribute(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    actor.value(&mut subject, "add", vec![given(plain(7))]).await?;
    let name = "__getattribute__";
    match actor.end(&mut subject, name, vec![given(plain("n"))]).await? {
        Outcome::NoSuchMethod(_) => return Err(LeftOut("it reads no attributes").into()),
        outcome => {
            let value = data_of(&returned(outcome)?, &subject.host.pool())?;
            ensure!(value == json!(7), "the attribute `n` is {value}");
        }
    }
    let error = actor.failure(&mut subject, name, vec![given(plain("nowhere"))]).await?;
    class_is(&error, pb::ErrorClass::User)?;
    ensure!(error.message.contains("nowhere"), "the message is {:?}", error.message);
    Ok(())
}

pub(super) async fn items(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut actor = Hosted::made(&mut subject).await?;
    let reply = pb::ReplyKind::Stream.into();
    let call = ActorCall { reply, ..actor.call("upwards", vec![given(plain(ITEMS))]) };
    subject.order(Order::ActorCall(call)).await?;
    for n in 1..=ITEMS {
        if n == CREDIT + 1 {
            // What it has no room for it may not send, so that this comes before it.
            subject.order(Order::Ping(1)).await?;
            let pong = |report: &Report| matches!(report, Report::Pong(1)).then_some(());
            subject.hear("a pong", pong).await?;
            let sent = subject.heard.iter().any(|report| matches!(report, Report::ActorItem(_)));
            ensure!(!sent, "it sent more than {CREDIT} items though it may not");
            let actor = Some(actor.id.clone());
            let credit = ActorCredit { actor, call: 1, n: ITEMS };
            subject.order(Order::ActorCredit(credit)).await?;
        }
        let item = |report: &Report| match report {
            Report::ActorItem(item) => Some((item.n, item.value.clone())),
            _ => None,
        };
        let (number, value) = subject.hear("an item", item).await?;
        let value = data_of(&value.unwrap_or_default(), &subject.host.pool())?;
        ensure!((number, &value) == (n.into(), &json!(n - 1)), "item {n}: {number}, {value}");
    }
    returned(actor.reply(&mut subject, 1).await?).map(drop)
}

/// Checks that an actor goes on after what was done to it.
pub(super) async fn still_counts(actor: &mut Hosted, subject: &mut Subject) -> Result<()> {
    let sum = actor.value(subject, "add", vec![given(plain(1))]).await;
    let sum = sum.context("it does not run the next call")?;
    ensure!(sum == json!(1), "it counts {sum} instead of 1");
    Ok(())
}
