//! The stream to the worker: says who this is, takes orders, sends reports.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bireme_core::id::Epoch;
use bireme_core::link::{Hello, greet};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ErrorClass, Span, TaskError, limits};
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::executor_client::ExecutorClient;
use bireme_proto::pb::executor_order::{self, Order, Run};
use bireme_proto::pb::executor_report::Report;
use bireme_proto::status::refusal;
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_stream::{StreamExt as _, iter};
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::actors::Actors;
use crate::actors::hall::Hall;
use crate::blobs::Blobs;
use crate::desk::{Desk, Found, Given};
use crate::launch::{Launch, features};
use crate::orders::{attempt, attempt_id, refused, services};
use crate::pool::Pool;
use crate::runtime::{Description, Services};
use crate::serve::ServeError;
use crate::socket::Dial;
use crate::usage::{Pulse, pulse};
use crate::work::never_ran;

/// The stream, once the worker has taken this process on.
struct Link {
    desk: Arc<Desk>,
    incoming: Streaming<pb::ExecutorDown>,
    /// How many attempts were given.
    given: u64,
    /// When a heartbeat is due.
    beat: Interval,
    /// What payloads name by digest.
    blobs: Blobs,
    pool: Pool,
    /// Where code of attempts finds the cluster.
    services: Option<Arc<Services>>,
    hall: Hall,
}

/// Connects, hands over what the worker's welcome says about its pool, and holds the stream until the desk's reports end or
/// the worker ends it.
pub(crate) async fn hold(
    socket: PathBuf,
    first: pb::ExecutorUp,
    (desk, actors): (Arc<Desk>, Option<Arc<dyn Actors>>),
    welcomed: oneshot::Sender<Pool>,
) -> Result<(), ServeError> {
    let attached = attach(&socket, first, &desk);
    let wait = limits::HELLO_WAIT.to_std();
    let (incoming, first) = timeout(wait, attached).await.map_err(|_| ServeError::Silent)??;
    let pb::ExecutorDown { hello, welcome, orders } = first;
    let expected =
        |field| Refusal::at(Reason::HelloExpected, field, "it is not in the first message");
    let greeting = Greeting::try_from(hello.ok_or_else(|| expected("hello"))?)?;
    greet(&ours(), &greeting.hello)?;
    let welcome = welcome.ok_or_else(|| expected("welcome"))?;
    let pb::Welcome { pool_directory, inline_bytes, heartbeat_us, services: places, token, .. } =
        welcome;
    let pool = Pool::new(PathBuf::from(pool_directory), inline_bytes);
    // Whoever does not wait for it any more leaves anyway.
    let _ = welcomed.send(pool.clone());
    let every = Span(heartbeat_us).max(limits::FLUSH).to_std();
    // The first would say of a process that has only begun what is known.
    let mut beat = interval_at(Instant::now() + every, every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (blobs, services) = (Blobs::default(), services(places, token));
    let means = (Arc::clone(&desk), pool.clone());
    let hall = Hall::new(actors, means, blobs.clone(), services.clone());
    let mut link = Link { desk, incoming, given: 0, beat, blobs, pool, services, hall };
    link.take(orders);
    link.serve().await
}

fn ours() -> Hello {
    let features = vec![features::KEEPS_INPUTS.to_owned(), features::RUNS_AHEAD.to_owned()];
    Hello { features, ..Hello::new(None, Epoch(0)) }
}

/// What is said first.
pub(crate) fn first(launch: &Launch, description: Description, actors: bool) -> pb::ExecutorUp {
    let Description { runtime, version, language, slots, codecs, functions } = description;
    let token = launch.token.clone();
    let greeting = Greeting { token, ..Greeting::new(ours()) };
    let attach = pb::AttachExecutor {
        pid: std::process::id(),
        runtime,
        version,
        language,
        slots,
        codecs: codecs.into_iter().map(|codec| pb::Codec::from(codec).into()).collect(),
        actors,
        profiles: false,
        functions,
        started_as: launch.started_as,
    };
    pb::ExecutorUp { hello: Some(greeting.into()), attach: Some(attach), reports: Vec::new() }
}

async fn attach(
    socket: &Path,
    first: pb::ExecutorUp,
    desk: &Desk,
) -> Result<(Streaming<pb::ExecutorDown>, pb::ExecutorDown), ServeError> {
    let worker = Endpoint::from_static("http://worker");
    let channel = worker.connect_with_connector(Dial(socket.to_owned())).await?;
    let reports = desk.reports.taken();
    let reports = reports.map(|reports| pb::ExecutorUp { reports, ..pb::ExecutorUp::default() });
    let mut client = ExecutorClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES);
    let mut incoming = client.attach(iter([first]).chain(reports)).await?.into_inner();
    let first = incoming.message().await?.ok_or(ServeError::Ended)?;
    Ok((incoming, first))
}

