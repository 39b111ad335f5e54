//! An executor with one thread for everything, as those of some languages have: it reads no order while an attempt runs.

use std::collections::BTreeSet;
use std::env;

use bireme_core::id::Epoch;
use bireme_core::link::Hello;
use bireme_core::{ErrorClass, Reason, Resources, TaskError, Value};
use bireme_executor::{Launch, Reached, features};
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::executor_client::ExecutorClient;
use bireme_proto::pb::executor_order::Order;
use bireme_proto::pb::executor_report::{Failed, Finished, Report};
use bireme_worker::Config;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{StreamExt as _, iter};
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::languages::{call, language, made};
use crate::scene::Scene;

/// Batches of reports that wait to be sent.
const REPORTS: usize = 64;

/// The executor: its stream, and what came by it.
struct OneThread {
    launch: Launch,
    incoming: Streaming<pb::ExecutorDown>,
    reports: mpsc::Sender<pb::ExecutorUp>,
    /// Attempts that were given, by their numbers, and have not run.
    waiting: Vec<(u64, pb::AttemptId)>,
    given: u64,
    /// Attempts that are wanted back.
    wanted: Vec<pb::AttemptId>,
}

impl OneThread {
    async fn attach(launch: Launch) -> Self {
        let endpoint = Endpoint::from_shared(format!("unix:{}", launch.socket.display()));
        let channel = endpoint.unwrap().connect().await.unwrap();
        let mut hello = Hello::new(None, Epoch(0));
        hello.features = [features::RUNS_AHEAD.to_owned()].into_iter().collect();
        let greeting = Greeting { token: launch.token.clone(), ..Greeting::new(hello) };
        let attach = pb::AttachExecutor {
            pid: std::process::id(),
            runtime: "words".to_owned(),
            language: "words".to_owned(),
            started_as: launch.started_as,
            ..pb::AttachExecutor::default()
        };
        let first =
            pb::ExecutorUp { hello: Some(greeting.into()), attach: Some(attach), reports: vec![] };
        let (reports, taken) = mpsc::channel(REPORTS);
        let up = iter([first]).chain(ReceiverStream::new(taken));
        let mut incoming = ExecutorClient::new(channel).attach(up).await.unwrap().into_inner();
        incoming.message().await.unwrap().expect("a welcome");
        let (waiting, wanted) = (Vec::new(), Vec::new());
        Self { launch, incoming, reports, waiting, given: 0, wanted }
    }

    /// Reads a batch of orders; nothing when the worker has hung up.
    async fn read(&mut self) -> Option<()> {
        let down = self.incoming.message().await.ok().flatten()?;
        for order in down.orders.into_iter().filter_map(|order| order.order) {
            match order {
                Order::Run(run) => {
                    self.given += 1;
                    self.waiting.push((self.given, run.attempt.unwrap()));
                }
                Order::Cancel(cancel) => self.wanted.extend(cancel.attempt),
                _ => {}
            }
        }
        Some(())
    }

    /// Gives back what is wanted and waits.
    async fn give_back(&mut self) {
        for wanted in std::mem::take(&mut self.wanted) {
            let Some(at) = self.waiting.iter().position(|(_, attempt)| *attempt == wanted) else {
                continue;
            };
            self.waiting.remove(at);
            let message = "the attempt had not started";
            let error = TaskError::new(ErrorClass::Reschedule, Reason::Busy.name(), message);
            let error = Some(error.into());
            let attempt = Some(wanted);
            let failed = Failed { attempt, error, ..Failed::default() };
            self.report(Report::Failed(Box::new(failed))).await;
        }
    }

    /// Runs the first that waits. The second of all is long: it ends when one behind it is wanted back.
    async fn run(&mut self) -> Option<()> {
        let (number, attempt) = self.waiting.remove(0);
        let mark = |runs| self.launch.mark.as_ref().unwrap().set(Reached { started: number, runs });
        mark(true);
        while number == 2 && self.wanted.is_empty() {
            self.read().await?;
        }
        let pid = Value::raw(std::process::id().to_string());
        let outputs = vec![pid.into()];
        let attempt = Some(attempt);
        self.report(Report::Finished(Finished { attempt, outputs, timing: None })).await;
        Some(())
    }

    async fn report(&self, report: Report) {
        let reports = vec![pb::ExecutorReport { report: Some(report) }];
        // Nobody hears it where the worker has hung up.
        let _ = self.reports.send(pb::ExecutorUp { reports, ..pb::ExecutorUp::default() }).await;
    }
}

/// Not a test but the executor, where a worker has started this.
#[tokio::test]
async fn executor() {
    let Some(launch) = Launch::from_env().unwrap() else { return };
    let mut it = OneThread::attach(launch).await;
    while it.read().await.is_some() {
        it.give_back().await;
        while !it.waiting.is_empty() {
            if it.run().await.is_none() {
                return;
            }
            it.give_back().await;
        }
    }
}

fn speaking(config: Config) -> Config {
    let program = env::current_exe().unwrap();
    let words = language(
        "words",
        &[program.to_str().unwrap(), "--exact", "one_thread::executor", "--nocapture"],
    );
    Config { runtimes: vec![words], resources: Resources::new(10_000, 0), ..config }
}

#[tokio::test]
async fn what_was_next_when_it_was_given_back_needs_no_new_process() {
    let mut scene = Scene::new(speaking).await;
    // Only where a process is there already, others wait behind the one that is long.
    scene.order([call(0, "words", "pid")]).await;
    let mut ends = scene.ends(1).await;
    scene.order((1..50).map(|n| call(n, "words", "pid"))).await;
    ends.extend(scene.ends(49).await);
    let pids: BTreeSet<_> = ends.iter().map(|(_, end)| made(end)).collect();
    assert_eq!(pids.len(), 1, "{pids:?}");
    scene.close().await;
}
