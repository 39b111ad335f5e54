//! Calls that look at the cluster and its workers.

use tonic::{Request, Response, Status};

use bireme_core::actor::place::ActorState;
use bireme_core::graph::TaskState;
use bireme_core::link::{PROTOCOL_MAX, PROTOCOL_MIN};
use bireme_core::protocol::Address;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::pb::worker_selector::By;
use bireme_proto::status::status;

use super::page::Page;
use super::show;
use super::work::present;
use crate::driver::Scene;
use crate::machine::Machine;
use crate::machine::view::{self, WorkerView};
use crate::rpc::Door;

/// What workers can be told apart by in a filter.
pub(super) const KEYS: [&str; 5] = ["name", "state", "machine", "label.", "runtime"];

impl Door {
    pub(super) async fn do_status(
        &self,
        _: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let look = self.mailbox.look(|scene| {
            let open = scene.machine.graphs().filter(|graph| !graph.done).count();
            (scene.machine.status(), open, totals(scene.machine), scene.now)
        });
        let (machine, open, totals, now) = look.await.map_err(status)?;
        let lost = (!self.site.durable)
            .then_some("no --state-dir: a restart loses the cluster, its sessions and all graphs");
        let kept = "graphs are not kept over a restart yet";
        let warning =
            |message: &str| pb::Warning { message: message.to_owned(), ..pb::Warning::default() };
        let address = Address {
            scheme: "http".to_owned(),
            host: self.site.address.ip().to_string(),
            port: self.site.address.port(),
            network: String::new(),
        };
        Ok(Response::new(pb::GetStatusResponse {
            cluster_id: self.site.cluster().to_bytes().to_vec().into(),
            epoch: self.site.hello.epoch.0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_us: now.0,
            durable: false,
            addresses: vec![address.into()],
            workers: Some(totals.workers),
            sessions: count(machine.sessions),
            graphs: count(machine.graphs),
            actors: alive(&machine),
            open_graphs: count(open),
            tasks: Some(tasks(&machine)),
            resources: Some(machine.resources.into()),
            free: Some(totals.free),
            memory: Some(totals.memory),
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            features: self.site.hello.features.clone(),
            warnings: vec![warning(lost.unwrap_or(kept))],
            ..pb::GetStatusResponse::default()
        }))
    }

    pub(super) async fn do_list_workers(
        &self,
        request: Request<pb::ListWorkersRequest>,
    ) -> Result<Response<pb::ListWorkersResponse>, Status> {
        let page: Page<u32> = Page::read(request.into_inner().page, &KEYS)?;
        let look = self.mailbox.look(move |scene| {
            let passing = scene.machine.workers().filter(|worker| passes(&page, worker));
            let (workers, next_page_token) = page.cut(passing, |worker| worker.id.0);
            pb::ListWorkersResponse {
                workers: workers.into_iter().map(|worker| show::worker(scene, worker)).collect(),
                next_page_token,
                counts: Some(totals(scene.machine).workers),
            }
        });
        look.await.map(Response::new).map_err(status)
    }

    pub(super) async fn do_worker(
        &self,
        request: Request<pb::GetWorkerRequest>,
    ) -> Result<Response<pb::GetWorkerResponse>, Status> {
        let by = present(request.into_inner().worker.and_then(|worker| worker.by), "worker")?;
        let look = self.mailbox.look(move |scene| Some(one(scene, find(scene.machine, &by)?)));
        let found = look.await.map_err(status)?;
        found.map(Response::new).ok_or_else(unknown)
    }
}

/// There is no such worker.
pub(super) fn unknown() -> Status {
    let message = "there is no such worker: list those there are";
    status(Refusal::at(Reason::WorkerUnknown, "worker", message))
}

/// The worker that a selector names.
pub(super) fn find(machine: &Machine, by: &By) -> Option<WorkerView> {
    machine.workers().find(|worker| match by {
        By::Worker(id) => worker.id.0 == id.number,
        By::Name(name) => worker.join.name == *name,
    })
}

fn one(scene: &Scene<'_>, worker: WorkerView) -> pb::GetWorkerResponse {
    pb::GetWorkerResponse {
        functions: worker.join.functions.clone(),
        ended: worker.finished,
        worker: Some(show::worker(scene, worker)),
        ..pb::GetWorkerResponse::default()
    }
}

pub(super) fn passes(page: &Page<u32>, worker: &WorkerView) -> bool {
    let WorkerView { id, join, .. } = worker;
    let state = show::worker_state(worker);
    let state = state.as_str_name().trim_start_matches("WORKER_STATE_").to_lowercase();
    page.after.is_none_or(|after| id.0 > after)
        && page.passes("name", &join.name)
        && page.passes("state", state)
        && page.passes("machine", &join.machine)
        && page.asked("runtime").all(|asked| join.runtimes.iter().any(|has| has == asked))
        && page
            .asked_below("label.")
            .all(|(name, value)| join.labels.iter().any(|(key, has)| key == name && has == value))
}

/// Sums over all workers.
struct Totals {
    workers: pb::WorkerCounts,
    memory: pb::MemoryUse,
    free: pb::Resources,
}

fn totals(machine: &Machine) -> Totals {
    let mut workers = pb::WorkerCounts::default();
    let mut memory = pb::MemoryUse::default();
    let mut free = pb::Resources::default();
    for worker in machine.workers() {
        workers.total += 1;
        match show::worker_state(&worker) {
            pb::WorkerState::Paused => workers.paused += 1,
            pb::WorkerState::Draining => workers.draining += 1,
            pb::WorkerState::Silent => workers.silent += 1,
            _ => workers.running += 1,
        }
        memory.total_bytes += worker.join.resources.memory_bytes;
        memory.stored_bytes += worker.heartbeat.stored_bytes;
        memory.spilled_bytes += worker.heartbeat.spilled_bytes;
        memory.resident_bytes += worker.heartbeat.resident_bytes;
        memory.executors_bytes += worker.heartbeat.executors_bytes;
        free.cpu_units += worker.free.cpu_units;
        free.memory_bytes += worker.free.memory_bytes;
    }
    Totals { workers, memory, free }
}

/// How many actors have not ended.
fn alive(machine: &view::Status) -> u32 {
    let living = machine.actors.iter().filter(|(state, _)| *state != ActorState::Dead);
    u32::try_from(living.map(|(_, count)| count).sum::<u64>()).unwrap_or(u32::MAX)
}

fn tasks(machine: &view::Status) -> pb::GraphCounts {
    let of = |state| {
        machine.tasks.iter().find(|(other, _)| *other == state).map_or(0, |(_, count)| *count)
    };
    pb::GraphCounts {
        total: machine.tasks.iter().map(|(_, count)| count).sum(),
        waiting: of(TaskState::Waiting),
        ready: of(TaskState::Ready),
        sent: of(TaskState::Sent),
        running: of(TaskState::Running),
        finished: of(TaskState::Finished),
        failed: of(TaskState::Failed),
        cancelled: of(TaskState::Cancelled),
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