impl Link {
    async fn serve(mut self) -> Result<(), ServeError> {
        loop {
            tokio::select! {
                down = self.incoming.message() => match down? {
                    Some(down) => self.take(down.orders),
                    None => return Ok(()),
                },
                _ = self.beat.tick() => self.beat(),
            }
        }
    }

    fn beat(&self) {
        self.pool.sweep();
        let Pulse { resident_bytes, threads, cpu: Span(cpu_us) } = pulse();
        let running = u32::try_from(self.desk.running()).unwrap_or(u32::MAX);
        let lock_wait_us = 0;
        self.desk.report(Report::Heartbeat(pb::ExecutorHeartbeat {
            resident_bytes,
            threads,
            lock_wait_us,
            cpu_us,
            running,
        }));
    }

    fn take(&mut self, orders: Vec<pb::ExecutorOrder>) {
        for pb::ExecutorOrder { order } in orders {
            match order {
                Some(Order::Run(run)) => self.run(*run),
                Some(Order::Cancel(cancel)) => self.cancel(cancel),
                Some(Order::Answer(executor_order::Answer { request, answer: Some(answer) })) => {
                    self.desk.answer(request, answer);
                }
                Some(Order::Ping(number)) => self.desk.report(Report::Pong(number)),
                Some(Order::Drain(executor_order::DrainExecutor { reason })) => {
                    self.desk.leave_when_done(reason);
                }
                Some(Order::Shutdown(_)) => {
                    self.hall.close();
                    self.desk.close();
                }
                // Nothing is kept mapped that code does not use.
                Some(Order::ReleaseObjects(released)) => self.blobs.drop(released.blobs),
                other => self.hall.take(other),
            }
        }
    }

    fn run(&mut self, run: Run) {
        self.given += 1;
        let number = self.given;
        let id = match attempt_id(run.attempt) {
            Ok(id) => id,
            Err(refusal) => return self.desk.report(Report::Refused(refused(refusal))),
        };
        let failed = |class, reason: Reason, message: String| {
            self.desk.report(never_ran(id, TaskError::new(class, reason.name(), message)));
        };
        let directory = &self.pool.directory;
        match attempt(id, run, &self.blobs, directory, (self.services.as_ref(), &self.desk)) {
            Ok(attempt) => {
                if self.desk.give(Given { number, attempt }).is_err() {
                    let message = "the executor is about to leave".to_owned();
                    failed(ErrorClass::Reschedule, Reason::ShuttingDown, message);
                }
            }
            Err(Refusal { reason, field, message }) => {
                failed(ErrorClass::Malformed, reason, format!("run.{field}: {message}"));
            }
        }
    }

    /// One that has not started never will. One that has is asked to return, unless it is only to be taken back.
    fn cancel(&self, cancel: executor_order::Cancel) {
        let class = match cancel.reason() {
            pb::ErrorClass::OutOfMemory => ErrorClass::OutOfMemory,
            pb::ErrorClass::Reschedule => ErrorClass::Reschedule,
            pb::ErrorClass::Timeout => ErrorClass::Timeout,
            _ => ErrorClass::Cancelled,
        };
        let id = match attempt_id(cancel.attempt) {
            Ok(id) => id,
            Err(refusal) => return self.desk.report(Report::Refused(refused(refusal))),
        };
        let taken_back = class == ErrorClass::Reschedule;
        if self.desk.cancel(id, taken_back) == Found::Waiting {
            let (reason, message) = if taken_back {
                (Reason::Busy, "the attempt was taken back before it started")
            } else {
                (Reason::Cancelled, "the attempt was cancelled before it started")
            };
            self.desk.report(never_ran(id, TaskError::new(class, reason.name(), message)));
        }
    }
}

impl From<tonic::Status> for ServeError {
    fn from(status: tonic::Status) -> Self {
        match refusal(&status) {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Status(Box::new(status)),
        }
    }
}
