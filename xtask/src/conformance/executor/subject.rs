//! The executor process that a check is about, once it has come back.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bireme_executor::{Reached, features};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{Allocated, Answer, Order, Run, answer};
use bireme_proto::pb::executor_report::{AllocatePool, Report};
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use super::host::{Came, Host, Reception};
use super::program::{PATIENCE, Program, Started};
use super::values::{given, inline, payload, room};
use crate::cluster::{until, within};

/// Reason and message with which room in the pool is refused.
pub(super) const NO_ROOM: (&str, &str) = ("STORE_FULL", "every byte is taken");
/// What a process may have printed before a check looks, in bytes.
const PRINTED_BYTES: usize = 64 << 10;

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum End {
    Finished(Vec<pb::Value>),
    Failed(Box<pb::TaskError>),
}

/// A process that has come back.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) process: Started,
    pub(super) host: Host,
    /// What it said first.
    pub(super) first: pb::ExecutorUp,
    came: Came,
    /// What it has reported and no check has taken.
    pub(super) heard: VecDeque<Report>,
    program: Program,
    /// Attempts that it was given.
    given: u32,
    /// Files that were given to it.
    files: u32,
    /// Whether there are more of them.
    pub(super) has_room: bool,
}

impl Subject {
    /// Starts a process and receives it.
    pub(super) async fn start(program: &Program) -> Result<Self> {
        let mut host = Host::open(&program.dir, Reception::Welcome)?;
        let mut process = Started::start(program)?;
        let mut came = within(PATIENCE, "the process to come back", async {
            tokio::select! {
                came = host.came.recv() => came.context("nobody is received"),
                status = process.child.wait() => bail!("it ended with {} before it came back", status?),
            }
        })
        .await??;
        let first = std::mem::take(&mut came.first);
        let program = program.clone();
        let heard = VecDeque::new();
        Ok(Self { process, host, first, came, heard, program, given: 0, files: 0, has_room: true })
    }

    /// Whether it takes attempts ahead: it says so, and marks how far it has come.
    pub(super) fn runs_ahead(&self) -> Result<bool> {
        let hello = self.first.hello.as_ref();
        let says = |name: &String| name == features::RUNS_AHEAD;
        Ok(hello.is_some_and(|hello| hello.features.iter().any(says)) && self.mark()?.is_some())
    }

    /// Whether it says that it reads a codec.
    pub(super) fn reads(&self, codec: pb::Codec) -> bool {
        self.first.attach.as_ref().is_some_and(|attach| attach.codecs.contains(&codec.into()))
    }

    /// Waits until it marks something.
    pub(super) async fn until(&self, holds: impl Fn(Reached) -> bool) -> Result<()> {
        let looks = until("a mark", || matches!(self.mark(), Ok(Some(mark)) if holds(mark)));
        let marked = within(PATIENCE, "a mark", looks).await.and_then(|looked| looked);
        marked.with_context(|| format!("the mark is {:?}", self.mark()))
    }

    /// Waits until it marks just this.
    pub(super) async fn until_marked(&self, expected: Reached) -> Result<()> {
        self.until(|mark| mark == expected).await.with_context(|| format!("not {expected:?}"))
    }

    /// How far it has come, as it marks it.
    pub(super) fn mark(&self) -> Result<Option<Reached>> {
        Ok(self.process.mark.get()?)
    }

    /// A call of one of the agreed functions.
    pub(super) fn call(&mut self, function: &str, args: Vec<pb::Arg>) -> Run {
        self.given += 1;
        let task = pb::TaskId { graph: 7 << 32 | 1, index: self.given };
        Run {
            attempt: Some(pb::AttemptId { task: Some(task), epoch: 1, n: 1 }),
            key: format!("{function}-{}", self.given),
            payload: self.payload(function, args),
            outputs: 1,
            ..Run::default()
        }
    }

