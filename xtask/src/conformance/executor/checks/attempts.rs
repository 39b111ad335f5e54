//! What becomes of attempts, one after the other.

use anyhow::{Context as _, Result, ensure};
use bireme_core::limits;
use bireme_executor::Reached;
use bireme_proto::pb;
use bireme_proto::pb::executor_report::Report;

use super::LeftOut;
use crate::conformance::executor::program::Program;
use crate::conformance::executor::subject::{End, Subject, end_of, failed, one};
use crate::conformance::executor::values::{data_of, given, in_pool, input, plain};

const NOT_AHEAD: LeftOut = LeftOut("it has no feature `runs_ahead`, or marks nothing");
/// How long an attempt runs that something is done to, in seconds.
const WHILE_S: f64 = 0.5;

pub(super) async fn runs_a_function(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    adds(&mut subject, 2, 40).await
}

pub(super) async fn one_after_the_other(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    for n in 0..20 {
        adds(&mut subject, n, 1).await?;
    }
    Ok(())
}

async fn adds(subject: &mut Subject, a: i64, b: i64) -> Result<()> {
    let sum = subject.value("add", vec![given(plain(a)), given(plain(b))]).await?;
    let sum = data_of(&sum, &subject.host.pool())?;
    #[expect(clippy::cast_precision_loss, reason = "they are small")]
    let expected = (a + b) as f64;
    ensure!(sum.as_f64() == Some(expected), "add({a}, {b}) is {sum}");
    Ok(())
}

pub(super) async fn ahead(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    if !subject.runs_ahead()? {
        return Err(NOT_AHEAD.into());
    }
    let mut attempts = Vec::new();
    let slow = subject.call("sleep", vec![given(plain(WHILE_S))]);
    attempts.push(subject.give(slow).await?);
    for n in 0..10 {
        let run = subject.call("add", vec![given(plain(n)), given(plain(n))]);
        attempts.push(subject.give(run).await?);
    }
    for attempt in attempts {
        // The first end that is heard must be that of the first that was given.
        let ended = |report: &Report| match report {
            Report::Finished(end) => Some(end.attempt),
            Report::Failed(end) => Some(end.attempt),
            _ => None,
        };
        let ended = subject.hear("the next end", ended).await?;
        ensure!(ended == Some(attempt), "{attempt:?} was given first, {ended:?} ends first");
    }
    Ok(())
}

pub(super) async fn ends_once(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let run = subject.call("sleep", vec![given(plain(WHILE_S))]);
    let attempt = subject.give(run).await?;
    while !subject.heard.iter().any(|report| end_of(report, &attempt).is_some()) {
        subject.listen_within().await?;
    }
    // Whatever it had to say of the first comes before the end of the second.
    let again = subject.call("echo", vec![given(plain(1))]);
    let again = subject.give(again).await?;
    while !subject.heard.iter().any(|report| end_of(report, &again).is_some()) {
        subject.listen_within().await?;
    }
    let story = subject.heard.iter().filter_map(|report| match report {
        Report::Started(started) if started.attempt == Some(attempt) => Some("started"),
        report if end_of(report, &attempt).is_some() => Some("ended"),
        _ => None,
    });
    let story: Vec<_> = story.collect();
    ensure!(
        story == ["started", "ended"] || story == ["ended"],
        "it told of an attempt: {}",
        story.join(", ")
    );
    Ok(())
}

pub(super) async fn raised(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let error = subject.failure("fail", vec![given(plain("no luck today"))]).await?;
    class_is(&error, pb::ErrorClass::User)?;
    ensure!(error.message.contains("no luck today"), "the message is {:?}", error.message);
    ensure!(!error.reason.is_empty(), "the reason is empty: it should be the name of the error");
    ensure!(has_traceback(&error), "there is no traceback");
    let language = subject.first.attach.as_ref().map(|attach| attach.language.as_str());
    ensure!(language == Some(&error.language), "the language is {:?}", error.language);
    let long = "x".repeat(2 * limits::MESSAGE_BYTES);
    let mut run = subject.call("fail", vec![input(0)]);
    let pool = subject.host.pool();
    run.inputs = vec![in_pool(&pool, "input", pb::Codec::Utf8, long.as_bytes())?];
    let error = failed(subject.run(run).await.context("an error too long for a message")?)?;
    class_is(&error, pb::ErrorClass::User).context("an error too long for a message")?;
    subject.still_works().await
}

