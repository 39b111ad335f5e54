//! What a worker tells the scheduler.

use bireme_core::id::{AttemptId, AttemptNo, Digest, Epoch};
use bireme_core::protocol::{Announce, Held, Output, Report, Timing};
use bireme_core::reason::Refusal;
use bireme_core::{Span, Value, limits};
use pb::fleet_report::Report as Wire;
use smallvec::SmallVec;

use super::actor;
use crate::convert::Unknown;
use crate::convert::common::{error, holder_numbers, holders, inline};
use crate::convert::field::{
    Within as _, at_most, list, malformed, missing, optional, required, sent,
};
use crate::pb;

/// Reads reports; also says how many parts of them were passed over, because this version does not know them.
pub fn reports(messages: Vec<pb::FleetReport>) -> Result<(Vec<Report>, usize), Refusal> {
    let mut unknown = Unknown::default();
    Ok((read_all(messages, "reports", &mut unknown)?, unknown.0))
}

fn read_all(
    messages: Vec<pb::FleetReport>,
    field: &str,
    unknown: &mut Unknown,
) -> Result<Vec<Report>, Refusal> {
    let mut reports = Vec::with_capacity(messages.len());
    for (n, message) in messages.into_iter().enumerate() {
        match message.report {
            Some(report) => reports.push(read(report, unknown).within_item(field, n)?),
            None => unknown.0 += 1,
        }
    }
    Ok(reports)
}

fn read(report: Wire, unknown: &mut Unknown) -> Result<Report, Refusal> {
    match report {
        Wire::Finished(finished) => read_finished(finished, unknown).within("finished"),
        Wire::Started(pb::AttemptStarted { attempt }) => {
            required(attempt, "attempt").map(Report::Started).within("started")
        }
        Wire::Failed(failed) => read_failed(failed, unknown).within("failed"),
        Wire::Retracted(pb::AttemptRetracted { attempt }) => {
            required(attempt, "attempt").map(Report::Retracted).within("retracted")
        }
        Wire::ReplicaAdded(replica) => {
            let Held { object, size, made_by: _ } = replica.try_into().within("replica_added")?;
            Ok(Report::ReplicaAdded { object, size })
        }
        Wire::ReplicaLost(pb::ReplicaLost { object }) => {
            required(object, "object").map(Report::ReplicaLost).within("replica_lost")
        }
        Wire::InputMissing(pb::InputMissing { object, asked, made_by }) => {
            let object = required(object, "object").within("input_missing")?;
            let made_by = made_by.map(Into::into);
            Ok(Report::InputMissing { object, asked: holders(asked), made_by })
        }
        Wire::Draining(pb::Draining { reason: _, waits }) => Ok(Report::Draining { waits }),
        Wire::Seceded(pb::AttemptSeceded { attempt }) => {
            required(attempt, "attempt").map(Report::Seceded).within("seceded")
        }
        Wire::Rejoined(pb::AttemptRejoined { attempt }) => {
            required(attempt, "attempt").map(Report::Rejoined).within("rejoined")
        }
        Wire::ActorAlive(alive) => {
            actor::read_alive(alive).map(Report::Actor).within("actor_alive")
        }
        Wire::ActorEnded(ended) => {
            actor::read_ended(ended, unknown).map(Report::Actor).within("actor_ended")
        }
        Wire::ActorCopied(copied) => {
            actor::read_copied(copied).map(Report::Actor).within("actor_copied")
        }
        Wire::ActorCheckpointed(checkpointed) => {
            let report = actor::read_checkpointed(checkpointed, unknown);
            report.map(Report::Actor).within("actor_checkpointed")
        }
    }
}

fn read_finished(message: pb::AttemptFinished, unknown: &mut Unknown) -> Result<Report, Refusal> {
    let pb::AttemptFinished { attempt, outputs: from, timing } = message;
    let from = at_most(from, limits::TASK_OUTPUTS.into(), "outputs")?;
    let mut outputs = SmallVec::with_capacity(from.len());
    for (n, output) in from.into_iter().enumerate() {
        outputs.push(read_output(output, unknown).within_item("outputs", n)?);
    }
    Ok(Report::Finished {
        attempt: required(attempt, "attempt")?,
        outputs,
        timing: timing.map(Into::into).unwrap_or_default(),
    })
}

fn read_output(message: pb::Output, unknown: &mut Unknown) -> Result<Output, Refusal> {
    let pb::Output { size, value } = message;
    let value = inline(value, unknown).within("value")?;
    // The scheduler keeps what it is sent.
    match value.as_deref().map_or(0, Value::inline_bytes) {
        bytes if bytes > limits::INLINE_BYTES => {
            let limit = limits::INLINE_BYTES;
            Err(malformed("value", format!("{bytes} bytes in a report, the limit is {limit}")))
        }
        _ => Ok(Output { size, value }),
    }
}

fn read_failed(message: pb::AttemptFailed, unknown: &mut Unknown) -> Result<Report, Refusal> {
    let pb::AttemptFailed { attempt, error: cause, timing } = message;
    let cause = cause.ok_or_else(|| missing("error"))?;
    Ok(Report::Failed {
        attempt: required(attempt, "attempt")?,
        error: Box::new(error(cause, unknown).within("error")?),
        timing: timing.map(Into::into).unwrap_or_default(),
    })
}