    /// The payload that names one of the agreed functions, or the class.
    pub(super) fn payload(&self, name: &str, args: Vec<pb::Arg>) -> Bytes {
        payload(self.program.work(name), args)
    }

    /// Gives it an attempt.
    pub(super) async fn give(&mut self, run: Run) -> Result<pb::AttemptId> {
        let attempt = run.attempt.context("an attempt has an id")?;
        self.order(Order::Run(Box::new(run))).await?;
        Ok(attempt)
    }

    /// Has it run an attempt to its end.
    pub(super) async fn run(&mut self, run: Run) -> Result<End> {
        let attempt = self.give(run).await?;
        self.end(attempt).await
    }

    /// Calls a function and expects one value.
    pub(super) async fn value(&mut self, function: &str, args: Vec<pb::Arg>) -> Result<pb::Value> {
        let run = self.call(function, args);
        one(self.run(run).await?).with_context(|| format!("{function} was called"))
    }

    /// Calls a function and expects a failure.
    pub(super) async fn failure(
        &mut self,
        function: &str,
        args: Vec<pb::Arg>,
    ) -> Result<Box<pb::TaskError>> {
        let run = self.call(function, args);
        failed(self.run(run).await?)
    }

    /// Sends an order.
    pub(super) async fn order(&mut self, order: Order) -> Result<()> {
        self.order_all([order]).await
    }

    /// Sends orders in one message.
    pub(super) async fn order_all<const N: usize>(&mut self, orders: [Order; N]) -> Result<()> {
        let orders = orders.map(|order| pb::ExecutorOrder { order: Some(order) });
        self.send(orders.into()).await
    }

    /// The same, of whatever is to pass for an order.
    pub(super) async fn send(&mut self, orders: Vec<pb::ExecutorOrder>) -> Result<()> {
        let down = pb::ExecutorDown { orders, ..pb::ExecutorDown::default() };
        self.came.orders.send(down).await.context("it has closed the stream")
    }

    /// Waits for the end of an attempt.
    pub(super) async fn end(&mut self, attempt: pb::AttemptId) -> Result<End> {
        self.hear("an attempt to end", |report| end_of(report, &attempt)).await
    }

