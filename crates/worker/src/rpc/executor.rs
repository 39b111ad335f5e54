//! The service `Executor`, by which executor processes come back to their worker, and what those of attempts say.

mod door;
mod orders;

use std::sync::Arc;

use bireme_core::protocol::Timing;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{AttemptId, Span, TaskError, Value};
use bireme_executor::batches::Batches;
use bireme_proto::pb;
use bireme_proto::pb::executor_report::{
    AllocatePool, Failed, Finished, Leaving, Rejoin, Report, Secede,
};

pub(crate) use self::door::{About, Reception, each, serve, unserved};
pub(crate) use self::orders::Orders;
use crate::executor::process::{Manners, Setup, Shared};
use crate::registry::Outputs;

impl Reception for Shared {
    fn about(&self) -> About<'_> {
        let Setup { worker, store, scheduler, .. } = &self.setup;
        About { worker, store, scheduler }
    }

    fn attach(
        self: &Arc<Self>,
        number: u64,
        token: &str,
        manners: Manners,
        orders: Batches<pb::ExecutorOrder>,
    ) -> Result<(), &'static str> {
        Self::attach(self, number, token, manners, Orders::new(orders))
    }

    fn hear(self: &Arc<Self>, number: u64, reports: Vec<pb::ExecutorReport>) {
        each(number, reports, |report| hear(self, number, report));
    }

    fn detached(self: &Arc<Self>, number: u64) {
        Self::detached(self, number);
    }
}

/// Takes one report. What this version does not know is passed over.
fn hear(shared: &Arc<Shared>, number: u64, report: Report) -> Result<(), Refusal> {
    match report {
        Report::Finished(Finished { attempt, outputs, timing: taken }) => {
            let id = attempt_id(attempt)?;
            let outputs: Result<Outputs, Refusal> =
                outputs.into_iter().map(Value::try_from).collect();
            let outcome = outputs.map_err(|refusal| senseless(&refusal));
            shared.ended(number, id, outcome, timing(taken));
        }
        Report::Failed(failed) => {
            let Failed { attempt, error, timing: taken, permanent: _ } = *failed;
            let id = attempt_id(attempt)?;
            let missing = || Refusal::at(Reason::Malformed, "failed.error", "error is missing");
            let error = error.ok_or_else(missing).and_then(TaskError::try_from);
            let error = error.unwrap_or_else(|refusal| *senseless(&refusal));
            shared.ended(number, id, Err(Box::new(error)), timing(taken));
        }
        Report::AllocatePool(AllocatePool { request, attempt, lengths, actor: _ }) => {
            shared.allocate(number, request, attempt_id(attempt)?, lengths);
        }
        Report::ReleaseObjects(released) => {
            for attempt in released.attempts {
                shared.released(number, attempt.try_into()?);
            }
        }
        Report::Secede(Secede { attempt, request }) => {
            shared.seceded(number, attempt_id(attempt)?, request);
        }
        Report::Rejoin(Rejoin { request, attempt }) => {
            shared.rejoining(number, attempt_id(attempt)?, request);
        }
        Report::Leaving(Leaving { reason }) => shared.leaving(number, &reason),
        Report::Refused(refused) => {
            let pb::Refused { reason, field, message, .. } = refused.refused.unwrap_or_default();
            let refusal = bireme_proto::convert::common::refusal(&reason, field, message);
            return Err(refusal);
        }
        other => {
            if let Some(request) = unserved(&other) {
                shared.refuse(number, request);
            }
        }
    }
    Ok(())
}

fn attempt_id(attempt: Option<pb::AttemptId>) -> Result<AttemptId, Refusal> {
    let missing = || Refusal::at(Reason::Malformed, "attempt", "attempt is missing");
    attempt.ok_or_else(missing)?.try_into()
}

pub(crate) fn timing(taken: Option<pb::ExecutorTiming>) -> Timing {
    let taken = taken.unwrap_or_default();
    let pb::ExecutorTiming { deserialize_us, run_us, serialize_us, cpu_us, peak_bytes } = taken;
    let run = Span(deserialize_us.saturating_add(run_us).saturating_add(serialize_us));
    Timing { run, cpu: Span(cpu_us), peak_bytes, ..Timing::default() }
}

/// The failure of an attempt of whose end the process tells nonsense.
pub(crate) fn senseless(Refusal { reason, field, message }: &Refusal) -> Box<TaskError> {
    let message = format!("the executor's report makes no sense: {field}: {message}");
    crate::failure::failure(bireme_core::ErrorClass::Serialize, *reason, message)
}