impl From<Report> for pb::FleetReport {
    fn from(report: Report) -> Self {
        let report = match report {
            Report::Actor(report) => actor::report_sent(report),
            Report::Draining { waits } => {
                Wire::Draining(pb::Draining { waits, ..pb::Draining::default() })
            }
            Report::Failed { attempt, error, timing } => Wire::Failed(pb::AttemptFailed {
                attempt: Some(attempt.into()),
                error: Some((*error).into()),
                timing: Some(timing.into()),
            }),
            Report::Finished { attempt, outputs, timing } => Wire::Finished(pb::AttemptFinished {
                attempt: Some(attempt.into()),
                outputs: sent(outputs),
                timing: Some(timing.into()),
            }),
            Report::InputMissing { object, asked, made_by } => {
                Wire::InputMissing(pb::InputMissing {
                    object: Some(object.into()),
                    asked: holder_numbers(asked),
                    made_by: made_by.map(Into::into),
                })
            }
            Report::ReplicaAdded { object, size } => {
                Wire::ReplicaAdded(Held { object, size, made_by: None }.into())
            }
            Report::ReplicaLost(object) => {
                Wire::ReplicaLost(pb::ReplicaLost { object: Some(object.into()) })
            }
            Report::Rejoined(attempt) => {
                Wire::Rejoined(pb::AttemptRejoined { attempt: Some(attempt.into()) })
            }
            Report::Seceded(attempt) => {
                Wire::Seceded(pb::AttemptSeceded { attempt: Some(attempt.into()) })
            }
            Report::Retracted(attempt) => {
                Wire::Retracted(pb::AttemptRetracted { attempt: Some(attempt.into()) })
            }
            Report::Started(attempt) => {
                Wire::Started(pb::AttemptStarted { attempt: Some(attempt.into()) })
            }
        };
        Self { report: Some(report) }
    }
}

impl From<Output> for pb::Output {
    fn from(Output { size, value }: Output) -> Self {
        Self { size, value: value.map(|value| (*value).into()) }
    }
}

impl From<pb::Timing> for Timing {
    fn from(pb::Timing { wait_us, run_us, cpu_us, peak_bytes }: pb::Timing) -> Self {
        Self { wait: Span(wait_us), run: Span(run_us), cpu: Span(cpu_us), peak_bytes }
    }
}

impl From<Timing> for pb::Timing {
    fn from(Timing { wait, run, cpu, peak_bytes }: Timing) -> Self {
        Self { wait_us: wait.0, run_us: run.0, cpu_us: cpu.0, peak_bytes }
    }
}

/// A part of what a worker announces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announced {
    /// The digest of all of it, in the first message, which has nothing else.
    pub digest: Option<Digest>,
    /// The part.
    pub announce: Announce,
    /// How many things were passed over, because this version does not know them.
    pub unknown: usize,
}

/// Reads a part of what a worker announces.
pub fn announced(message: pb::Announce) -> Result<Announced, Refusal> {
    let pb::Announce { digest, objects, attempts, ended, last, actors } = message;
    let mut unknown = Unknown::default();
    let announce = Announce {
        objects: list(objects, "objects")?,
        attempts: list(attempts, "attempts")?,
        actors: list(actors, "actors")?,
        ended: read_all(ended, "ended", &mut unknown)?,
        last,
    };
    Ok(Announced { digest: optional(digest, "digest")?, announce, unknown: unknown.0 })
}

impl From<Announce> for pb::Announce {
    fn from(Announce { objects, attempts, actors, ended, last }: Announce) -> Self {
        Self {
            digest: None,
            objects: sent(objects),
            attempts: sent(attempts),
            actors: sent(actors),
            ended: sent(ended),
            last,
        }
    }
}

impl TryFrom<pb::Replica> for Held {
    type Error = Refusal;

    fn try_from(pb::Replica { object, size, made_by }: pb::Replica) -> Result<Self, Refusal> {
        Ok(Self { object: required(object, "object")?, size, made_by: made_by.map(Into::into) })
    }
}

impl From<Held> for pb::Replica {
    fn from(Held { object, size, made_by }: Held) -> Self {
        Self { object: Some(object.into()), size, made_by: made_by.map(Into::into) }
    }
}

impl From<pb::AttemptNo> for AttemptNo {
    fn from(pb::AttemptNo { epoch, n }: pb::AttemptNo) -> Self {
        Self { epoch: Epoch(epoch), n }
    }
}

impl From<AttemptNo> for pb::AttemptNo {
    fn from(AttemptNo { epoch, n }: AttemptNo) -> Self {
        Self { epoch: epoch.0, n }
    }
}

impl TryFrom<pb::AcceptedAttempt> for (AttemptId, bool) {
    type Error = Refusal;

    fn try_from(message: pb::AcceptedAttempt) -> Result<Self, Refusal> {
        let pb::AcceptedAttempt { attempt, started } = message;
        Ok((required(attempt, "attempt")?, started))
    }
}

impl From<(AttemptId, bool)> for pb::AcceptedAttempt {
    fn from((attempt, started): (AttemptId, bool)) -> Self {
        Self { attempt: Some(attempt.into()), started }
    }
}
