//! What the scheduler tells a client.

use bireme_core::graph::TaskState;
use bireme_core::id::{GraphId, SubmissionId, WorkerId};
use bireme_core::protocol::{Output, Peer};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Notice, Place, TaskUpdate};
use bireme_core::{Span, limits};
use pb::session_report::Report as Wire;
use prost::Message as _;
use smallvec::SmallVec;

use crate::convert::Unknown;
use crate::convert::common::{
    error, graph, holder_numbers, holders, inline, refusal, submission, submission_bytes,
};
use crate::convert::enums::{number, reported};
use crate::convert::field::{Within as _, list, required, sent};
use crate::pb;

/// Writes notices. Those that follow each other and tell of tasks of one graph become one report, which is closed when it
/// passes [`limits::BATCH_BYTES`].
pub fn down(notices: Vec<Notice>) -> Vec<pb::SessionReport> {
    let mut reports: Vec<pb::SessionReport> = Vec::new();
    let mut bytes = 0;
    for notice in notices {
        let Notice::Task { graph, update } = notice else {
            reports.push(notice.into());
            continue;
        };
        let update = pb::TaskUpdate::from(update);
        let length = update.encoded_len();
        match reports.last_mut().and_then(|last| last.report.as_mut()) {
            Some(Wire::Tasks(last)) if last.graph == graph.0 && bytes < limits::BATCH_BYTES => {
                last.tasks.push(update);
                bytes += length;
            }
            _ => {
                let tasks = pb::TaskUpdates { graph: graph.0, tasks: vec![update] };
                reports.push(pb::SessionReport { report: Some(Wire::Tasks(tasks)) });
                bytes = length;
            }
        }
    }
    reports
}

impl From<Notice> for pb::SessionReport {
    fn from(notice: Notice) -> Self {
        let report = match notice {
            Notice::Accepted { submission, graph, tasks } => Wire::Accepted(pb::Accepted {
                submission_id: submission_bytes(submission),
                graph: graph.map_or(0, |graph| graph.0),
                tasks,
            }),
            Notice::Closing(refusal) => Wire::Closing(closing(refusal)),
            Notice::Graph { graph, counts, done, error } => Wire::Graph(pb::GraphUpdate {
                graph: graph.0,
                counts: Some(counts.into()),
                done,
                error: error.map(|error| (*error).into()),
            }),
            Notice::Places { request, places } => {
                Wire::Places(pb::ObjectPlaces { request, objects: sent(places) })
            }
            Notice::Pong(number) => Wire::Pong(number),
            Notice::Refused { submission, refusal } => Wire::Refused((submission, refusal).into()),
            Notice::Task { graph, update } => {
                Wire::Tasks(pb::TaskUpdates { graph: graph.0, tasks: vec![update.into()] })
            }
            Notice::Warning { graph, task, refusal: Refusal { reason, field: _, message } } => {
                Wire::Warning(pb::Warning {
                    graph: graph.map_or(0, |graph| graph.0),
                    task,
                    reason: reason.name().to_owned(),
                    message,
                })
            }
            Notice::Workers(workers) => Wire::Workers(pb::WorkerPlaces { workers: sent(workers) }),
        };
        Self { report: Some(report) }
    }
}

/// Whoever is turned away for the time being hears when to come again.
fn closing(Refusal { reason, field: _, message }: Refusal) -> pb::Closing {
    let retry_after = match reason {
        Reason::Busy | Reason::ShuttingDown => limits::RETRY_AFTER,
        _ => Span::ZERO,
    };
    pb::Closing { reason: reason.name().to_owned(), message, retry_after_us: retry_after.0 }
}

impl From<TaskUpdate> for pb::TaskUpdate {
    fn from(TaskUpdate { index, state, outputs, error }: TaskUpdate) -> Self {
        Self {
            index,
            state: number(state),
            outputs: sent(outputs),
            error: error.map(|error| (*error).into()),
        }
    }
}

impl From<(Output, SmallVec<[WorkerId; 2]>)> for pb::OutputPlace {
    fn from((Output { size, value }, holders): (Output, SmallVec<[WorkerId; 2]>)) -> Self {
        Self { size, value: value.map(|value| (*value).into()), holders: holder_numbers(holders) }
    }
}

impl From<Place> for pb::ObjectPlace {
    fn from(Place { object, size, holders, value }: Place) -> Self {
        Self {
            object: Some(object.into()),
            size,
            holders: holder_numbers(holders),
            value: value.map(|value| (*value).into()),
        }
    }
}

impl From<(Peer, String)> for pb::WorkerPlace {
    fn from((Peer { worker, addresses, machine }, name): (Peer, String)) -> Self {
        Self { worker: Some(worker.into()), name, addresses: sent(addresses), machine }
    }
}

/// Reads notices; also says how many parts of them were passed over, because this version does not know them.
pub fn notices(messages: Vec<pb::SessionReport>) -> Result<(Vec<Notice>, usize), Refusal> {
    let mut notices = Vec::with_capacity(messages.len());
    let mut unknown = Unknown::default();
    for (n, message) in messages.into_iter().enumerate() {
        read(message, &mut notices, &mut unknown).within_item("reports", n)?;
    }
    Ok((notices, unknown.0))
}