    /// Waits for a report and takes it; others are kept.
    pub(super) async fn hear<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(&Report) -> Option<T>,
    ) -> Result<T> {
        let found = async {
            loop {
                let mut heard = self.heard.iter().enumerate();
                let found = heard.find_map(|(at, report)| Some((at, wanted(report)?)));
                if let Some((at, found)) = found {
                    self.heard.remove(at);
                    return anyhow::Ok(found);
                }
                self.listen().await?;
            }
        };
        within(PATIENCE, what, found).await?.with_context(|| format!("{what} was waited for"))
    }

    /// The same, but for so many microseconds; none if nothing comes.
    pub(super) async fn wait_for<T>(
        &mut self,
        micros: u64,
        wanted: impl Fn(&Report) -> Option<T>,
    ) -> Option<Result<T>> {
        let heard = self.hear("a report", wanted);
        tokio::time::timeout(Duration::from_micros(micros), heard).await.ok()
    }

    /// Waits for the end of an attempt, or of the process.
    pub(super) async fn end_or_leave(&mut self, attempt: pb::AttemptId) -> Result<Option<End>> {
        let what = "the attempt or its process to end";
        match self.hear(what, |report| end_of(report, &attempt)).await {
            Ok(end) => Ok(Some(end)),
            Err(_) => self.process.end("its attempt was cancelled").await.map(|_| None),
        }
    }

    /// The same as [`Self::listen`], but not for ever.
    pub(super) async fn listen_within(&mut self) -> Result<()> {
        within(PATIENCE, "a report", self.listen()).await?
    }

    /// Takes the next batch off the stream. Room in the pool is given at once.
    pub(super) async fn listen(&mut self) -> Result<()> {
        let Some(up) = self.came.incoming.message().await? else { bail!("it ended the stream") };
        for report in up.reports.into_iter().filter_map(|report| report.report) {
            match report {
                Report::AllocatePool(asked) => self.allocate(asked).await?,
                report => {
                    // Of heartbeats, only the last counts.
                    let beats = |report: &Report| matches!(report, Report::Heartbeat(_));
                    if beats(&report) {
                        self.heard.retain(|heard| !beats(heard));
                    }
                    self.heard.push_back(report);
                }
            }
        }
        Ok(())
    }

    async fn allocate(&mut self, asked: AllocatePool) -> Result<()> {
        let answer = if self.has_room {
            let mut files = Vec::new();
            for length in asked.lengths {
                self.files += 1;
                files.push(room(&self.host.pool(), &format!("given-{}", self.files), length)?);
            }
            answer::Answer::Allocated(Allocated { files })
        } else {
            let (reason, message) = (NO_ROOM.0.to_owned(), NO_ROOM.1.to_owned());
            answer::Answer::Refused(pb::Refused { reason, message, ..pb::Refused::default() })
        };
        self.order(Order::Answer(Answer { request: asked.request, answer: Some(answer) })).await
    }

    /// Checks that it still does what it is told.
    pub(super) async fn still_works(&mut self) -> Result<()> {
        let text = inline(pb::Codec::Utf8, "on");
        let value = self.value("echo", vec![given(text)]).await;
        value.context("it does not run the next attempt").map(drop)
    }

    /// Waits until it has no more to say and its process ends. A worker hangs up in between, and so does this.
    pub(super) async fn leaves(mut self, why: &str) -> Result<ExitStatus> {
        within(PATIENCE, &format!("the stream to end: {why}"), async {
            while let Ok(()) = self.listen().await {}
        })
        .await?;
        self.hang_up().end(why).await
    }

    /// Hangs up.
    pub(super) fn hang_up(self) -> Started {
        self.process
    }

    /// What it has printed to its standard output and nobody has read, in parts by attempt.
    pub(super) async fn printed(&mut self) -> Result<Vec<(Option<u32>, String)>> {
        let pipe = self.process.child.stdout.as_mut().context("stdout is a pipe")?;
        let mut printed = vec![0; PRINTED_BYTES];
        let count = within(PATIENCE, "what it prints", pipe.read(&mut printed)).await??;
        printed.truncate(count);
        let parts = self.process.seal.parts(&printed);
        let parts = parts.map(|(attempt, part)| {
            let index = attempt.map(|attempt| attempt.task.index);
            (index, String::from_utf8_lossy(part).into_owned())
        });
        Ok(parts.collect())
    }
}

/// The only value of an attempt that must have finished.
pub(super) fn one(end: End) -> Result<pb::Value> {
    match end {
        End::Finished(outputs) => match <[pb::Value; 1]>::try_from(outputs) {
            Ok([value]) => Ok(value),
            Err(outputs) => bail!("it finished with {} outputs instead of 1", outputs.len()),
        },
        End::Failed(error) => {
            bail!(
                "it failed as {}: {}: {}",
                error.class().as_str_name(),
                error.reason,
                error.message
            )
        }
    }
}

/// The error of an attempt that must have failed.
pub(super) fn failed(end: End) -> Result<Box<pb::TaskError>> {
    match end {
        End::Failed(error) => Ok(error),
        End::Finished(_) => bail!("it finished instead of failing"),
    }
}

/// How an attempt ended, if that is what a report says.
pub(super) fn end_of(report: &Report, attempt: &pb::AttemptId) -> Option<End> {
    match report {
        Report::Finished(end) if end.attempt.as_ref() == Some(attempt) => {
            Some(End::Finished(end.outputs.clone()))
        }
        Report::Failed(end) if end.attempt.as_ref() == Some(attempt) => {
            Some(End::Failed(end.error.clone().unwrap_or_default().into()))
        }
        _ => None,
    }
}