/// Whether an error has what its language can give; Rust has nothing of an error that is returned.
pub(super) fn has_traceback(error: &pb::TaskError) -> bool {
    !error.traceback.is_empty() || error.language == "rust"
}

pub(super) async fn unknown(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let error = subject.failure("nowhere", Vec::new()).await?;
    class_is(&error, pb::ErrorClass::NotFound)?;
    ensure!(error.message.contains("nowhere"), "the message is {:?}", error.message);
    subject.still_works().await
}

pub(super) async fn malformed(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    for payload in [&b"\xff\xff\xff\xff"[..], b""] {
        let mut run = subject.call("echo", Vec::new());
        run.payload = payload.into();
        let error = failed(subject.run(run).await?)?;
        class_is(&error, pb::ErrorClass::Malformed)?;
    }
    let mut run = subject.call("echo", vec![input(3)]);
    run.inputs.push(plain(1));
    let error = failed(subject.run(run).await?)?;
    class_is(&error, pb::ErrorClass::Malformed).context("an argument that is input 3 of 1")?;
    subject.still_works().await
}

pub(super) async fn prints(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let mut expected = Vec::new();
    let marks = subject.mark()?.is_some();
    for line in ["first", "second"].into_iter().take(if marks { 2 } else { 1 }) {
        let run = subject.call("print", vec![given(plain(line))]);
        let index = run.attempt.and_then(|attempt| attempt.task).map(|task| task.index);
        one(subject.run(run).await?)?;
        expected.push((index.filter(|_| marks), format!("{line}\n")));
    }
    let printed = subject.printed().await?;
    ensure!(printed == expected, "it printed {printed:?} instead of {expected:?}");
    Ok(())
}

pub(super) async fn variables(program: &Program) -> Result<()> {
    if program.is_native() {
        return Err(LeftOut("a native function has threads beside it, and no variables").into());
    }
    let mut subject = Subject::start(program).await?;
    let name = "BIREME_RESOURCE_GPU";
    for value in [Some("0,3"), None] {
        let mut run = subject.call("variable", vec![given(plain(name))]);
        let variable = |value: &str| pb::EnvironmentVariable {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        run.environment.extend(value.map(variable));
        let seen = one(subject.run(run).await?)?;
        let seen = data_of(&seen, &subject.host.pool())?;
        ensure!(seen.as_str() == value, "the variable is {seen} instead of {value:?}");
    }
    Ok(())
}

pub(super) async fn marks(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    if subject.mark()?.is_none() {
        return Err(LeftOut("it marks nothing").into());
    }
    for number in 1..=2 {
        let run = subject.call("sleep", vec![given(plain(WHILE_S))]);
        let attempt = subject.give(run).await?;
        let runs = Reached { started: number, runs: true };
        subject.until_marked(runs).await.context("while an attempt runs")?;
        let End::Finished(_) = subject.end(attempt).await? else { continue };
        let done = Reached { started: number, runs: false };
        subject.until_marked(done).await.context("when it has ended")?;
    }
    Ok(())
}

/// Checks which kind of failure it is.
pub(super) fn class_is(error: &pb::TaskError, class: pb::ErrorClass) -> Result<()> {
    let (found, class_name) = (error.class(), class.as_str_name());
    let message = &error.message;
    ensure!(found == class, "it failed as {}: {message}; not {class_name}", found.as_str_name());
    Ok(())
}