/// Reads one report, which may be several notices.
fn read(
    message: pb::SessionReport,
    notices: &mut Vec<Notice>,
    unknown: &mut Unknown,
) -> Result<(), Refusal> {
    let Some(report) = message.report else {
        unknown.0 += 1;
        return Ok(());
    };
    notices.push(match report {
        Wire::Tasks(updates) => return tasks(updates, notices, unknown).within("tasks"),
        Wire::Graph(update) => graph_update(update, unknown).within("graph")?,
        Wire::Accepted(accepted) => accepted.try_into().within("accepted")?,
        Wire::Refused(refused) => {
            let (submission, refusal) =
                <(SubmissionId, Refusal)>::try_from(refused).within("refused")?;
            Notice::Refused { submission, refusal }
        }
        Wire::Places(pb::ObjectPlaces { request, objects }) => {
            let mut places = Vec::with_capacity(objects.len());
            for (n, object) in objects.into_iter().enumerate() {
                places.push(place(object, unknown).within_item("objects", n).within("places")?);
            }
            Notice::Places { request, places }
        }
        Wire::Workers(pb::WorkerPlaces { workers }) => {
            Notice::Workers(list(workers, "workers").within("workers")?)
        }
        Wire::Warning(pb::Warning { graph, task, reason, message }) => Notice::Warning {
            graph: (graph > 0).then_some(GraphId(graph)),
            task,
            refusal: refusal(&reason, String::new(), message),
        },
        Wire::Pong(number) => Notice::Pong(number),
        Wire::Closing(pb::Closing { reason, message, retry_after_us: _ }) => {
            Notice::Closing(refusal(&reason, String::new(), message))
        }
    });
    Ok(())
}

fn tasks(
    message: pb::TaskUpdates,
    notices: &mut Vec<Notice>,
    unknown: &mut Unknown,
) -> Result<(), Refusal> {
    let pb::TaskUpdates { graph: number, tasks } = message;
    let graph = graph(number)?;
    notices.reserve(tasks.len());
    for (n, task) in tasks.into_iter().enumerate() {
        let Some(state) = reported::<TaskState>(task.state) else {
            unknown.0 += 1;
            continue;
        };
        let update = task_update(task, state, unknown).within_item("tasks", n)?;
        notices.push(Notice::Task { graph, update });
    }
    Ok(())
}

fn task_update(
    message: pb::TaskUpdate,
    state: TaskState,
    unknown: &mut Unknown,
) -> Result<TaskUpdate, Refusal> {
    let pb::TaskUpdate { index, state: _, outputs: places, error: cause } = message;
    let mut outputs = SmallVec::with_capacity(places.len());
    for (n, place) in places.into_iter().enumerate() {
        let pb::OutputPlace { size, value, holders: numbers } = place;
        let value = inline(value, unknown).within("value").within_item("outputs", n)?;
        outputs.push((Output { size, value }, holders(numbers)));
    }
    Ok(TaskUpdate { index, state, outputs, error: boxed_error(cause, unknown)? })
}

fn boxed_error(
    message: Option<pb::TaskError>,
    unknown: &mut Unknown,
) -> Result<Option<Box<bireme_core::TaskError>>, Refusal> {
    message.map(|message| error(message, unknown).map(Box::new)).transpose().within("error")
}

fn graph_update(message: pb::GraphUpdate, unknown: &mut Unknown) -> Result<Notice, Refusal> {
    let pb::GraphUpdate { graph: number, counts, done, error } = message;
    Ok(Notice::Graph {
        graph: graph(number)?,
        counts: required(counts, "counts")?,
        done,
        error: boxed_error(error, unknown)?,
    })
}

fn place(message: pb::ObjectPlace, unknown: &mut Unknown) -> Result<Place, Refusal> {
    let pb::ObjectPlace { object, size, holders: numbers, value } = message;
    Ok(Place {
        object: required(object, "object")?,
        size,
        holders: holders(numbers),
        value: inline(value, unknown).within("value")?,
    })
}

impl TryFrom<pb::Accepted> for Notice {
    type Error = Refusal;

    fn try_from(message: pb::Accepted) -> Result<Self, Refusal> {
        let pb::Accepted { submission_id, graph, tasks } = message;
        let graph = (graph > 0).then_some(GraphId(graph));
        Ok(Self::Accepted { submission: submission(&submission_id)?, graph, tasks })
    }
}

impl TryFrom<pb::WorkerPlace> for (Peer, String) {
    type Error = Refusal;

    fn try_from(message: pb::WorkerPlace) -> Result<Self, Refusal> {
        let pb::WorkerPlace { worker, name, addresses, machine } = message;
        let worker = required(worker, "worker")?;
        Ok((Peer { worker, addresses: list(addresses, "addresses")?, machine }, name))
    }
}
