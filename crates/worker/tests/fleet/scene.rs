//! A worker with two cpus, and what its scheduler tells it and hears of it.

use std::collections::BTreeSet;

use bireme_core::Resources;
use bireme_daemon::Shutdown;
use bireme_daemon::auth::Token;
use bireme_proto::pb;
use bireme_proto::pb::fleet_order::Order;
use bireme_proto::pb::fleet_report::Report;
use bireme_worker::{Config, Native, Scheduler, ServeError, Server};
use tokio::task::JoinHandle;

use crate::played::{self, GUARD, Stream, TOKEN};

/// A worker with two cpus, and its scheduler's side.
pub(crate) struct Scene {
    pub(crate) stream: Stream,
    /// Who the worker said it is.
    pub(crate) join: pb::JoinFleet,
    pub(crate) scheduler: played::Scheduler,
    shutdown: Shutdown,
    worker: JoinHandle<Result<(), ServeError>>,
}

/// How an attempt ended: what it made, or why it failed.
pub(crate) type Ended = Result<pb::AttemptFinished, pb::TaskError>;

impl Scene {
    pub(crate) async fn new(change: impl FnOnce(Config) -> Config) -> Self {
        let mut played = played::Scheduler::new().await;
        let address = Some(format!("http://{}", played.address));
        let token = Some(Token::new(TOKEN).expect("a token"));
        let config = Config {
            scheduler: Scheduler { address, token, ..Scheduler::default() },
            resources: Resources::new(20_000, 0),
            native: Native::Isolated,
            executor_program: Some(env!("CARGO_BIN_EXE_bireme-worker").into()),
            ..Config::default()
        };
        let shutdown = Shutdown::manual();
        let server = Server::bind(change(config)).await.expect("a worker");
        let worker = tokio::spawn(server.run(shutdown.clone()));
        let mut stream = played.stream().await;
        let (join, _) = stream.admit().await;
        let announce_reply = Some(pb::AnnounceReply { equal: true });
        stream.answer(pb::FleetDown { announce_reply, ..pb::FleetDown::default() }).await;
        Self { stream, join, scheduler: played, shutdown, worker }
    }

    pub(crate) async fn order(&self, orders: impl IntoIterator<Item = Order>) {
        let mut orders = orders.into_iter().map(|order| pb::FleetOrder { order: Some(order) });
        loop {
            let batch: Vec<_> = orders.by_ref().take(200).collect();
            if batch.is_empty() {
                return;
            }
            self.stream.answer(pb::FleetDown { orders: batch, ..Default::default() }).await;
        }
    }

    /// The reports about so many ends, in order.
    pub(crate) async fn ends(&mut self, count: usize) -> Vec<(u32, Ended)> {
        let mut ends = Vec::with_capacity(count);
        // All of it is guarded: heartbeats come however long nothing ends.
        if tokio::time::timeout(GUARD, self.gather(&mut ends, count)).await.is_err() {
            let ended: BTreeSet<_> = ends.iter().map(|(index, _)| *index).collect();
            panic!("{} of {count} attempts ended, those are {ended:?}", ends.len());
        }
        ends
    }

    async fn gather(&mut self, ends: &mut Vec<(u32, Ended)>, count: usize) {
        while ends.len() < count {
            let said = self.stream.next().await.expect("the worker has left");
            for report in said.reports.into_iter().filter_map(|report| report.report) {
                match report {
                    Report::Finished(finished) => {
                        let index = index(finished.attempt.as_ref());
                        ends.push((index, Ok(finished)));
                    }
                    Report::Failed(failed) => {
                        ends.push((index(failed.attempt.as_ref()), Err(failed.error.unwrap())));
                    }
                    _ => {}
                }
            }
        }
    }

    pub(crate) async fn close(mut self) {
        self.shutdown.trigger();
        let left = async {
            while self.stream.next().await.is_some_and(|said| {
                let leaves =
                    |report: &pb::FleetReport| matches!(report.report, Some(Report::Draining(_)));
                !said.reports.iter().any(leaves)
            }) {}
        };
        tokio::time::timeout(GUARD, left).await.expect("the worker says that it leaves");
        drop(self.stream);
        let ended = tokio::time::timeout(GUARD, self.worker).await;
        ended.expect("the worker stays").expect("it does not panic").unwrap();
    }
}

pub(crate) fn index(attempt: Option<&pb::AttemptId>) -> u32 {
    attempt.and_then(|attempt| attempt.task).expect("it names a task").index
}
