//! What the machine shows, as messages.

use bireme_core::graph::TaskState;
use bireme_core::id::WorkerId;
use bireme_core::protocol::Peer;
use bireme_core::session::Place;
use bireme_proto::pb;

use crate::driver::Scene;
use crate::machine::view::{GraphView, SessionView, TaskView, WorkerView, end_of};
use crate::machine::{Machine, Peer as Stream};

/// How a worker is.
pub(super) fn worker_state(worker: &WorkerView) -> pb::WorkerState {
    match worker {
        WorkerView { connected: false, .. } => pb::WorkerState::Silent,
        WorkerView { draining: true, .. } => pb::WorkerState::Draining,
        WorkerView { heartbeat, .. } if heartbeat.paused => pb::WorkerState::Paused,
        _ => pb::WorkerState::Running,
    }
}

/// A worker, with what its stream says of it.
pub(super) fn worker(scene: &Scene<'_>, worker: WorkerView) -> pb::WorkerSummary {
    let state = worker_state(&worker);
    let reason = worker_reason(&worker);
    let WorkerView { id, join, free, reserved, prefilled, ahead, heartbeat, silent, .. } = worker;
    let stream = scene.streams.of(Stream::Worker(id));
    pb::WorkerSummary {
        worker: Some(id.into()),
        state: state.into(),
        memory: Some(pb::MemoryUse {
            total_bytes: join.resources.memory_bytes,
            stored_bytes: heartbeat.stored_bytes,
            spilled_bytes: heartbeat.spilled_bytes,
            resident_bytes: heartbeat.resident_bytes,
            executors_bytes: heartbeat.executors_bytes,
        }),
        name: join.name,
        resources: Some(join.resources.into()),
        free: Some(free.into()),
        running: heartbeat.running,
        sent: u32::try_from(reserved).unwrap_or(u32::MAX).saturating_add(prefilled + ahead),
        silent_us: silent.0,
        loop_lag_us: heartbeat.loop_lag.0,
        cpu_percent: heartbeat.cpu_percent,
        addresses: join.addresses.into_iter().map(Into::into).collect(),
        machine: join.machine,
        version: stream.map_or_else(String::new, |stream| stream.product.clone()),
        labels: join.labels.into_iter().map(Into::into).collect(),
        runtimes: join.runtimes,
        objects: worker.objects as u64,
        actors: u32::try_from(worker.actors).unwrap_or(u32::MAX),
        age_us: worker.age.0,
        reason,
        ..pb::WorkerSummary::default()
    }
}

/// Why a worker is in its state, where there is something to say.
fn worker_reason(worker: &WorkerView) -> String {
    let WorkerView { apart, drain, heartbeat, silent, .. } = worker;
    let previous = worker.join.previous.as_ref();
    match worker_state(worker) {
        pb::WorkerState::Silent => format!("its stream broke {silent} ago"),
        pb::WorkerState::Paused => {
            format!("values take {} bytes, more than the pause mark", heartbeat.stored_bytes)
        }
        _ if drain.is_some() => {
            drain.as_ref().map(|drain| drain.reason.clone()).unwrap_or_default()
        }
        _ if *apart => "set apart for a task that may have killed a worker".to_owned(),
        _ => previous
            .map(|previous| format!("its last life {}", end_of(previous.exit)))
            .unwrap_or_default(),
    }
}

/// Where workers can be reached.
pub(super) fn places(machine: &Machine, of: &[WorkerId]) -> Vec<pb::WorkerPlace> {
    machine
        .workers()
        .filter(|worker| of.contains(&worker.id))
        .map(|WorkerView { id, join, .. }| {
            let peer = Peer { worker: id, addresses: join.addresses, machine: join.machine };
            (peer, join.name).into()
        })
        .collect()
}

/// A session, with what its stream says of it.
pub(super) fn session(scene: &Scene<'_>, session: SessionView) -> pb::SessionSummary {
    let SessionView { id, name, connected, ttl, weight_percent, graphs, tasks, values, age, idle } =
        session;
    let stream = scene.streams.of(Stream::Session(id));
    pb::SessionSummary {
        session: Some(id.into()),
        name,
        connected,
        peer: stream.map_or_else(String::new, |stream| stream.origin.clone()),
        ttl_us: ttl.0,
        weight_percent,
        graphs: u32::try_from(graphs).unwrap_or(u32::MAX),
        tasks: Some(tasks.into()),
        age_us: age.0,
        idle_us: idle.0,
        product: stream.map_or_else(String::new, |stream| stream.product.clone()),
        objects: values.0,
        bytes: values.1,
    }
}

/// How a graph stands.
pub(super) fn graph_update(graph: &GraphView) -> pb::GraphUpdate {
    pb::GraphUpdate {
        graph: graph.id.0,
        counts: Some(graph.counts.into()),
        done: graph.done,
        error: graph.error.as_deref().cloned().map(Into::into),
    }
}

/// A graph.
pub(super) fn graph(scene: &Scene<'_>, graph: GraphView) -> pb::GraphSummary {
    pb::GraphSummary {
        update: Some(graph_update(&graph)),
        session: Some(graph.session.into()),
        age_us: scene.now.since(graph.created).0,
        done_ago_us: graph.ended.map_or(0, |ended| scene.now.since(ended).0),
        ttl_us: graph.ttl.map_or(0, |ttl| ttl.0),
        complete: graph.closed,
        detached: graph.detached,
        name: graph.name,
        ..pb::GraphSummary::default()
    }
}

/// A task in short.
pub(super) fn task(machine: &Machine, task: TaskView) -> pb::TaskSummary {
    let name = task.worker.and_then(|id| machine.workers().find(|worker| worker.id == id));
    let error = task.error.as_deref();
    pb::TaskSummary {
        task: Some(task.id.into()),
        state: state(task.state),
        worker: task.worker.map(Into::into),
        worker_name: name.map_or_else(String::new, |worker| worker.join.name),
        attempts: task.ran,
        bytes: task.outputs.iter().map(|place| place.size).sum(),
        error_class: error.map_or(0, |error| pb::TaskError::from(error.clone()).class),
        error: error.map_or_else(String::new, ToString::to_string),
        key: task.key,
    }
}

/// How a task ended.
pub(super) fn task_update(task: TaskView, values: bool) -> pb::TaskUpdate {
    pb::TaskUpdate {
        index: task.id.index,
        state: state(task.state),
        outputs: outputs(task.outputs, values),
        error: task.error.map(|error| (*error).into()),
    }
}

/// The outputs of a task.
pub(super) fn outputs(places: Vec<Place>, values: bool) -> Vec<pb::OutputPlace> {
    let show = |Place { object: _, size, holders, value }| pb::OutputPlace {
        size,
        value: value.filter(|_| values).map(|value| (*value).into()),
        holders: holders.into_iter().map(|worker| worker.0).collect(),
    };
    places.into_iter().map(show).collect()
}

/// The state of a task.
pub(super) fn state(state: TaskState) -> i32 {
    let state = match state {
        TaskState::Waiting => pb::TaskState::Waiting,
        TaskState::Ready => pb::TaskState::Ready,
        TaskState::Sent => pb::TaskState::Sent,
        TaskState::Running => pb::TaskState::Running,
        TaskState::Finished => pb::TaskState::Finished,
        TaskState::Failed => pb::TaskState::Failed,
        TaskState::Cancelled => pb::TaskState::Cancelled,
    };
    state.into()
}
