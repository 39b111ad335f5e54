//! The first words, and those that are about no attempt.

use anyhow::{Context as _, Result, ensure};
use bireme_core::link::{PROTOCOL_MAX, PROTOCOL_MIN};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{DumpStacks, Order};
use bireme_proto::pb::executor_report::Report;

use crate::conformance::executor::host::{Host, Reception};
use crate::conformance::executor::program::{NUMBER, Program, Started, TOKEN};
use crate::conformance::executor::subject::Subject;

/// Codecs that every executor reads.
const CODECS: [pb::Codec; 4] =
    [pb::Codec::Raw, pb::Codec::Utf8, pb::Codec::Msgpack, pb::Codec::None];
/// Heartbeats that are waited for.
const BEATS: u32 = 2;

pub(super) async fn says_who_it_is(program: &Program) -> Result<()> {
    let subject = Subject::start(program).await?;
    let hello = subject.first.hello.as_ref().context("its first message has no hello")?;
    let (min, max) = (hello.protocol_min, hello.protocol_max);
    ensure!(min <= PROTOCOL_MAX && max >= PROTOCOL_MIN, "it speaks protocol {min} to {max}");
    ensure!(hello.token == TOKEN, "hello.token is not what the file has");
    let attach = subject.first.attach.as_ref().context("its first message has no attach")?;
    for (field, text) in [("runtime", &attach.runtime), ("language", &attach.language)] {
        ensure!(!text.is_empty(), "attach.{field} is empty");
    }
    ensure!(attach.slots <= 1, "attach.slots is {}, a worker gives one at a time", attach.slots);
    ensure!(attach.started_as == NUMBER, "attach.started_as is {}", attach.started_as);
    ensure!(attach.pid > 0, "attach.pid is missing");
    for codec in CODECS {
        let reads = attach.codecs.contains(&codec.into());
        ensure!(reads, "attach.codecs lacks {}", codec.as_str_name());
    }
    Ok(())
}

pub(super) async fn is_refused(program: &Program) -> Result<()> {
    leaves(program, Some(Reception::Refusal), "its token was refused").await
}

pub(super) async fn stranger(program: &Program) -> Result<()> {
    leaves(program, Some(Reception::Stranger), "the worker speaks another protocol").await
}

pub(super) async fn nobody_listens(program: &Program) -> Result<()> {
    leaves(program, None, "there is no worker").await
}

/// A process that cannot be an executor says so by its exit code.
async fn leaves(program: &Program, reception: Option<Reception>, why: &str) -> Result<()> {
    let host = reception.map(|reception| Host::open(&program.dir, reception)).transpose()?;
    let status = Started::start(program)?.end(why).await?;
    if let Some(mut host) = host {
        ensure!(host.came.try_recv().is_ok(), "it ended with {status} and had not come back");
    }
    ensure!(!status.success(), "it ended with exit code 0, though {why}");
    Ok(())
}

pub(super) async fn beats(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    for _ in 0..BEATS {
        let beat = |report: &Report| match report {
            Report::Heartbeat(beat) => Some(beat.running),
            _ => None,
        };
        let running = subject.hear("a heartbeat", beat).await?;
        ensure!(running == 0, "it says that {running} attempts run, and was given none");
    }
    Ok(())
}

pub(super) async fn answers_a_ping(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    for number in [1, u64::from(u32::MAX) + 1] {
        subject.order(Order::Ping(number)).await?;
        let pong = |report: &Report| match report {
            Report::Pong(number) => Some(*number),
            _ => None,
        };
        let pong = subject.hear("a pong", pong).await?;
        ensure!(pong == number, "it answers ping {number} with {pong}");
    }
    Ok(())
}

pub(super) async fn refuses(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    let dump = DumpStacks { request: 9 };
    subject.order(Order::DumpStacks(dump)).await?;
    let answer = |report: &Report| match report {
        Report::Refused(refused) => Some(refused.refused.clone().map(|refused| refused.reason)),
        Report::StackDump(_) => Some(Some("UNSUPPORTED".to_owned())),
        _ => None,
    };
    let reason = subject.hear("an answer to `dump_stacks`", answer).await?;
    ensure!(reason.as_deref() == Some("UNSUPPORTED"), "it refuses with {reason:?}");
    subject.still_works().await
}

pub(super) async fn unknown_order(program: &Program) -> Result<()> {
    let mut subject = Subject::start(program).await?;
    // To whoever does not know an arm, an order has none.
    subject.send(vec![pb::ExecutorOrder { order: None }]).await?;
    subject.still_works().await
}
