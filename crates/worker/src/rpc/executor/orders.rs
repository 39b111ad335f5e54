//! What an executor process is told.

use std::fmt;

use bireme_core::graph::Row;
use bireme_core::id::Digest;
use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{AttemptId, ErrorClass, Span, TaskError, Value};
use bireme_executor::batches::Batches;
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{
    Allocated, Answer, Blob, Cancel, Done, DrainExecutor, Order, ReleaseObjects, Run,
    ShutdownExecutor, answer,
};
use bytes::Bytes;
use prost::Message as _;

use crate::executor::environment::Variable;
use crate::machine::Execution;
use crate::registry::IntoValue as _;

/// The way to one process. What is said at once travels together.
#[derive(Clone)]
pub(crate) struct Orders(Batches<pb::ExecutorOrder>);

impl Orders {
    /// What is put in here is sent to the process.
    pub(super) fn new(batches: Batches<pb::ExecutorOrder>) -> Self {
        Self(batches)
    }

    /// Has an attempt run, with the blobs that the process does not have yet, the variables that are its own, and files for
    /// what it is likely to make.
    pub(crate) fn run(
        &self,
        execution: &Execution,
        inputs: Vec<Value>,
        blobs: Vec<(Digest, Buffer)>,
        environment: Vec<Variable>,
        room: &[PoolFile],
    ) {
        let environment = environment
            .into_iter()
            .map(|(name, value)| pb::EnvironmentVariable { name: name.into_owned(), value });
        let blobs = blobs
            .into_iter()
            .map(|(digest, bytes)| Blob { digest: Some(digest.into()), bytes: Some(bytes.into()) });
        self.push(Order::Run(Box::new(Run {
            attempt: Some(execution.attempt.into()),
            key: execution.key.clone(),
            payload: execution.payload.clone(),
            inputs: inputs.into_iter().map(Into::into).collect(),
            held: Some(held(execution)),
            outputs: execution.outputs.into(),
            deadline_us: execution.timeout.map_or(0, |Span(timeout)| timeout),
            row: row(&execution.row),
            environment: environment.collect(),
            blobs: blobs.collect(),
            room: room.iter().cloned().map(Into::into).collect(),
            ..Run::default()
        })));
    }

    /// Ends an attempt, or takes it back if the reason is that it should run elsewhere.
    pub(crate) fn cancel(&self, attempt: AttemptId, grace: Span, reason: ErrorClass) {
        let (attempt, Span(grace_us)) = (Some(attempt.into()), grace);
        let reason = pb::ErrorClass::from(reason).into();
        self.push(Order::Cancel(Cancel { attempt, grace_us, reason }));
    }

    /// Answers with files to write into.
    pub(crate) fn allocated(&self, request: u64, files: &[PoolFile]) {
        let files = files.iter().cloned().map(Into::into).collect();
        self.answer(request, answer::Answer::Allocated(Allocated { files }));
    }

    /// Answers that it is done.
    pub(crate) fn done(&self, request: u64) {
        self.answer(request, answer::Answer::Done(Done {}));
    }

    /// Answers that there is nothing to be had.
    pub(crate) fn refuse(&self, request: u64, error: &TaskError) {
        let (reason, message) = (error.reason.clone(), error.message.clone());
        let refused = pb::Refused { reason, message, ..pb::Refused::default() };
        self.answer(request, answer::Answer::Refused(refused));
    }

    /// Has blobs dropped.
    pub(crate) fn release(&self, blobs: Vec<Digest>) {
        let blobs = blobs.into_iter().map(Into::into).collect();
        self.push(Order::ReleaseObjects(ReleaseObjects { blobs, ..Default::default() }));
    }

    /// Has the process leave when it has nothing more to run.
    pub(crate) fn drain(&self, reason: &str) {
        self.push(Order::Drain(DrainExecutor { reason: reason.to_owned() }));
    }

    /// Says no more.
    pub(crate) fn close(&self) {
        self.0.close();
    }

    /// Has the process leave.
    pub(crate) fn shut_down(&self) {
        self.push(Order::Shutdown(ShutdownExecutor::default()));
    }

    fn answer(&self, request: u64, answer: answer::Answer) {
        self.push(Order::Answer(Answer { request, answer: Some(answer) }));
    }

    fn push(&self, order: Order) {
        self.0.push(pb::ExecutorOrder { order: Some(order) });
    }
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orders").finish_non_exhaustive()
    }
}

fn held(execution: &Execution) -> pb::HeldResources {
    let resources = &execution.resources;
    let others = resources.others().map(|(name, units)| {
        let pieces = execution.held.iter().find(|(other, _)| *other == name);
        let indexes = pieces.into_iter().flat_map(|(_, pieces)| pieces);
        let indexes = indexes.map(|piece| piece.number.into()).collect();
        pb::HeldResource { name: name.to_owned(), units, indexes, names: Vec::new() }
    });
    pb::HeldResources {
        cpu_units: resources.cpu_units,
        cpus: Vec::new(),
        memory_bytes: resources.memory_bytes,
        others: others.collect(),
    }
}

/// A row's own argument, encoded.
fn row(row: &Row) -> Bytes {
    match row {
        Row::None => Bytes::new(),
        Row::Number(number) => {
            // A number always encodes.
            let value = number.into_value().unwrap_or_default();
            pb::Value::from(value).encode_to_vec().into()
        }
        Row::Value(encoded) => encoded.clone(),
    }
}
